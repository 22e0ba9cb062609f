//! What if: a cluster as it would be after a change, and the plan that would be made then.

use super::board::Board;
use super::model::Model;
use super::propose::planned;
use super::routing::{State, evaluate};
use super::steady::{Wish, best_node};
use super::why::explained;
use super::{Objective, Plan, PlannerConfig, Term, Why};
use crate::cluster::{ClusterView, NamespacePolicy, Node, Pod};
use crate::diagnose::Finding;
use crate::graph::{PairStats, Snapshot};
use crate::id::{EdgeId, Namespace, NodeName, PodUid, WorkloadId, WorkloadKind, ZoneName};
use crate::sample::{Exchange, Locality};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Something to suppose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node joins, empty but for its daemons.
    AddNode {
        /// Its name.
        name: NodeName,
        /// The node it is like; without it, the first schedulable one by name.
        like: Option<NodeName>,
        /// Its zone; without it, that of the node it is like.
        zone: Option<ZoneName>,
    },
    /// A node is drained: its pods, daemons left out, come up elsewhere.
    Drain(NodeName),
    /// A Deployment or StatefulSet is scaled.
    Replicas {
        /// Which.
        workload: WorkloadId,
        /// To how many.
        replicas: u64,
    },
    /// A workload is not to be touched.
    Pin(WorkloadId),
    /// One plan may restart so many pods, whatever the policies say.
    MostMoves(u64),
}

/// Why a change cannot be supposed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidChange {
    /// No such node.
    #[error("there is no node {0}")]
    UnknownNode(NodeName),
    /// The new node's name is taken.
    #[error("there is a node {0} already")]
    NodeExists(NodeName),
    /// The cluster has no node that a new one could be like.
    #[error("there is no schedulable node that {0} could be like")]
    NothingAlike(NodeName),
    /// No such workload.
    #[error("there is no workload {0}")]
    UnknownWorkload(WorkloadId),
    /// Replicas of what has none to choose.
    #[error("{0} is no Deployment and no StatefulSet: its replicas are not chosen")]
    NotScaled(WorkloadId),
    /// More replicas than are worth working out.
    #[error("{workload}: {replicas} replicas; at most {MOST_REPLICAS} can be supposed")]
    TooManyReplicas {
        /// Of which workload.
        workload: WorkloadId,
        /// How many.
        replicas: u64,
    },
    /// A workload without a pod says nothing of what its pods ask for.
    #[error("{0} has no pod that another could be like")]
    NoPod(WorkloadId),
}

/// The most replicas of one workload that can be supposed.
const MOST_REPLICAS: u64 = 10_000;

/// What becomes of a pod by a change alone, before any plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landing {
    /// Whose.
    pub workload: WorkloadId,
    /// Its name; of a pod that does not exist yet, a name made up.
    pub pod: String,
    /// Where it was; `None`: it is new.
    pub from: Option<NodeName>,
    /// Where the stock scheduler would put it; `None`: nowhere, or it is gone.
    pub to: Option<NodeName>,
}

/// A cluster after changes.
#[derive(Clone, Debug)]
pub struct Supposed {
    was: ClusterView,
    before: Snapshot,
    /// The cluster.
    pub cluster: ClusterView,
    /// The graph, with the calls of new pods.
    pub snapshot: Snapshot,
    /// What becomes of pods by the changes alone.
    pub landings: Vec<Landing>,
}

/// The cluster with another limit on moves everywhere.
#[must_use]
pub fn limited(cluster: &ClusterView, most_moves: u64) -> ClusterView {
    ruled(cluster, |policy| policy.max_moves = most_moves)
}

/// The cluster with the points of another objective everywhere; the prices between zones stay as they are.
#[must_use]
pub fn valued(cluster: &ClusterView, wanted: &Objective) -> ClusterView {
    ruled(cluster, |policy| {
        let own = &mut policy.objective;
        (own.latency, own.traffic, own.money) = (wanted.latency, wanted.traffic, wanted.money);
    })
}

/// The cluster with every namespace's policy changed.
fn ruled(cluster: &ClusterView, change: impl Fn(&mut NamespacePolicy)) -> ClusterView {
    let mut cluster = cluster.clone();
    let owners: BTreeSet<Namespace> = cluster.workloads.keys().map(|id| id.namespace.clone()).collect();
    for namespace in owners {
        cluster.policies.entry(namespace).or_default();
    }
    cluster.policies.values_mut().for_each(change);
    cluster
}

/// Supposes changes, one after another. Pods that must come up anew are placed as the stock scheduler places them, by its filters and
/// scores; wishes that older rules write on them are not known and left out.
///
/// # Errors
/// What a change names that is not there.
pub fn suppose(cluster: &ClusterView, snapshot: &Snapshot, changes: &[Change]) -> Result<Supposed, InvalidChange> {
    let mut supposed = Supposed {
        was: cluster.clone(),
        before: snapshot.clone(),
        cluster: cluster.clone(),
        snapshot: snapshot.clone(),
        landings: Vec::new(),
    };
    for change in changes {
        supposed.apply(change)?;
    }
    Ok(supposed)
}

impl Supposed {
    /// The plan that would be made then. What each edge's calls cost near and far is as measured; which share of them stays on its
    /// node before the plan is the measured share, moved by what the model says the change does to it.
    pub fn plan(&self, findings: &[Finding], config: &PlannerConfig, at: Timestamp) -> Plan {
        planned(&self.model(findings, config), &self.snapshot, at)
    }

    /// As [`explain`](super::explain), of such a plan.
    pub fn explain(&self, plan: &Plan, findings: &[Finding], config: &PlannerConfig) -> Option<(Vec<Term>, Vec<Why>)> {
        explained(self.model(findings, config), plan)
    }

    fn model<'a>(&'a self, findings: &'a [Finding], config: &'a PlannerConfig) -> Model<'a> {
        let was = Model::new(&self.before, findings, &self.was, config, |_| true);
        let mut is = Model::new(&self.snapshot, findings, &self.cluster, config, |_| true);
        let shares: BTreeMap<&EdgeId, f64> = near(&was).collect();
        let moved: Vec<f64> = near(&is)
            .map(|(edge, share)| share - shares.get(edge).copied().unwrap_or(share))
            .collect();
        for (edge, moved) in is.edges.iter_mut().zip(moved) {
            edge.measured = (edge.measured + moved).clamp(0.0, 1.0);
        }
        is
    }

    fn apply(&mut self, change: &Change) -> Result<(), InvalidChange> {
        match change {
            Change::AddNode { name, like, zone } => self.add_node(name, like.as_ref(), zone.as_ref()),
            Change::Drain(name) => self.drain(name),
            Change::Replicas { workload, replicas } => self.scale(workload, *replicas),
            Change::Pin(id) => {
                let workload = self.cluster.workloads.get_mut(id);
                workload
                    .ok_or_else(|| InvalidChange::UnknownWorkload(id.clone()))?
                    .opted_out = true;
                Ok(())
            }
            Change::MostMoves(most) => {
                self.cluster = limited(&self.cluster, *most);
                Ok(())
            }
        }
    }

    fn add_node(
        &mut self,
        name: &NodeName,
        like: Option<&NodeName>,
        zone: Option<&ZoneName>,
    ) -> Result<(), InvalidChange> {
        if self.cluster.nodes.contains_key(name) {
            return Err(InvalidChange::NodeExists(name.clone()));
        }
        let model = match like {
            Some(like) => self
                .cluster
                .nodes
                .get(like)
                .ok_or_else(|| InvalidChange::UnknownNode(like.clone()))?,
            None => {
                let mut nodes = self.cluster.nodes.values();
                let found = nodes.find(|node| node.schedulable);
                found.ok_or_else(|| InvalidChange::NothingAlike(name.clone()))?
            }
        };
        let twin = model.name.clone();
        let mut node = Node {
            name: name.clone(),
            schedulable: true,
            ..model.clone()
        };
        node.labels.insert(HOSTNAME.to_owned(), name.to_string());
        if let Some(zone) = zone {
            node.zone = zone.clone();
            node.labels.insert(ZONE.to_owned(), zone.to_string());
        }
        let daemons: Vec<Pod> = self
            .cluster
            .pods
            .values()
            .filter(|pod| pod.workload.kind == WorkloadKind::DaemonSet && pod.node.as_ref() == Some(&twin))
            .cloned()
            .collect();
        self.cluster.nodes.insert(name.clone(), node);
        for daemon in daemons {
            let uid = PodUid::new(format!("{}, on {name}", daemon.uid));
            let pod = Pod {
                uid: uid.clone(),
                name: format!("{} on {name}", daemon.workload.name),
                node: Some(name.clone()),
                address: None,
                ..daemon
            };
            self.cluster.pods.insert(uid, pod);
        }
        Ok(())
    }

    fn drain(&mut self, name: &NodeName) -> Result<(), InvalidChange> {
        let node = self.cluster.nodes.get_mut(name);
        node.ok_or_else(|| InvalidChange::UnknownNode(name.clone()))?
            .schedulable = false;
        let leave: Vec<PodUid> = self
            .cluster
            .pods
            .values()
            .filter(|pod| pod.node.as_ref() == Some(name) && pod.workload.kind != WorkloadKind::DaemonSet)
            .map(|pod| pod.uid.clone())
            .collect();
        let mut homeless = Vec::new();
        for uid in leave {
            let again = |pod: &Pod| pod.workload.kind != WorkloadKind::Pod && !pod.deleting && pod.orphan_of.is_none();
            match self.cluster.pods.get_mut(&uid) {
                Some(pod) if again(pod) => {
                    pod.node = None;
                    homeless.push((uid, Some(name.clone())));
                }
                Some(_) | None => {
                    if let Some(gone) = self.cluster.pods.remove(&uid) {
                        self.landings.push(Landing {
                            workload: gone.workload,
                            pod: gone.name,
                            from: Some(name.clone()),
                            to: None,
                        });
                    }
                }
            }
        }
        self.land(&homeless);
        Ok(())
    }

    fn scale(&mut self, id: &WorkloadId, replicas: u64) -> Result<(), InvalidChange> {
        if !self.cluster.workloads.contains_key(id) {
            return Err(InvalidChange::UnknownWorkload(id.clone()));
        }
        if !matches!(id.kind, WorkloadKind::Deployment | WorkloadKind::StatefulSet) {
            return Err(InvalidChange::NotScaled(id.clone()));
        }
        if replicas > MOST_REPLICAS {
            return Err(InvalidChange::TooManyReplicas {
                workload: id.clone(),
                replicas,
            });
        }
        while (self.cluster.pods_of(id).count() as u64) > replicas {
            let Some(pod) = surplus(&self.cluster, id).and_then(|uid| self.cluster.pods.remove(&uid)) else {
                break;
            };
            self.landings.push(Landing {
                workload: id.clone(),
                pod: pod.name,
                from: pod.node,
                to: None,
            });
        }
        let missing = replicas.saturating_sub(self.cluster.pods_of(id).count() as u64);
        let mut homeless = Vec::new();
        if missing > 0 {
            let model = self.cluster.pods_of(id).next().cloned();
            let model = model.ok_or_else(|| InvalidChange::NoPod(id.clone()))?;
            let taken = self.landings.len() as u64;
            for number in (1..=missing).map(|number| taken + number) {
                let uid = PodUid::new(format!("{id}, supposed {number}"));
                let pod = Pod {
                    uid: uid.clone(),
                    name: format!("{} (new, {number})", id.name),
                    node: None,
                    address: None,
                    ready: true,
                    ..model.clone()
                };
                self.cluster.pods.insert(uid.clone(), pod);
                homeless.push((uid, None));
            }
        }
        if let Some(workload) = self.cluster.workloads.get_mut(id) {
            workload.replicas = replicas;
            workload.ready = replicas;
        }
        self.land(&homeless);
        self.share_calls(id, &homeless.into_iter().map(|(uid, _)| uid).collect::<Vec<_>>());
        Ok(())
    }

    /// Places pods, in their order, where the scheduler would.
    fn land(&mut self, homeless: &[(PodUid, Option<NodeName>)]) {
        let none = Wish::none();
        let mut board = Board::new(&self.cluster);
        let mut found: BTreeMap<PodUid, NodeName> = BTreeMap::new();
        for (uid, _) in homeless {
            let Some(pod) = self.cluster.pods.get(uid) else {
                continue;
            };
            let twins = board.nodes_of(&pod.workload);
            let fresh: Vec<&NodeName> = twins
                .iter()
                .flat_map(|(node, pods)| std::iter::repeat_n(*node, usize::try_from(*pods).unwrap_or_default()))
                .collect();
            // A volume that is tied to a node or a zone: whether it can be used elsewhere is not in the view.
            if pod.constraints.pinned_volumes {
                continue;
            }
            if let Ok(node) = best_node(&self.cluster, &board, pod, &none, &fresh) {
                board.add(uid.clone(), pod, node);
                found.insert(uid.clone(), node.clone());
            }
        }
        for (uid, from) in homeless {
            let Some(pod) = self.cluster.pods.get_mut(uid) else {
                continue;
            };
            let to = found.remove(uid);
            self.landings.push(Landing {
                workload: pod.workload.clone(),
                pod: pod.name.clone(),
                from: from.clone(),
                to: to.clone(),
            });
            if to.is_none() {
                pod.ready = false;
                if let Some(workload) = self.cluster.workloads.get_mut(&pod.workload) {
                    workload.ready = workload.ready.saturating_sub(1);
                }
            }
            pod.node = to;
        }
    }

    /// New pods of a caller make as many calls each as its present ones do on average.
    fn share_calls(&mut self, id: &WorkloadId, fresh: &[PodUid]) {
        let edges = self
            .snapshot
            .edges
            .values_mut()
            .filter(|stats| stats.edge.source == *id);
        for stats in edges {
            let callers: BTreeSet<&PodUid> = stats.pairs.iter().map(|pair| &pair.caller).collect();
            let requests = stats.total.requests / (callers.len() as u64).max(1);
            let Some(any) = stats.pairs.first().filter(|_| requests > 0).cloned() else {
                continue;
            };
            stats.pairs.extend(fresh.iter().map(|uid| PairStats {
                caller: uid.clone(),
                locality: Locality::OtherZone,
                exchange: Exchange {
                    requests,
                    ..Exchange::default()
                },
                ..any.clone()
            }));
        }
    }
}

/// Labels that name a node and its zone.
const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// The pod that goes first when a workload shrinks: as the ReplicaSet controller chooses, one that is not placed or not ready, then one
/// of the node that holds most of them, then the youngest.
fn surplus(cluster: &ClusterView, id: &WorkloadId) -> Option<PodUid> {
    let mut by_node: BTreeMap<&NodeName, u64> = BTreeMap::new();
    for pod in cluster.pods_of(id) {
        if let Some(node) = &pod.node {
            *by_node.entry(node).or_default() += 1;
        }
    }
    let rank = |pod: &&Pod| {
        let twins = pod.node.as_ref().and_then(|node| by_node.get(node)).copied();
        (pod.node.is_none(), !pod.ready, twins, pod.created, pod.uid.clone())
    };
    cluster.pods_of(id).max_by_key(rank).map(|pod| pod.uid.clone())
}

/// Each edge with the share of its calls that the model keeps on their node as the cluster stands.
fn near<'m>(model: &'m Model<'_>) -> impl Iterator<Item = (&'m EdgeId, f64)> {
    let still = State {
        at: model.today(),
        wish: vec![false; model.workloads.len()],
    };
    let outlook = evaluate(model, &still, None);
    model
        .edges
        .iter()
        .zip(outlook.splits.iter().collect::<Vec<_>>())
        .map(|(edge, split)| (&edge.stats.edge, split.node))
}
