//! The board: who stands on which node, and whether one more pod may stand there. The scheduler's filters, on the view.

use super::RefusalReason;
use super::alike::Alike;
use super::filter::Filter;
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
    /// Each workload's pods, those alike together; shared likewise.
    kinds: BTreeMap<&'a WorkloadId, Arc<Vec<Alike<'a>>>>,
    /// Pods with required affinity.
    needy: BTreeMap<PodUid, (&'a Pod, &'a NodeName)>,
}

impl<'a> Board<'a> {
    pub(crate) fn new(cluster: &'a ClusterView) -> Self {
        // Pods come in the order of their uids: each node's are put into its map all at once.
        let mut on: BTreeMap<&NodeName, Vec<(PodUid, &Pod)>> =
            cluster.nodes.keys().map(|node| (node, Vec::new())).collect();
        let mut kinds: BTreeMap<&WorkloadId, Vec<Alike<'a>>> = BTreeMap::new();
        let mut needy = BTreeMap::new();
        for pod in cluster.pods.values() {
            let Some((node, _)) = pod.node.as_ref().and_then(|node| cluster.nodes.get_key_value(node)) else {
                continue;
            };
            on.entry(node).or_default().push((pod.uid.clone(), pod));
            Alike::book(kinds.entry(&pod.workload).or_default(), pod, node, 1);
            if !pod.constraints.affinity.is_empty() {
                needy.insert(pod.uid.clone(), (pod, node));
            }
        }
        let sum = |pods: &Vec<(PodUid, &Pod)>| {
            let mut sum = Resources::default();
            pods.iter().for_each(|(_, pod)| sum.add(&pod.requests));
            sum
        };
        let used = on.iter().map(|(node, pods)| (*node, sum(pods))).collect();
        let on = on.into_iter();
        Self {
            nodes: &cluster.nodes,
            used,
            on: on
                .map(|(node, pods)| (node, Arc::new(pods.into_iter().collect())))
                .collect(),
            kinds: kinds.into_iter().map(|(id, kinds)| (id, Arc::new(kinds))).collect(),
            needy,
        }
    }

    /// Puts a pod on a node under a name of its own (a replacement differs from the pod it replaces).
    pub(crate) fn add(&mut self, name: PodUid, pod: &'a Pod, node: &'a NodeName) {
        if !pod.constraints.affinity.is_empty() {
            self.needy.insert(name.clone(), (pod, node));
        }
        if let Some(used) = self.used.get_mut(node) {
            used.add(&pod.requests);
        }
        let before = Arc::make_mut(self.on.entry(node).or_default()).insert(name, pod);
        if let Some(before) = before {
            self.book(before, node, -1);
        }
        self.book(pod, node, 1);
    }

    /// Takes a pod off.
    pub(crate) fn remove(&mut self, name: &PodUid, node: &NodeName) {
        self.needy.remove(name);
        let Some(pod) = self.on.get_mut(node).and_then(|pods| Arc::make_mut(pods).remove(name)) else {
            return;
        };
        if let Some(used) = self.used.get_mut(node) {
            used.subtract(&pod.requests);
        }
        if let Some((node, _)) = self.on.get_key_value(node) {
            self.book(pod, node, -1);
        }
    }

    fn book(&mut self, pod: &'a Pod, node: &'a NodeName, by: i64) {
        let kinds = self.kinds.entry(&pod.workload).or_default();
        Alike::book(Arc::make_mut(kinds), pod, node, by);
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
        let mut nodes: BTreeMap<&NodeName, u64> = BTreeMap::new();
        let kinds = self.kinds.get(workload).into_iter().flat_map(|kinds| kinds.iter());
        for (node, pods) in kinds.filter(|kind| kind.counts()).flat_map(|kind| &kind.on) {
            *nodes.entry(node).or_default() += pods;
        }
        nodes
    }

    /// All pods, those alike together.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &Alike<'a>> {
        self.kinds.values().flat_map(|kinds| kinds.iter())
    }

    /// The nodes that hold pods of a kind, with how many.
    pub(super) fn nodes_with<'b>(&'b self, kind: &'b Alike<'a>) -> impl Iterator<Item = (&'a Node, u64)> + 'b {
        kind.on
            .iter()
            .filter_map(|(name, pods)| Some((self.nodes.get(*name)?, *pods)))
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
        match self.nodes.get(node) {
            Some(target) => Filter::of(self, pod).admits(target),
            None => Err(constraint("spec.nodeName")),
        }
    }

    /// Most − least pods of the constraint's domains.
    pub(crate) fn skew(&self, pod: &Pod, spread: &SpreadConstraint) -> u64 {
        let domains = self.domains(pod, spread);
        let least = domains.values().copied().min().unwrap_or(0);
        domains.values().copied().max().unwrap_or(0) - least
    }

    /// Pods that the constraint counts, by domain, over the nodes that count: those with the labels of all hard constraints, which the
    /// constraint's policies do not leave out.
    pub(super) fn domains(&self, pod: &Pod, spread: &SpreadConstraint) -> BTreeMap<&'a String, u64> {
        let domain = |node: &'a Node| {
            let mut hard = pod.constraints.spread.iter().filter(|other| other.hard);
            let labelled = hard.all(|other| node.labels.contains_key(&other.topology_key));
            let left_out = (spread.honors_affinity && !affinity_allows(pod, node))
                || (spread.honors_taints && !tolerates(pod, node));
            node.labels.get(&spread.topology_key).filter(|_| labelled && !left_out)
        };
        let mut domains: BTreeMap<&String, u64> = BTreeMap::new();
        self.nodes.values().filter_map(domain).for_each(|domain| {
            domains.entry(domain).or_default();
        });
        let counted = |kind: &&Alike<'a>| {
            let one = kind.one;
            one.workload.namespace == pod.workload.namespace && !one.deleting && spread.selector.matches(&one.labels)
        };
        for (node, pods) in self.kinds().filter(counted).flat_map(|kind| self.nodes_with(kind)) {
            if let Some(domain) = domain(node) {
                *domains.entry(domain).or_default() += pods;
            }
        }
        domains
    }

    /// The field of a pod whose required affinity is broken here and held on the board `before`. Only pods can have lost it that were
    /// moved themselves, or whose terms select one that was.
    pub(crate) fn newly_lonely(&self, before: &Self, moved: &[&Pod]) -> Option<&'static str> {
        let touched = |pod: &Pod| {
            let terms = || pod.constraints.affinity.iter();
            let selected = |other: &&Pod| terms().any(|term| selects(term, &pod.workload.namespace, other));
            moved.iter().any(|other| other.uid == pod.uid || selected(other))
        };
        let mut needy = self.needy.iter().filter(|(_, (pod, _))| touched(pod));
        let lost = needy.any(|(name, at)| {
            let was = before.needy.get(name).is_some_and(|at| before.is_lonely(*at));
            self.is_lonely(*at) && !was
        });
        lost.then_some("spec.affinity.podAffinity")
    }

    fn is_lonely(&self, (pod, at): (&Pod, &NodeName)) -> bool {
        let near = |term: &PodTerm| {
            let domain = self.nodes.get(at).and_then(|node| node.labels.get(&term.topology_key));
            let mut kinds = self
                .kinds()
                .filter(|kind| selects(term, &pod.workload.namespace, kind.one));
            domain.is_some()
                && kinds.any(|kind| {
                    let mut nodes = self.nodes_with(kind);
                    nodes.any(|(node, _)| node.labels.get(&term.topology_key) == domain)
                })
        };
        !pod.constraints.affinity.iter().all(near)
    }

    /// Pods on one node.
    pub(super) fn pods_on(&self, node: &NodeName) -> impl Iterator<Item = &'a Pod> + '_ {
        self.on.get(node).into_iter().flat_map(|pods| pods.values().copied())
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
pub(super) fn selects(term: &PodTerm, own: &Namespace, other: &Pod) -> bool {
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
