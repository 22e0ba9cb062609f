//! The values of a plan.

use super::cell::Seat;
use super::faded::Faded;
use super::giveback::{GivenBack, Kept};
use super::merge::{Advice, Unmerged, Way};
use super::relief::{Relief, Unrelieved};
use super::trigger::Trigger;
use crate::cluster::{RoutingMode, Sizing};
use crate::id::{ContainerName, EdgeId, NodeName, PodUid, ServiceId, WorkloadId};
use crate::time::{Span, Timestamp};
use crate::units::{Micros, Ratio};
use serde::{Deserialize, Serialize};

/// How a steady rule, of placement or of size, is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PlaceForm {
    /// As a Rule that pods get as they are created; the template stays as its owner wrote it.
    #[default]
    Admission,
    /// In the workload's template, which restarts all its pods.
    Template,
}

impl PlaceForm {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One action. These are all the actions that act has (the planner can propose nothing else).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", rename_all_fields = "camelCase")]
pub enum Action {
    /// Steady placement rule: `workload`'s new pods prefer nodes that hold a pod of `with`, spread over them.
    Place {
        /// Whose pods are placed.
        workload: WorkloadId,
        /// Next to whose pods.
        with: WorkloadId,
        /// How it is written.
        #[serde(default, skip_serializing_if = "PlaceForm::is_default")]
        form: PlaceForm,
    },
    /// Orphan move of one pod, under a step rule that names `to`.
    Move {
        /// Whose pod.
        workload: WorkloadId,
        /// Which pod.
        pod: PodUid,
        /// Its name, for people.
        pod_name: String,
        /// Where it runs.
        from: NodeName,
        /// Where its replacement is to run.
        to: NodeName,
    },
    /// Sets the Service's trafficDistribution.
    Route {
        /// Which Service.
        service: ServiceId,
        /// Whose pods it selects.
        workload: WorkloadId,
        /// Mode before.
        from: RoutingMode,
        /// Mode wanted.
        to: RoutingMode,
    },
    /// Steady size: the container comes with at least these figures in the workload's new pods. Only what changes is set. Written into
    /// the template, these are its figures, and all pods are rolled out with them.
    Size {
        /// Whose pods.
        workload: WorkloadId,
        /// Which of their containers.
        container: ContainerName,
        /// The figures.
        #[serde(rename = "sizeTo")]
        to: Sizing,
        /// Figures that are lowered: what the template says of them. Where it says anything else by then, they stay as it says. Written
        /// into the template: what it says of all that change; of such as it does not set, nothing.
        #[serde(rename = "sizeFrom", default, skip_serializing_if = "Sizing::is_empty")]
        instead: Sizing,
        /// How it is written.
        #[serde(default, skip_serializing_if = "PlaceForm::is_default")]
        form: PlaceForm,
    },
    /// In-place resize of one container of one running pod.
    Resize {
        /// Whose pod.
        workload: WorkloadId,
        /// Which pod.
        pod: PodUid,
        /// Its name, for people.
        pod_name: String,
        /// Which container.
        container: ContainerName,
        /// Its figures before.
        #[serde(rename = "sizeFrom")]
        from: Sizing,
        /// Its figures then.
        #[serde(rename = "sizeTo")]
        to: Sizing,
    },
    /// Deletes a steady placement rule whose gain is gone. Nothing is restarted: pods created later are placed without it.
    Withdraw {
        /// Whose pods it places.
        workload: WorkloadId,
        /// Next to whose; `None` where they are gone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<WorkloadId>,
        /// The rule's name, in the workload's namespace.
        rule: String,
        /// Its uid.
        rule_uid: String,
        /// What is gone.
        faded: Faded,
        /// Since when.
        faded_since: Timestamp,
    },
    /// Steady placement rule with a cell of its own: the nodes get a label, and `workload`'s new pods prefer them, spread over them alone.
    Cell {
        /// Whose pods are placed.
        workload: WorkloadId,
        /// For whose sake: a workload whose pods stand on these nodes too.
        with: WorkloadId,
        /// The nodes, by name; at most [`super::MOST_SEATS`].
        seats: Vec<Seat>,
    },
    /// Runs `with` inside the pods of `workload`. Both templates stay as they are.
    Merge {
        /// The caller: whose pods hold both.
        workload: WorkloadId,
        /// The callee: whose containers join them.
        with: WorkloadId,
        /// By which way its calls come to them.
        #[serde(default, skip_serializing_if = "Way::is_default")]
        way: Way,
    },
}

/// What a plan is about; each plan is about one thing. In the order in which they come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlanKind {
    /// Starved pods are given more cpu.
    Relief,
    /// Pods that call each other are brought together; a plan that does nothing is one of these.
    Nearer,
    /// Rules whose gain is gone are deleted.
    Withdrawal,
    /// A callee joins its caller's pods.
    Merge,
    /// What nobody needs is given back.
    GiveBack,
}

impl PlanKind {
    /// Whether a proposal of this kind and one of the other are open beside each other; of others, one takes the other's place. Relief is
    /// beside none: who is starved may need what would be given back, and a copy of it would be starved too.
    pub fn is_beside(self, other: Self) -> bool {
        match (self, other) {
            (Self::Relief, _) | (_, Self::Relief) => false,
            (Self::GiveBack | Self::Merge, _) | (_, Self::GiveBack | Self::Merge) => self != other,
            (Self::Nearer | Self::Withdrawal, Self::Nearer | Self::Withdrawal) => false,
        }
    }
}

/// What an edge acted on is expected to gain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expected {
    /// Which edge.
    pub edge: EdgeId,
    /// Same-node share today.
    pub local_share_before: Ratio,
    /// Same-node share under the predicted layout and routing.
    pub local_share_after: Ratio,
    /// Network p50 today.
    pub network_p50_before: Micros,
    /// Network p50 expected, low and high.
    pub network_p50: (Micros, Micros),
    /// Network p99 today.
    pub network_p99_before: Micros,
    /// Network p99 expected, low and high.
    pub network_p99: (Micros, Micros),
}

/// Spread of one workload, before and as predicted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// Whose.
    pub workload: WorkloadId,
    /// Distinct nodes before.
    pub nodes_before: u64,
    /// Distinct nodes predicted.
    pub nodes_after: u64,
    /// Distinct zones before.
    pub zones_before: u64,
    /// Distinct zones predicted.
    pub zones_after: u64,
}

/// Why the planner did not do something. A closed set: label, JSON and sentence come from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "reason", rename_all_fields = "camelCase")]
pub enum RefusalReason {
    /// The policy's automation level is Observe.
    ObserveOnly,
    /// Huddle has no write right in the namespace.
    NoRight,
    /// The namespaces' policies do not name each other.
    NoConsent,
    /// The workload is annotated huddle.dev/opt-out.
    OptedOut,
    /// Only Deployments are moved.
    NotMovable,
    /// A rollout is under way.
    Rolling,
    /// A rule is in force whose place no other takes: its plan is under way, or the move would bring no rule with it.
    RuleInForce {
        /// The plan that placed it.
        plan: String,
    },
    /// The disruption budget allows none, or several budgets select the pods.
    Budget,
    /// No node near the callers has room.
    NoCapacity {
        /// The node that came closest.
        node: NodeName,
        /// Which resource is short.
        resource: String,
    },
    /// The pod's own constraints forbid the wanted nodes.
    Constraint {
        /// Which constraint, as its field path.
        field: String,
    },
    /// A move of its pods to the node did not work a short while ago.
    TriedInVain {
        /// Where to.
        node: NodeName,
        /// How often in a row.
        times: u64,
        /// In which plan last.
        plan: String,
        /// When it may be tried again.
        until: Timestamp,
    },
    /// It would end on fewer nodes or zones, or more than half its replicas on one node.
    Spread {
        /// Nodes today.
        nodes_before: u64,
        /// Nodes then.
        nodes_after: u64,
    },
    /// Rules are written into templates there, and the restart that brings one would not put the pods where they are wanted.
    TemplateElsewhere,
    /// Local routing would give one pod more than 1.3 × its share.
    Overload {
        /// The worst pod's load ÷ its share.
        factor: Percent,
    },
    /// Fewer than two ready pods behind the Service.
    TooFewPods,
    /// The Service is headless, or something overrides its trafficDistribution.
    RoutingOverridden {
        /// What overrides it.
        by: String,
    },
    /// The gain is smaller than the noise or the moves are not worth it.
    SmallGain,
    /// More moves than the policy allows.
    MoveLimit {
        /// The limit.
        limit: u64,
    },
    /// Not enough data on the edge.
    NotEnoughData,
    /// A node near the callers has room by requests, but its pods would use more of it than is planned for.
    Headroom {
        /// The node.
        node: NodeName,
        /// Which resource.
        resource: String,
        /// What its pods would use of it then, in percent of what the node offers.
        percent: u64,
        /// The most that is planned, in percent.
        most: u64,
    },
    /// What it brings within the payback time is less than its pods cost until they have started and are warm.
    Costly {
        /// The payback time.
        payback: Span,
    },
    /// Pods are starved of cpu; while a plan gives them some, none is moved.
    PressureFirst,
    /// Its pods are starved, and are not given more.
    Unrelieved {
        /// Why not.
        #[serde(flatten)]
        why: Unrelieved,
    },
    /// It has more than it uses, and keeps it.
    Kept {
        /// Why.
        #[serde(flatten)]
        why: Kept,
    },
    /// Of so many nodes the scheduler scores a sample; a cell would keep its new pods better, and the right to make one is missing.
    NoCellRight,
    /// It does not join its caller's pods.
    Unmerged {
        /// Why.
        #[serde(flatten)]
        why: Unmerged,
    },
    /// It stands on more nodes than a cell can have.
    CellTooWide {
        /// Its nodes.
        nodes: u64,
        /// What a cell can have.
        most: u64,
    },
}

/// A factor in hundredths: 130 is 1.3 ×.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub u64);

/// Something not done, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Whose edge or workload: the callee.
    pub workload: WorkloadId,
    /// Next to whom, or for whose calls.
    pub with: Option<WorkloadId>,
    /// Why not.
    #[serde(flatten)]
    pub reason: RefusalReason,
}

/// An ordered list of actions with what it gains and costs. Equal input gives an equal plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// When it was made.
    pub at: Timestamp,
    /// In order.
    pub actions: Vec<Action>,
    /// Edges acted on, most gain first.
    pub expected: Vec<Expected>,
    /// What is expected for calls to pods that are given more cpu, most gain first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relief: Vec<Relief>,
    /// What is given back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_back: Vec<GivenBack>,
    /// What a callee inside its caller's pods is expected to bring and to cost: borrowed figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merging: Vec<Advice>,
    /// Spread of every workload moved.
    pub spread: Vec<Spread>,
    /// What was not done.
    pub refusals: Vec<Refusal>,
    /// Pods that will be re-created.
    pub pods_restarted: u64,
    /// Why it comes now; empty where nothing has changed but what was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<Trigger>,
    /// What it brings, as the lower bound of the evidence, in points of the policies' objectives: where nothing but waiting counts, seconds of
    /// network time saved per second. Where pods are given more cpu, seconds of served time; where cpu is given back, cores.
    pub saved: f64,
}

impl Plan {
    /// Whether it changes containers' figures; such a plan does nothing else.
    pub fn resizes(&self) -> bool {
        self.actions
            .iter()
            .any(|action| matches!(action, Action::Size { .. } | Action::Resize { .. }))
    }
    /// The caller, where a callee joins its pods over loopback: no proxy sees their calls then.
    pub fn direct(&self) -> Option<&WorkloadId> {
        self.actions.iter().find_map(|action| match action {
            Action::Merge {
                workload,
                way: Way::Direct,
                ..
            } => Some(workload),
            Action::Merge { way: Way::Proxied, .. }
            | Action::Place { .. }
            | Action::Move { .. }
            | Action::Route { .. }
            | Action::Size { .. }
            | Action::Resize { .. }
            | Action::Withdraw { .. }
            | Action::Cell { .. } => None,
        })
    }
    /// What it is about.
    pub fn kind(&self) -> PlanKind {
        if !self.given_back.is_empty() {
            return PlanKind::GiveBack;
        }
        if self.resizes() {
            return PlanKind::Relief;
        }
        let has = |of: fn(&Action) -> bool| self.actions.iter().any(of);
        if has(|action| matches!(action, Action::Merge { .. })) {
            return PlanKind::Merge;
        }
        match has(|action| matches!(action, Action::Withdraw { .. })) {
            true => PlanKind::Withdrawal,
            false => PlanKind::Nearer,
        }
    }
    /// The edges that are to gain; of what is given back, those that are not to lose.
    pub fn edges(&self) -> impl Iterator<Item = &EdgeId> {
        let nearer = self.expected.iter().map(|expected| &expected.edge);
        let relieved = self.relief.iter().map(|relief| &relief.edge);
        let lessened = self.given_back.iter().flat_map(|given| &given.edges);
        let merged = self.merging.iter().map(|advice| &advice.edge);
        nearer.chain(relieved).chain(lessened).chain(merged)
    }
}
