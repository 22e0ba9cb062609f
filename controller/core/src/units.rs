//! Quantities with their units, as integers in the smallest unit that Kubernetes or Envoy uses.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

/// `850 µs`, `2.35 ms`, `1.2 s`: three significant digits at most.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0;
        if us < 1_000 {
            write!(f, "{us} µs")
        } else if us < 10_000 {
            write!(f, "{:.2} ms", us as f64 / 1e3)
        } else if us < 100_000 {
            write!(f, "{:.1} ms", us as f64 / 1e3)
        } else if us < 1_000_000 {
            write!(f, "{:.0} ms", us as f64 / 1e3)
        } else {
            write!(f, "{:.1} s", us as f64 / 1e6)
        }
    }
}

/// Thousandths of a cpu.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millicores(pub u64);

/// `182m`, as Kubernetes writes it.
impl fmt::Display for Millicores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}m", self.0)
    }
}

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// `61 MiB`, `1.5 GiB`; below a MiB in bytes.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.0 as f64 / f64::from(1 << 20);
        if mib < 1.0 {
            write!(f, "{} B", self.0)
        } else if mib < 1024.0 {
            write!(f, "{mib:.0} MiB")
        } else {
            write!(f, "{:.1} GiB", mib / 1024.0)
        }
    }
}

/// A share between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ratio(f64);

impl Ratio {
    /// Nothing.
    pub const ZERO: Self = Self(0.0);
    /// Everything.
    pub const ONE: Self = Self(1.0);

    /// `part` of `whole`; zero of nothing is zero; never above one.
    pub fn of(part: u64, whole: u64) -> Self {
        if whole == 0 {
            Self::ZERO
        } else {
            Self((part as f64 / whole as f64).min(1.0))
        }
    }
    /// Clamps into 0..=1; not-a-number becomes zero.
    pub fn clamped(value: f64) -> Self {
        if value.is_nan() {
            Self::ZERO
        } else {
            Self(value.clamp(0.0, 1.0))
        }
    }
    /// As a plain number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// `62 %`.
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} %", self.0 * 100.0)
    }
}
