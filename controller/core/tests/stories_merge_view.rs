//! What people see of a merge: how far its step is, and which calls stay inside the pod.

mod merging;
mod world;

use huddle_core::act::{COMPANION_LABEL, Lowered, MergeReceipt, MergeStage, Receipt, RuleName, Step, StepState};
use huddle_core::cluster::*;
use huddle_core::diagnose::{Cause, DiagnoseConfig, diagnose};
use huddle_core::distribution::Distribution;
use huddle_core::graph::EdgeStats;
use huddle_core::id::*;
use huddle_core::plan::merge::{Usual, Way};
use huddle_core::plan::{Action, PlaceForm};
use huddle_core::sample::{Exchange, Locality};
use huddle_core::time::Timestamp;
use huddle_core::units::{Micros, Ratio};
use huddle_core::view::{InsideView, StageView};
use merging::{edge, pair};
use world::{World, id};

fn merge() -> Action {
    Action::Merge {
        workload: id("front"),
        with: id("back"),
        way: Way::Proxied,
    }
}

fn step(state: StepState, stage: MergeStage, lowered: Option<Lowered>) -> Step {
    Step {
        state,
        since: Timestamp(1),
        trouble: None,
        receipt: Some(Receipt::Merge(Box::new(MergeReceipt {
            companion: RuleName::of(&PlanId::from("plan-1"), 0, &Namespace::from("shop")),
            former: None,
            caller: id("front"),
            callee: id("back"),
            callee_uid: "u".to_owned(),
            template: "t".to_owned(),
            way: Way::Proxied,
            usual: None,
            stage,
            stage_since: Timestamp(1),
            swap: None,
            lowered,
            known: None,
            fade: None,
            left: false,
        }))),
    }
}

fn states(step: Option<&Step>) -> Vec<String> {
    StageView::all(&merge(), step)
        .into_iter()
        .map(|stage| stage.state)
        .collect()
}

#[test]
fn stages_are_told_in_order_and_each_says_how_far_it_is() {
    let waits = ["pending"; 6];
    assert_eq!(states(None), waits);
    assert_eq!(states(Some(&Step::default())), waits);
    for (at, stage) in MergeStage::FORWARD.into_iter().enumerate() {
        let told = states(Some(&step(StepState::Running, stage, None)));
        let wanted: Vec<&str> = (0..6)
            .map(|index| match index.cmp(&at) {
                std::cmp::Ordering::Less => "done",
                std::cmp::Ordering::Equal => "running",
                std::cmp::Ordering::Greater => "pending",
            })
            .collect();
        assert_eq!(told, wanted, "{stage:?}");
    }
    let done = |lowered| StageView::all(&merge(), Some(&step(StepState::Done, MergeStage::Lower, lowered)));
    let lowered = done(Some(Lowered {
        before: 4,
        to: 2,
        was: None,
    }));
    let mut lines: Vec<String> = lowered
        .iter()
        .map(|it| format!("{} {}: {}", it.state, it.stage, it.sentence))
        .collect();
    lines.extend(done(None).last().map(|it| it.sentence.clone()));
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn labels_are_those_of_the_record() {
    for stage in MergeStage::FORWARD.into_iter().chain([MergeStage::Closed]) {
        assert_eq!(serde_json::to_value(stage).unwrap(), stage.label());
    }
}

#[test]
fn the_way_back_and_other_actions_have_no_stages() {
    for state in [StepState::Undoing, StepState::Undone, StepState::Skipped] {
        assert_eq!(states(Some(&step(state, MergeStage::Pods, None))), Vec::<String>::new());
    }
    let place = Action::Place {
        workload: id("back"),
        with: id("front"),
        form: PlaceForm::Admission,
    };
    assert_eq!(StageView::all(&place, None), []);
}

fn measured(world: &mut World) -> EdgeStats {
    world.measure(60).edges.remove(&edge()).unwrap()
}

/// Of the same-node calls this many of four stay inside the pod.
fn inside(mut stats: EdgeStats, quarters: u64) -> EdgeStats {
    let near = stats.by_locality.remove(&Locality::SameNode).unwrap();
    let part = |of: u64| {
        let mut part = Exchange {
            requests: near.requests / 4 * of,
            ..Exchange::default()
        };
        part.upstream.merge(&near.upstream);
        part
    };
    for (locality, of) in [(Locality::SamePod, quarters), (Locality::SameNode, 4 - quarters)] {
        if of > 0 {
            stats.by_locality.insert(locality, part(of));
        }
    }
    stats.total.requests = near.requests / 4 * 4;
    stats
}

fn stands(world: &mut World, parted: Option<Parted>) {
    world.cluster.merged = vec![Merged {
        caller: id("front"),
        callee: id("back"),
        plan: "plan-1".to_owned(),
        parted,
    }];
}

/// So many of the caller's pods hold the companion.
fn hold(world: &mut World, pods: usize) {
    let front = world
        .cluster
        .pods
        .values_mut()
        .filter(|pod| pod.workload == id("front"));
    for pod in front.take(pods) {
        pod.labels.insert(COMPANION_LABEL.to_owned(), "plan-1-0".to_owned());
    }
}

#[test]
fn of_an_edge_inside_the_pod_no_more_is_said_than_that() {
    let mut world = pair();
    let snapshot = world.measure(60);
    let plain = snapshot.edges[&edge()].clone();
    let cause = |quarters| {
        let mut seen = snapshot.clone();
        let mut stats = inside(plain.clone(), quarters);
        // Inside no proxy of the callee's tells the network's part.
        stats.total.network = Distribution::default();
        seen.edges.insert(edge(), stats);
        let findings = diagnose(&seen, &DiagnoseConfig::default());
        let found = findings.into_iter().find(|finding| finding.edge == edge());
        found.unwrap().cause
    };
    let calls = plain.total.requests / 4 * 4;
    let all = Cause::Inside {
        requests: calls,
        share: Ratio::ONE,
    };
    assert_eq!(cause(4), all);
    assert!(
        matches!(cause(3), Cause::NotEnoughData { .. }),
        "a quarter of them leaves it"
    );
}

#[test]
fn calls_inside_the_pod_are_told_apart_from_those_that_left_it() {
    let mut world = pair();
    let plain = measured(&mut world);
    assert_eq!(InsideView::new(&plain, &world.cluster), None, "no merge");
    stands(&mut world, None);
    assert_eq!(InsideView::new(&plain, &world.cluster), None, "no pod holds it yet");

    hold(&mut world, 1);
    let begun = InsideView::new(&plain, &world.cluster).unwrap();
    assert_eq!((begun.share, begun.pods.map(|[held, _]| held)), (0.0, Some(1)));
    assert_eq!(begun.outside.map(|part| part.requests), Some(plain.total.requests));

    hold(&mut world, 9);
    let most = InsideView::new(&inside(plain.clone(), 3), &world.cluster).unwrap();
    assert_eq!(most.share, 0.75);
    let outside = most.outside.unwrap();
    assert_eq!(outside.requests, plain.total.requests / 4);
    assert!(outside.upstream.p50_us > 0, "its figures are its own");
    let all = InsideView::new(&inside(plain.clone(), 4), &world.cluster).unwrap();
    assert_eq!((all.share, &all.outside), (1.0, &None));

    // Calls stay inside, and the plan that merged the two is gone, or says that it was taken apart.
    let parted = Parted {
        unwanted: true,
        times: 1,
        last: Timestamp(1),
    };
    stands(&mut world, Some(parted));
    let left = InsideView::new(&inside(plain, 4), &world.cluster).unwrap();
    assert_eq!((&left.plan, left.pods), (&None, None));
    insta::assert_snapshot!([begun.sentence, most.sentence, all.sentence, left.sentence].join("\n"));
}

#[test]
fn a_workload_that_calls_its_own_pod_is_not_merged_with_itself() {
    let mut world = pair();
    let mut stats = inside(measured(&mut world), 4);
    stats.edge.destination = stats.edge.source.clone();
    assert_eq!(InsideView::new(&stats, &world.cluster), None);
}

#[test]
fn what_nobody_sees_is_said_to_be_and_no_proxy_is_told_of_it() {
    let direct = Action::Merge {
        workload: id("front"),
        with: id("back"),
        way: Way::Direct,
    };
    let stages: Vec<String> = StageView::all(&direct, None).into_iter().map(|it| it.stage).collect();
    assert_eq!(stages, ["companion", "pods", "prove", "lower"]);

    let mut world = pair();
    let before = world.measure(60);
    let usual = Usual::of(&edge(), &before).unwrap();
    let mut after = before.clone();
    let known = after.edges.remove(&edge()).unwrap();
    usual.put(&edge(), Some(&known), &world.cluster, &mut after);
    let pairs = after.edges[&edge()].pairs.iter().map(|pair| pair.exchange.requests);
    assert_eq!(pairs.sum::<u64>(), known.total.requests);
    stands(&mut world, None);
    hold(&mut world, 9);
    let view = InsideView::new(&after.edges[&edge()], &world.cluster).unwrap();
    let view = view.not_seen(&edge(), usual.at, Some(Micros(3_400)), &after);
    let unseen = view.unseen.as_ref().unwrap();
    assert_eq!((view.share, unseen.calls, unseen.failed), (1.0, 600, 0));
    assert!(
        view.sentence
            .contains("where no proxy sees them: times as last measured"),
        "{}",
        view.sentence
    );
}
