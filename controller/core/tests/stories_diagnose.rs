//! Stories of diagnose: what it says of edges whose truth is known.

mod world;

use huddle_core::diagnose::{Cause, DiagnoseConfig, Finding, LocalEvidence, NotChatter, diagnose};
use huddle_core::units::Ratio;
use world::{World, boutique, id};

fn finding<'a>(findings: &'a [Finding], from: &str, to: &str) -> &'a Finding {
    findings
        .iter()
        .find(|finding| finding.edge.source == id(from) && finding.edge.destination == id(to))
        .unwrap()
}

/// Two callers, two callees, one of each on a shared node.
fn half_local(rate: f64) -> World {
    let mut world = World::new(3, 3, 4000);
    world.deploy("front", 100, &[0, 1]);
    world.deploy("back", 100, &[1, 2]);
    world.calls("front", "back", rate);
    world
}

#[test]
fn a_far_callee_is_distance_with_its_own_evidence() {
    let snapshot = half_local(100.0).measure(120);
    let findings = diagnose(&snapshot, &DiagnoseConfig::default());
    let Cause::Distance {
        saved_p50_at_least,
        local_evidence,
        local_p50,
        remote_p50,
        ..
    } = finding(&findings, "front", "back").cause
    else {
        panic!("{findings:?}")
    };
    // The wire adds 1200 µs; the bound must be below it and useful.
    assert!((1000..=1200).contains(&saved_p50_at_least.0), "{saved_p50_at_least}");
    assert_eq!(local_evidence, LocalEvidence::Own);
    assert!(local_p50 < remote_p50);
}

/// Half of the calls go to a callee in the zone, half to one outside it, and no callee's node has local calls: the parts are
/// compared whole, but each distance for itself. A median of both would lie between two humps, where its bounds say nothing.
#[test]
fn near_and_far_callees_are_compared_each_for_itself() {
    let mut world = World::new(4, 2, 4000);
    world.deploy("front", 100, &[0]);
    world.deploy("back", 100, &[1, 2]);
    world.deploy("pal", 100, &[0]);
    world.deploy("mate", 100, &[0]);
    world.calls("front", "back", 50.0);
    world.calls("pal", "mate", 50.0);
    let findings = diagnose(&world.measure(120), &DiagnoseConfig::default());
    let Cause::Distance {
        saved_p50_at_least,
        local_evidence,
        ..
    } = finding(&findings, "front", "back").cause
    else {
        panic!("{findings:?}")
    };
    assert_eq!(local_evidence, LocalEvidence::Borrowed);
    // The wire adds 200 µs to one half and 1200 µs to the other; borrowed evidence counts half.
    assert!((280..=350).contains(&saved_p50_at_least.0), "{saved_p50_at_least}");
}

#[test]
fn few_requests_are_not_enough() {
    let findings = diagnose(&half_local(1.0).measure(60), &DiagnoseConfig::default());
    assert!(matches!(
        finding(&findings, "front", "back").cause,
        Cause::NotEnoughData { wanted: 200, .. }
    ));
}

#[test]
fn without_local_requests_anywhere_nothing_is_claimed() {
    let mut world = World::new(2, 2, 4000);
    world.deploy("front", 100, &[0]);
    world.deploy("back", 100, &[1]);
    world.calls("front", "back", 50.0);
    let findings = diagnose(&world.measure(60), &DiagnoseConfig::default());
    assert!(matches!(
        finding(&findings, "front", "back").cause,
        Cause::NotEnoughData {
            requests: 0,
            wanted: 100
        }
    ));
}

#[test]
fn local_evidence_is_borrowed_from_the_same_nodes_and_said_so() {
    let mut world = World::new(2, 2, 4000);
    world.deploy("front", 100, &[0]);
    world.deploy("back", 100, &[1]);
    world.deploy("near", 100, &[1]);
    world.calls("front", "back", 50.0);
    world.calls("back", "near", 50.0);
    let findings = diagnose(&world.measure(60), &DiagnoseConfig::default());
    let Cause::Distance {
        saved_p50_at_least,
        local_evidence,
        ..
    } = finding(&findings, "front", "back").cause
    else {
        panic!("{findings:?}")
    };
    assert_eq!(local_evidence, LocalEvidence::Borrowed);
    assert!(
        (400..=600).contains(&saved_p50_at_least.0),
        "half of 1200 counts: {saved_p50_at_least}"
    );
}

/// A front door whose own local calls are slow for other reasons stands on the callee's node: what it takes there says nothing of the
/// wire. What the wire adds is told by an edge that has both kinds of calls.
#[test]
fn a_difference_is_borrowed_before_a_time_is() {
    let mut world = half_local(100.0);
    world.deploy("shop", 100, &[0]);
    world.deploy("store", 100, &[2]);
    world.calls("shop", "store", 50.0);
    let mut snapshot = world.measure(120);
    world.slower = 1_500.0;
    world.calls.clear();
    world.deploy("driver", 100, &[2]);
    world.deploy("door", 100, &[2]);
    world.calls("driver", "door", 400.0);
    let door = world.measure(120);
    snapshot.edges.extend(door.edges);
    let findings = diagnose(&snapshot, &DiagnoseConfig::default());
    let Cause::Distance {
        saved_p50_at_least,
        local_evidence,
        ..
    } = finding(&findings, "shop", "store").cause
    else {
        panic!("{findings:?}")
    };
    assert_eq!(local_evidence, LocalEvidence::Borrowed);
    // The wire adds 1200 µs to other zones; borrowed evidence counts half.
    assert!((500..=600).contains(&saved_p50_at_least.0), "{saved_p50_at_least}");
}

#[test]
fn a_flat_network_is_not_distance() {
    let mut world = World::new(2, 1, 4000);
    world.deploy("front", 100, &[0, 1]);
    world.deploy("back", 100, &[0, 1]);
    world.calls("front", "back", 100.0);
    let snapshot = world.measure(60);
    let config = DiagnoseConfig {
        // One hop inside the zone is 200 µs here: below what this policy calls worth it.
        min_saved: huddle_core::units::Micros(300),
        ..DiagnoseConfig::default()
    };
    assert!(matches!(
        finding(&diagnose(&snapshot, &config), "front", "back").cause,
        Cause::NotDistance { .. }
    ));
}

/// A hop of 200 µs is 3 % of a call of 6 ms, and 1.4 % of one of 14 ms: there something else makes the call long.
#[test]
fn a_hop_that_a_long_call_hardly_feels_is_not_distance() {
    for (served, distance) in [(6_000.0, true), (14_000.0, false)] {
        let mut world = World::new(2, 1, 4000);
        world.deploy("front", 100, &[0, 1]);
        let back = world.deploy("back", 100, &[0, 1]);
        world.served.insert(back, served);
        world.calls("front", "back", 100.0);
        let config = DiagnoseConfig {
            // The share of the network at p99 is another question.
            min_share: Ratio::ZERO,
            ..DiagnoseConfig::default()
        };
        let findings = diagnose(&world.measure(120), &config);
        let cause = &finding(&findings, "front", "back").cause;
        assert_eq!(
            matches!(cause, Cause::Distance { .. }),
            distance,
            "{served} µs: {cause:?}"
        );
    }
}

#[test]
fn all_local_is_not_distance() {
    let mut world = World::new(2, 1, 4000);
    world.deploy("front", 100, &[0]);
    let back = world.deploy("back", 100, &[0]);
    // Beside it hops are a fifth of a call.
    world.served.insert(back, 2_000.0);
    world.calls("front", "back", 100.0);
    let findings = diagnose(&world.measure(60), &DiagnoseConfig::default());
    assert!(matches!(
        finding(&findings, "front", "back").cause,
        Cause::NotDistance {
            network_share: None,
            not_chatter: Some(NotChatter::HopsAreLittle { .. })
        }
    ));
}

/// A pod that is quick because it is near its only slow caller must not pass for distance: strata compare the same pod.
#[test]
fn the_shop_is_ordered_by_cost_and_in_words() {
    let snapshot = boutique(4.0).measure(60);
    let findings = diagnose(&snapshot, &DiagnoseConfig::default());
    assert_eq!(findings.len(), snapshot.edges.len());
    assert!(findings.windows(2).all(|pair| pair[0].cost >= pair[1].cost));
    insta::assert_snapshot!(findings.iter().map(Finding::sentence).collect::<Vec<_>>().join("\n"));
}

#[test]
fn labels_are_the_json_tags() {
    let findings = diagnose(&half_local(100.0).measure(30), &DiagnoseConfig::default());
    for finding in findings {
        assert_eq!(serde_json::to_value(&finding).unwrap()["cause"], finding.cause.label());
    }
}
