//! Laws of the graph, over generated samples.

use huddle_core::graph::{GraphConfig, Snapshot, TrafficGraph, WorkloadGraph};
use huddle_core::id::{EdgeId, WorkloadId};
use huddle_core::sample::{Endpoint, Exchange, RequestClass, Sample};
use huddle_core::time::{Span, Timestamp, Window};
use huddle_core::units::Micros;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn endpoint(workload: u8, replica: u8) -> Endpoint {
    // A pod's node follows from its name: pods do not move.
    let node = (workload * 3 + replica) % 4;
    Endpoint {
        pod: format!("uid-{workload}-{replica}").as_str().into(),
        workload: WorkloadId::deployment("shop", &format!("w{workload}")),
        node: format!("node-{node}").as_str().into(),
        zone: format!("zone-{}", node % 2).as_str().into(),
    }
}

prop_compose! {
    fn sample()(at in 0_i64..200_000, from in (0_u8..4, 0_u8..3), to in (0_u8..4, 0_u8..3), class in 0_u8..3,
                times in prop::collection::vec((1_u64..100_000, 1_u64..50_000), 1..6), errors in 0_u64..2) -> Sample {
        let mut exchange = Exchange { requests: times.len() as u64, errors, request_bytes: 10, ..Exchange::default() };
        for (upstream, served) in times {
            exchange.upstream.record(Micros(upstream));
            exchange.served.record(Micros(served.min(upstream)));
            exchange.network.record(Micros(upstream.saturating_sub(served)));
        }
        Sample {
            at: Timestamp(at),
            caller: endpoint(from.0, from.1),
            callee: endpoint(to.0, to.1),
            class: [RequestClass::Http, RequestClass::Grpc, RequestClass::Long][class as usize % 3],
            exchange,
        }
    }
}

fn graph_of(samples: &[Sample], config: GraphConfig) -> TrafficGraph {
    let mut graph = TrafficGraph::new(config);
    samples.iter().for_each(|sample| graph.absorb(sample));
    graph
}

fn window(from: i64, to: i64) -> Window {
    Window {
        from: Timestamp(from),
        to: Timestamp(to),
    }
}

const END: i64 = 300_000;

fn totals(graph: &TrafficGraph) -> BTreeMap<EdgeId, u64> {
    graph
        .totals()
        .map(|(edge, totals)| (edge.clone(), totals.requests))
        .collect()
}

fn merged(a: &Snapshot, b: &Snapshot) -> BTreeMap<EdgeId, Exchange> {
    let mut sum: BTreeMap<EdgeId, Exchange> = BTreeMap::new();
    for stats in a.edges.values().chain(b.edges.values()) {
        sum.entry(stats.edge.clone()).or_default().merge(&stats.total);
    }
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn order_does_not_matter((samples, shuffled) in prop::collection::vec(sample(), 0..60)
        .prop_flat_map(|samples| (Just(samples.clone()), Just(samples).prop_shuffle()))) {
        let short = GraphConfig { retention: Span::seconds(60), ..GraphConfig::default() };
        for config in [short, GraphConfig::default()] {
            let (a, b) = (graph_of(&samples, config), graph_of(&shuffled, config));
            prop_assert_eq!(a.snapshot(window(0, END), Timestamp(END)), b.snapshot(window(0, END), Timestamp(END)));
            prop_assert_eq!(totals(&a), totals(&b));
            prop_assert_eq!(a.buckets(), b.buckets());
        }
    }

    #[test]
    fn adjacent_windows_add_up(samples in prop::collection::vec(sample(), 0..60), cut in 0_i64..END) {
        let graph = graph_of(&samples, GraphConfig::default());
        let (a, b) = (graph.snapshot(window(0, cut), Timestamp(END)), graph.snapshot(window(cut, END), Timestamp(END)));
        let whole = graph.snapshot(window(0, END), Timestamp(END));
        let whole: BTreeMap<EdgeId, Exchange> = whole.edges.into_iter().map(|(edge, stats)| (edge, stats.total)).collect();
        prop_assert_eq!(merged(&a, &b), whole);
    }

    #[test]
    fn locality_and_pairs_add_up_to_the_total(samples in prop::collection::vec(sample(), 0..60)) {
        let snapshot = graph_of(&samples, GraphConfig::default()).snapshot(window(0, END), Timestamp(END));
        for stats in snapshot.edges.values() {
            let (mut localities, mut pairs) = (Exchange::default(), Exchange::default());
            stats.by_locality.values().for_each(|part| localities.merge(part));
            stats.pairs.iter().for_each(|pair| pairs.merge(&pair.exchange));
            prop_assert_eq!(&localities, &stats.total);
            prop_assert_eq!(&pairs, &stats.total);
            prop_assert!(stats.classes.values().sum::<u64>() >= stats.total.requests);
        }
    }

    #[test]
    fn totals_count_every_request_whatever_is_forgotten(samples in prop::collection::vec(sample(), 0..60)) {
        let tight = GraphConfig { retention: Span::seconds(20), max_buckets: 50, ..GraphConfig::default() };
        let mut graph = graph_of(&samples, tight);
        graph.forget(Timestamp(10 * END));
        let counted: u64 = totals(&graph).values().sum();
        prop_assert_eq!(counted, samples.iter().map(|sample| sample.exchange.requests).sum::<u64>());
        prop_assert_eq!(graph.slots(), 0);
        prop_assert_eq!(graph.buckets(), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_loss_is_said(samples in prop::collection::vec(sample(), 1..80)) {
        let tight = GraphConfig { max_buckets: 150, max_edges: 3, ..GraphConfig::default() };
        let graph = graph_of(&samples, tight);
        prop_assert!(graph.buckets() <= 150 || graph.slots() == 1);
        prop_assert!(graph.totals().count() <= 3);
        let kept: u64 = graph.snapshot(window(0, END), Timestamp(END)).edges.values()
            .map(|stats| stats.classes.values().sum::<u64>()).sum();
        let all: u64 = samples.iter().map(|sample| sample.exchange.requests).sum();
        prop_assert_eq!(kept + graph.dropped().requests, all);
    }

    #[test]
    fn layers_go_down_outside_circles(samples in prop::collection::vec(sample(), 0..30)) {
        let snapshot = graph_of(&samples, GraphConfig::default()).snapshot(window(0, END), Timestamp(END));
        let shape = WorkloadGraph::of(&snapshot);
        let (layers, cycles) = (shape.layers(), shape.cycles());
        for edge in snapshot.edges.keys() {
            let circle = cycles.iter().any(|cycle| cycle.contains(&edge.source) && cycle.contains(&edge.destination));
            prop_assert!(circle || layers[&edge.source] < layers[&edge.destination], "{}", edge);
        }
        for entry in shape.entries() {
            prop_assert!(snapshot.edges_into(&entry).all(|stats| stats.edge.source == entry));
        }
    }
}

#[test]
fn a_window_holds_nothing_from_before_it() {
    let mut graph = TrafficGraph::new(GraphConfig::default());
    for at in [9_999, 10_000, 19_999, 20_000] {
        graph.absorb(&Sample {
            at: Timestamp(at),
            caller: endpoint(0, 0),
            callee: endpoint(1, 0),
            class: RequestClass::Http,
            exchange: Exchange {
                requests: 1,
                ..Exchange::default()
            },
        });
    }
    let snapshot = graph.snapshot(window(1, 20_000), Timestamp(25_000));
    assert_eq!(snapshot.window, window(10_000, 20_000));
    assert_eq!(
        snapshot.edges.values().map(|stats| stats.total.requests).sum::<u64>(),
        2
    );
    let open = graph.snapshot(window(1, 25_000), Timestamp(25_000));
    assert_eq!(open.window, window(10_000, 25_000));
    assert_eq!(open.edges.values().map(|stats| stats.total.requests).sum::<u64>(), 3);
}

#[test]
fn totals_live_as_long_as_both_ends() {
    let mut graph = TrafficGraph::new(GraphConfig::default());
    graph.absorb(&Sample {
        at: Timestamp(0),
        caller: endpoint(0, 0),
        callee: endpoint(1, 0),
        class: RequestClass::Http,
        exchange: Exchange {
            requests: 7,
            ..Exchange::default()
        },
    });
    graph.retire(|_| false);
    assert_eq!(graph.totals().count(), 1, "still in a slot");
    graph.forget(Timestamp(10_000_000));
    graph.retire(|_| true);
    assert_eq!(graph.totals().count(), 1, "silent, but both ends live");
    graph.retire(|workload| workload.name != "w1");
    assert_eq!(graph.totals().count(), 0);
}
