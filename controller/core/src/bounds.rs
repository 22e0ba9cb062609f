//! Confidence bounds for quantiles, from merged histograms alone.
//!
//! All bounds rest on order statistics: of `n` independent requests the number at or below the true q-quantile is
//! binomial(n, q), whatever the distribution looks like, so the quantile lies between two ranks with known probability
//! (David and Nagaraja, *Order Statistics*, 3rd ed., 7.1). The normal approximation with continuity correction gives the
//! ranks n·q ± (z·√(n·q·(1−q)) + ½). Requests of one proxy in one moment are not independent; therefore `n` is divided by
//! a *design effect* before use (Kish; facts/loop.md A4 advises 5–20).

use crate::distribution::{Distribution, bucket_width};
use crate::units::Micros;

/// How sure a bound is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// Standard normal quantile of the wanted one-sided level: 2.326 is 99 %.
    pub z: f64,
    /// By how much the requests count less than independent ones; 1 = independent.
    pub design_effect: f64,
}

impl Default for Confidence {
    /// One-sided 99 %, design effect 5.
    fn default() -> Self {
        Self {
            z: 2.326,
            design_effect: 5.0,
        }
    }
}

impl Confidence {
    fn effective(self, count: u64) -> f64 {
        count as f64 / self.design_effect.max(1.0)
    }
}

/// A quantile with what bounds it, in µs; the bounds take in the whole bucket (≤ 1 % wide).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Lower bound; 0 where the data give none.
    pub low: f64,
    /// The estimate.
    pub at: f64,
    /// Upper bound; `None` where the data give none (too few requests beyond the quantile).
    pub high: Option<f64>,
}

impl Bounds {
    /// Standard error read back from the wider side of the interval (Woodruff 1952, "Confidence intervals for medians and
    /// other position measures"); `None` without an upper bound.
    pub fn standard_error(&self, confidence: Confidence) -> Option<f64> {
        let half = (self.high? - self.at).max(self.at - self.low);
        Some(half / confidence.z.max(f64::MIN_POSITIVE))
    }
}

/// The q-quantile of `distribution` with bounds; `None` when it is empty.
pub fn quantile(distribution: &Distribution, q: f64, confidence: Confidence) -> Option<Bounds> {
    let n = confidence.effective(distribution.count());
    if distribution.is_empty() {
        return None;
    }
    let reach = (confidence.z * (n * q * (1.0 - q)).sqrt() + 0.5) / n;
    let lowest = |f: f64| distribution.quantile_bucket(f).map(|bucket| bucket.0 as f64);
    let low = if q - reach > 0.0 { lowest(q - reach)? } else { 0.0 };
    let high = (q + reach < 1.0)
        .then(|| distribution.quantile_bucket(q + reach))
        .flatten()
        .map(|bucket| (bucket.0 + bucket_width(bucket)) as f64);
    Some(Bounds {
        low,
        at: distribution.quantile(q)?.0 as f64,
        high,
    })
}

/// The mean of the requests' times with all above `cap` taken as `cap` (a winsorised mean: Tukey 1962), with normal bounds
/// mean ± z·sd/√n. Unlike a median it answers smoothly where a distribution has two humps, as the network times of an edge with
/// near and far pods have; unlike a plain mean it does not hang on the slowest few. `None` when empty.
pub fn capped_mean(distribution: &Distribution, cap: Micros, confidence: Confidence) -> Option<Bounds> {
    let count = distribution.count() as f64;
    let values = || {
        distribution.buckets().map(|(lowest, n)| {
            let middle = lowest.0 as f64 + (bucket_width(lowest) - 1) as f64 / 2.0;
            (middle.min(cap.0 as f64), n as f64)
        })
    };
    let at = values().map(|(value, n)| value * n).sum::<f64>() / count;
    let variance = values().map(|(value, n)| (value - at).powi(2) * n).sum::<f64>() / count;
    let reach = confidence.z * (variance / confidence.effective(distribution.count())).sqrt();
    (count > 0.0).then(|| Bounds {
        low: (at - reach).max(0.0),
        at,
        high: Some(at + reach),
    })
}

/// How much slower `slow` is than `fast`, at one quantile, over strata.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The estimate, in µs.
    pub at: f64,
    /// Lower confidence bound, in µs; may be negative.
    pub low: f64,
}

/// One stratum: what is comparable inside it.
#[derive(Clone, Debug)]
pub struct Stratum {
    /// Parts believed slow, each against the same `fast`; a part weighs as much as it has requests.
    pub slow: Vec<Distribution>,
    /// The part believed fast.
    pub fast: Distribution,
}

/// The weighted mean of quantile differences D = Σ wₕᵢ·(slowₕᵢ − fastₕ) ÷ Σ wₕᵢ over the slow parts i of all strata h, and its
/// lower bound D − z·se. Strata are independent, so their variances add (Cochran, *Sampling Techniques*, 5.3); the slow parts of
/// one stratum share its fast part, whose error therefore counts with their whole weight:
/// se² = Σₕ (Σᵢ wₕᵢ²·se²(slowₕᵢ) + (Σᵢ wₕᵢ)²·se²(fastₕ)) ÷ (Σ wₕᵢ)².
/// Parts whose bounds the data do not give are left out; `None` when none is left.
pub fn stratified_difference(strata: &[Stratum], q: f64, confidence: Confidence) -> Option<Difference> {
    let (mut weights, mut sum, mut variance) = (0.0, 0.0, 0.0);
    let bounded = |part: &Distribution| {
        let bounds = quantile(part, q, confidence)?;
        Some((bounds.at, bounds.standard_error(confidence)?))
    };
    for stratum in strata {
        let Some((fast, fast_error)) = bounded(&stratum.fast) else {
            continue;
        };
        let mut shared = 0.0;
        for part in &stratum.slow {
            let Some((slow, slow_error)) = bounded(part) else {
                continue;
            };
            let weight = part.count() as f64;
            shared += weight;
            sum += weight * (slow - fast);
            variance += (weight * slow_error).powi(2);
        }
        weights += shared;
        variance += (shared * fast_error).powi(2);
    }
    (weights > 0.0).then(|| Difference {
        at: sum / weights,
        low: (sum - confidence.z * variance.sqrt()) / weights,
    })
}

/// Bounds of the q-quantile of a mixture Σ wᵢ·Fᵢ of measured distributions: the counterfactual tail of facts/loop.md A8.
///
/// At each value x, F(x) = Σ wᵢ·Fᵢ(x) has the standard error √(Σ wᵢ²·Fᵢ(x)(1−Fᵢ(x))/nᵢ); the interval holds every x at which
/// F(x) ± z·se(x) reaches q (Woodruff 1952). Weights are scaled to sum 1; empty parts are left out; `None` when all are.
pub fn mixture(parts: &[(f64, &Distribution)], q: f64, confidence: Confidence) -> Option<(Micros, Micros)> {
    let parts: Vec<(f64, &Distribution)> = parts
        .iter()
        .copied()
        .filter(|(weight, part)| *weight > 0.0 && !part.is_empty())
        .collect();
    let weights: f64 = parts.iter().map(|(weight, _)| weight).sum();
    // Every bucket of every part in order of value, with the part it belongs to.
    let mut steps: Vec<(Micros, usize, f64)> = Vec::new();
    for (index, (_, part)) in parts.iter().enumerate() {
        let count = part.count() as f64;
        steps.extend(part.buckets().map(|(value, n)| (value, index, n as f64 / count)));
    }
    steps.sort_by_key(|step| (step.0, step.1));
    let mut reached = vec![0.0_f64; parts.len()];
    let (mut low, mut high) = (None, None);
    let mut steps = steps.into_iter().peekable();
    while let Some((value, index, mass)) = steps.next() {
        if let Some(slot) = reached.get_mut(index) {
            *slot = (*slot + mass).min(1.0);
        }
        if steps.peek().is_some_and(|next| next.0 == value) {
            continue;
        }
        let (mut f, mut variance) = (0.0, 0.0);
        for ((weight, part), at) in parts.iter().zip(&reached) {
            let share = weight / weights;
            f += share * at;
            variance += share * share * at * (1.0 - at) / confidence.effective(part.count());
        }
        let reach = confidence.z * variance.sqrt();
        if low.is_none() && f + reach + 1e-9 >= q {
            low = Some(value);
        }
        let last = steps.peek().is_none();
        if high.is_none() && (f - reach + 1e-9 >= q || last) {
            high = Some(Micros(value.0 + bucket_width(value) - 1));
        }
    }
    Some((low?, high?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Distribution {
        let mut distribution = Distribution::default();
        values.into_iter().for_each(|value| distribution.record(Micros(value)));
        distribution
    }

    proptest! {
        #[test]
        fn bounds_hold_the_estimate_and_narrow_with_more_requests(values in prop::collection::vec(1_u64..1_000_000, 30..300), q in 0.05_f64..0.95) {
            let (few, many) = (of(values.clone()), {
                let mut many = Distribution::default();
                many.merge_scaled(&of(values), 50.0);
                many
            });
            let (few, many) = (quantile(&few, q, Confidence::default()).unwrap(), quantile(&many, q, Confidence::default()).unwrap());
            for bounds in [few, many] {
                prop_assert!(bounds.low <= bounds.at);
                prop_assert!(bounds.high.is_none_or(|high| bounds.at <= high));
            }
            prop_assert!(few.low <= many.low);
            prop_assert!(few.high.is_none_or(|few| many.high.unwrap() <= few));
        }

        #[test]
        fn a_mixture_of_one_brackets_its_quantile(values in prop::collection::vec(1_u64..1_000_000, 1..300), q in 0.01_f64..0.99) {
            let one = of(values);
            let (low, high) = mixture(&[(0.3, &one)], q, Confidence::default()).unwrap();
            let at = one.quantile(q).unwrap();
            prop_assert!(low <= at && at <= high, "{:?} {:?} {:?}", low, at, high);
        }

        #[test]
        fn more_weight_on_the_fast_part_never_slows_the_mixture(fast in prop::collection::vec(1_u64..1000, 50..200), shift in 1000_u64..50_000, w in 0.0_f64..0.9) {
            let slow = of(fast.iter().map(|v| v + shift));
            let fast = of(fast);
            let exact = Confidence { z: 0.0, design_effect: 1.0 };
            let at = |w: f64| mixture(&[(w, &fast), (1.0 - w, &slow)], 0.5, exact).unwrap();
            prop_assert!(at(w + 0.1).1 <= at(w).1);
        }
    }

    /// The bound really holds as often as it says: 400 draws of 500 requests from a uniform law, one-sided 99 %.
    #[test]
    fn coverage_is_as_promised() {
        let mut state = 7_u64;
        let mut draw = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            1 + (state >> 33) % 100_000
        };
        let confidence = Confidence {
            z: 2.326,
            design_effect: 1.0,
        };
        let missed = (0..400)
            .filter(|_| {
                let bounds = quantile(&of((0..500).map(|_| draw())), 0.5, confidence).unwrap();
                bounds.low > 50_000.0 || bounds.high.unwrap() < 50_000.0
            })
            .count();
        assert!(missed <= 16, "2 % of 400 is 8; {missed} missed");
    }

    #[test]
    fn too_few_requests_give_no_upper_bound() {
        let bounds = quantile(&of(1..=100), 0.99, Confidence::default()).unwrap();
        assert_eq!(bounds.high, None);
        assert_eq!(bounds.standard_error(Confidence::default()), None);
    }
}
