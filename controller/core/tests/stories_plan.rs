//! Stories of plan: clusters whose best layout is known, measured, planned, carried out, measured again.

mod world;

use huddle_core::diagnose::{DiagnoseConfig, diagnose};
use huddle_core::graph::Snapshot;
use huddle_core::plan::{Action, Plan, PlannerConfig, plan};
use world::{World, boutique};

fn planned(world: &World, snapshot: &Snapshot) -> Plan {
    let findings = diagnose(snapshot, &DiagnoseConfig::default());
    plan(
        snapshot,
        &findings,
        &world.cluster,
        &PlannerConfig::default(),
        world.now,
    )
}

/// Carries a plan out as act would, without its care.
fn carry_out(world: &mut World, plan: &Plan) {
    for action in &plan.actions {
        match action {
            Action::Place { .. } => {}
            Action::Move { pod, to, .. } => world.relocate(pod, to),
            Action::Route { service, to, .. } => world.cluster.services.get_mut(service).unwrap().routing = *to,
        }
    }
}

/// Share of the calls that were not same-node before, over the edges acted on, and their same-node share in `after`.
fn together(plan: &Plan, before: &Snapshot, after: &Snapshot) -> (f64, f64) {
    let far = |snapshot: &Snapshot, acted: bool| -> u64 {
        let acted_on =
            |edge: &&huddle_core::graph::EdgeStats| plan.expected.iter().any(|expected| expected.edge == edge.edge);
        let edges = snapshot.edges.values().filter(|edge| !acted || acted_on(edge));
        edges.map(|edge| edge.part(false).requests).sum()
    };
    let all: u64 = plan
        .expected
        .iter()
        .map(|expected| after.edges[&expected.edge].total.requests)
        .sum();
    (
        far(before, true) as f64 / far(before, false) as f64,
        1.0 - far(after, true) as f64 / all as f64,
    )
}

fn in_words(plan: &Plan) -> String {
    let actions = plan.actions.iter().map(Action::sentence);
    let refusals = plan.refusals.iter().map(huddle_core::plan::Refusal::sentence);
    let expected = plan.expected.iter().map(|e| {
        format!(
            "{}: {} → {}, p50 {} → {} … {}, p99 {} → {} … {}",
            e.edge,
            e.local_share_before,
            e.local_share_after,
            e.network_p50_before,
            e.network_p50.0,
            e.network_p50.1,
            e.network_p99_before,
            e.network_p99.0,
            e.network_p99.1
        )
    });
    actions.chain(expected).chain(refusals).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shop_is_brought_together() {
    let mut world = boutique(4.0);
    let before = world.measure(60);
    let plan = planned(&world, &before);
    carry_out(&mut world, &plan);
    let after = world.measure(60);
    let (covered, local) = together(&plan, &before, &after);
    insta::assert_snapshot!(in_words(&plan));
    assert!(plan.expected.len() >= 3, "{} edges", plan.expected.len());
    assert!(covered >= 0.6, "covers {covered}");
    assert!(local >= 0.8, "same-node share {local}");
    assert!((4..=16).contains(&plan.pods_restarted), "{} moves", plan.pods_restarted);
}
