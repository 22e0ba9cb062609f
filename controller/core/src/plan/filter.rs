//! kube-scheduler's filters for one pod over many nodes. What the pods that stand mean for it is worked out once, as the scheduler does
//! (PreFilter), and each node is then asked quickly: in a cluster of 5 000 nodes a pod is held against all of them.

use super::RefusalReason;
use super::board::{Board, constraint, node_allows, selects};
use crate::cluster::{Node, Pod, PodTerm, Resources, SpreadConstraint};
use std::collections::{BTreeMap, BTreeSet};

/// Values of node labels, by key.
type Values<'f> = BTreeMap<&'f str, BTreeSet<&'f str>>;

/// What one pod may do on a board as it stands.
pub(crate) struct Filter<'f, 'a> {
    board: &'f Board<'a>,
    pod: &'f Pod,
    /// Domains that anti-affinity bars, the pod's own or that of pods that stand.
    barred: Values<'f>,
    /// For each term of its required affinity the domains that hold a pod that all terms select; `None` where any will do.
    near: Option<Values<'f>>,
    spread: Vec<Counted<'f>>,
}

/// A hard spread constraint, counted.
struct Counted<'f> {
    constraint: &'f SpreadConstraint,
    domains: BTreeMap<&'f String, u64>,
    /// The fewest pods in a domain that the pod could use.
    least: u64,
    /// The pod itself, where it counts.
    own: u64,
}

impl<'f, 'a> Filter<'f, 'a> {
    pub(crate) fn of(board: &'f Board<'a>, pod: &'f Pod) -> Self {
        let hard = pod.constraints.spread.iter().filter(|spread| spread.hard);
        Self {
            board,
            pod,
            barred: barred(board, pod),
            near: near(board, pod),
            spread: hard.map(|spread| Counted::of(board, pod, spread)).collect(),
        }
    }

    /// May the pod be scheduled onto the node, everything else standing as it does?
    pub(crate) fn admits(&self, node: &Node) -> Result<(), RefusalReason> {
        own_filters(self.board, self.pod, node)?;
        let value = |key: &str| node.labels.get(key).map(String::as_str);
        let within = |values: &BTreeSet<&str>, key: &str| value(key).is_some_and(|value| values.contains(value));
        if self.barred.iter().any(|(key, values)| within(values, key)) {
            return Err(constraint("spec.affinity.podAntiAffinity"));
        }
        let terms = &self.pod.constraints.affinity;
        let labelled = terms.iter().all(|term| node.labels.contains_key(&term.topology_key));
        let near = self.near.as_ref();
        if !labelled || !near.is_none_or(|near| near.iter().all(|(key, values)| within(values, key))) {
            return Err(constraint("spec.affinity.podAffinity"));
        }
        match self.spread.iter().all(|counted| counted.admits(node)) {
            true => Ok(()),
            false => Err(constraint("spec.topologySpreadConstraints")),
        }
    }
}

/// The filters that look at the node and at what stands on it, and at no other node.
fn own_filters(board: &Board<'_>, pod: &Pod, node: &Node) -> Result<(), RefusalReason> {
    node_allows(pod, node).map_err(constraint)?;
    let none = Resources::default();
    node.allocatable
        .room_for(board.used(&node.name).unwrap_or(&none), &pod.requests)
        .map_err(|resource| RefusalReason::NoCapacity {
            node: node.name.clone(),
            resource,
        })?;
    let collides = |other: &Pod| {
        let mut wanted = pod.constraints.host_ports.iter();
        wanted.any(|port| other.constraints.host_ports.iter().any(|taken| taken.collides(port)))
    };
    match !pod.constraints.host_ports.is_empty() && board.pods_on(&node.name).any(collides) {
        true => Err(constraint("spec.containers[].ports[].hostPort")),
        false => Ok(()),
    }
}

/// Domains with pods that the pod's own terms select, and domains of pods whose terms select it.
fn barred<'f>(board: &'f Board<'_>, pod: &'f Pod) -> Values<'f> {
    let mut barred = Values::new();
    for kind in board.kinds() {
        let own = pod.constraints.anti_affinity.iter();
        let own = own.filter(|term| selects(term, &pod.workload.namespace, kind.one));
        let theirs = kind.one.constraints.anti_affinity.iter();
        let theirs = theirs.filter(|term| selects(term, &kind.one.workload.namespace, pod));
        for term in own.chain(theirs) {
            board
                .nodes_with(kind)
                .for_each(|(node, _)| add(&mut barred, term, node));
        }
    }
    barred
}

/// The scheduler's rule for the first pod of a group: where no pod matches all terms, and the terms select the pod itself, any node with the
/// domains' labels will do.
fn near<'f>(board: &'f Board<'_>, pod: &'f Pod) -> Option<Values<'f>> {
    let terms = &pod.constraints.affinity;
    if terms.is_empty() {
        return None;
    }
    let all = |other: &Pod| {
        let mut terms = terms.iter();
        terms.all(|term| selects(term, &pod.workload.namespace, other))
    };
    let none = |term: &'f PodTerm| (term.topology_key.as_str(), BTreeSet::new());
    let mut near: Values<'f> = terms.iter().map(none).collect();
    let mut found = false;
    for kind in board.kinds().filter(|kind| all(kind.one)) {
        for (node, _) in board.nodes_with(kind) {
            found = true;
            terms.iter().for_each(|term| add(&mut near, term, node));
        }
    }
    (found || !all(pod)).then_some(near)
}

fn add<'f>(values: &mut Values<'f>, term: &'f PodTerm, node: &'f Node) {
    if let Some(value) = node.labels.get(&term.topology_key) {
        values.entry(&term.topology_key).or_default().insert(value);
    }
}

impl<'f> Counted<'f> {
    fn of(board: &'f Board<'_>, pod: &Pod, constraint: &'f SpreadConstraint) -> Self {
        let domains = board.domains(pod, constraint);
        let few = (domains.len() as u64) < constraint.min_domains;
        let least = domains.values().copied().min().filter(|_| !few);
        Self {
            constraint,
            least: least.unwrap_or(0),
            own: u64::from(constraint.selector.matches(&pod.labels)),
            domains,
        }
    }

    /// Skew = pods in the node's domain, the new one included, − the least of all domains the pod could use.
    fn admits(&self, node: &Node) -> bool {
        node.labels.get(&self.constraint.topology_key).is_some_and(|wanted| {
            self.domains.get(wanted).copied().unwrap_or(0) + self.own <= self.least + self.constraint.max_skew
        })
    }
}
