//! The board: who stands on which node, and whether one more pod may stand there. The scheduler's filters, on the view.

use super::RefusalReason;
use super::headroom::is_measured;
use crate::cluster::{ClusterView, Labels, Node, Pod, PodTerm, Resources, SpreadConstraint, Used};
use crate::id::{Namespace, NodeName, PodUid, WorkloadId, ZoneName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Pods on nodes. Pods on nodes that the view does not know are left out.
#[derive(Clone, Debug)]
pub(crate) struct Board<'a> {
    nodes: &'a BTreeMap<NodeName, Node>,
    /// Shared between copies of the board until one of them changes a node: boards of large clusters are copied often.
    on: BTreeMap<&'a NodeName, Arc<BTreeMap<PodUid, &'a Pod>>>,
    used: BTreeMap<&'a NodeName, Resources>,
    /// Where each workload's pods are, orphans and pods being deleted left out; shared likewise.
    holds: BTreeMap<&'a WorkloadId, Arc<BTreeMap<&'a NodeName, u64>>>,
    /// Pods whose anti-affinity binds others.
    guards: BTreeMap<PodUid, (&'a Pod, &'a NodeName)>,
}

impl<'a> Board<'a> {
    pub(crate) fn new(cluster: &'a ClusterView) -> Self {
        let mut board = Self {
            nodes: &cluster.nodes,
            on: cluster.nodes.keys().map(|node| (node, Arc::default())).collect(),
            holds: BTreeMap::new(),
            used: cluster.nodes.keys().map(|node| (node, Resources::default())).collect(),
            guards: BTreeMap::new(),
        };
        for pod in cluster.pods.values() {
            if let Some((node, _)) = pod.node.as_ref().and_then(|node| cluster.nodes.get_key_value(node)) {
                board.add(pod.uid.clone(), pod, node);
            }
        }
        board
    }

    /// Puts a pod on a node under a name of its own (a replacement differs from the pod it replaces).
    pub(crate) fn add(&mut self, name: PodUid, pod: &'a Pod, node: &'a NodeName) {
        if !pod.constraints.anti_affinity.is_empty() {
            self.guards.insert(name.clone(), (pod, node));
        }
        if let Some(used) = self.used.get_mut(node) {
            used.add(&pod.requests);
        }
        let before = Arc::make_mut(self.on.entry(node).or_default()).insert(name, pod);
        if let Some(before) = before {
            self.count(before, node, -1);
        }
        self.count(pod, node, 1);
    }

    /// Takes a pod off.
    pub(crate) fn remove(&mut self, name: &PodUid, node: &NodeName) {
        self.guards.remove(name);
        let Some(pod) = self.on.get_mut(node).and_then(|pods| Arc::make_mut(pods).remove(name)) else {
            return;
        };
        if let Some(used) = self.used.get_mut(node) {
            used.subtract(&pod.requests);
        }
        if let Some((node, _)) = self.on.get_key_value(node) {
            self.count(pod, node, -1);
        }
    }

    /// Books a pod of a workload on a node, or off it.
    fn count(&mut self, pod: &'a Pod, node: &'a NodeName, by: i64) {
        if pod.deleting || pod.orphan_of.is_some() {
            return;
        }
        let held = Arc::make_mut(self.holds.entry(&pod.workload).or_default());
        let pods = held.entry(node).or_default();
        *pods = pods.saturating_add_signed(by);
        if *pods == 0 {
            held.remove(node);
        }
    }

    /// What the pods on a node use; `None` where nothing tells.
    pub(crate) fn busy(&self, cluster: &ClusterView, node: &NodeName) -> Option<Used> {
        let pods = || self.on.get(node).into_iter().flat_map(|pods| pods.values().copied());
        let told = is_measured(cluster, pods());
        told.then(|| pods().fold(Used::default(), |sum, pod| sum.plus(cluster.use_of(pod))))
    }

    pub(crate) fn used(&self, node: &NodeName) -> Option<&Resources> {
        self.used.get(node)
    }

    /// Nodes that hold pods of a workload (orphans and pods being deleted left out), with how many.
    pub(crate) fn nodes_of(&self, workload: &WorkloadId) -> BTreeMap<&'a NodeName, u64> {
        self.holds
            .get(workload)
            .map(|held| (**held).clone())
            .unwrap_or_default()
    }

    /// How many zones these nodes lie in.
    pub(crate) fn zones<'b>(&self, nodes: impl Iterator<Item = &'b NodeName>) -> u64 {
        let zones: BTreeSet<&ZoneName> = nodes
            .filter_map(|node| self.nodes.get(node))
            .map(|node| &node.zone)
            .collect();
        zones.len() as u64
    }

    /// May a pod like `pod` be scheduled onto `node` now, everything else standing as it does?
    pub(crate) fn allows(&self, pod: &Pod, node: &NodeName) -> Result<(), RefusalReason> {
        let Some(target) = self.nodes.get(node) else {
            return Err(constraint("spec.nodeName"));
        };
        node_allows(pod, target).map_err(constraint)?;
        let none = Resources::default();
        target
            .allocatable
            .room_for(self.used.get(node).unwrap_or(&none), &pod.requests)
            .map_err(|resource| RefusalReason::NoCapacity {
                node: node.clone(),
                resource,
            })?;
        let mut neighbours = self.on.get(node).into_iter().flat_map(|pods| pods.iter());
        let collides = |other: &Pod| {
            let mut wanted = pod.constraints.host_ports.iter();
            wanted.any(|port| other.constraints.host_ports.iter().any(|taken| taken.collides(port)))
        };
        if !pod.constraints.host_ports.is_empty() && neighbours.any(|(_, other)| collides(other)) {
            return Err(constraint("spec.containers[].ports[].hostPort"));
        }
        self.anti_affinity(pod, target).map_err(constraint)?;
        self.affinity(pod, target).map_err(constraint)?;
        let mut hard = pod.constraints.spread.iter().filter(|spread| spread.hard);
        match hard.all(|spread| self.even_enough(pod, target, spread)) {
            true => Ok(()),
            false => Err(constraint("spec.topologySpreadConstraints")),
        }
    }

    fn anti_affinity(&self, pod: &Pod, node: &Node) -> Result<(), &'static str> {
        let field = "spec.affinity.podAntiAffinity";
        for term in &pod.constraints.anti_affinity {
            if self
                .in_domain(term, node)
                .any(|other| selects(term, &pod.workload.namespace, other))
            {
                return Err(field);
            }
        }
        for (guard, at) in self.guards.values() {
            let bound = |term: &PodTerm| {
                let same = self.nodes.get(*at).and_then(|at| at.labels.get(&term.topology_key));
                same.is_some()
                    && same == node.labels.get(&term.topology_key)
                    && selects(term, &guard.workload.namespace, pod)
            };
            if guard.constraints.anti_affinity.iter().any(bound) {
                return Err(field);
            }
        }
        Ok(())
    }

    /// Required pod affinity: in each term's domain a pod that *all* terms select, or, when there is none anywhere and the terms select
    /// the pod itself, any node with the domains' labels (the scheduler's rule for the first pod of a group).
    fn affinity(&self, pod: &Pod, node: &Node) -> Result<(), &'static str> {
        let terms = &pod.constraints.affinity;
        let namespace = &pod.workload.namespace;
        let all = |other: &Pod| terms.iter().all(|term| selects(term, namespace, other));
        let labelled = terms.iter().all(|term| node.labels.contains_key(&term.topology_key));
        let near = || terms.iter().all(|term| self.in_domain(term, node).any(all));
        let first = || all(pod) && !self.pods().any(all);
        match labelled && (near() || first()) {
            true => Ok(()),
            false => Err("spec.affinity.podAffinity"),
        }
    }

    /// DoNotSchedule spread: skew = pods in the node's domain, the new one included, − the least of all domains the pod could
    /// use.
    fn even_enough(&self, pod: &Pod, node: &Node, spread: &SpreadConstraint) -> bool {
        let Some(wanted) = node.labels.get(&spread.topology_key) else {
            return false;
        };
        let domains = self.domains(pod, spread);
        let few = (domains.len() as u64) < spread.min_domains;
        let least = if few {
            0
        } else {
            domains.values().copied().min().unwrap_or(0)
        };
        let own = u64::from(spread.selector.matches(&pod.labels));
        domains.get(wanted).copied().unwrap_or(0) + own <= least + spread.max_skew
    }

    /// Most − least pods of the constraint's domains.
    pub(crate) fn skew(&self, pod: &Pod, spread: &SpreadConstraint) -> u64 {
        let domains = self.domains(pod, spread);
        let least = domains.values().copied().min().unwrap_or(0);
        domains.values().copied().max().unwrap_or(0) - least
    }

    /// Pods that the constraint counts, by domain, over the nodes that count: those with the labels of all hard constraints, which the
    /// constraint's policies do not leave out.
    fn domains(&self, pod: &Pod, spread: &SpreadConstraint) -> BTreeMap<&'a String, u64> {
        let mut domains: BTreeMap<&String, u64> = BTreeMap::new();
        for (name, candidate) in self.nodes {
            let Some(domain) = candidate.labels.get(&spread.topology_key) else {
                continue;
            };
            let mut hard = pod.constraints.spread.iter().filter(|other| other.hard);
            let labelled = hard.all(|other| candidate.labels.contains_key(&other.topology_key));
            let left_out = (spread.honors_affinity && !affinity_allows(pod, candidate))
                || (spread.honors_taints && !tolerates(pod, candidate));
            if !labelled || left_out {
                continue;
            }
            let counted = self
                .on
                .get(name)
                .into_iter()
                .flat_map(|pods| pods.iter())
                .filter(|(_, other)| {
                    other.workload.namespace == pod.workload.namespace
                        && !other.deleting
                        && spread.selector.matches(&other.labels)
                });
            *domains.entry(domain).or_default() += counted.count() as u64;
        }
        domains
    }

    /// Pods already standing whose required affinity or hard spread is broken.
    pub(crate) fn unhappy(&self) -> BTreeSet<(PodUid, &'static str)> {
        let mut unhappy = BTreeSet::new();
        for (node, pods) in &self.on {
            let Some(node) = self.nodes.get(*node) else { continue };
            for (name, pod) in pods.iter() {
                let namespace = &pod.workload.namespace;
                let lonely = |term: &PodTerm| !self.in_domain(term, node).any(|other| selects(term, namespace, other));
                if pod.constraints.affinity.iter().any(lonely) {
                    unhappy.insert((name.clone(), "spec.affinity.podAffinity"));
                }
            }
        }
        unhappy
    }

    fn pods(&self) -> impl Iterator<Item = &'a Pod> + '_ {
        self.on.values().flat_map(|pods| pods.values().copied())
    }

    fn in_domain<'b>(&'b self, term: &'b PodTerm, node: &'b Node) -> impl Iterator<Item = &'a Pod> + 'b {
        let domain = node.labels.get(&term.topology_key);
        self.nodes
            .iter()
            .filter(move |(_, other)| domain.is_some() && other.labels.get(&term.topology_key) == domain)
            .filter_map(|(name, _)| self.on.get(name))
            .flat_map(|pods| pods.values().copied())
    }
}

/// What is asked for and used on each node, by the node's number: all that candidates need of the board, and cheap to copy.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    /// Shared between copies.
    start: Arc<Vec<(Resources, Option<Used>)>>,
    /// Nodes on which it is something else by now.
    changed: BTreeMap<usize, (Resources, Option<Used>)>,
}

impl Usage {
    pub(crate) fn of(board: &Board<'_>, cluster: &ClusterView) -> Self {
        Self {
            start: Arc::new(board.nodes.keys().map(|node| Self::one(board, cluster, node)).collect()),
            changed: BTreeMap::new(),
        }
    }

    fn one(board: &Board<'_>, cluster: &ClusterView, node: &NodeName) -> (Resources, Option<Used>) {
        let asked = board.used.get(node).cloned().unwrap_or_default();
        (asked, board.busy(cluster, node))
    }

    /// Reads one node from the board again.
    pub(crate) fn renew(&mut self, board: &Board<'_>, cluster: &ClusterView, node: usize, name: &NodeName) {
        self.changed.insert(node, Self::one(board, cluster, name));
    }
    pub(crate) fn on(&self, node: usize) -> Option<&Resources> {
        self.get(node).map(|(asked, _)| asked)
    }
    /// What the node's pods use, where that is told.
    pub(crate) fn busy(&self, node: usize) -> Option<Used> {
        self.get(node).and_then(|(_, busy)| *busy)
    }
    fn get(&self, node: usize) -> Option<&(Resources, Option<Used>)> {
        self.changed.get(&node).or_else(|| self.start.get(node))
    }
    fn get_mut(&mut self, node: usize) -> Option<&mut (Resources, Option<Used>)> {
        let start = self.start.get(node)?;
        Some(self.changed.entry(node).or_insert_with(|| start.clone()))
    }
    /// A pod leaves one node for another.
    pub(crate) fn shift(&mut self, cluster: &ClusterView, pod: &Pod, from: usize, to: usize) {
        let used = cluster.use_of(pod);
        if let Some((asked, busy)) = self.get_mut(from) {
            asked.subtract(&pod.requests);
            *busy = busy.map(|busy| busy.less(used));
        }
        if let Some((asked, busy)) = self.get_mut(to) {
            asked.add(&pod.requests);
            *busy = busy.map(|busy| busy.plus(used));
        }
    }
}

pub(crate) fn constraint(field: &str) -> RefusalReason {
    RefusalReason::Constraint {
        field: field.to_owned(),
    }
}

/// Whether a term of a pod in `own` selects `other`.
fn selects(term: &PodTerm, own: &Namespace, other: &Pod) -> bool {
    let there = match &term.namespaces {
        None => *own == other.workload.namespace,
        Some(named) => named.contains(&other.workload.namespace),
    };
    there && term.selector.matches(&other.labels)
}

pub(crate) fn affinity_allows(pod: &Pod, node: &Node) -> bool {
    let has = |labels: &Labels| labels.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    let terms = &pod.constraints.node_terms;
    has(&pod.constraints.node_selector)
        && (terms.is_empty()
            || terms
                .iter()
                .any(|term| term.iter().all(|requirement| requirement.matches(&node.labels))))
}

/// What concerns the node alone; else the field that forbids it.
pub(crate) fn node_allows(pod: &Pod, node: &Node) -> Result<(), &'static str> {
    if !node.schedulable {
        return Err("spec.unschedulable of the node");
    }
    if !affinity_allows(pod, node) {
        return Err("spec.nodeSelector or spec.affinity.nodeAffinity");
    }
    match tolerates(pod, node) {
        true => Ok(()),
        false => Err("spec.tolerations"),
    }
}

pub(crate) fn tolerates(pod: &Pod, node: &Node) -> bool {
    let tolerated = |taint| {
        let mut tolerations = pod.constraints.tolerations.iter();
        tolerations.any(|toleration| toleration.tolerates(taint))
    };
    node.taints.iter().all(|taint| !taint.is_hard() || tolerated(taint))
}

/// May this pod be scheduled onto the node now, all others standing where they stand? The filters of kube-scheduler 1.36's default
/// profile, volumes left out: pods that they pin are never moved. A cordoned or unready node admits nothing, whatever the pod tolerates.
///
/// # Errors
/// The first reason against it.
pub fn fits(cluster: &ClusterView, pod: &Pod, node: &NodeName) -> Result<(), RefusalReason> {
    let mut board = Board::new(cluster);
    if let Some(at) = &pod.node {
        board.remove(&pod.uid, at);
    }
    board.allows(pod, node)
}
