//! Why a plan is proposed now: what has changed in the cluster and on its edges since the last one. The planner looks every few seconds in any
//! case; this is for people, who would else have to guess what is new.

use super::{Action, Plan, PlanKind, PlannerConfig};
use crate::cluster::{ClusterView, Used};
use crate::graph::Snapshot;
use crate::id::{EdgeId, NodeName, WorkloadId};
use crate::time::{Span, Timestamp};
use crate::units::Micros;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What has changed. A closed set: label, JSON and words come from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "trigger", rename_all_fields = "camelCase")]
pub enum Trigger {
    /// A node takes pods that did not before.
    NodeJoined {
        /// Which.
        node: NodeName,
    },
    /// A node takes no pods any more: it is drained, not ready or gone.
    NodeDrained {
        /// Which.
        node: NodeName,
    },
    /// A node's pods use more of it than is planned for.
    NodeShort {
        /// Which.
        node: NodeName,
    },
    /// A workload has other replicas.
    Scaled {
        /// Which.
        workload: WorkloadId,
        /// How many it had.
        from: u64,
        /// How many it has.
        to: u64,
    },
    /// An edge has a new level, above the one it had.
    Slower {
        /// Which.
        edge: EdgeId,
        /// Network p99 as it was.
        was: Micros,
        /// Since when it was so.
        since: Timestamp,
        /// Network p99 as it is.
        is: Micros,
    },
    /// What a rule was for is gone.
    Faded {
        /// Whose rule.
        workload: WorkloadId,
    },
    /// Somebody asked for it.
    Asked,
}

impl Trigger {
    /// The JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NodeJoined { .. } => "nodeJoined",
            Self::NodeDrained { .. } => "nodeDrained",
            Self::NodeShort { .. } => "nodeShort",
            Self::Scaled { .. } => "scaled",
            Self::Slower { .. } => "slower",
            Self::Faded { .. } => "faded",
            Self::Asked => "asked",
        }
    }
    /// For people, after "because".
    pub fn sentence(&self) -> String {
        match self {
            Self::NodeJoined { node } => format!("{node} joined"),
            Self::NodeDrained { node } => format!("{node} takes no more pods"),
            Self::NodeShort { node } => format!("the pods on {node} use more of it than is planned for"),
            Self::Scaled { workload, from, to } => format!("{workload} was scaled from {from} to {to}"),
            Self::Slower { edge, was, since, is } => format!(
                "{edge} is {} slower at p99 than its level since {}",
                Micros(is.0.saturating_sub(was.0)),
                since.utc()
            ),
            Self::Faded { workload } => format!("a rule for {workload} is of no use any more"),
            Self::Asked => "somebody asked for it".to_owned(),
        }
    }
    fn is_about(&self, plan: &Plan) -> bool {
        let touched = |id: &WorkloadId| {
            plan.actions.iter().any(|action| action.workload() == id)
                || plan.edges().any(|edge| edge.source == *id || edge.destination == *id)
        };
        let uses = |node: &NodeName, both: bool| {
            plan.actions.iter().any(|action| match action {
                Action::Move { from, to, .. } => to == node || (both && from == node),
                Action::Place { .. }
                | Action::Route { .. }
                | Action::Size { .. }
                | Action::Resize { .. }
                | Action::Withdraw { .. }
                | Action::Merge { .. } => false,
                Action::Cell { seats, .. } => seats.iter().any(|seat| seat.node == *node),
            })
        };
        match self {
            Self::NodeJoined { node } => uses(node, false),
            // What is drained moves by itself; what then stands apart is what plans are for.
            Self::NodeDrained { .. } => plan.kind() == PlanKind::Nearer,
            Self::NodeShort { node } => uses(node, true),
            Self::Scaled { workload, .. } => touched(workload),
            Self::Slower { edge, .. } => plan.edges().any(|acted| acted == edge),
            Self::Faded { workload } => touched(workload),
            Self::Asked => false,
        }
    }
}

/// Most events remembered: the oldest go first.
const MOST: usize = 100;
/// What is older explains nothing any more.
const OLD: Span = Span::seconds(3600);
/// Most reasons given for one plan.
const GIVEN: usize = 3;

/// What is watched between plans. Bounded, and lost with the process: then levels are learnt anew.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    nodes: Option<BTreeSet<NodeName>>,
    short: BTreeSet<NodeName>,
    replicas: BTreeMap<WorkloadId, u64>,
    levels: Levels,
    events: Vec<(Timestamp, Trigger)>,
}

impl Watch {
    /// One more look.
    pub fn look(&mut self, snapshot: &Snapshot, cluster: &ClusterView, config: &PlannerConfig, now: Timestamp) {
        let mut events = Vec::new();
        self.look_at_nodes(cluster, config, &mut events);
        self.look_at_replicas(snapshot, cluster, &mut events);
        events.extend(self.levels.look(snapshot, config, now));
        self.events.extend(events.into_iter().map(|event| (now, event)));
        self.events.retain(|(at, _)| now.since(*at) <= OLD);
        let over = self.events.len().saturating_sub(MOST);
        self.events.drain(..over);
    }

    /// Why a plan comes now: the newest of what has changed and has to do with it.
    pub fn because(&self, plan: &Plan) -> Vec<Trigger> {
        let mut given: Vec<Trigger> = Vec::new();
        let faded = plan.actions.iter().filter_map(|action| match action {
            Action::Withdraw { workload, .. } => Some(Trigger::Faded {
                workload: workload.clone(),
            }),
            Action::Place { .. }
            | Action::Move { .. }
            | Action::Route { .. }
            | Action::Size { .. }
            | Action::Resize { .. }
            | Action::Cell { .. }
            | Action::Merge { .. } => None,
        });
        let told = self.events.iter().rev().map(|(_, trigger)| trigger.clone());
        for trigger in faded.chain(told.filter(|trigger| trigger.is_about(plan))) {
            if given.len() < GIVEN && !given.contains(&trigger) {
                given.push(trigger);
            }
        }
        given
    }

    fn look_at_nodes(&mut self, cluster: &ClusterView, config: &PlannerConfig, events: &mut Vec<Trigger>) {
        let open: BTreeSet<NodeName> = cluster
            .nodes
            .values()
            .filter(|node| node.schedulable)
            .map(|node| node.name.clone())
            .collect();
        if let Some(before) = &self.nodes {
            let joined = open.difference(before).cloned();
            events.extend(joined.map(|node| Trigger::NodeJoined { node }));
            let drained = before.difference(&open).cloned();
            events.extend(drained.map(|node| Trigger::NodeDrained { node }));
        }
        self.nodes = Some(open);
        let mut used: BTreeMap<&NodeName, (bool, Used)> = BTreeMap::new();
        for pod in cluster.pods.values() {
            let Some(node) = &pod.node else { continue };
            let (told, sum) = used.entry(node).or_default();
            *told |= cluster.used.contains_key(&pod.uid);
            *sum = sum.plus(cluster.use_of(pod));
        }
        for node in cluster.nodes.values() {
            let (told, used) = used.get(&node.name).copied().unwrap_or_default();
            let percent = |used: u64, all: u64| u128::from(used) * 100 / u128::from(all.max(1));
            let most =
                percent(used.cpu.0, node.allocatable.cpu.0).max(percent(used.memory.0, node.allocatable.memory.0));
            // Short above the bound, and no longer so a tenth below it: figures waver.
            let bound = u128::from(config.most_use.0);
            if !told || most * 10 < bound * 9 {
                self.short.remove(&node.name);
            } else if most > bound && self.short.insert(node.name.clone()) {
                events.push(Trigger::NodeShort {
                    node: node.name.clone(),
                });
            }
        }
        self.short.retain(|node| cluster.nodes.contains_key(node));
    }

    fn look_at_replicas(&mut self, snapshot: &Snapshot, cluster: &ClusterView, events: &mut Vec<Trigger>) {
        let ends = snapshot.edges.keys().flat_map(|edge| [&edge.source, &edge.destination]);
        let ends: BTreeSet<&WorkloadId> = ends.collect();
        for id in ends {
            let Some(to) = cluster.workloads.get(id).map(|workload| workload.replicas) else {
                continue;
            };
            if let Some(from) = self.replicas.insert(id.clone(), to).filter(|from| *from != to) {
                events.push(Trigger::Scaled {
                    workload: id.clone(),
                    from,
                    to,
                });
            }
        }
        self.replicas.retain(|id, _| cluster.workloads.contains_key(id));
    }
}

/// Edges followed at most.
const EDGES: usize = 10_000;
/// A level is looked at so often: as long as the window takes to be another one, more or less.
const EVERY: Span = Span::seconds(60);
/// So many looks in a row say that it is a new level, and no passing trouble (FBDetect's "went-away" filter, facts/loop.md A4).
const LOOKS: u32 = 5;
/// By so much, in percent, a level must be passed: a p99 of some thousand requests wavers by tens of percent (facts/loop.md A4).
const PASSED: u64 = 150;
/// And by so much: below it nobody cares.
const LEAST: Micros = Micros(500);

/// The levels of edges: the network p99 that an edge has had, until it has clearly had another for a while.
#[derive(Clone, Debug, Default)]
struct Levels {
    looked: Option<Timestamp>,
    edges: BTreeMap<EdgeId, Level>,
}

#[derive(Clone, Debug)]
struct Level {
    p99: Micros,
    since: Timestamp,
    /// Looks in a row beyond the level; above it where positive.
    beyond: i64,
}

impl Levels {
    fn look(&mut self, snapshot: &Snapshot, config: &PlannerConfig, now: Timestamp) -> Vec<Trigger> {
        let mut events = Vec::new();
        if self.looked.is_some_and(|looked| now.since(looked) < EVERY) {
            return events;
        }
        self.looked = Some(now);
        self.edges.retain(|edge, _| snapshot.edges.contains_key(edge));
        for (edge, stats) in &snapshot.edges {
            let enough = stats.total.network.count() >= config.min_requests.saturating_mul(10);
            let Some(is) = stats.total.network.quantile(0.99).filter(|_| enough) else {
                continue;
            };
            let fresh = Level {
                p99: is,
                since: now,
                beyond: 0,
            };
            if let Some(level) = self.edges.get_mut(edge) {
                if let Some(was) = level.look(is) {
                    if is > was {
                        events.push(Trigger::Slower {
                            edge: edge.clone(),
                            was,
                            since: level.since,
                            is,
                        });
                    }
                    *level = fresh;
                }
            } else if self.edges.len() < EDGES {
                self.edges.insert(edge.clone(), fresh);
            }
        }
        events
    }
}

impl Level {
    /// The old level, if this look ends it.
    fn look(&mut self, is: Micros) -> Option<Micros> {
        let passes = |one: Micros, other: Micros| {
            one.0.saturating_mul(100) > other.0.saturating_mul(PASSED) && one.0 > other.0.saturating_add(LEAST.0)
        };
        self.beyond = match (passes(is, self.p99), passes(self.p99, is)) {
            (true, _) => self.beyond.max(0) + 1,
            (_, true) => self.beyond.min(0) - 1,
            (false, false) => 0,
        };
        (self.beyond.abs() >= i64::from(LOOKS)).then_some(self.p99)
    }
}
