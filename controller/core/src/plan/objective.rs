//! What a plan is to bring: waiting saved, calls kept on their node, money saved between zones, or a mix of them.

use crate::id::ZoneName;
use serde::{Deserialize, Serialize};
use std::iter::Sum;

/// Calls a second kept on their node that count as much as one second of waiting saved in each second: as if each waited a
/// millisecond less. Chosen: between two nodes of a zone it is less, between zones more (facts/loop.md C6).
const CALLS_PER_POINT: f64 = 1000.0;
/// What a gigabyte from one zone into another costs where nothing else is said, in thousandths: 0.01 US dollars on each side
/// (facts/loop.md C6).
const THOUSANDTHS_PER_GB: u64 = 20;

/// How plans are judged: so many points for each part. An edge counts by the policy of the called workload's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Objective {
    /// Points for one second of waiting saved in each second.
    pub latency: u32,
    /// Points for a thousand calls a second kept on their node.
    pub traffic: u32,
    /// Points for one unit of money saved in each hour.
    pub money: u32,
    /// What a gigabyte between two zones costs, in thousandths of a unit of money.
    pub thousandths_per_gb: u64,
    /// Pairs of zones for which it is another price.
    pub prices: Vec<ZonePrice>,
}

/// What a gigabyte between two zones costs, either way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ZonePrice {
    /// The two zones.
    pub zones: (ZoneName, ZoneName),
    /// The price, in thousandths of a unit of money.
    pub thousandths_per_gb: u64,
}

/// Waiting saved.
impl Default for Objective {
    fn default() -> Self {
        Self::of(1, 0, 0)
    }
}

impl Objective {
    /// So many points for each part; zones at the usual price.
    #[must_use]
    pub const fn of(latency: u32, traffic: u32, money: u32) -> Self {
        Self {
            latency,
            traffic,
            money,
            thousandths_per_gb: THOUSANDTHS_PER_GB,
            prices: Vec::new(),
        }
    }

    /// Whether it is what counts where nothing is said.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Whether only waiting counts.
    #[must_use]
    pub fn is_latency_alone(&self) -> bool {
        self.traffic == 0 && self.money == 0
    }

    /// What a gigabyte from one zone into another costs, in units of money; nothing inside a zone.
    #[must_use]
    pub fn price(&self, from: &ZoneName, to: &ZoneName) -> f64 {
        if from == to {
            return 0.0;
        }
        let known = self.prices.iter().find(|price| {
            let (one, other) = &price.zones;
            (one, other) == (from, to) || (other, one) == (from, to)
        });
        known.map_or(self.thousandths_per_gb, |price| price.thousandths_per_gb) as f64 / 1000.0
    }

    /// What all parts come to, in points. With the weights 1, 0, 0 it is the seconds of waiting saved in each second.
    #[must_use]
    pub fn points(&self, brings: Brings) -> f64 {
        f64::from(self.latency) * brings.latency
            + f64::from(self.traffic) * (brings.traffic / CALLS_PER_POINT)
            + f64::from(self.money) * brings.money
    }
}

/// What a plan or an edge brings, part by part; below 0 where it loses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Brings {
    /// Seconds of waiting saved in each second, at least.
    pub latency: f64,
    /// Calls a second that stay on their node and did not.
    pub traffic: f64,
    /// Units of money saved in each hour.
    pub money: f64,
}

impl Brings {
    /// Losses only.
    pub(crate) fn losses(self) -> Self {
        Self {
            latency: self.latency.min(0.0),
            traffic: self.traffic.min(0.0),
            money: self.money.min(0.0),
        }
    }
}

impl Sum for Brings {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, next| Self {
            latency: sum.latency + next.latency,
            traffic: sum.traffic + next.traffic,
            money: sum.money + next.money,
        })
    }
}
