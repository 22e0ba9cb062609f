//! Latency distributions: sparse HdrHistograms, merged exactly.

use crate::units::Micros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts of requests by latency bucket: HdrHistogram, 1 µs to 60 s, 2 significant digits (≤ 1 % error), kept sparse.
///
/// The key is the lowest value of the bucket in microseconds. Merging is exact: merged distributions equal the
/// distribution of all requests together, so quantiles at every level come from merged counts and are never averaged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Distribution {
    buckets: BTreeMap<u64, u64>,
}

impl Distribution {
    /// Adds `count` requests to the bucket whose lowest value is `lowest` (see [`bucket_of`]).
    pub fn add(&mut self, lowest: Micros, count: u64) {
        if count > 0 {
            let slot = self.buckets.entry(bucket_of(lowest).0).or_default();
            *slot = slot.saturating_add(count);
        }
    }
    /// Records one request.
    pub fn record(&mut self, value: Micros) {
        self.add(value, 1);
    }
    /// Adds everything `other` holds.
    pub fn merge(&mut self, other: &Self) {
        for (&lowest, &count) in &other.buckets {
            let slot = self.buckets.entry(lowest).or_default();
            *slot = slot.saturating_add(count);
        }
    }
    /// Adds `other` with every count multiplied by `factor` and rounded; used to weight windows of unequal length.
    pub fn merge_scaled(&mut self, other: &Self, factor: f64) {
        for (&lowest, &count) in &other.buckets {
            let scaled = (count as f64 * factor.max(0.0)).round();
            self.add(Micros(lowest), scaled as u64);
        }
    }
    /// How many requests.
    pub fn count(&self) -> u64 {
        self.buckets.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
    /// The smallest value such that at least `q` (0..=1) of the requests are at or below its bucket; `None` when empty.
    /// The bucket's middle is given, as HdrHistogram's median equivalent value: error ≤ 0.5 % of the value.
    pub fn quantile(&self, q: f64) -> Option<Micros> {
        self.quantile_bucket(q)
            .map(|lowest| Micros(lowest.0 + (width_of(lowest.0) - 1) / 2))
    }
    /// The bucket of that quantile, as its lowest value.
    pub fn quantile_bucket(&self, q: f64) -> Option<Micros> {
        let total = self.count();
        let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0_u64;
        for (&lowest, &count) in &self.buckets {
            seen = seen.saturating_add(count);
            if seen >= rank {
                return Some(Micros(lowest));
            }
        }
        None
    }
    /// The mean, taken at bucket middles; `None` when empty.
    pub fn mean(&self) -> Option<f64> {
        let total = self.count();
        let sum: f64 = self
            .buckets
            .iter()
            .map(|(&lowest, &count)| (lowest as f64 + (width_of(lowest) - 1) as f64 / 2.0) * count as f64)
            .sum();
        (total > 0).then(|| sum / total as f64)
    }
    /// How many buckets hold something: what a distribution costs in memory.
    pub fn width(&self) -> usize {
        self.buckets.len()
    }
    /// The buckets in order: lowest value and count.
    pub fn buckets(&self) -> impl Iterator<Item = (Micros, u64)> + '_ {
        self.buckets.iter().map(|(&lowest, &count)| (Micros(lowest), count))
    }
}

/// HdrHistogram at 2 significant digits has 128 sub-buckets per power of two: values below 256 are their own bucket.
const SUB_BUCKET_BITS: u32 = 8;

/// The width of the bucket that holds `value`, in microseconds.
fn width_of(value: u64) -> u64 {
    let bits = u64::BITS - value.leading_zeros();
    1 << bits.saturating_sub(SUB_BUCKET_BITS)
}

/// The width in microseconds of the bucket that holds `value`.
pub fn bucket_width(value: Micros) -> u64 {
    width_of(value.0)
}

/// The lowest value of the bucket that holds `value`; values are clamped to 1 µs … 60 s.
pub fn bucket_of(value: Micros) -> Micros {
    let value = value.0.clamp(1, 60_000_000);
    Micros(value & !(width_of(value) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn buckets_are_those_of_hdrhistogram(value in 1_u64..=60_000_000) {
            let hdr = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 60_000_000, 2).unwrap();
            prop_assert_eq!(bucket_of(Micros(value)).0, hdr.lowest_equivalent(value));
        }

        #[test]
        fn quantiles_are_those_of_hdrhistogram(values in prop::collection::vec(1_u64..5_000_000, 1..400), q in 0.0_f64..=1.0) {
            let mut hdr = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 60_000_000, 2).unwrap();
            let mut ours = Distribution::default();
            for &value in &values {
                hdr.record(value).unwrap();
                ours.record(Micros(value));
            }
            let (theirs, ours) = (hdr.value_at_quantile(q), ours.quantile(q).unwrap().0);
            prop_assert_eq!(hdr.lowest_equivalent(theirs), hdr.lowest_equivalent(ours));
        }

        #[test]
        fn merging_equals_recording_together(a in prop::collection::vec(1_u64..90_000_000, 0..60), b in prop::collection::vec(1_u64..90_000_000, 0..60)) {
            let of = |values: &[u64]| values.iter().fold(Distribution::default(), |mut d, &v| { d.record(Micros(v)); d });
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let together: Vec<u64> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(merged, of(&together));
        }
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Distribution::default().quantile(0.99), None);
    }
}
