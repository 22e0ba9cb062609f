//! Who sits where: the answer of the search, and what it is worth.

use std::collections::BTreeMap;

use super::problem::{Amount, Problem};
use super::table::Table;

/// Pods per service and node. What comes out of the search holds every constraint of its problem that the start held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pub(super) seats: Vec<BTreeMap<usize, u32>>,
}

impl Layout {
    /// Today's layout.
    #[must_use]
    pub fn home(problem: &Problem) -> Self {
        Self {
            seats: problem.services.iter().map(|s| s.home.clone()).collect(),
        }
    }

    /// From a table of pods per service and node; fewer than none counts as none.
    pub(super) fn of_table(pods: &Table<i32>, services: usize) -> Self {
        let mut layout = Self {
            seats: vec![BTreeMap::new(); services],
        };
        for service in 0..services {
            for (node, pods) in pods.row(service).iter().enumerate() {
                layout.put(service, node, (*pods).max(0) as u32);
            }
        }
        layout
    }

    /// The pods of one service, by node index.
    pub fn of(&self, service: usize) -> impl Iterator<Item = (usize, u32)> {
        self.seats
            .get(service)
            .into_iter()
            .flatten()
            .map(|(node, pods)| (*node, *pods))
    }

    pub(super) fn pods(&self, service: usize, node: usize) -> u32 {
        self.seats
            .get(service)
            .and_then(|row| row.get(&node))
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn put(&mut self, service: usize, node: usize, pods: u32) {
        if let Some(row) = self.seats.get_mut(service) {
            if pods == 0 {
                row.remove(&node);
            } else {
                row.insert(node, pods);
            }
        }
    }

    /// Pods that must leave their node to come here from another layout. Pods of one service are alike, so only counts matter.
    #[must_use]
    pub fn moves_from(&self, other: &Self) -> u64 {
        let mut moves = 0;
        for (service, row) in other.seats.iter().enumerate() {
            for (node, pods) in row {
                moves += u64::from(pods.saturating_sub(self.pods(service, *node)));
            }
        }
        moves
    }

    /// The share of all traffic that is local when every pod of a caller sends alike, every pod of a callee takes alike, and
    /// the mesh prefers the same node: Σ weight × min(share of one's pods, share of the other's) over edges and nodes, of the
    /// sum of the weights (RASA's *gained affinity*; ICDE 2024). From 0 to 1; 0 where there is no traffic.
    #[must_use]
    pub fn gain(&self, problem: &Problem) -> f64 {
        let mut units = 0i64;
        for (service, ties) in problem.ties.iter().enumerate() {
            for tie in ties.iter().filter(|tie| tie.other > service) {
                for (node, pods) in self.of(service) {
                    let others = self.pods(tie.other, node);
                    units += (tie.own * i64::from(pods)).min(tie.theirs * i64::from(others));
                }
            }
        }
        units as f64 / super::problem::WHOLE
    }

    /// What is taken of each node.
    pub(super) fn loads(&self, problem: &Problem) -> Vec<Amount> {
        let mut loads = vec![Amount::default(); problem.nodes.len()];
        for (service, row) in self.seats.iter().enumerate() {
            for (node, pods) in row {
                if let Some(load) = loads.get_mut(*node) {
                    *load = load.plus(problem.demand(service).times(i64::from(*pods)));
                }
            }
        }
        loads
    }
}
