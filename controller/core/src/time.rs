//! Time as a value. Nothing here reads a clock.

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This time moved forward by `span` (saturating).
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.0).unwrap_or(i64::MAX)))
    }
    /// This time moved back by `span` (saturating).
    pub fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.0).unwrap_or(i64::MAX)))
    }
    /// For people: `14:05 UTC`.
    pub fn time_of_day(self) -> String {
        let minutes = self.0.div_euclid(60_000).rem_euclid(24 * 60);
        format!("{:02}:{:02} UTC", minutes / 60, minutes % 60)
    }
    /// For people, where the day matters: `2026-11-28 14:05 UTC`.
    pub fn utc(self) -> String {
        // Days to a date of the Gregorian calendar, in eras of 400 years that begin on the first of March (Howard Hinnant,
        // "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
        let days = self.0.div_euclid(24 * 3_600_000) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        format!("{year:04}-{month:02}-{day:02} {}", self.time_of_day())
    }
    /// The span from `earlier` to this; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Span {
        Span(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub u64);

impl Span {
    /// Whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds * 1000)
    }
    /// In seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

/// A half-open window `[from, to)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First moment inside.
    pub from: Timestamp,
    /// First moment after.
    pub to: Timestamp,
}

impl Window {
    /// The window's length; zero for a window that ends before it starts.
    pub fn span(self) -> Span {
        self.to.since(self.from)
    }
    /// Whether `at` lies inside.
    pub fn contains(self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

/// Time cut into pieces of one length, numbered from the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slots(Span);

impl Default for Slots {
    /// The graph's: 10 s.
    fn default() -> Self {
        Self::of_length(Span::seconds(10))
    }
}

impl Slots {
    /// Slots of this length; of at least a millisecond.
    pub fn of_length(length: Span) -> Self {
        Self(Span(length.0.max(1)))
    }
    /// Their length.
    pub fn length(self) -> Span {
        self.0
    }
    /// The slot that holds `at`.
    pub fn of(self, at: Timestamp) -> i64 {
        at.0.div_euclid(self.millis())
    }
    /// The first slot that starts at or after `at`.
    pub fn up(self, at: Timestamp) -> i64 {
        let slot = self.of(at);
        if at.0.rem_euclid(self.millis()) == 0 {
            slot
        } else {
            slot.saturating_add(1)
        }
    }
    /// When a slot starts.
    pub fn start(self, slot: i64) -> Timestamp {
        Timestamp(slot.saturating_mul(self.millis()))
    }
    /// How many whole slots a span holds.
    pub fn in_span(self, span: Span) -> i64 {
        i64::try_from(span.0).unwrap_or(i64::MAX) / self.millis()
    }
    fn millis(self) -> i64 {
        i64::try_from(self.0.0).unwrap_or(i64::MAX).max(1)
    }
}
