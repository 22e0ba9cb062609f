//! Pods of one workload that are alike to the scheduler's filters, counted by node. To hold a selector against every one of 150 000 pods for
//! each pod that is looked at takes long; against one of each kind it does not.

use crate::cluster::Pod;
use crate::id::NodeName;
use std::collections::BTreeMap;

/// Pods that are alike.
#[derive(Clone, Debug)]
pub(super) struct Alike<'a> {
    /// One of them, wherever it stands.
    pub(super) one: &'a Pod,
    /// How many of them a node holds, of nodes that hold some.
    pub(super) on: BTreeMap<&'a NodeName, u64>,
}

impl<'a> Alike<'a> {
    /// Books a pod on a node, or off it.
    pub(super) fn book(kinds: &mut Vec<Self>, pod: &'a Pod, node: &'a NodeName, by: i64) {
        let found = kinds.iter().position(|kind| is_alike(kind.one, pod));
        let at = found.unwrap_or_else(|| {
            kinds.push(Self {
                one: pod,
                on: BTreeMap::new(),
            });
            kinds.len() - 1
        });
        let Some(kind) = kinds.get_mut(at) else { return };
        let pods = kind.on.entry(node).or_default();
        *pods = pods.saturating_add_signed(by);
        if *pods == 0 {
            kind.on.remove(node);
        }
        if kind.on.is_empty() {
            kinds.remove(at);
        }
    }

    /// Orphans and pods being deleted are none of their workload's any more.
    pub(super) fn counts(&self) -> bool {
        !self.one.deleting && self.one.orphan_of.is_none()
    }
}

/// All that selectors and terms of anti-affinity ask for.
fn is_alike(one: &Pod, other: &Pod) -> bool {
    one.deleting == other.deleting
        && one.orphan_of.is_some() == other.orphan_of.is_some()
        && one.labels == other.labels
        && one.constraints.anti_affinity == other.constraints.anti_affinity
}
