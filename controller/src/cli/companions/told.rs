//! What a companion's supervisor tells in its log (`supervisor/src/away.rs`).

use serde::Serialize;
use std::str::SplitWhitespace;

/// How a supervisor's lines begin.
const SUPERVISOR: &str = "supervisor: ";
/// What its lines with figures end with.
const IN_ALL: &str = "in all: ";
/// Said when a command has ended, until it listens again.
const ENDED: &str = "; again in ";

/// For how long nobody listened, and how many connections were refused meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    /// From the container's start until it listened first, milliseconds; of several, the longest.
    pub(super) start_ms: u64,
    /// Refused in that time.
    pub(super) start_refused: u64,
    /// How often it was away after that.
    pub(super) times: u64,
    /// How long in all, milliseconds.
    pub(super) away_ms: u64,
    /// Refused in that time.
    pub(super) refused: u64,
    /// It has ended and does not listen again yet: this absence is not among the figures.
    pub(super) away_now: bool,
}

impl Told {
    /// The last figures of a log; `None` where it holds none.
    pub(super) fn last(log: &str) -> Option<Self> {
        let mut last: Option<Self> = None;
        let mut away_now = false;
        for line in log.lines().filter_map(|line| line.strip_prefix(SUPERVISOR)) {
            if let Some(read) = line.rsplit_once(IN_ALL).and_then(|(_, figures)| Self::read(figures)) {
                (last, away_now) = (Some(read), false);
            } else if line.contains(ENDED) {
                away_now = true;
            }
        }
        last.map(|last| Self { away_now, ..last })
    }

    fn read(figures: &str) -> Option<Self> {
        let mut words = figures.split_whitespace();
        let mut after = |before: &str, unit: &str| number(&mut words, before, unit);
        Some(Self {
            start_ms: after("start", "ms,")?,
            start_refused: after("", "refused;")?,
            times: after("away", "times,")?,
            away_ms: after("", "ms,")?,
            refused: after("", "refused")?,
            away_now: false,
        })
    }

    /// Two together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            start_ms: self.start_ms.max(other.start_ms),
            start_refused: self.start_refused.saturating_add(other.start_refused),
            times: self.times.saturating_add(other.times),
            away_ms: self.away_ms.saturating_add(other.away_ms),
            refused: self.refused.saturating_add(other.refused),
            away_now: self.away_now || other.away_now,
        }
    }

    pub(super) fn cells(&self) -> [String; 5] {
        [
            seconds(self.start_ms),
            self.start_refused.to_string(),
            self.times.to_string(),
            seconds(self.away_ms),
            self.refused.to_string(),
        ]
    }
}

/// A number after a word, if one is named, and before its unit.
fn number(words: &mut SplitWhitespace<'_>, before: &str, unit: &str) -> Option<u64> {
    if !before.is_empty() && words.next()? != before {
        return None;
    }
    let number = words.next()?.parse().ok()?;
    (words.next()? == unit).then_some(number)
}

/// Milliseconds, for people.
pub(super) fn seconds(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        _ => format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the supervisor's own tests hold it to.
    const LINES: &str = include_str!("../../../../supervisor/tests/told.txt");

    fn log(lines: &[&str]) -> String {
        lines
            .iter()
            .map(|line| format!("supervisor: {line}\nlistening\n"))
            .collect()
    }

    #[test]
    fn what_a_supervisor_tells_is_read() {
        let lines: Vec<&str> = LINES.lines().collect();
        let first = Told {
            start_ms: 300,
            start_refused: 4,
            ..Told::default()
        };
        let last = Told {
            times: 2,
            away_ms: 350,
            refused: 9,
            ..first
        };
        assert_eq!(Told::last(&log(&lines[..1])), Some(first));
        assert_eq!(Told::last(&log(&lines[..3])), Some(last));
        assert_eq!(Told::last(&log(&lines[3..])), Some(last), "repeated");
        let ended = "the command ended with code 1 after 900 ms; 3 so far; again in 100 ms";
        let away = [&lines[..], &[ended]].concat();
        assert_eq!(Told::last(&log(&away)), Some(Told { away_now: true, ..last }));
        assert_eq!(
            Told::last(LINES),
            None,
            "what the command says itself is not the supervisor's"
        );
        assert_eq!(Told::last(""), None);
    }

    #[test]
    fn several_are_added_up() {
        let one = Told {
            start_ms: 300,
            start_refused: 1,
            times: 2,
            away_ms: 30,
            refused: 4,
            away_now: false,
        };
        let both = one.and(Told {
            start_ms: 200,
            away_now: true,
            ..one
        });
        assert_eq!((both.start_ms, both.start_refused, both.times), (300, 2, 4));
        assert_eq!((both.away_ms, both.refused, both.away_now), (60, 8, true));
        assert_eq!(
            (seconds(900), seconds(61_234)),
            ("900 ms".to_owned(), "61.23 s".to_owned())
        );
    }

    proptest! {
        #[test]
        fn any_log_is_read_without_harm(log in "(supervisor: |in all: |start|away|ms,|[0-9]{1,22}| |\n|.){0,60}") {
            let _told = Told::last(&log);
        }
    }
}
