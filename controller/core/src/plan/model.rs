//! The planner's model of cluster and traffic: workloads, their placed pods, their edges, in numbers.

use super::patched::Patched;
use super::permission;
use super::{Brings, Objective, PlaceForm, PlannerConfig, RefusalReason};
use crate::cluster::{ClusterView, Node, Pod, RoutingMode, Service, Workload};
use crate::diagnose::{Cause, Finding};
use crate::graph::{EdgeStats, Snapshot, WorkloadGraph};
use crate::id::{EdgeId, Namespace, NodeName, PodUid, WorkloadId, ZoneName};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A node by number, in the order of names.
pub(crate) type NodeIx = usize;
/// A pod by number.
pub(crate) type PodIx = usize;
/// A workload by number.
pub(crate) type WorkloadIx = usize;
/// An edge by number.
pub(crate) type EdgeIx = usize;

/// One node.
#[derive(Debug)]
pub(crate) struct NodeModel<'a> {
    pub(crate) name: &'a NodeName,
    pub(crate) node: &'a Node,
    pub(crate) zone: usize,
    /// Pods that stand there today.
    pub(crate) pods: Vec<PodIx>,
}

/// One placed pod of a workload that calls or is called.
#[derive(Debug)]
pub(crate) struct PodModel<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) home: NodeIx,
    pub(crate) workload: WorkloadIx,
}

/// One workload of the graph.
#[derive(Debug)]
pub(crate) struct WorkloadModel<'a> {
    pub(crate) id: &'a WorkloadId,
    pub(crate) pods: Vec<PodIx>,
    pub(crate) services: Vec<&'a Service>,
    pub(crate) mode: RoutingMode,
    /// What its calls are to bring.
    pub(crate) objective: &'a Objective,
    /// What a gigabyte between each two zones costs its callers, in units of money, zone by zone; empty where money is no object.
    pub(crate) prices: Vec<f64>,
    pub(crate) into: Vec<EdgeIx>,
    pub(crate) out_of: Vec<EdgeIx>,
    /// Calls itself, maybe by way of others: its callers' load cannot be followed through.
    pub(crate) circular: bool,
    /// Why its pods may not be moved.
    pub(crate) immovable: Option<RefusalReason>,
    /// Why its Service's routing may not be changed.
    pub(crate) unroutable: Option<RefusalReason>,
}

/// One edge between two workloads.
#[derive(Debug)]
pub(crate) struct EdgeModel<'a> {
    pub(crate) stats: &'a EdgeStats,
    pub(crate) finding: Option<&'a Finding>,
    pub(crate) source: WorkloadIx,
    pub(crate) destination: WorkloadIx,
    /// Requests per second.
    pub(crate) rate: f64,
    /// Same-node share as measured.
    pub(crate) measured: f64,
    /// Seconds saved per second if all of it were same-node (lower bound).
    pub(crate) value: f64,
    /// Not known to gain, but may be made worse: only its losses of waiting count.
    pub(crate) loss_only: bool,
    /// Whether its ends may be brought together at all: else of nothing more than losses counts.
    pub(crate) consent: bool,
    /// Gigabytes in an hour, both ways.
    pub(crate) gigabytes: f64,
    /// What it would bring at most, in points: if all of it left its zone today, and nothing left its node then.
    pub(crate) wanted: f64,
    /// Share of each source pod in the calls, in the order of the source's pods; sums to 1 unless there are no pods.
    pub(crate) shares: Vec<f64>,
}

/// Everything, by number.
#[derive(Debug)]
pub(crate) struct Model<'a> {
    pub(crate) cluster: &'a ClusterView,
    pub(crate) config: &'a PlannerConfig,
    /// When the snapshot was taken.
    pub(crate) at: Timestamp,
    pub(crate) nodes: Vec<NodeModel<'a>>,
    pub(crate) zones: usize,
    pub(crate) pods: Vec<PodModel<'a>>,
    pub(crate) workloads: Vec<WorkloadModel<'a>>,
    pub(crate) edges: Vec<EdgeModel<'a>>,
    /// Callers before callees.
    pub(crate) order: Vec<WorkloadIx>,
    /// Each workload's place in that order.
    pub(crate) place: Vec<usize>,
    /// Of each workload one pod for each set of constraints with a hard spread among them: what one of them says holds for all alike.
    pub(crate) spreading: Vec<&'a Pod>,
    /// Where every pod stands today.
    homes: Patched<NodeIx>,
    /// The cluster's Services by namespace and the value of the first label that each selects by: to ask each of them for each workload takes long
    /// where there are ten thousand of both.
    services: BTreeMap<(&'a Namespace, &'a str), Vec<&'a Service>>,
    peers: permission::Peers<'a>,
}

impl<'a> Model<'a> {
    /// The model of the snapshot's edges that `wanted` keeps.
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        findings: &'a [Finding],
        cluster: &'a ClusterView,
        config: &'a PlannerConfig,
        wanted: impl Fn(&EdgeId) -> bool,
    ) -> Self {
        let stats: Vec<&EdgeStats> = snapshot
            .edges
            .values()
            .filter(|stats| stats.edge.source != stats.edge.destination && wanted(&stats.edge))
            .collect();
        let graph = WorkloadGraph::from_edges(
            stats
                .iter()
                .map(|stats| (&stats.edge.source, &stats.edge.destination, stats.total.requests)),
        );
        let mut model = Self::frame(cluster, config, snapshot.at);
        let groups = graph.order();
        let numbers: BTreeMap<&WorkloadId, WorkloadIx> = stats
            .iter()
            .flat_map(|stats| [&stats.edge.source, &stats.edge.destination])
            .fold(BTreeMap::new(), |mut numbers, id| {
                let next = numbers.len();
                numbers.entry(id).or_insert(next);
                numbers
            });
        let mut ids: Vec<(&WorkloadId, WorkloadIx)> = numbers.iter().map(|(id, ix)| (*id, *ix)).collect();
        ids.sort_by_key(|(_, ix)| *ix);
        let mut pods = pods_by_workload(cluster);
        let by_name: BTreeMap<&NodeName, NodeIx> = cluster.nodes.keys().zip(0..).collect();
        let circles: BTreeSet<&WorkloadId> = groups.iter().filter(|group| group.len() > 1).flatten().collect();
        for (id, _) in ids {
            let circular = circles.contains(id);
            model.add_workload(id, pods.remove(id).unwrap_or_default(), circular, &by_name);
        }
        let seconds = snapshot.window.span().as_secs_f64();
        let by_edge: BTreeMap<&EdgeId, &Finding> = findings.iter().map(|finding| (&finding.edge, finding)).collect();
        let typical = typical_saving(findings);
        for stats in stats {
            let finding = by_edge.get(&stats.edge).copied();
            model.add_edge(stats, finding, seconds, typical, &numbers);
        }
        model.order = groups
            .iter()
            .flatten()
            .filter_map(|id| numbers.get(id).copied())
            .collect();
        model.place = vec![0; model.workloads.len()];
        for (place, ix) in model.order.iter().enumerate() {
            if let Some(slot) = model.place.get_mut(*ix) {
                *slot = place;
            }
        }
        model.homes = Patched::new(model.pods.iter().map(|pod| pod.home).collect());
        for (ix, pod) in model.pods.iter().enumerate() {
            if let Some(node) = model.nodes.get_mut(pod.home) {
                node.pods.push(ix);
            }
        }
        model
    }

    /// The same as [`ClusterView::services_of`].
    fn services_of(&self, workload: &Workload) -> Vec<&'a Service> {
        let selects = |service: &&Service| service.selects(&workload.labels);
        let values = workload.labels.values().map(String::as_str).collect::<BTreeSet<_>>();
        let namespace = &workload.id.namespace;
        let lists = values
            .iter()
            .filter_map(|value| self.services.get(&(namespace, *value)));
        let mut services: Vec<&Service> = lists.flatten().copied().filter(selects).collect();
        services.sort_by(|a, b| a.id.cmp(&b.id));
        services
    }

    /// What counts for calls to a workload.
    fn objective(&self, id: &WorkloadId) -> &'a Objective {
        static DEFAULT: Objective = Objective::of(1, 0, 0);
        let policy = self.cluster.policies.get(&id.namespace);
        policy.map_or(&DEFAULT, |policy| &policy.objective)
    }

    /// What a gigabyte between each two zones costs; empty where it does not count.
    fn prices(&self, objective: &Objective) -> Vec<f64> {
        if objective.money == 0 {
            return Vec::new();
        }
        let mut names: BTreeMap<usize, &ZoneName> = BTreeMap::new();
        for node in self.cluster.nodes.values().zip(&self.nodes) {
            names.insert(node.1.zone, &node.0.zone);
        }
        let from = |from: &ZoneName| names.values().map(|to| objective.price(from, to)).collect::<Vec<_>>();
        names.values().flat_map(|zone| from(zone)).collect()
    }

    fn frame(cluster: &'a ClusterView, config: &'a PlannerConfig, at: Timestamp) -> Self {
        let mut zones: BTreeMap<&ZoneName, usize> = BTreeMap::new();
        let nodes = cluster
            .nodes
            .values()
            .map(|node| {
                let next = zones.len();
                NodeModel {
                    name: &node.name,
                    node,
                    pods: Vec::new(),
                    zone: *zones.entry(&node.zone).or_insert(next),
                }
            })
            .collect();
        let mut services: BTreeMap<(&Namespace, &str), Vec<&Service>> = BTreeMap::new();
        for service in cluster.services.values() {
            if let Some(value) = service.selector.values().next() {
                services
                    .entry((&service.id.namespace, value))
                    .or_default()
                    .push(service);
            }
        }
        Self {
            services,
            spreading: spreading(cluster),
            peers: permission::Peers::of(cluster),
            cluster,
            config,
            at,
            nodes,
            zones: zones.len(),
            pods: Vec::new(),
            workloads: Vec::new(),
            edges: Vec::new(),
            order: Vec::new(),
            place: Vec::new(),
            homes: Patched::new(Vec::new()),
        }
    }

    fn add_workload(
        &mut self,
        id: &'a WorkloadId,
        pods: Vec<&'a Pod>,
        circular: bool,
        by_name: &BTreeMap<&NodeName, NodeIx>,
    ) {
        let workload = self.cluster.workloads.get(id);
        let own = self.workloads.len();
        let placed: Vec<PodModel<'a>> = pods
            .iter()
            .filter_map(|pod| {
                let home = *by_name.get(pod.node.as_ref()?)?;
                Some(PodModel {
                    pod,
                    home,
                    workload: own,
                })
            })
            .collect();
        let services = workload.map(|workload| self.services_of(workload)).unwrap_or_default();
        let first = self.pods.len();
        let ready = placed.iter().filter(|pod| pod.pod.ready).count() as u64;
        let objective = self.objective(id);
        self.workloads.push(WorkloadModel {
            id,
            mode: mode_of(&services),
            objective,
            prices: self.prices(objective),
            into: Vec::new(),
            out_of: Vec::new(),
            circular,
            immovable: permission::immovable(self.cluster, id, workload, &pods),
            unroutable: permission::unroutable(
                self.cluster,
                &self.peers,
                id,
                &services,
                &pods,
                (ready, self.config.min_ready),
            ),
            services,
            pods: (first..first + placed.len()).collect(),
        });
        self.pods.extend(placed);
    }

    fn add_edge(
        &mut self,
        stats: &'a EdgeStats,
        finding: Option<&'a Finding>,
        seconds: f64,
        typical: f64,
        numbers: &BTreeMap<&WorkloadId, WorkloadIx>,
    ) {
        let (Some(&source), Some(&destination)) =
            (numbers.get(&stats.edge.source), numbers.get(&stats.edge.destination))
        else {
            return;
        };
        let rate = if seconds > 0.0 {
            stats.total.requests as f64 / seconds
        } else {
            0.0
        };
        let consent = permission::consent(self.cluster, &stats.edge);
        let (value, loss_only) = match finding.map(|finding| &finding.cause) {
            Some(Cause::Distance { saved_p50_at_least, .. }) => (rate * saved_p50_at_least.0 as f64 / 1e6, !consent),
            // What another cause hides of the distance is not known either: calls kept on their node today are not given away. The same-node
            // calls of chatter are what makes it chatter: apart, each of them would cost the wire as well.
            Some(
                Cause::NotEnoughData { .. }
                | Cause::Pressure { .. }
                | Cause::Downstream { .. }
                | Cause::Chatter { .. }
                | Cause::Inside { .. },
            )
            | None => (rate * typical, true),
            Some(Cause::NotDistance { .. }) if stats.local_share().get() >= 1.0 => (rate * typical, true),
            Some(Cause::NotDistance { .. }) => (0.0, true),
        };
        let measured = stats.total.requests >= self.config.min_requests;
        let bytes = stats.total.request_bytes.saturating_add(stats.total.response_bytes) as f64;
        let gigabytes = if seconds > 0.0 {
            bytes / seconds * 3600.0 / 1e9
        } else {
            0.0
        };
        let objective = self.objective(&stats.edge.destination);
        let callee = self.workload(destination).map(|callee| callee.prices.as_slice());
        let dearest = callee.unwrap_or_default().iter().copied().fold(0.0, f64::max);
        let wanted = Brings {
            latency: if loss_only { 0.0 } else { value },
            traffic: if consent && measured { rate } else { 0.0 },
            money: if consent && measured { gigabytes * dearest } else { 0.0 },
        };
        let shares = self.shares_of(stats, source);
        let edge = self.edges.len();
        if let Some(source) = self.workloads.get_mut(source) {
            source.out_of.push(edge);
        }
        if let Some(destination) = self.workloads.get_mut(destination) {
            destination.into.push(edge);
        }
        self.edges.push(EdgeModel {
            stats,
            finding,
            source,
            destination,
            rate,
            measured: stats.local_share().get(),
            value,
            loss_only,
            consent,
            gigabytes,
            wanted: objective.points(wanted),
            shares,
        });
    }

    /// Each source pod's share of the edge's calls as measured. What pods called that are gone now is their successors': it
    /// goes to the pods that were not measured yet, or evenly to all.
    fn shares_of(&self, stats: &EdgeStats, source: WorkloadIx) -> Vec<f64> {
        let mut calls: BTreeMap<&PodUid, u64> = BTreeMap::new();
        for pair in &stats.pairs {
            *calls.entry(&pair.caller).or_default() += pair.exchange.requests;
        }
        let total: u64 = calls.values().sum();
        let own: Vec<u64> = self
            .pods_of(source)
            .map(|pod| calls.remove(&pod.pod.uid).unwrap_or(0))
            .collect();
        let gone: u64 = calls.values().sum();
        let fresh = own.iter().filter(|requests| **requests == 0).count();
        let heirs = if fresh > 0 { fresh } else { own.len() };
        own.iter()
            .map(|&requests| {
                let heir = fresh == 0 || requests == 0;
                let inherited = if heir { gone as f64 / heirs.max(1) as f64 } else { 0.0 };
                (requests as f64 + inherited) / total.max(1) as f64
            })
            .collect()
    }

    pub(crate) fn workload(&self, ix: WorkloadIx) -> Option<&WorkloadModel<'a>> {
        self.workloads.get(ix)
    }

    pub(crate) fn pods_of(&self, ix: WorkloadIx) -> impl Iterator<Item = &PodModel<'a>> {
        let pods = self
            .workloads
            .get(ix)
            .map(|workload| workload.pods.as_slice())
            .unwrap_or_default();
        pods.iter().filter_map(|pod| self.pods.get(*pod))
    }

    /// How rules for the workload are written.
    pub(crate) fn form(&self, ix: WorkloadIx) -> PlaceForm {
        let namespace = self.workload(ix).map(|workload| &workload.id.namespace);
        namespace
            .and_then(|namespace| self.cluster.policies.get(namespace))
            .map_or(PlaceForm::Admission, |policy| policy.form)
    }

    /// The plan whose steady rule places the workload's new pods today.
    pub(crate) fn rule(&self, ix: WorkloadIx) -> Option<&'a str> {
        let rule = self.cluster.ruled.get(self.workload(ix)?.id)?;
        Some(&rule.plan)
    }

    pub(crate) fn zone_of(&self, node: NodeIx) -> usize {
        self.nodes.get(node).map_or(0, |node| node.zone)
    }

    pub(crate) fn node_name(&self, node: NodeIx) -> Option<&'a NodeName> {
        self.nodes.get(node).map(|node| node.name)
    }

    pub(crate) fn node(&self, node: NodeIx) -> Option<&'a Node> {
        self.nodes.get(node).map(|node| node.node)
    }

    /// Where every pod stands today. Copies share it, so that what is patched in them are the pods that moved.
    pub(crate) fn today(&self) -> Patched<NodeIx> {
        self.homes.clone()
    }
}

fn pods_by_workload(cluster: &ClusterView) -> BTreeMap<&WorkloadId, Vec<&Pod>> {
    let mut pods: BTreeMap<&WorkloadId, Vec<&Pod>> = BTreeMap::new();
    for pod in cluster
        .pods
        .values()
        .filter(|pod| !pod.deleting && pod.orphan_of.is_none())
    {
        pods.entry(&pod.workload).or_default().push(pod);
    }
    pods
}

fn spreading(cluster: &ClusterView) -> Vec<&Pod> {
    let mut known: BTreeMap<&WorkloadId, Vec<&Pod>> = BTreeMap::new();
    let hard = |pod: &&Pod| pod.constraints.spread.iter().any(|spread| spread.hard);
    for pod in cluster.pods.values().filter(hard) {
        let known = known.entry(&pod.workload).or_default();
        if !known.iter().any(|known| known.constraints == pod.constraints) {
            known.push(pod);
        }
    }
    known.into_values().flatten().collect()
}

/// The mode in which calls to a workload are surely routed: the farthest-reaching of its Services'.
fn mode_of(services: &[&Service]) -> RoutingMode {
    let mode = |service: &&Service| match service.headless || service.overridden_by.is_some() {
        true => RoutingMode::Spread,
        false => service.routing,
    };
    services.iter().map(mode).min().unwrap_or(RoutingMode::Spread)
}

/// The median of what the edges with distance would save per request, in seconds: what a request of an unknown edge may lose.
fn typical_saving(findings: &[Finding]) -> f64 {
    let mut saved: Vec<u64> = findings
        .iter()
        .filter_map(|finding| match &finding.cause {
            Cause::Distance { saved_p50_at_least, .. } => Some(saved_p50_at_least.0),
            Cause::Pressure { .. }
            | Cause::Downstream { .. }
            | Cause::Chatter { .. }
            | Cause::Inside { .. }
            | Cause::NotEnoughData { .. }
            | Cause::NotDistance { .. } => None,
        })
        .collect();
    saved.sort_unstable();
    saved.get(saved.len() / 2).map_or(0.0, |micros| *micros as f64 / 1e6)
}
