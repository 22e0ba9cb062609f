//! Stories of gains that fade: a rule stands, what it was for goes, and after long enough the rule goes too.

mod world;

use huddle_core::cluster::{Automation, Fade, RoutingMode, SteadyRule};
use huddle_core::diagnose::{DiagnoseConfig, diagnose};
use huddle_core::graph::Snapshot;
use huddle_core::plan::{
    Action, Faded, Objective, Plan, PlanKind, PlannerConfig, Use, saved_now, stands, use_of, watched,
};
use huddle_core::time::{Span, Timestamp};
use huddle_core::units::Ratio;
use huddle_core::verify::{Verdict, VerifyConfig, baseline, judge};
use proptest::prelude::*;
use world::{World, id, planned};

const WEEK: i64 = 7 * 24 * 3_600_000;

fn rule(name: &str, outranks: &[&str]) -> SteadyRule {
    SteadyRule {
        name: name.to_owned(),
        uid: format!("uid of {name}"),
        plan: "plan-1".to_owned(),
        workload: id("back"),
        beside: Some(id("front")),
        outranks: outranks.iter().map(|name| (*name).to_owned()).collect(),
        fade: None,
    }
}

/// Callers and callees on the same nodes, brought together by a rule, routed nearby; others call each other elsewhere.
fn together() -> World {
    let mut world = World::new(4, 4, 4000);
    world.deploy("front", 100, &[0, 1]);
    world.deploy("back", 100, &[0, 1]);
    world.deploy("gate", 100, &[0, 1]);
    world.deploy("here", 100, &[2, 3]);
    world.deploy("there", 100, &[2, 3]);
    world.calls("front", "back", 100.0);
    world.calls("gate", "front", 20.0);
    world.calls("here", "there", 20.0);
    for service in world.cluster.services.values_mut() {
        service.routing = RoutingMode::PreferSameNode;
    }
    world.cluster.steady.push(rule("plan-1-0", &[]));
    world
}

fn seen(world: &World, snapshot: &Snapshot) -> Use {
    let findings = diagnose(snapshot, &DiagnoseConfig::default());
    let rule = &world.cluster.steady[0];
    use_of(rule, snapshot, &findings, &world.cluster, &PlannerConfig::default())
}

fn look(world: &mut World) -> Use {
    let snapshot = world.measure(30);
    seen(world, &snapshot)
}

fn faded(world: &World, why: Faded, ago: i64) -> Option<Fade> {
    Some(Fade {
        why,
        since: Timestamp(world.now.0 - ago),
        seen: world.now,
    })
}

#[test]
fn a_rule_is_of_use_while_its_calls_stay_on_their_node() {
    let mut world = together();
    assert_eq!(look(&mut world), Use::Of);
}

#[test]
fn a_rule_whose_calls_have_ended_is_of_none() {
    let mut world = together();
    world.calls.retain(|(from, ..)| *from != id("front"));
    assert_eq!(look(&mut world), Use::Gone(Faded::NotCalled));
}

#[test]
fn a_rule_whose_two_stand_apart_is_of_none() {
    let mut world = together();
    let pods: Vec<_> = world.cluster.pods_of(&id("front")).map(|pod| pod.uid.clone()).collect();
    for (pod, node) in pods.iter().zip(["node-2", "node-3"]) {
        world.relocate(pod, &node.into());
    }
    assert_eq!(look(&mut world), Use::Gone(Faded::Apart));
}

#[test]
fn a_rule_beside_nobody_is_of_none() {
    let mut world = together();
    world.cluster.steady[0].beside = None;
    assert_eq!(look(&mut world), Use::Gone(Faded::Gone));
}

/// One zone, and served times beside which the way is nothing.
#[test]
fn a_rule_that_saves_no_waiting_is_of_none_where_nothing_else_counts() {
    let mut world = together();
    for node in world.cluster.nodes.values_mut() {
        node.zone = "zone-0".into();
    }
    world.served.insert(id("back"), 400_000.0);
    for service in world.cluster.services.values_mut() {
        service.routing = RoutingMode::Spread;
    }
    assert_eq!(look(&mut world), Use::Gone(Faded::NothingSaved));
    world.cluster.policies.get_mut(&"shop".into()).unwrap().objective = Objective::of(1, 1, 0);
    assert_eq!(look(&mut world), Use::Of, "calls that stay count by themselves");
}

#[test]
fn what_cannot_be_seen_is_not_called_gone() {
    let mut world = together();
    world.calls.clear();
    assert_eq!(look(&mut world), Use::Unknown, "nothing is measured of either");
    let mut world = together();
    world.calls.retain(|(from, ..)| *from != id("front"));
    world.cluster.workloads.get_mut(&id("back")).unwrap().rolling = true;
    assert_eq!(look(&mut world), Use::Unknown);
}

/// The names of the rules that the plan deletes; it does nothing else.
fn withdrawn(plan: &Plan) -> Vec<&str> {
    fn name(action: &Action) -> &str {
        let Action::Withdraw { rule, .. } = action else {
            panic!("{action:?}")
        };
        rule
    }
    plan.actions.iter().map(name).collect()
}

#[test]
fn after_a_week_the_rule_and_those_under_it_go_without_a_restart() {
    let mut world = together();
    world.calls.retain(|(from, ..)| *from != id("front"));
    // Under it are two older ones, the older of which would else come back into force.
    world.cluster.steady = vec![rule("c-2", &["a-0", "b-1"]), rule("a-0", &[]), rule("b-1", &["a-0"])];
    let snapshot = world.measure(30);
    world.cluster.steady[0].fade = faded(&world, Faded::NotCalled, WEEK - 1);
    assert!(planned(&world, &snapshot).actions.is_empty(), "not yet");
    world.cluster.steady[0].fade = faded(&world, Faded::NotCalled, WEEK);
    let plan = planned(&world, &snapshot);
    assert_eq!(withdrawn(&plan), ["a-0", "b-1", "c-2"]);
    assert_eq!((plan.kind(), plan.pods_restarted), (PlanKind::Withdrawal, 0));
    assert_eq!(
        plan.actions[2].sentence(),
        "Delete Rule shop/c-2, which places new pods of shop/back beside shop/front: the two hardly call each other any more, since \
         1970-01-05 13:47 UTC. Nothing is restarted; pods created later go where the scheduler likes."
    );
    // It stands as long as the rule does.
    let saves = saved_now(&plan, &snapshot, &[], &world.cluster, &PlannerConfig::default()).unwrap();
    let stays = |world: &World| stands(&plan, saves, &plan, Ratio::clamped(0.1), &world.cluster);
    assert!(stays(&world));
    world.cluster.steady.clear();
    assert!(!stays(&world));
}

#[test]
fn nobody_s_rule_is_withdrawn_against_the_policy_or_when_nobody_has_looked() {
    let mut world = together();
    world.calls.retain(|(from, ..)| *from != id("front"));
    let snapshot = world.measure(30);
    world.cluster.steady[0].fade = faded(&world, Faded::NotCalled, WEEK);
    assert_eq!(withdrawn(&planned(&world, &snapshot)).len(), 1);
    let policy = |world: &mut World, change: &dyn Fn(&mut huddle_core::cluster::NamespacePolicy)| {
        change(world.cluster.policies.get_mut(&"shop".into()).unwrap());
    };
    policy(&mut world, &|policy| policy.faded_after = Span(2 * WEEK as u64));
    assert_eq!(withdrawn(&planned(&world, &snapshot)).len(), 0, "two weeks");
    policy(&mut world, &|policy| policy.faded_after = Span(0));
    policy(&mut world, &|policy| policy.automation = Automation::Observe);
    assert_eq!(withdrawn(&planned(&world, &snapshot)).len(), 0, "Observe");
    policy(&mut world, &|policy| policy.automation = Automation::Approve);
    assert_eq!(withdrawn(&planned(&world, &snapshot)).len(), 1);
    world.cluster.steady[0].fade.as_mut().unwrap().seen.0 -= 3 * 3_600_000;
    assert_eq!(
        withdrawn(&planned(&world, &snapshot)).len(),
        0,
        "nobody has looked for three hours"
    );
    world.cluster.steady[0].fade = None;
    assert_eq!(withdrawn(&planned(&world, &snapshot)).len(), 0, "of use again");
}

/// Where something is to be brought together, that comes first.
#[test]
fn tidying_waits_for_gains() {
    let mut world = together();
    world.calls.retain(|(from, ..)| *from != id("front"));
    world.deploy("far", 100, &[0, 1]);
    world.deploy("away", 100, &[2, 3]);
    world.calls("far", "away", 100.0);
    let snapshot = world.measure(30);
    world.cluster.steady[0].fade = faded(&world, Faded::NotCalled, WEEK);
    let plan = planned(&world, &snapshot);
    assert_eq!(plan.kind(), PlanKind::Nearer, "{:?}", plan.refusals);
    assert!(!plan.actions.is_empty());
}

/// There is nothing to wait for: no requests are asked for, and nothing is called better.
#[test]
fn its_proof_is_that_nothing_changed() {
    let mut world = together();
    world.calls.retain(|(from, ..)| *from != id("front"));
    let snapshot = world.measure(30);
    world.cluster.steady[0].fade = faded(&world, Faded::NotCalled, WEEK);
    let plan = planned(&world, &snapshot);
    let config = VerifyConfig::default();
    assert_eq!(baseline(&snapshot, &plan, &config), None);
    let after = world.measure(30);
    let verdict = judge(&snapshot, &after, &plan, &world.cluster, &config, world.now);
    assert_eq!(verdict, Verdict::Unchanged);
}

fn looks() -> impl Strategy<Value = Vec<(i64, Use)>> {
    let seen = prop_oneof![
        6 => Just(Use::Gone(Faded::NotCalled)),
        2 => Just(Use::Gone(Faded::Apart)),
        1 => Just(Use::Unknown),
        1 => Just(Use::Of),
    ];
    prop::collection::vec((1_i64..200, seen), 1..60)
}

proptest! {
    /// What is said to have been gone since then was seen gone on every look since, with no gap of more than two hours, and on none
    /// of them in use: so one look in use, or a controller that was away, begins the watching anew.
    #[test]
    fn gone_since_then_means_seen_gone_ever_since(looks in looks()) {
        let (mut now, mut fade, mut past) = (0_i64, None::<Fade>, Vec::new());
        for (minutes, seen) in looks {
            now += minutes * 60_000;
            past.push((now, seen));
            fade = watched(fade.as_ref(), seen, Timestamp(now));
            let Some(fade) = &fade else { continue };
            let told: Vec<_> = past.iter().filter(|(at, seen)| *at >= fade.since.0 && *seen != Use::Unknown).collect();
            prop_assert!(told.iter().all(|(_, seen)| matches!(seen, Use::Gone(_))));
            prop_assert_eq!(told.first().map(|(at, _)| *at), Some(fade.since.0));
            prop_assert_eq!(told.last().map(|(at, _)| *at), Some(fade.seen.0));
            let gaps = told.windows(2).all(|pair| pair[1].0 - pair[0].0 <= 2 * 3_600_000);
            prop_assert!(gaps);
        }
    }
}

#[test]
fn words() {
    let all = [Faded::NotCalled, Faded::Apart, Faded::NothingSaved, Faded::Gone];
    for faded in all {
        assert_eq!(serde_json::to_value(faded).unwrap(), faded.label());
    }
    let words = all.map(|faded| format!("{}: {}", faded.label(), faded.sentence()));
    insta::assert_snapshot!(words.join("\n"));
    assert_eq!(Timestamp(1_795_392_300_000).utc(), "2026-11-23 00:05 UTC");
    assert_eq!(Timestamp(951_782_400_000).utc(), "2000-02-29 00:00 UTC");
}
