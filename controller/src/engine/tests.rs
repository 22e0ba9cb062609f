//! From deliveries to the published state.

use super::testing::{delivery, engine};
use super::*;
use crate::testing::{cluster, deployment};
use crate::usage::{Blind, Cause};
use huddle_core::id::NodeName;
use huddle_core::usage::{Counters, Reading};

#[test]
fn what_was_delivered_is_published_by_edge_and_locality() {
    let mut engine = engine();
    engine.deliver(&delivery(100_000, ("web-1", "node-1"), ("db-1", "node-1"), 500, 30));
    engine.deliver(&delivery(101_000, ("web-1", "node-1"), ("db-2", "node-2"), 2_000, 10));
    let published = engine.look(Timestamp(110_000));
    let [edge] = published.state.edges.as_slice() else {
        panic!("one edge expected: {:?}", published.state.edges)
    };
    assert_eq!(
        (edge.source.as_str(), edge.destination.as_str()),
        ("shop/web", "shop/db")
    );
    assert_eq!((edge.total.requests, edge.local_share), (40, 0.75));
    assert_eq!(edge.localities.same_node.as_ref().map(|part| part.requests), Some(30));
    assert_eq!(edge.localities.same_zone.as_ref().map(|part| part.requests), Some(10));
    let pods = |name: &str| {
        let workload = published.state.workloads.iter().find(|workload| workload.name == name);
        workload.map(|workload| workload.pods.iter().map(|pod| pod.reporting).collect::<Vec<_>>())
    };
    assert_eq!(pods("web"), Some(vec![true]));
    assert_eq!(pods("db"), Some(vec![false, false]));
    assert!(published.json.contains("\"localShare\":0.75"));
}

#[test]
fn the_window_forgets() {
    let mut engine = engine();
    engine.deliver(&delivery(100_000, ("web-1", "node-1"), ("db-1", "node-1"), 500, 30));
    assert_eq!(engine.look(Timestamp(300_000)).state.edges, []);
}

#[test]
fn a_pod_that_went_is_not_called_silent_and_its_edges_stay_for_the_window() {
    let mut engine = engine();
    engine.deliver(&delivery(100_000, ("web-1", "node-1"), ("db-1", "node-1"), 500, 30));
    engine.know(Arc::new(cluster(&[("db-1", "node-1")])));
    let state = engine.look(Timestamp(110_000)).state;
    assert_eq!(state.edges.len(), 1);
    let web = state
        .workloads
        .iter()
        .find(|workload| workload.id == deployment("web").to_string());
    assert_eq!(web.map(|web| (web.replicas, web.pods.len())), Some((0, 0)));
    let silent: Vec<_> = engine
        .look(Timestamp(1_000_000))
        .state
        .silent
        .into_iter()
        .map(|silent| (silent.pod, silent.reason))
        .collect();
    assert_eq!(silent, [("db-1".to_owned(), "neverReported".to_owned())]);
}

fn looked(at: i64, throttled: u64) -> Looked {
    let elapsed = at as u64;
    Looked {
        node: NodeName::from("node-1"),
        outcome: Ok(vec![Reading {
            pod: "db-1".into(),
            container: "app".into(),
            at: Timestamp(at),
            started: Some(Timestamp(0)),
            counters: Counters {
                cpu_us: Some(elapsed * 200),
                periods: Some(elapsed / 100),
                throttled_periods: Some(throttled),
                ..Counters::default()
            },
            working_set: Default::default(),
        }]),
    }
}

#[test]
fn what_kubelets_tell_is_published_by_container() {
    let mut engine = engine();
    engine.deliver(&delivery(105_000, ("web-1", "node-1"), ("db-1", "node-1"), 500, 30));
    for (at, throttled) in [(70_000, 0), (90_000, 20), (110_000, 60)] {
        engine.used(looked(at, throttled));
    }
    let state = engine.look(Timestamp(110_000)).state;
    let db = state.workloads.iter().find(|workload| workload.name == "db").unwrap();
    let [container] = db.containers.as_slice() else {
        panic!("{:?}", db.containers)
    };
    assert_eq!(
        (container.name.as_str(), container.pods, container.cpu_used_m),
        ("app", 1, 200)
    );
    assert_eq!(container.throttled, 0.15);
}

#[test]
fn a_kubelet_that_is_lost_is_named_from_the_second_time_on_and_until_it_answers() {
    let mut engine = engine();
    let mut known = cluster(&[("db-1", "node-1"), ("db-2", "node-2")]);
    known
        .kubelets
        .insert(NodeName::from("node-2"), "10.0.0.2:10250".parse().unwrap());
    engine.know(Arc::new(known));
    let lost = || Looked {
        node: NodeName::from("node-2"),
        outcome: Err(Blind::Kubelet(Cause::Refused)),
    };
    let named = |engine: &mut Engine| engine.look(Timestamp(110_000)).state.blind.len();
    engine.used(lost());
    assert_eq!(named(&mut engine), 0);
    engine.used(lost());
    let state = engine.look(Timestamp(110_000)).state;
    assert_eq!(
        (state.blind[0].node.as_str(), state.blind[0].reason.as_str()),
        ("node-2", "refused")
    );
    let answers = Looked {
        outcome: Ok(Vec::new()),
        ..lost()
    };
    engine.used(answers);
    assert_eq!(named(&mut engine), 0);
}
