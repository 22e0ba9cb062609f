//! How long the search may take: the search itself has no clock.

use huddle_core::assign::{Budget, Steps};
use std::time::{Duration, Instant};

/// The thread's cpu seconds; where the kernel does not tell, those of the clock.
#[derive(Debug)]
pub(super) struct Stopwatch {
    cpu: Option<f64>,
    started: Instant,
}

/// Seconds of all threads of this program on a cpu, to a hundredth: user and system time, which the kernel states in ticks of that
/// length (proc(5)). `None` where it states none.
pub(super) fn all_threads() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold spaces.
    let fields = text.rsplit_once(')')?.1.split_whitespace();
    let ticks: Vec<u64> = fields.skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    (ticks.len() == 2).then(|| ticks.iter().sum::<u64>() as f64 / 100.0)
}

/// Seconds this thread has been running on a cpu.
fn cpu() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace()
        .next()?
        .parse::<f64>()
        .ok()
        .map(|nanos| nanos / 1e9)
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self {
            cpu: cpu(),
            started: Instant::now(),
        }
    }
    /// Seconds since the start.
    pub(super) fn seconds(&self) -> f64 {
        match (self.cpu, cpu()) {
            (Some(begin), Some(now)) => now - begin,
            _ => self.started.elapsed().as_secs_f64(),
        }
    }
}

/// Steps or seconds, as was asked for.
#[derive(Debug)]
pub(super) enum Limit<'w> {
    Steps(Steps),
    Seconds {
        watch: Watch<'w>,
        most: f64,
        /// The last answer, and the number of steps it was given for: asking the kernel costs a hundredth of a step.
        last: Option<(u64, f64)>,
    },
}

/// Whose seconds are counted.
#[derive(Debug)]
pub(super) enum Watch<'w> {
    /// From a beginning that others know too.
    Shared(&'w Stopwatch),
    /// From the first question on, on the thread that asks.
    Own(Option<Stopwatch>),
}

impl Watch<'_> {
    fn seconds(&mut self) -> f64 {
        match self {
            Self::Shared(watch) => watch.seconds(),
            Self::Own(watch) => watch.get_or_insert_with(Stopwatch::start).seconds(),
        }
    }
}

/// Steps between two questions to the kernel.
const EVERY: u64 = 4;

impl<'w> Limit<'w> {
    pub(super) fn new(steps: Option<u64>, most: Duration, watch: &'w Stopwatch) -> Self {
        match steps {
            Some(steps) => Self::Steps(Steps(steps)),
            None => Self::Seconds {
                watch: Watch::Shared(watch),
                most: most.as_secs_f64().max(1e-3),
                last: None,
            },
        }
    }
}

impl Budget for Limit<'_> {
    fn spent(&mut self, steps: u64) -> f64 {
        match self {
            Self::Steps(limit) => limit.spent(steps),
            Self::Seconds { watch, most, last } => match *last {
                Some((asked, spent)) if (asked..asked + EVERY).contains(&steps) && steps > asked => spent,
                _ => {
                    let spent = watch.seconds() / *most;
                    *last = Some((steps, spent));
                    spent
                }
            },
        }
    }

    fn part(&self, share: f64) -> Box<dyn Budget + Send> {
        match self {
            Self::Steps(limit) => limit.part(share),
            Self::Seconds { most, .. } => Box::new(Limit::Seconds {
                watch: Watch::Own(None),
                most: (most * share).max(1e-3),
                last: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_and_seconds_are_read() {
        let watch = Stopwatch::start();
        assert_eq!(Limit::new(Some(4), Duration::ZERO, &watch).spent(2), 0.5);
        let mut limit = Limit::new(None, Duration::from_millis(5), &watch);
        let mut steps = 0;
        while limit.spent(steps) < 1.0 {
            steps += 1;
        }
        assert!(watch.seconds() >= 0.005);
    }

    #[test]
    fn a_part_begins_when_it_is_first_asked() {
        let watch = Stopwatch::start();
        assert_eq!(Limit::new(Some(40), Duration::ZERO, &watch).part(0.25).spent(5), 0.5);
        let whole = Limit::new(None, Duration::from_secs(1000), &watch);
        let mut part = whole.part(0.5);
        assert!(part.spent(0) < 1e-4);
        assert!(all_threads().is_none_or(|seconds| seconds >= 0.0));
    }
}
