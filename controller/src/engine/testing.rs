//! Engines for tests.

use super::*;
use crate::testing::{cluster, endpoint};
use huddle_core::cluster::ClusterView;
use huddle_core::distribution::Distribution;
use huddle_core::graph::EdgeStats;
use huddle_core::sample::{Exchange, RequestClass, Sample};
use huddle_core::units::Micros;

/// An engine that knows one pod of `web` and two of `db`, and a window of a minute.
pub(crate) fn engine() -> Engine {
    let config = Config {
        name: "test".to_owned(),
        window: Span::seconds(60),
        patience: Patience::default(),
        graph: GraphConfig::default(),
        diagnose: DiagnoseConfig::default(),
        pace: Pace::KUBELETS,
    };
    let mut engine = Engine::new(config.clone(), Graph::new(config.graph), Arc::default(), Timestamp(0));
    engine.know(Arc::new(cluster(&[
        ("web-1", "node-1"),
        ("db-1", "node-1"),
        ("db-2", "node-2"),
    ])));
    engine
}

/// The graph that an engine writes.
pub(crate) fn graph_of(engine: &Engine) -> Graph {
    engine.graph.clone()
}

/// One reporter's calls to one pod, all of the same length.
pub(crate) fn delivery(at: i64, caller: (&str, &str), callee: (&str, &str), micros: u64, requests: u64) -> Delivery {
    let mut times = Distribution::default();
    times.add(Micros(micros), requests);
    let (caller, callee) = (
        endpoint(caller.0, caller.1, "zone-a"),
        endpoint(callee.0, callee.1, "zone-a"),
    );
    Delivery {
        at: Timestamp(at),
        reporter: Arc::new(caller.clone()),
        samples: vec![Sample {
            at: Timestamp(at),
            caller,
            callee,
            class: RequestClass::Http,
            exchange: Exchange {
                requests,
                upstream: times.clone(),
                network: times,
                ..Exchange::default()
            },
        }],
        outside: 0,
        dropped: 0,
    }
}

/// A snapshot of one caller with `callees` callees of two pods each, all of them busy.
pub(crate) fn busy(callees: usize) -> Snapshot {
    let graph = Graph::new(GraphConfig::default());
    graph.write(|graph| {
        for callee in 0..callees {
            for replica in 1..=2_u64 {
                let mut times = Distribution::default();
                for step in 1..60 {
                    times.add(Micros(step * 97 * replica), step);
                }
                graph.absorb(&Sample {
                    at: Timestamp(105_000),
                    caller: endpoint("web-1", "node-1", "zone-a"),
                    callee: endpoint(&format!("db{callee}-{replica}"), &format!("node-{replica}"), "zone-a"),
                    class: RequestClass::Grpc,
                    exchange: Exchange {
                        requests: times.count(),
                        upstream: times.clone(),
                        served: times.clone(),
                        network: times,
                        ..Exchange::default()
                    },
                });
            }
        }
    });
    let window = Window {
        from: Timestamp(60_000),
        to: Timestamp(120_000),
    };
    graph.read(|graph| graph.snapshot(window, Timestamp(120_000)))
}

/// A cluster that holds an edge's callees.
pub(crate) fn cluster_of(edge: &EdgeStats) -> ClusterView {
    let pods: Vec<(&str, &str)> = edge
        .pairs
        .iter()
        .map(|pair| (pair.callee.as_str(), pair.callee_node.as_str()))
        .collect();
    cluster(&pods).view
}
