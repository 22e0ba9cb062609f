//! Stories of pressure and downstream: faults one at a time and in pairs, each with what must be said of it.

mod world;

use huddle_core::diagnose::{Cause, DiagnoseConfig, Finding, Lack, Seen, diagnose_with};
use huddle_core::units::{Micros, Ratio};
use world::stops::{LIMIT, Stop, Watched};
use world::{World, id};

/// front → back → store on one node; back takes 4 ms, a fifth of it for store.
fn shop() -> World {
    let mut world = World::new(1, 1, 4000);
    world.deploy("front", 100, &[0]);
    world.deploy("back", 100, &[0, 0]);
    world.deploy("store", 100, &[0, 0]);
    world.calls("front", "back", 60.0);
    world.calls("back", "store", 60.0);
    world.served.insert(id("back"), 4_000.0);
    world
}

/// One of back's pods is on a far node: remote requests cost 1200 µs more.
fn far() -> World {
    let mut world = World::new(3, 3, 4000);
    world.deploy("front", 100, &[0, 1]);
    world.deploy("back", 100, &[1, 2]);
    world.calls("front", "back", 60.0);
    world
}

fn findings(watched: &Watched, seconds: i64) -> Vec<Finding> {
    let (window, config) = (watched.window(seconds), DiagnoseConfig::default());
    let seen = Seen::of(&watched.graph, &watched.usage, window, &watched.world.cluster, &config);
    diagnose_with(&watched.graph.snapshot(window, watched.world.now), &seen, &config)
}

fn cause(watched: &Watched, from: &str, to: &str) -> Cause {
    let findings = findings(watched, 120);
    let of = |finding: &&Finding| finding.edge.source == id(from) && finding.edge.destination == id(to);
    findings.iter().find(of).unwrap().cause.clone()
}

fn label(watched: &Watched, from: &str, to: &str) -> &'static str {
    cause(watched, from, to).label()
}

#[test]
fn a_callee_that_its_limit_stops_is_pressure_within_two_minutes() {
    let mut watched = Watched::new(shop());
    watched.run(120);
    assert_eq!(label(&watched, "front", "back"), "notDistance");
    watched.stop(&id("back"), &[0, 1], "app", 0.35);
    watched.run(60);
    let Cause::Pressure {
        container,
        lack,
        share,
        pods,
        pods_seen,
        cpu_used,
        cpu_limit,
        served_p50,
        served_p99,
        calm_p99,
        ..
    } = cause(&watched, "front", "back")
    else {
        panic!("{:?}", findings(&watched, 120))
    };
    assert_eq!(
        (container.as_str(), lack, pods, pods_seen),
        ("app", Lack::CpuLimit, 2, 2)
    );
    // Half of the window, at 35 %.
    assert!((0.15..0.20).contains(&share.get()), "{share}");
    assert_eq!((cpu_used.0, cpu_limit), (150, Some(LIMIT)));
    assert!(
        served_p50 < Micros(7_000) && served_p99 > Micros(70_000),
        "{served_p50} {served_p99}"
    );
    assert!(calm_p99.unwrap() < Micros(16_000), "{calm_p99:?}");
    watched.run(60);
    assert_eq!(label(&watched, "front", "back"), "pressure");
}

#[test]
fn what_it_costs_is_the_time_above_calm_requests() {
    let mut watched = Watched::new(shop());
    watched.run(120);
    watched.stop(&id("back"), &[0, 1], "app", 0.30);
    watched.run(120);
    let findings = findings(&watched, 120);
    assert_eq!(findings[0].cause.label(), "pressure");
    // 60 requests a second, 30 % of them stopped for 50 ms.
    assert!((0.7..1.1).contains(&findings[0].cost), "{}", findings[0].cost);
}

#[test]
fn one_pod_of_two_is_told_from_the_other() {
    let mut watched = Watched::new(shop());
    watched.stop(&id("back"), &[0], "app", 0.20);
    watched.run(120);
    let Cause::Pressure {
        pods,
        pods_seen,
        calm_p99,
        ..
    } = cause(&watched, "front", "back")
    else {
        panic!("{:?}", findings(&watched, 120))
    };
    assert_eq!((pods, pods_seen), (1, 2));
    assert!(calm_p99.is_some(), "the other pod is calm");
}

#[test]
fn without_anything_calm_only_a_strong_share_is_called_pressure() {
    for (share, expected) in [(0.40, "pressure"), (0.15, "notDistance")] {
        let mut watched = Watched::new(shop());
        watched.stop(&id("back"), &[0, 1], "app", share);
        watched.run(120);
        assert_eq!(label(&watched, "front", "back"), expected, "{share}");
    }
}

#[test]
fn throttling_that_no_request_feels_is_not_pressure() {
    let mut watched = Watched::new(shop());
    watched.run(120);
    watched.stop(&id("back"), &[0, 1], "app", 0.40);
    for stop in watched.world.stops.values_mut() {
        *stop = Stop { unfelt: true, ..*stop };
    }
    watched.run(120);
    assert_eq!(label(&watched, "front", "back"), "notDistance");
}

#[test]
fn a_stopped_sidecar_of_the_callee_is_named_and_is_not_distance() {
    let mut watched = Watched::new(far());
    watched.run(120);
    assert_eq!(label(&watched, "front", "back"), "distance");
    watched.stop(&id("back"), &[0, 1], "istio-proxy", 0.30);
    watched.run(120);
    let Cause::Pressure { container, .. } = cause(&watched, "front", "back") else {
        panic!("{:?}", findings(&watched, 120))
    };
    assert_eq!(container.as_str(), "istio-proxy");
}

/// Only the caller's pod whose calls leave the node is stopped: its calls look far, and are not.
#[test]
fn a_stopped_sidecar_of_the_caller_is_not_distance_and_shows_on_edges_into_it() {
    let mut world = World::new(2, 1, 4000);
    world.deploy("door", 100, &[0, 1]);
    world.deploy("front", 100, &[0, 1]);
    world.deploy("back", 100, &[1]);
    world.calls("door", "front", 60.0);
    world.calls("front", "back", 60.0);
    world.slower = 2_000.0;
    let mut watched = Watched::new(world);
    watched.run(120);
    let before = label(&watched, "front", "back");
    assert_eq!(
        before, "chatter",
        "of 2.4 ms the distance is 200 µs, the rest the proxies' own"
    );
    watched.stop(&id("front"), &[0], "istio-proxy", 0.80);
    watched.run(120);
    assert_ne!(label(&watched, "front", "back"), "distance");
    assert_eq!(label(&watched, "door", "front"), "pressure");
}

/// The callee calls four times for each request, one call after the other.
fn waiting() -> World {
    let mut world = shop();
    world.calls[1].2 = 240.0;
    world.served.insert(id("store"), 1_500.0);
    world.served.insert(id("back"), 4.0 * 2_000.0 + 500.0);
    world
}

#[test]
fn a_callee_that_waits_for_its_own_is_downstream() {
    let mut watched = Watched::new(waiting());
    watched.run(120);
    let Cause::Downstream { through, share } = cause(&watched, "front", "back") else {
        panic!("{:?}", findings(&watched, 120))
    };
    assert_eq!(through, id("store"));
    assert!(share > Ratio::clamped(0.8), "{share}");
}

#[test]
fn pressure_and_downstream_the_answer_is_further_along() {
    let mut watched = Watched::new(waiting());
    watched.stop(&id("store"), &[0, 1], "app", 0.40);
    // What back takes is what store takes.
    watched.world.served.insert(id("back"), 4.0 * 24_000.0);
    watched.run(120);
    assert_eq!(label(&watched, "back", "store"), "pressure");
    assert_eq!(label(&watched, "front", "back"), "downstream");
}

/// The callee does half of the work itself and is stopped at it.
#[test]
fn pressure_of_the_callee_itself_comes_before_downstream() {
    let mut watched = Watched::new(shop());
    watched.world.served.insert(id("back"), 1_500.0);
    watched.run(120);
    assert_eq!(label(&watched, "front", "back"), "downstream");
    watched.stop(&id("back"), &[0, 1], "app", 0.30);
    watched.run(120);
    assert_eq!(label(&watched, "front", "back"), "pressure");
}

#[test]
fn pressure_and_distance_first_pressure_then_distance() {
    let mut watched = Watched::new(far());
    watched.run(60);
    watched.stop(&id("back"), &[0, 1], "app", 0.30);
    watched.run(120);
    assert_eq!(label(&watched, "front", "back"), "pressure");
    // Given what it lacked.
    watched.world.stops.clear();
    watched.run(120);
    assert_eq!(label(&watched, "front", "back"), "distance");
}

#[test]
fn distance_stays_distance_beside_a_little_pressure() {
    let mut watched = Watched::new(far());
    watched.run(60);
    watched.stop(&id("back"), &[0], "app", 0.12);
    for stop in watched.world.stops.values_mut() {
        *stop = Stop { unfelt: true, ..*stop };
    }
    watched.run(120);
    assert_eq!(label(&watched, "front", "back"), "distance");
}

#[test]
fn distance_comes_before_downstream() {
    let mut world = far();
    world.deploy("store", 100, &[1, 2]);
    world.calls("back", "store", 60.0);
    let mut watched = Watched::new(world);
    watched.run(120);
    assert_eq!(label(&watched, "front", "back"), "distance");
}
