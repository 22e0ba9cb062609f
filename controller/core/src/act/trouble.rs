//! What can go wrong with a step or a plan. A closed set: label, JSON and sentence come from it.

use crate::id::{NodeName, WorkloadId};
use crate::plan::{Faded, RefusalReason};
use crate::time::Timestamp;
use crate::verify::Sign;
use serde::{Deserialize, Serialize};

/// Why a step was skipped or undone, or a plan stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "reason", rename_all_fields = "camelCase")]
pub enum Trouble {
    /// The pod is no longer there.
    PodGone,
    /// What the step wants is so already.
    AlreadySo,
    /// The wanted node is gone, not ready or cordoned.
    NodeLost,
    /// The workload is gone.
    WorkloadGone,
    /// The Service is gone.
    ServiceGone,
    /// No ReplicaSet owns the pod.
    NotOwned,
    /// The workload's selector has no label that a rule could name.
    Unselectable,
    /// Its owner opted out, or the namespace is no longer covered.
    NotAllowed,
    /// Its owner rolled the workload out.
    RolledOut,
    /// The disruption budget allowed none for too long, or several select the pod.
    Budget,
    /// Not all its pods became ready in time.
    Unready,
    /// The rule failed its dry run.
    RuleRefused {
        /// What the API server or the check said.
        why: String,
    },
    /// The rule was not seen in force in time.
    RuleNotInForce,
    /// Another plan, still under way, has a steady rule for the workload.
    RuleInForce {
        /// That plan.
        plan: String,
    },
    /// The workload's roll-outs take ready pods away before their successors are ready.
    Strategy {
        /// What its strategy says.
        why: String,
    },
    /// Somebody else owns the template's fields.
    FieldOwned {
        /// Who, as the API server says it.
        by: String,
    },
    /// Somebody else changed what was set in the template.
    TemplateTaken,
    /// Somebody else changed the container's figures in the template, or took the container out.
    TemplateSizeTaken,
    /// The API server refused the change of the template, or a pod of it as a dry run: a LimitRange, a quota, an admission policy, no right.
    TemplateRefused {
        /// What the API server said.
        why: String,
    },
    /// The new pods stand on fewer nodes or zones than the old ones, or too many on one node.
    Crowded {
        /// Nodes before.
        nodes_before: u64,
        /// Nodes after.
        nodes_after: u64,
        /// Zones before.
        zones_before: u64,
        /// Zones after.
        zones_after: u64,
    },
    /// The scheduler put the replacement on another node.
    Elsewhere {
        /// Which.
        node: NodeName,
    },
    /// The replacement found no node.
    Unschedulable,
    /// The replacement did not become ready in time.
    NotReady,
    /// The move took too long in all.
    TooLong,
    /// The rules are no longer in force: a pod could not be created, or somebody threw the switch.
    Unbound,
    /// The guard of local routing says no.
    Guard {
        /// Why.
        #[serde(flatten)]
        guard: GuardReason,
    },
    /// Somebody else set the Service's routing.
    RoutingTaken,
    /// Somebody else set the container's figures.
    SizeTaken,
    /// The kubelet does not say what its containers have, so none can be resized in place.
    NotResizable,
    /// The resize failed its dry run: a LimitRange, a quota, or no right.
    ResizeRefused {
        /// What the API server said.
        why: String,
    },
    /// The node has no room for it now.
    Deferred {
        /// What the kubelet said.
        why: String,
    },
    /// The node can never do it.
    Infeasible {
        /// What the kubelet said.
        why: String,
    },
    /// The kubelet tried and failed.
    ResizeFailed {
        /// What the kubelet said.
        why: String,
    },
    /// The kubelet did not do it in time.
    NotResized,
    /// The container was restarted meanwhile.
    Restarted,
    /// Too many steps failed; the rest was left out.
    Stopped,
    /// The rule is of use again.
    OfUse,
    /// The plan that had placed the rule was rolled back.
    OriginUndone {
        /// That plan.
        plan: String,
    },
    /// No step was done.
    NothingDone,
    /// Somebody wants it undone.
    Wanted {
        /// Who.
        by: String,
    },
    /// The proof shows harm.
    Regressed,
    /// The plan's content is not what its digest says.
    Tampered,
    /// What was given back is missed.
    Missed {
        /// What shows it.
        sign: Sign,
    },
    /// The namespace allows no nodes to be labelled for it.
    CellsNotAllowed,
    /// Its nodes could not be labelled in time.
    NodesNotLabelled,
    /// Its labels could not be taken off again in time.
    LabelsLeft,
    /// The callee cannot be a companion, or its Companion failed its dry run.
    CompanionRefused {
        /// Why.
        why: String,
    },
    /// The Companion was not seen in force in time.
    CompanionNotInForce,
    /// Companions were taken out of force, or this one was deleted.
    CompanionUnbound,
    /// A new pod came without the companion.
    CompanionMissing,
    /// The caller's pods hold another companion.
    OtherCompanion {
        /// Which.
        name: String,
    },
    /// The callee's template is no longer the one that its companion was made from.
    CalleeChanged,
    /// The calls did not stay inside the pods.
    NotInside {
        /// How many of a hundred did; `None` where too few calls were measured.
        percent: Option<u64>,
    },
    /// Calls over loopback are no longer possible, or no longer wanted.
    DirectRefused {
        /// Why.
        why: String,
    },
    /// Pods that could not be replaced in time keep their companions until they are.
    CompanionsLeft,
    /// The callee makes calls of its own.
    CalleeCalls {
        /// Whom it calls.
        to: WorkloadId,
    },
    /// Pods that hold a callee call somebody whom their caller did not call before.
    NewCalls {
        /// Whom.
        to: WorkloadId,
    },
    /// The load that justified a merge has gone.
    LoadGone {
        /// What is gone.
        why: Faded,
        /// Since when.
        since: Timestamp,
    },
}

/// Why local routing is not safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "guard", rename_all_fields = "camelCase")]
pub enum GuardReason {
    /// A ready pod would get more than the bound allows.
    Overload {
        /// Its load ÷ its share, in hundredths.
        factor: u64,
    },
    /// Fewer than two ready pods.
    TooFewPods,
    /// A pod near its callers answers 5xx.
    Errors {
        /// Which.
        pod: String,
    },
    /// The Service is headless, or something overrides its routing.
    Overridden {
        /// What.
        by: String,
    },
    /// Nothing is measured yet that would show it safe.
    Unmeasured,
}

impl From<&RefusalReason> for GuardReason {
    /// The planner's reasons about routing, as the guard's; any other reason means that nothing shows the route safe.
    fn from(reason: &RefusalReason) -> Self {
        if let RefusalReason::Overload { factor } = reason {
            Self::Overload { factor: factor.0 }
        } else if let RefusalReason::RoutingOverridden { by } = reason {
            Self::Overridden { by: by.clone() }
        } else if matches!(reason, RefusalReason::TooFewPods) {
            Self::TooFewPods
        } else {
            Self::Unmeasured
        }
    }
}

impl GuardReason {
    fn sentence(&self) -> String {
        match self {
            Self::Overload { factor } => {
                format!(
                    "one pod would get {}.{:02} times its share of the calls",
                    factor / 100,
                    factor % 100
                )
            }
            Self::TooFewPods => "fewer than two pods are ready".to_owned(),
            Self::Errors { pod } => format!("pod {pod} answers its near callers with errors"),
            Self::Overridden { by } => format!("{by} overrides the Service's routing"),
            Self::Unmeasured => "nothing measured yet shows that it is safe".to_owned(),
        }
    }
}

impl Trouble {
    /// Whether a move that ended so would likely end so again: its replacement did not come up on the wanted node.
    pub fn is_of_the_place(&self) -> bool {
        matches!(self, Self::Elsewhere { .. } | Self::Unschedulable | Self::NotReady)
    }
    /// Whether a merge that ended so was overtaken by something else, and may be tried again soon; else somebody or something was against it.
    pub fn overtakes_a_merge(&self) -> bool {
        matches!(
            self,
            Self::WorkloadGone
                | Self::NotAllowed
                | Self::RolledOut
                | Self::Budget
                | Self::Unready
                | Self::CompanionRefused { .. }
                | Self::OtherCompanion { .. }
                | Self::CalleeChanged
                | Self::DirectRefused { .. }
                | Self::CalleeCalls { .. }
                | Self::LoadGone { .. }
        )
    }
    /// The JSON name.
    pub fn label(&self) -> &'static str {
        match self {
            Self::PodGone => "podGone",
            Self::AlreadySo => "alreadySo",
            Self::NodeLost => "nodeLost",
            Self::WorkloadGone => "workloadGone",
            Self::ServiceGone => "serviceGone",
            Self::NotOwned => "notOwned",
            Self::Unselectable => "unselectable",
            Self::NotAllowed => "notAllowed",
            Self::RolledOut => "rolledOut",
            Self::Budget => "budget",
            Self::Unready => "unready",
            Self::RuleRefused { .. } => "ruleRefused",
            Self::RuleNotInForce => "ruleNotInForce",
            Self::RuleInForce { .. } => "ruleInForce",
            Self::Strategy { .. } => "strategy",
            Self::FieldOwned { .. } => "fieldOwned",
            Self::TemplateTaken => "templateTaken",
            Self::TemplateSizeTaken => "templateSizeTaken",
            Self::TemplateRefused { .. } => "templateRefused",
            Self::Crowded { .. } => "crowded",
            Self::Elsewhere { .. } => "elsewhere",
            Self::Unschedulable => "unschedulable",
            Self::NotReady => "notReady",
            Self::TooLong => "tooLong",
            Self::Unbound => "unbound",
            Self::Guard { .. } => "guard",
            Self::RoutingTaken => "routingTaken",
            Self::SizeTaken => "sizeTaken",
            Self::NotResizable => "notResizable",
            Self::ResizeRefused { .. } => "resizeRefused",
            Self::Deferred { .. } => "deferred",
            Self::Infeasible { .. } => "infeasible",
            Self::ResizeFailed { .. } => "resizeFailed",
            Self::NotResized => "notResized",
            Self::Restarted => "restarted",
            Self::Stopped => "stopped",
            Self::OfUse => "ofUse",
            Self::OriginUndone { .. } => "originUndone",
            Self::NothingDone => "nothingDone",
            Self::Wanted { .. } => "wanted",
            Self::Regressed => "regressed",
            Self::Tampered => "tampered",
            Self::Missed { .. } => "missed",
            Self::CellsNotAllowed => "cellsNotAllowed",
            Self::NodesNotLabelled => "nodesNotLabelled",
            Self::LabelsLeft => "labelsLeft",
            Self::CompanionRefused { .. } => "companionRefused",
            Self::CompanionNotInForce => "companionNotInForce",
            Self::CompanionUnbound => "companionUnbound",
            Self::CompanionMissing => "companionMissing",
            Self::OtherCompanion { .. } => "otherCompanion",
            Self::CalleeChanged => "calleeChanged",
            Self::NotInside { .. } => "notInside",
            Self::DirectRefused { .. } => "directRefused",
            Self::CompanionsLeft => "companionsLeft",
            Self::CalleeCalls { .. } => "calleeCalls",
            Self::NewCalls { .. } => "newCalls",
            Self::LoadGone { .. } => "loadGone",
        }
    }

    /// One sentence for people, without a full stop.
    pub fn sentence(&self) -> String {
        match self {
            Self::PodGone => "the pod is gone".to_owned(),
            Self::AlreadySo => "it is so already".to_owned(),
            Self::NodeLost => "the wanted node is gone, not ready or cordoned".to_owned(),
            Self::WorkloadGone => "the workload is gone".to_owned(),
            Self::ServiceGone => "the Service is gone".to_owned(),
            Self::NotOwned => "no ReplicaSet owns the pod".to_owned(),
            Self::Unselectable => "the workload's selector names no label that a rule could use".to_owned(),
            Self::NotAllowed => "the workload opted out, its namespace's Policy says Observe or Recommend, or Huddle may no longer act there".to_owned(),
            Self::RolledOut => "its owner is rolling the workload out".to_owned(),
            Self::Budget => "the disruption budget does not allow it".to_owned(),
            Self::Unready => "not all pods of the workload became ready".to_owned(),
            Self::RuleRefused { why } => format!("the rule failed its dry run: {why}"),
            Self::RuleNotInForce => "the rule did not come into force in time".to_owned(),
            Self::RuleInForce { plan } => {
                format!("a rule of plan {plan}, which is still under way, stands for the workload")
            }
            Self::Strategy { why } => format!("its roll-outs could leave too few pods: {why}"),
            Self::FieldOwned { by } => format!("its template's affinity belongs to somebody else: {by}"),
            Self::TemplateTaken => "somebody else changed the template's affinity".to_owned(),
            Self::TemplateSizeTaken => "somebody else changed the container's figures in the template".to_owned(),
            Self::TemplateRefused { why } => format!("the API server refused the change of the template: {why}"),
            Self::Crowded {
                nodes_before,
                nodes_after,
                zones_before,
                zones_after,
            } => format!(
                "its new pods are spread worse ({nodes_before} nodes in {zones_before} zones before, {nodes_after} in \
                 {zones_after} after; at most half of them, rounded up, may share a node)"
            ),
            Self::Elsewhere { node } => format!("the scheduler put the replacement on {node}"),
            Self::Unschedulable => "no node had room for the replacement".to_owned(),
            Self::NotReady => "the replacement did not become ready in time".to_owned(),
            Self::TooLong => "the move took too long".to_owned(),
            Self::Unbound => "the rules were switched off, because a pod could not be created or by hand".to_owned(),
            Self::Guard { guard } => guard.sentence(),
            Self::RoutingTaken => "somebody else set the Service's routing".to_owned(),
            Self::SizeTaken => "somebody else set the container's figures".to_owned(),
            Self::NotResizable => {
                "the kubelet does not say what the container has: it cannot be resized in place (Kubernetes 1.33)"
                    .to_owned()
            }
            Self::ResizeRefused { why } => format!("the resize failed its dry run: {why}"),
            Self::Deferred { why } => format!("its node has no room for it now: {why}"),
            Self::Infeasible { why } => format!("its node can never do it: {why}"),
            Self::ResizeFailed { why } => format!("its node tried and failed: {why}"),
            Self::NotResized => "the kubelet did not resize it in time".to_owned(),
            Self::Restarted => "the container was restarted meanwhile".to_owned(),
            Self::Stopped => "too many steps before it failed".to_owned(),
            Self::OfUse => "the rule is of use again".to_owned(),
            Self::OriginUndone { plan } => format!("plan {plan}, which had placed the rule, was rolled back"),
            Self::NothingDone => "no step could be done".to_owned(),
            Self::Wanted { by } => format!("{by} asked for it"),
            Self::Regressed => "the proof shows harm".to_owned(),
            Self::Tampered => "the plan's content is not what its digest says".to_owned(),
            Self::Missed { sign } => format!("what was given back is missed: {}", sign.sentence()),
            Self::CellsNotAllowed => "Huddle may label no nodes for this namespace".to_owned(),
            Self::NodesNotLabelled => "its nodes could not be labelled in time".to_owned(),
            Self::LabelsLeft => "labels were left on nodes: taking them off was refused; without a rule they do nothing".to_owned(),
            Self::CompanionRefused { why } => format!("the callee cannot be a companion: {why}"),
            Self::CompanionNotInForce => "the companion did not come into force in time".to_owned(),
            Self::CompanionUnbound => {
                "companions were switched off, because a pod could not be created or by hand, or this one was deleted".to_owned()
            }
            Self::CompanionMissing => "a new pod came without the companion".to_owned(),
            Self::OtherCompanion { name } => format!("the caller's pods hold companion {name}, and a pod has one"),
            Self::CalleeChanged => "the callee's owner changed its template: the companion is of another version".to_owned(),
            Self::NotInside { percent: Some(percent) } => {
                format!("of the caller's calls only {percent} % stayed inside its pods")
            }
            Self::NotInside { percent: None } => "too few calls were measured to see that they stay inside".to_owned(),
            Self::DirectRefused { why } => format!("calls over loopback are no longer possible, or not wanted: {why}"),
            Self::CompanionsLeft => {
                "some pods could not be replaced in time; they keep their companions, which get no calls, until they are".to_owned()
            }
            Self::CalleeCalls { to } => {
                format!("the callee makes calls of its own (to {to}), which would go out in the caller's name")
            }
            Self::NewCalls { to } => format!(
                "the caller's pods call {to}, which they did not before: inside one pod nobody can tell that from a call of the callee's own, which would go \
                 out in the caller's name"
            ),
            Self::LoadGone { why, since } => format!("{}, since {}", why.sentence(), since.utc()),
        }
    }

    /// Whether it ends the whole plan rather than one step. A resize that a node does not do speaks against all of them: pods of one
    /// workload with different figures share their calls alike, and the slowest is its tail.
    pub(super) fn stops_the_plan(&self) -> bool {
        match self {
            Self::Unbound
            | Self::CompanionUnbound
            | Self::SizeTaken
            | Self::NotResizable
            | Self::ResizeRefused { .. }
            | Self::Deferred { .. }
            | Self::Infeasible { .. }
            | Self::ResizeFailed { .. }
            | Self::NotResized
            | Self::Restarted => true,
            Self::PodGone
            | Self::AlreadySo
            | Self::NodeLost
            | Self::WorkloadGone
            | Self::ServiceGone
            | Self::NotOwned
            | Self::Unselectable
            | Self::NotAllowed
            | Self::RolledOut
            | Self::Budget
            | Self::Unready
            | Self::RuleRefused { .. }
            | Self::RuleNotInForce
            | Self::RuleInForce { .. }
            | Self::Strategy { .. }
            | Self::FieldOwned { .. }
            | Self::TemplateTaken
            | Self::TemplateSizeTaken
            | Self::TemplateRefused { .. }
            | Self::Crowded { .. }
            | Self::Elsewhere { .. }
            | Self::Unschedulable
            | Self::NotReady
            | Self::TooLong
            | Self::Guard { .. }
            | Self::RoutingTaken
            | Self::Stopped
            | Self::OfUse
            | Self::OriginUndone { .. }
            | Self::NothingDone
            | Self::Wanted { .. }
            | Self::Regressed
            | Self::Tampered
            | Self::Missed { .. }
            | Self::CellsNotAllowed
            | Self::NodesNotLabelled
            | Self::LabelsLeft
            | Self::CompanionRefused { .. }
            | Self::CompanionNotInForce
            | Self::CompanionMissing
            | Self::OtherCompanion { .. }
            | Self::CalleeChanged
            | Self::NotInside { .. }
            | Self::DirectRefused { .. }
            | Self::CompanionsLeft
            | Self::CalleeCalls { .. }
            | Self::NewCalls { .. }
            | Self::LoadGone { .. } => false,
        }
    }
}
