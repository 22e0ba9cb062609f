//! Cells: the nodes that one workload's new pods prefer, each with its weight.

use super::board::Board;
use super::steady::room;
use crate::cluster::{ClusterView, Resources};
use crate::id::NodeName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most nodes of a cell: as many values as a requirement on node labels may name in a Rule.
pub const MOST_SEATS: usize = 32;
/// Most different weights in a cell: as many wishes about nodes as a Rule may hold.
const CLASSES: usize = 8;

/// What a node weighs in a cell, against its others: from 1 to 100, as Kubernetes weighs wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct CellWeight(u32);

impl CellWeight {
    /// The most a wish can weigh.
    pub const MOST: Self = Self(100);

    /// The nearest weight there is.
    pub fn clamped(weight: f64) -> Self {
        Self(weight.round().clamp(1.0, 100.0) as u32)
    }
    /// From 1 to 100.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for CellWeight {
    type Error = String;
    fn try_from(weight: u32) -> Result<Self, Self::Error> {
        match weight {
            1..=100 => Ok(Self(weight)),
            other => Err(format!("a weight is from 1 to 100, not {other}")),
        }
    }
}

impl From<CellWeight> for u32 {
    fn from(weight: CellWeight) -> Self {
        weight.0
    }
}

/// A node of a cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seat {
    /// Which node.
    pub node: NodeName,
    /// What it weighs.
    pub weight: CellWeight,
}

/// The cell that keeps so many pods on each of these nodes. Weights are such that the scheduler's wish, spread and free room come to the
/// same sum on every node of the layout on the board: then a pod that is created anew is drawn to where one is missing
/// (`assign/rules/derive.rs` does the same on the free assignment's problem; docs/results/planner.md has what it keeps there).
pub(crate) fn seats(cluster: &ClusterView, board: &Board<'_>, pods: &BTreeMap<&NodeName, u64>) -> Vec<Seat> {
    let most = pods.values().copied().max().unwrap_or(1).max(1) as f64;
    let needs: Vec<(&NodeName, f64)> = pods
        .iter()
        .map(|(node, count)| {
            let used = board.used(node).cloned().unwrap_or_default();
            let free = cluster.nodes.get(*node);
            let free = free.map_or(0.0, |node| room(&used, &Resources::default(), node));
            // The scheduler counts wish and spread twice, and room once.
            (*node, 100.0 * *count as f64 / most - free / 2.0)
        })
        .collect();
    let highest = needs.iter().map(|(_, need)| *need).fold(f64::MIN, f64::max);
    let mut weights: Vec<CellWeight> = needs
        .iter()
        .map(|(_, need)| CellWeight::clamped(100.0 + need - highest))
        .collect();
    let mut distinct = weights.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() > CLASSES {
        weights = weights.into_iter().map(coarse).collect();
    }
    let nodes = needs.into_iter().map(|(node, _)| node.clone());
    nodes.zip(weights).map(|(node, weight)| Seat { node, weight }).collect()
}

/// The weight as one of [`CLASSES`], counted down from the most.
fn coarse(weight: CellWeight) -> CellWeight {
    let step = 100.0 / CLASSES as f64;
    let down = (f64::from(100 - weight.get()) / step).round().min(CLASSES as f64 - 1.0);
    CellWeight::clamped(100.0 - down * step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_weight_is_from_one_to_a_hundred() {
        assert_eq!(CellWeight::clamped(-3.0).get(), 1);
        assert_eq!(CellWeight::clamped(170.0), CellWeight::MOST);
        assert!(serde_json::from_str::<CellWeight>("0").is_err() && serde_json::from_str::<CellWeight>("101").is_err());
        let coarse: BTreeSet<CellWeight> = (1..=100).map(|it| coarse(CellWeight(it))).collect();
        assert_eq!(coarse.len(), CLASSES);
        assert_eq!(coarse.last(), Some(&CellWeight::MOST));
    }
}
