//! Quantities of the graph file, each in its smallest unit and checked where it is read.

use std::{fmt, time::Duration};

use serde::Deserialize;
use thiserror::Error;

/// Why a quantity was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidQuantity {
    /// No unit this kind of quantity knows.
    #[error("`{text}` needs one of the units {units}")]
    Unit {
        /// The text as written.
        text: String,
        /// The units that would do.
        units: &'static str,
    },
    /// What stands before the unit is no number, is negative, or does not come out whole.
    #[error("`{text}` is not a whole, non-negative number of {smallest}")]
    Number {
        /// The text as written.
        text: String,
        /// The smallest unit of this kind of quantity.
        smallest: &'static str,
    },
}

/// `(suffix, factor)` pairs, longest suffix first where one ends in another.
fn scaled(
    text: &str,
    units: &[(&str, f64)],
    names: &'static str,
    smallest: &'static str,
) -> Result<u64, InvalidQuantity> {
    let text = text.trim();
    let found = units.iter().find_map(|(suffix, factor)| {
        let number = text.strip_suffix(suffix)?;
        number.trim().parse::<f64>().ok().map(|number| number * factor)
    });
    let Some(value) = found else {
        return Err(InvalidQuantity::Unit {
            text: text.to_owned(),
            units: names,
        });
    };
    // Quantities of a test bed stay far below 2^53, where f64 is still exact.
    if !(0.0..9e15).contains(&value) || (value - value.round()).abs() > 1e-6 {
        return Err(InvalidQuantity::Number {
            text: text.to_owned(),
            smallest,
        });
    }
    Ok(value.round() as u64)
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $units:expr, $names:literal, $smallest:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(u64);

        impl $name {
            /// The same quantity from its smallest unit.
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The quantity in its smallest unit.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidQuantity;

            fn try_from(text: String) -> Result<Self, InvalidQuantity> {
                scaled(&text, &$units, $names, $smallest).map(Self)
            }
        }
    };
}

quantity!(
    /// A span of time in microseconds: `500us`, `1.5ms`, `2s`.
    Micros,
    [("us", 1.0), ("ms", 1e3), ("s", 1e6)],
    "us, ms, s",
    "microseconds"
);
quantity!(
    /// A payload size in bytes: `512B`, `2KiB`, `1MiB`.
    Bytes,
    [("KiB", 1024.0), ("MiB", 1_048_576.0), ("B", 1.0)],
    "B, KiB, MiB",
    "bytes"
);
quantity!(
    /// Processor time in thousandths of a core, written as Kubernetes does with `m`: `150m`.
    MilliCpu,
    [("m", 1.0)],
    "m",
    "thousandths of a core"
);
quantity!(
    /// Memory in mebibytes, written as Kubernetes does: `64Mi`, `1Gi`.
    Mebibytes,
    [("Mi", 1.0), ("Gi", 1024.0)],
    "Mi, Gi",
    "mebibytes"
);

impl Micros {
    /// The span as a `Duration`.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

impl fmt::Display for MilliCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}m", self.0)
    }
}

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Mi", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_their_smallest_unit() {
        let micros = |text: &str| Micros::try_from(text.to_owned()).map(Micros::get);
        assert_eq!(micros("500us"), Ok(500));
        assert_eq!(micros("1.5ms"), Ok(1_500));
        assert_eq!(micros("2s"), Ok(2_000_000));
        assert_eq!(Bytes::try_from("2KiB".to_owned()).map(Bytes::get), Ok(2_048));
        assert_eq!(
            Mebibytes::try_from("1Gi".to_owned()).map(|m| m.to_string()),
            Ok("1024Mi".to_owned())
        );
    }

    #[test]
    fn a_quantity_without_a_unit_or_not_whole_is_refused() {
        assert!(matches!(
            Micros::try_from("500".to_owned()),
            Err(InvalidQuantity::Unit { .. })
        ));
        assert!(matches!(
            Micros::try_from("0.5us".to_owned()),
            Err(InvalidQuantity::Number { .. })
        ));
        assert!(matches!(
            Bytes::try_from("-1B".to_owned()),
            Err(InvalidQuantity::Number { .. })
        ));
        assert!(matches!(
            MilliCpu::try_from("fastm".to_owned()),
            Err(InvalidQuantity::Unit { .. })
        ));
    }
}
