//! How much a starved container needs: of cpu from the tail of its demand, in closed form; of memory and of its share by fixed margins.

use crate::units::{Bytes, Millicores, Ratio};

/// Share of throttled periods that a new limit is meant to leave. What is served is judged at p99, and with a hundredth of the periods
/// throttled p99 would be the mildest stop; a fifth of a hundredth leaves it to the calls that are not stopped.
const LEFT: f64 = 0.002;
/// Above this the measured share says only "nearly always", and its logarithm nothing.
const SURE: f64 = 0.95;
/// What stands above the highest measured use, as a factor: the safety margin of VPA's recommender (`recommendation-margin-fraction`,
/// 15 %).
pub(super) const MARGIN: f64 = 1.15;
/// Limits are multiples of this: CFS quotas are set in whole milliseconds of a period of 100 ms.
pub(super) const GRAIN: u64 = 10;

/// The cpu limit under which about two periods of a thousand are throttled.
///
/// A container is throttled in a period (100 ms, `cpu.cfs_period_us`) when the cpu time that it wants exceeds its quota. Its mean use
/// says nothing of that; the measured share of throttled periods is a point of the very tail in question: P(demand > limit) = share.
/// With an exponential tail, that is demand that bursts without memory, P(demand > x) = share^(x ÷ limit), so the limit for the share
/// *left* is limit × ln(left) ÷ ln(share): 2.7 × at 10 %, 5.2 × at 30 %, 9 × at 50 %. Work that one period leaves over is demand of the
/// next, so a throttled container's share is above that of its calls alone, and the result errs to the high side; the policy's step
/// bounds it, and the next plan sees what is left. Never less than the highest use with [`MARGIN`], nor than `limit`.
pub(super) fn limit_for(limit: Millicores, throttled: Ratio, peak: Millicores) -> Millicores {
    let share = throttled.get().clamp(LEFT, SURE);
    let tail = limit.0 as f64 * (LEFT.ln() / share.ln());
    let wanted = tail.max(peak.0 as f64 * MARGIN).max(limit.0 as f64);
    grained(wanted.ceil() as u64)
}

/// The next multiple of the grain.
pub(super) fn grained(millicores: u64) -> Millicores {
    Millicores(millicores.div_ceil(GRAIN).saturating_mul(GRAIN))
}

/// The last multiple of the grain, for bounds.
pub(super) fn within(bound: Millicores) -> Millicores {
    Millicores(bound.0 / GRAIN * GRAIN)
}

/// The share of throttled periods expected under another limit, by the same tail as [`limit_for`]'s.
pub(super) fn throttled_at(limit: Millicores, throttled: Ratio, to: Millicores) -> Ratio {
    if limit.0 == 0 {
        return throttled;
    }
    Ratio::clamped(throttled.get().powf(to.0 as f64 / limit.0 as f64))
}

/// Least that a memory limit is raised by, as a factor and in bytes: what VPA's recommender adds after a kill (`oom-bump-up-ratio`, 1.2;
/// `oom-min-bump-up-bytes`, 100 MiB).
const BUMP: (f64, u64) = (1.2, 100 << 20);
const MEBIBYTE: u64 = 1 << 20;

/// The memory limit for a container that stalls below `limit` or was killed at it. What it would hold with more cannot be measured under
/// the old limit, so that it grows by VPA's step, and never to less than the highest working set with [`MARGIN`].
pub(super) fn memory_for(limit: Bytes, peak: Bytes) -> Bytes {
    let stepped = (limit.0 as f64 * BUMP.0).max(limit.0 as f64 + BUMP.1 as f64);
    let wanted = stepped.max(peak.0 as f64 * MARGIN).ceil() as u64;
    Bytes(wanted.div_ceil(MEBIBYTE).saturating_mul(MEBIBYTE))
}

/// The last whole number of mebibytes, for bounds.
pub(super) fn whole_mebibytes(bound: Bytes) -> Bytes {
    Bytes(bound.0 / MEBIBYTE * MEBIBYTE)
}

/// The cpu request that lets a container have, on a busy node, what it used at its height: requests are what a node's processors are
/// shared out by (`cpu.shares`, `cpu.weight`).
pub(super) fn share_for(peak: Millicores) -> Millicores {
    grained((peak.0 as f64 * MARGIN).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(limit: u64, percent: f64, peak: u64) -> u64 {
        limit_for(Millicores(limit), Ratio::clamped(percent / 100.0), Millicores(peak)).0
    }

    #[test]
    fn the_tail_sets_the_limit_and_the_peak_is_its_floor() {
        assert_eq!(at(200, 10.0, 100), 540);
        assert_eq!(at(200, 30.0, 100), 1_040);
        assert_eq!(at(200, 50.0, 100), 1_800);
        assert_eq!(at(200, 0.5, 190), 240, "hardly throttled");
        assert_eq!(at(200, 0.2, 190), 220, "not more than is left: the peak counts");
        assert_eq!(at(200, 0.0, 0), 200, "not throttled at all");
    }

    #[test]
    fn memory_grows_by_a_step_and_a_share_to_its_peak() {
        let mebi = |mebibytes: u64| Bytes(mebibytes << 20);
        assert_eq!(memory_for(mebi(64), mebi(63)), mebi(164), "100 MiB at least");
        assert_eq!(memory_for(mebi(1_000), mebi(999)), mebi(1_200), "a fifth");
        assert_eq!(
            memory_for(mebi(100), mebi(400)),
            mebi(460),
            "what was held, and a margin"
        );
        assert_eq!(whole_mebibytes(Bytes((3 << 20) + 5)), mebi(3));
        assert_eq!(share_for(Millicores(100)), Millicores(120));
    }

    proptest! {
        #[test]
        fn memory_never_shrinks(limit in 0_u64..1 << 40, peak in 0_u64..1 << 40) {
            let Bytes(to) = memory_for(Bytes(limit), Bytes(peak));
            prop_assert!(to > limit && to >= peak && to.is_multiple_of(MEBIBYTE));
        }
        #[test]
        fn it_never_shrinks_a_limit_and_grows_with_the_share(
            limit in 1_u64..64_000, peak in 0_u64..64_000, low in 0.0_f64..100.0, more in 0.0_f64..100.0,
        ) {
            let (less, much) = (at(limit, low, peak), at(limit, low + more, peak));
            prop_assert!(less >= limit && less >= peak);
            prop_assert!(much >= less);
            prop_assert_eq!(less % GRAIN, 0);
        }
        #[test]
        fn what_is_expected_agrees_with_what_is_set(limit in 100_u64..10_000, share in 2.0_f64..94.0) {
            let share = Ratio::clamped(share / 100.0);
            let to = limit_for(Millicores(limit), share, Millicores(0));
            let left = throttled_at(Millicores(limit), share, to).get();
            prop_assert!(left <= LEFT + 1e-9 && left > LEFT / 2.5, "{left}");
        }
    }
}
