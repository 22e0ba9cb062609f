//! Deciding from findings alone, for stories of starved pods.

use super::World;
use huddle_core::diagnose::Finding;
use huddle_core::graph::Snapshot;
use huddle_core::plan::{Action, Plan, PlannerConfig, Refusal, RefusalReason, plan};
use huddle_core::time::{Span, Timestamp, Window};
use std::collections::BTreeMap;

/// A graph without an edge: what is decided follows from the findings alone.
pub fn nothing_measured() -> Snapshot {
    Snapshot {
        at: Timestamp(0),
        window: Window {
            from: Timestamp(0),
            to: Timestamp(0).plus(Span::seconds(120)),
        },
        edges: BTreeMap::new(),
    }
}

/// When is decided: the pods have long been running.
pub const NOW: Timestamp = Timestamp(1_003_600_000);

/// The plan that these findings ask for.
pub fn decide(world: &World, findings: &[Finding]) -> Plan {
    let config = PlannerConfig::default();
    plan(&nothing_measured(), findings, &world.cluster, &config, NOW)
}

/// The labels of what is refused.
pub fn why(plan: &Plan) -> Vec<&'static str> {
    let why = |refusal: &Refusal| {
        if let RefusalReason::Unrelieved { why } = &refusal.reason {
            why.label()
        } else {
            refusal.reason.label()
        }
    };
    plan.refusals.iter().map(why).collect()
}

/// The cpu limits that a plan sets, action by action, in millicores.
pub fn limits(plan: &Plan) -> Vec<u64> {
    let limit = |action: &Action| match action {
        Action::Resize { to, .. } | Action::Size { to, .. } => to.limits.cpu.map(|cpu| cpu.0),
        Action::Place { .. }
        | Action::Move { .. }
        | Action::Route { .. }
        | Action::Withdraw { .. }
        | Action::Cell { .. }
        | Action::Merge { .. } => None,
    };
    plan.actions.iter().filter_map(limit).collect()
}
