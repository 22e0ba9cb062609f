//! What a container used over days: for giving back what it does not need.
//!
//! Kept per workload and container, not per pod: pods come and go, and their figures are one. Of each part of the window (a day, where
//! it is a week) a coarse histogram of cpu use and the highest figures are kept, so that 20 000 containers of workloads (about 150 000
//! pods) take some 40 MB.
//!
//! Nothing of it is written down: it can be measured again, and who has forgotten it (a controller that was restarted) only gives back
//! later, as a window must be watched anew.

use super::Figures;
use crate::cluster::Compute;
use crate::id::{ContainerName, WorkloadId};
use crate::time::{Span, Timestamp};
use crate::units::{Bytes, Millicores, Ratio};
use std::collections::BTreeMap;

/// Parts of a window: a week has seven days.
const PARTS: u64 = 7;
/// A watch with a longer gap than this part of its window begins anew …
const GAP: u64 = 20;
/// … but not for so short a one: figures of adjacent readings lie in adjacent slots.
const SHORTEST_GAP: Span = Span::seconds(60);

/// How long one usage was counted at each height: 16 steps to a doubling, so heights are right to 6.25 %. VPA's histogram has steps of
/// 5 % (`vertical-pod-autoscaler/pkg/recommender/model/aggregations_config.go`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Heights(Vec<(u16, u32)>);

/// The step that holds this many millicores.
fn step_of(millicores: u64) -> u16 {
    let high = u64::BITS - millicores.leading_zeros();
    let step = match high.checked_sub(5) {
        None | Some(0) => millicores,
        Some(shift) => u64::from(shift) * 16 + (millicores >> shift),
    };
    u16::try_from(step).unwrap_or(u16::MAX)
}

/// The highest of a step.
fn top_of(step: u16) -> u64 {
    let step = u64::from(step);
    if step < 32 {
        return step;
    }
    let shift = step / 16 - 1;
    ((step % 16 + 16 + 1) << shift.min(48)) - 1
}

impl Heights {
    fn add(&mut self, millicores: u64) {
        let step = step_of(millicores);
        match self.0.binary_search_by_key(&step, |known| known.0) {
            Ok(place) => {
                if let Some(known) = self.0.get_mut(place) {
                    known.1 = known.1.saturating_add(1);
                }
            }
            Err(place) => self.0.insert(place, (step, 1)),
        }
    }
}

/// One part of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Part {
    heights: Heights,
    cpu_peak: u64,
    memory_peak: u64,
    kills: u64,
    /// Under the cpu limit that it has now.
    periods: u64,
    throttled: u64,
    worst: Stops,
}

/// Scheduling periods, and those of them in which a limit stopped it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// All.
    pub periods: u64,
    /// Throttled.
    pub throttled: u64,
}

impl Stops {
    /// Periods that a share of them needs.
    const ENOUGH: u64 = 10;

    /// Throttled ÷ all.
    pub fn share(self) -> Ratio {
        Ratio::of(self.throttled, self.periods)
    }
    /// The share that is not ruled out by what was counted: one more is taken as just not seen.
    pub fn possible(self) -> Ratio {
        Ratio::of(self.throttled.saturating_add(1), self.periods.saturating_add(2))
    }
    /// The one with the higher share; of equal ones, the one that is surer.
    fn worse(self, other: Self) -> Self {
        let known = |stops: &Self| stops.periods >= Self::ENOUGH;
        let key = |stops: &Self| (stops.share().get(), stops.periods);
        let both = [self, other];
        let mut known = both.iter().filter(|stops| known(stops));
        match (known.next(), known.next()) {
            (Some(one), Some(two)) if key(two) > key(one) => *two,
            (Some(one), _) => *one,
            (None, _) => Self::default(),
        }
    }
}

/// Its limits, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Era {
    limits: Compute,
    /// They were lower before.
    raised: bool,
    since: Timestamp,
}

/// One container of a workload, in all its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Watch {
    window: Span,
    since: Timestamp,
    until: Timestamp,
    parts: BTreeMap<i64, Part>,
    era: Era,
}

/// What is known of a container over a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Habit {
    /// For how long it has been watched without a gap, up to the window.
    pub watched: Span,
    /// Cpu used in the interval (10 s) and pod in which it used most.
    pub cpu_peak: Millicores,
    /// What it used at most in 95 % of all intervals and pods.
    pub cpu_high: Millicores,
    /// By how much the higher peak of the last parts of the window is above that of the first ones; 0 where it is not.
    pub cpu_growth: f64,
    /// The largest working set.
    pub memory_peak: Bytes,
    /// The same of memory.
    pub memory_growth: f64,
    /// Killed for want of memory.
    pub kills: u64,
    /// The limits it has now.
    pub limits: Compute,
    /// For how long it has had them.
    pub steady: Span,
    /// They were lower before.
    pub raised: bool,
    /// How often the cpu limit has stopped it in the window, since it is what it is.
    pub stops: Stops,
    /// The same in the interval and pod in which they did most.
    pub worst: Stops,
}

/// One stretch of time of one pod's container.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Whose pod.
    pub workload: &'a WorkloadId,
    /// Which container.
    pub container: &'a ContainerName,
    /// When it began.
    pub at: Timestamp,
    /// How long it was.
    pub length: Span,
    /// What was counted in it.
    pub figures: &'a Figures,
    /// The limits then.
    pub limits: Compute,
    /// How far back it is to be remembered.
    pub window: Span,
}

/// All habits, by workload and container. Moments of one container come in the order of time; those of its pods together.
#[derive(Clone, Debug, Default)]
pub struct Habits(BTreeMap<WorkloadId, BTreeMap<ContainerName, Watch>>);

impl Habits {
    /// Takes in what a container did in a stretch of time. Another window than before begins the watch anew.
    pub fn absorb(&mut self, moment: Moment<'_>) {
        let end = moment.at.plus(moment.length);
        let fresh = || Watch {
            window: moment.window,
            since: moment.at,
            until: end,
            parts: BTreeMap::new(),
            era: Era {
                limits: moment.limits,
                raised: false,
                since: moment.at,
            },
        };
        if !self.0.contains_key(moment.workload) {
            self.0.insert(moment.workload.clone(), BTreeMap::new());
        }
        let Some(containers) = self.0.get_mut(moment.workload) else {
            return;
        };
        let watch = containers.entry(moment.container.clone()).or_insert_with(fresh);
        let gap = Span(moment.window.0 / GAP).max(SHORTEST_GAP);
        if watch.window != moment.window || moment.at.since(watch.until) > gap {
            *watch = fresh();
        }
        watch.until = watch.until.max(end);
        watch.take(&moment);
    }

    /// Forgets workloads that are gone.
    pub fn keep(&mut self, wanted: impl Fn(&WorkloadId) -> bool) {
        self.0.retain(|workload, _| wanted(workload));
    }

    /// What is known of a container at `at`; `None` where it was never seen.
    pub fn of(&self, workload: &WorkloadId, container: &ContainerName, at: Timestamp) -> Option<Habit> {
        Some(self.0.get(workload)?.get(container)?.habit(at))
    }
}

impl Watch {
    fn part(&self) -> i64 {
        i64::try_from(self.window.0 / PARTS).unwrap_or(i64::MAX).max(1)
    }

    fn take(&mut self, moment: &Moment<'_>) {
        let figures = moment.figures;
        let count = |counter: Option<u64>| counter.unwrap_or(0);
        let (periods, throttled) = (count(figures.counted.periods), count(figures.counted.throttled_periods));
        if self.era.limits != moment.limits {
            let (was, is) = (self.era.limits, moment.limits);
            self.era = Era {
                limits: is,
                raised: is.cpu > was.cpu || is.memory > was.memory,
                since: moment.at,
            };
            // What stops it is the cpu limit: another memory limit leaves the count as it is.
            for part in self.parts.values_mut().filter(|_| is.cpu != was.cpu) {
                (part.periods, part.throttled, part.worst) = (0, 0, Stops::default());
            }
        }
        let number = moment.at.0.div_euclid(self.part());
        let part = self.parts.entry(number).or_default();
        // A rounded-off end of a reading is no peak.
        if figures.seen.0.saturating_mul(2) >= moment.length.0 {
            let cpu = figures.cpu().0;
            part.heights.add(cpu);
            part.cpu_peak = part.cpu_peak.max(cpu);
        }
        part.memory_peak = part.memory_peak.max(figures.memory_peak.0);
        part.kills = part.kills.saturating_add(count(figures.counted.kills));
        part.periods = part.periods.saturating_add(periods);
        part.throttled = part.throttled.saturating_add(throttled);
        part.worst = part.worst.worse(Stops { periods, throttled });
        let oldest = self.until.minus(self.window).0.div_euclid(self.part());
        self.parts.retain(|number, _| *number >= oldest);
    }

    fn habit(&self, at: Timestamp) -> Habit {
        let oldest = at.minus(self.window).0.div_euclid(self.part());
        let parts: Vec<&Part> = self.parts.range(oldest..).map(|(_, part)| part).collect();
        let sum = |of: fn(&Part) -> u64| parts.iter().fold(0_u64, |sum, part| sum.saturating_add(of(part)));
        let peak = |of: fn(&Part) -> u64| parts.iter().map(|part| of(part)).max().unwrap_or(0);
        Habit {
            watched: Span(self.until.since(self.since).0.min(self.window.0)),
            cpu_peak: Millicores(peak(|part| part.cpu_peak)),
            cpu_high: Millicores(high(&parts)),
            cpu_growth: growth(&parts, |part| part.cpu_peak),
            memory_peak: Bytes(peak(|part| part.memory_peak)),
            memory_growth: growth(&parts, |part| part.memory_peak),
            kills: sum(|part| part.kills),
            limits: self.era.limits,
            steady: self.until.since(self.era.since),
            raised: self.era.raised,
            stops: Stops {
                periods: sum(|part| part.periods),
                throttled: sum(|part| part.throttled),
            },
            worst: parts
                .iter()
                .fold(Stops::default(), |worst, part| worst.worse(part.worst)),
        }
    }
}

/// The height that 95 % of the moments stay below; the step's upper end, so never too little.
fn high(parts: &[&Part]) -> u64 {
    let mut heights: BTreeMap<u16, u64> = BTreeMap::new();
    for (step, count) in parts.iter().flat_map(|part| &part.heights.0) {
        *heights.entry(*step).or_default() += u64::from(*count);
    }
    let all: u64 = heights.values().sum();
    let mut seen = 0;
    for (step, count) in heights {
        seen += count;
        if seen * 100 >= all * 95 {
            return top_of(step);
        }
    }
    0
}

/// Peak of the second half of the window ÷ that of the first, less one.
fn growth(parts: &[&Part], of: fn(&Part) -> u64) -> f64 {
    let (first, last) = parts.split_at(parts.len() / 2);
    let peak = |parts: &[&Part]| parts.iter().map(|part| of(part)).max().unwrap_or(0) as f64;
    match peak(first) {
        0.0 => 0.0,
        first => (peak(last) / first - 1.0).max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Counters;
    use proptest::prelude::*;

    const TEN: Span = Span::seconds(10);
    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    struct Watched(Habits, WorkloadId);

    impl Watched {
        fn new() -> Self {
            Self(Habits::default(), WorkloadId::deployment("shop", "back"))
        }
        fn see(&mut self, at: i64, cpu: u64, limit: u64, throttled: u64) {
            self.see_with(at, cpu, (limit, None), throttled);
        }
        fn see_with(&mut self, at: i64, cpu: u64, (limit, memory): (u64, Option<u64>), throttled: u64) {
            let figures = Figures {
                seen: TEN,
                counted: Counters {
                    cpu_us: Some(cpu * TEN.0),
                    periods: Some(100),
                    throttled_periods: Some(throttled),
                    ..Counters::default()
                },
                memory_peak: Bytes(cpu << 20),
                restarts: 0,
            };
            self.0.absorb(Moment {
                workload: &self.1,
                container: &"app".into(),
                at: Timestamp(at),
                length: TEN,
                figures: &figures,
                limits: Compute {
                    cpu: Some(Millicores(limit)),
                    memory: memory.map(Bytes),
                },
                window: Span::seconds(7 * 24 * 3600),
            });
        }
        fn habit(&self, at: i64) -> Habit {
            self.0.of(&self.1, &"app".into(), Timestamp(at)).unwrap()
        }
    }

    #[test]
    fn a_week_is_watched_before_it_counts_and_what_is_older_is_forgotten() {
        let mut watched = Watched::new();
        for at in (0..10 * 24).map(|hour| hour * HOUR) {
            let (first, late) = (at < 2 * DAY, at % DAY == 15 * HOUR);
            watched.see(
                at,
                if first {
                    900
                } else if late {
                    300
                } else {
                    100
                },
                1_000,
                0,
            );
        }
        let habit = watched.habit(10 * DAY);
        assert_eq!(habit.watched, Span::seconds(7 * 24 * 3600));
        assert_eq!(habit.cpu_peak, Millicores(300), "what was before is forgotten");
        assert!((100..=107).contains(&habit.cpu_high.0), "{habit:?}");
        assert_eq!(habit.cpu_growth, 0.0);
        // Half a day without a reading, or a controller that began anew: the watch does too.
        watched.see(10 * DAY + DAY / 2, 100, 1_000, 0);
        assert_eq!(watched.habit(10 * DAY + DAY / 2).watched, TEN);
    }

    #[test]
    fn a_new_limit_begins_a_new_count_of_stops() {
        let mut watched = Watched::new();
        (0..60).for_each(|n| watched.see(n * 10_000, 100, 200, 50));
        (60..80).for_each(|n| watched.see(n * 10_000, 100, 400, 1));
        let habit = watched.habit(800_000);
        assert_eq!((habit.stops.periods, habit.stops.throttled), (2_000, 20));
        assert_eq!((habit.worst.periods, habit.worst.throttled), (100, 1));
        assert_eq!(habit.steady, Span::seconds(200));
        assert_eq!(habit.limits.cpu, Some(Millicores(400)));
        assert!(habit.raised);
        watched.see_with(800_000, 100, (400, Some(1 << 30)), 1);
        let habit = watched.habit(810_000);
        assert_eq!(habit.steady, TEN);
        assert_eq!(habit.stops.periods, 2_100, "another memory limit is no other cpu limit");
    }

    #[test]
    fn growth_shows() {
        let mut watched = Watched::new();
        (0..7 * 24).for_each(|hour| watched.see(hour * HOUR, 100 + u64::try_from(hour).unwrap(), 1_000, 0));
        let habit = watched.habit(7 * DAY - 1);
        assert!(habit.memory_growth > 0.3 && habit.cpu_growth > 0.3, "{habit:?}");
    }

    proptest! {
        #[test]
        fn a_step_holds_its_values_and_is_right_to_six_per_cent(value in 0_u64..4_000_000) {
            let top = top_of(step_of(value));
            prop_assert!(top >= value && top as f64 <= value as f64 * 1.0625 + 1.0, "{value} {top}");
            prop_assert_eq!(step_of(top), step_of(value));
            prop_assert!(step_of(top + 1) > step_of(top));
        }
    }
}
