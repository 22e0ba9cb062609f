//! A snapshot small enough for an API object: what a verdict needs of the before window after a restart.

use crate::dump::GraphFile;
use huddle_core::graph::Snapshot;
use huddle_core::id::EdgeId;
use serde_json::Value;
use std::collections::BTreeSet;

/// Largest size as JSON, in bytes; act keeps it in the plan's status.
const MOST: usize = 240 * 1024;

/// Writes a snapshot. Where it is too large, pairs of pods are left out, first those of edges that are not in `needed`, then all,
/// then the edges that are not needed.
pub(super) fn remember(snapshot: &Snapshot, needed: &BTreeSet<&EdgeId>) -> Value {
    let mut memory = GraphFile::from(snapshot).without_bodies();
    let write = |memory: &GraphFile| serde_json::to_value(memory).unwrap_or_default();
    let fits = |value: &Value| value.to_string().len() <= MOST;
    let mut value = write(&memory);
    for step in 0..3 {
        if fits(&value) {
            break;
        }
        match step {
            0 => {
                for edge in memory.edges.iter_mut().filter(|edge| !needed.contains(&edge.edge)) {
                    edge.pairs.clear();
                }
            }
            1 => memory.edges.iter_mut().for_each(|edge| edge.pairs.clear()),
            _ => memory.edges.retain(|edge| needed.contains(&edge.edge)),
        }
        value = write(&memory);
    }
    value
}

/// Reads it back; `None` if it is of another making.
pub(super) fn recall(value: &Value) -> Option<Snapshot> {
    let memory: GraphFile = serde_json::from_value(value.clone()).ok()?;
    memory.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::busy;

    #[test]
    fn a_snapshot_survives_a_restart() {
        let snapshot = busy(3);
        let value = remember(&snapshot, &BTreeSet::new());
        assert_eq!(recall(&value), Some(snapshot));
        assert_eq!(recall(&Value::Null), None);
    }

    #[test]
    fn what_is_too_large_loses_pairs_before_it_loses_edges() {
        let snapshot = busy(400);
        let first = snapshot.edges.keys().next().unwrap();
        let value = remember(&snapshot, &BTreeSet::from([first]));
        assert!(value.to_string().len() <= MOST);
        let back = recall(&value).unwrap();
        assert_eq!(back.edges[first].total, snapshot.edges[first].total);
    }
}
