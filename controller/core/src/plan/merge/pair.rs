//! A caller and a callee, with all that is known of them.

use super::{Side, Unknown, Unmergeable};
use crate::cluster::{ClusterView, Port, Role, Service, Target, Template, Workload};
use crate::graph::Snapshot;
use crate::id::{EdgeId, WorkloadId};
use crate::units::Ratio;
use std::collections::BTreeSet;

/// What the rules look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    /// The cluster.
    pub(super) cluster: &'a ClusterView,
    /// The graph.
    pub(super) snapshot: &'a Snapshot,
    /// Whose pods would hold both.
    pub(super) caller: End<'a>,
    /// Whose containers would join them.
    pub(super) callee: End<'a>,
}

/// One of the two.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<'a> {
    pub(super) side: Side,
    pub(super) id: &'a WorkloadId,
    pub(super) workload: Option<&'a Workload>,
    pub(super) template: Option<&'a Template>,
}

impl<'a> Pair<'a> {
    pub(super) fn new(cluster: &'a ClusterView, snapshot: &'a Snapshot, edge: &'a EdgeId) -> Self {
        let end = |side, id: &'a WorkloadId| End {
            side,
            id,
            workload: cluster.workloads.get(id),
            template: cluster.templates.get(id),
        };
        Self {
            cluster,
            snapshot,
            caller: end(Side::Caller, &edge.source),
            callee: end(Side::Callee, &edge.destination),
        }
    }
    pub(super) fn ends(&self) -> [End<'a>; 2] {
        [self.caller, self.callee]
    }
    /// Both templates, where both are known; their absence is a reason of its own.
    pub(super) fn templates(&self) -> Option<(&'a Template, &'a Template)> {
        Some((self.caller.template?, self.callee.template?))
    }
    /// Services that lead to an end.
    pub(super) fn services(&self, end: End<'a>) -> Vec<&'a Service> {
        let of = |workload: &'a Workload| self.cluster.services_of(workload).collect();
        end.workload.map(of).unwrap_or_default()
    }
    /// Ports that an end's containers are known to listen on: declared, probed, or named by a Service.
    pub(super) fn ports(&self, end: End<'a>) -> BTreeSet<(u16, String)> {
        let declared = end.template.into_iter().flat_map(|template| &template.containers);
        let mut ports: BTreeSet<(u16, String)> = declared
            .filter(|container| container.role != Role::Init)
            .flat_map(|container| &container.ports)
            .map(|Port { port, protocol, .. }| (*port, protocol.clone()))
            .collect();
        for service in self.services(end) {
            for port in &service.ports {
                match &port.target {
                    Target::Port(target) => {
                        ports.insert((*target, "TCP".to_owned()));
                    }
                    Target::Named(_) => {}
                }
            }
        }
        ports
    }
    /// The caller's share of the callee's calls; `None` where none was measured.
    pub(super) fn caller_share(&self) -> Option<Ratio> {
        let (mut own, mut all) = (0_u64, 0_u64);
        for stats in self.snapshot.edges_into(self.callee.id) {
            all = all.saturating_add(stats.total.requests);
            if &stats.edge.source == self.caller.id {
                own = own.saturating_add(stats.total.requests);
            }
        }
        (all > 0).then(|| Ratio::of(own, all))
    }
    /// The pods of an end.
    pub(super) fn pods(&self, end: End<'a>) -> impl Iterator<Item = &'a crate::cluster::Pod> {
        self.cluster.pods_of(end.id)
    }
}

impl End<'_> {
    pub(super) fn unknown(&self, what: Unknown) -> Unmergeable {
        Unmergeable::CannotTell { whose: self.side, what }
    }
}
