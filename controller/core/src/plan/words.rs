//! The words of plan.

use super::{Action, Percent, PlaceForm, Refusal, RefusalReason};
use crate::cluster::RoutingMode;
use crate::id::WorkloadId;
use std::fmt;

/// `1.30 ×`.
impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} ×", self.0 / 100, self.0 % 100)
    }
}

impl RoutingMode {
    /// As in `spec.trafficDistribution`; `Spread` is the field left out.
    pub fn label(self) -> &'static str {
        match self {
            Self::Spread => "Spread",
            Self::PreferSameZone => "PreferSameZone",
            Self::PreferSameNode => "PreferSameNode",
        }
    }
    /// For people, as the end of "its calls go …".
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Spread => "to every ready pod",
            Self::PreferSameZone => "to the same zone first",
            Self::PreferSameNode => "to the same node first",
        }
    }
}

impl Action {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Place { .. } => "place",
            Self::Move { .. } => "move",
            Self::Route { .. } => "route",
        }
    }
    /// Whose pods or calls it is about.
    pub fn workload(&self) -> &WorkloadId {
        match self {
            Self::Place { workload, .. } | Self::Move { workload, .. } | Self::Route { workload, .. } => workload,
        }
    }
    /// For people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Place {
                workload,
                with,
                form: PlaceForm::Admission,
            } => format!(
                "From now on, new pods of {workload} prefer nodes that hold a pod of {with}, spread evenly over them."
            ),
            Self::Place {
                workload,
                with,
                form: PlaceForm::Template,
            } => format!(
                "Let the template of {workload} say that its pods prefer nodes that hold a pod of {with}: all its pods are \
                 restarted, rolling, now and when it is undone."
            ),
            Self::Move {
                workload,
                pod_name,
                from,
                to,
                ..
            } => format!(
                "Move one pod of {workload} ({pod_name}) from {from} to {to}; it keeps serving until its replacement is \
                 ready there."
            ),
            Self::Route { service, from, to, .. } => format!(
                "Route calls to Service {service} {}; today they go {}.",
                to.sentence(),
                from.sentence()
            ),
        }
    }
}

impl RefusalReason {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ObserveOnly => "observeOnly",
            Self::NoRight => "noRight",
            Self::NoConsent => "noConsent",
            Self::OptedOut => "optedOut",
            Self::NotMovable => "notMovable",
            Self::Rolling => "rolling",
            Self::RuleInForce { .. } => "ruleInForce",
            Self::Budget => "budget",
            Self::NoCapacity { .. } => "noCapacity",
            Self::Constraint { .. } => "constraint",
            Self::Spread { .. } => "spread",
            Self::TemplateElsewhere => "templateElsewhere",
            Self::Overload { .. } => "overload",
            Self::TooFewPods => "tooFewPods",
            Self::RoutingOverridden { .. } => "routingOverridden",
            Self::SmallGain => "smallGain",
            Self::MoveLimit { .. } => "moveLimit",
            Self::NotEnoughData => "notEnoughData",
        }
    }
    /// For people, with what would change it where something would.
    pub fn sentence(&self) -> String {
        match self {
            Self::ObserveOnly => "the namespace's policy says Observe: nothing is proposed there.".to_owned(),
            Self::NoRight => {
                "Huddle may not write in this namespace; `huddle install --allow act` gives the right.".to_owned()
            }
            Self::NoConsent => "the two namespaces' policies do not name each other.".to_owned(),
            Self::OptedOut => "the workload is annotated huddle.dev/opt-out.".to_owned(),
            Self::NotMovable => "only Deployments are moved.".to_owned(),
            Self::Rolling => "a rollout is under way or pods are not ready; wait for it to end.".to_owned(),
            Self::RuleInForce { plan } => {
                format!("plan {plan} has a rule in force for it; wait for that plan's proof, or roll it back.")
            }
            Self::Budget => {
                "its disruption budget allows no disruption now, or several budgets select its pods.".to_owned()
            }
            Self::NoCapacity { node, resource } => {
                format!("no node near the other side has room; {node} comes closest and is short of {resource}.")
            }
            Self::Constraint { field } => format!("its own {field} forbids the nodes wanted."),
            Self::Spread {
                nodes_before,
                nodes_after,
            } => format!(
                "its spread would suffer ({nodes_before} nodes today, {nodes_after} then; at most half of its replicas, \
                 rounded up, may share a node, and no zone may be lost)."
            ),
            Self::TemplateElsewhere => {
                "placement rules are written into templates there, and a restart under such a rule would \
                                        not bring its pods where they are wanted."
                    .to_owned()
            }
            Self::Overload { factor } => {
                format!("local routing would give one pod {factor} its share of the load; at most 1.20 × is planned.")
            }
            Self::TooFewPods => "local routing needs at least two ready pods behind the Service.".to_owned(),
            Self::RoutingOverridden { by } => format!("{by} decides its routing."),
            Self::SmallGain => "the gain is within the noise or not worth the moves.".to_owned(),
            Self::MoveLimit { limit } => format!("the policy allows {limit} moves in one plan, and these are used."),
            Self::NotEnoughData => "not enough requests were measured yet.".to_owned(),
        }
    }
}

impl Refusal {
    /// For people, with the names.
    pub fn sentence(&self) -> String {
        match &self.with {
            Some(with) => format!(
                "{} is not brought closer to {with}: {}",
                self.workload,
                self.reason.sentence()
            ),
            None => format!("{}: {}", self.workload, self.reason.sentence()),
        }
    }
}
