//! Stories of cells: where a plan makes one, for whom, and what it is for.

mod world;

use huddle_core::cluster::Ruled;
use huddle_core::id::NodeName;
use huddle_core::plan::{Action, MOST_SEATS, PlaceForm, Plan, RefusalReason};
use std::collections::BTreeSet;
use world::check::check;
use world::{World, id, planned};

/// Two callers on nodes 0 and 1, two callees on nodes 2 and 3 of so many in four zones; a pair of neighbours lends local evidence.
fn apart(nodes: usize, cells: bool) -> World {
    let mut world = World::new(nodes, 4, 4000);
    world.deploy("front", 100, &[0, 1]);
    world.deploy("back", 100, &[2, 3]);
    world.deploy("here", 100, &[0, 1, 2, 3]);
    world.deploy("there", 100, &[0, 1, 2, 3]);
    world.calls("front", "back", 100.0);
    world.calls("here", "there", 20.0);
    world.cluster.policies.get_mut(&id("back").namespace).unwrap().cells = cells;
    world
}

fn plan_of(world: &mut World) -> Plan {
    let snapshot = world.measure(30);
    let plan = planned(world, &snapshot);
    check(&world.cluster, &plan).unwrap();
    plan
}

fn labels(plan: &Plan) -> Vec<&'static str> {
    plan.actions.iter().map(Action::label).collect()
}

fn in_words(plan: &Plan) -> String {
    let actions = plan.actions.iter().map(Action::sentence);
    let refusals = plan.refusals.iter().map(huddle_core::plan::Refusal::sentence);
    actions.chain(refusals).collect::<Vec<_>>().join("\n")
}

/// Whose cell, and on which nodes.
fn cells(plan: &Plan) -> Vec<(String, BTreeSet<NodeName>)> {
    let of = |action: &Action| {
        let Action::Cell { workload, seats, .. } = action else {
            return None;
        };
        let nodes = seats.iter().map(|seat| seat.node.clone());
        Some((workload.name.clone(), nodes.collect()))
    };
    plan.actions.iter().filter_map(of).collect()
}

/// In a large cluster the one that moves and the one that stays get a cell each, on the same nodes: the wish to be beside pods that may
/// come up anywhere holds nothing there.
#[test]
fn caller_and_callee_share_their_nodes() {
    let mut world = apart(120, true);
    let plan = plan_of(&mut world);
    assert_eq!(
        labels(&plan),
        ["cell", "cell", "move", "move", "route", "route"],
        "{}",
        in_words(&plan)
    );
    let cells = cells(&plan);
    let names: BTreeSet<&str> = cells.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["front", "back"]));
    assert_eq!(cells[0].1, cells[1].1, "{}", in_words(&plan));
    assert_eq!(cells[0].1.len(), 2);
    insta::assert_snapshot!(in_words(&plan));
}

/// Where all nodes are scored and the wish to be near pods, which counts both ways, keeps as much, nothing is labelled.
#[test]
fn rules_follow_pods_where_that_keeps_as_much() {
    for right in [false, true] {
        let plan = plan_of(&mut apart(4, right));
        let labels = labels(&plan);
        assert_eq!(
            labels,
            ["move", "move", "place", "route", "route"],
            "{}",
            in_words(&plan)
        );
    }
}

/// Where rules are written into templates there is no cell, whatever the label of the namespace says.
#[test]
fn templates_have_no_cells() {
    let mut world = apart(120, true);
    world.cluster.policies.get_mut(&id("back").namespace).unwrap().form = PlaceForm::Template;
    let plan = plan_of(&mut world);
    assert!(cells(&plan).is_empty(), "{}", in_words(&plan));
}

/// A caller that must be left alone has no cell; in a small cluster its callee then follows it, in a large one the cell is for the callee.
#[test]
fn who_must_be_left_alone_gets_no_cell() {
    for (nodes, expected) in [(4, vec![]), (120, vec!["back"])] {
        let mut world = apart(nodes, true);
        world.cluster.workloads.get_mut(&id("front")).unwrap().opted_out = true;
        let plan = plan_of(&mut world);
        let cells = cells(&plan);
        let names: Vec<&str> = cells.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, expected, "{}", in_words(&plan));
        assert!(plan.pods_restarted > 0, "{}", in_words(&plan));
    }
}

/// What an earlier plan's rule holds is left to it.
#[test]
fn a_caller_under_a_rule_stays_under_it() {
    let mut world = apart(120, true);
    let plan = plan_of(&mut world);
    let moved: BTreeSet<_> = plan.spread.iter().map(|spread| spread.workload.clone()).collect();
    let stays = if moved.contains(&id("front")) { "back" } else { "front" };
    let older = Ruled {
        plan: "plan-1".to_owned(),
        open: false,
        settled: false,
    };
    world.cluster.ruled.insert(id(stays), older);
    let plan = plan_of(&mut world);
    assert!(
        cells(&plan).iter().all(|(name, _)| name != stays),
        "{}",
        in_words(&plan)
    );
}

/// In a large cluster the plan says what it would do better with the right.
#[test]
fn a_large_cluster_asks_for_the_right() {
    let plan = plan_of(&mut apart(120, false));
    let asked = plan
        .refusals
        .iter()
        .any(|refusal| refusal.reason == RefusalReason::NoCellRight);
    assert!(asked && plan.pods_restarted > 0, "{}", in_words(&plan));
    let with = plan_of(&mut apart(120, true));
    assert_eq!(cells(&with).len(), 2, "{}", in_words(&with));
    assert!(
        !with
            .refusals
            .iter()
            .any(|refusal| refusal.reason == RefusalReason::NoCellRight)
    );
}

/// A cell has an end: wider workloads follow their neighbours.
#[test]
fn a_workload_on_too_many_nodes_follows_its_neighbour() {
    let count = MOST_SEATS + 4;
    let mut world = World::new(2 * count + 40, 4, 4000);
    let (first, second): (Vec<usize>, Vec<usize>) = ((0..count).collect(), (count..2 * count).collect());
    world.deploy("front", 100, &first);
    world.deploy("back", 100, &second);
    world.deploy("here", 100, &[0, 1, 2, 3]);
    world.deploy("there", 100, &[0, 1, 2, 3]);
    world.calls("front", "back", 400.0);
    world.calls("here", "there", 20.0);
    let policy = world.cluster.policies.get_mut(&id("back").namespace).unwrap();
    (policy.cells, policy.max_moves) = (true, 100);
    let plan = plan_of(&mut world);
    let wide = |reason: &RefusalReason| matches!(reason, RefusalReason::CellTooWide { .. });
    assert!(plan.pods_restarted > 0, "{}", in_words(&plan));
    assert!(
        plan.refusals.iter().any(|refusal| wide(&refusal.reason)),
        "{}",
        in_words(&plan)
    );
    assert!(cells(&plan).is_empty(), "{}", in_words(&plan));
}
