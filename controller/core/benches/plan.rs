//! How long a plan takes on a cluster of the size and skew of ByteDance's M3 (facts/loop.md C5): 100 nodes, 547 services, about
//! 3 500 pods, 344 edges between 161 services, edge weights Zipf 1.1.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

#[path = "../tests/world/mod.rs"]
mod world;

use criterion::{Criterion, criterion_group, criterion_main};
use huddle_core::diagnose::{DiagnoseConfig, Finding, diagnose};
use huddle_core::graph::{EdgeStats, PairStats, Snapshot};
use huddle_core::id::{EdgeId, WorkloadId};
use huddle_core::plan::{PlannerConfig, load_after_routing, plan};
use huddle_core::sample::{Endpoint, Exchange, Locality, RequestClass};
use huddle_core::time::{Timestamp, Window};
use huddle_core::units::Micros;
use world::{Dice, World, id};

const SERVICES: usize = 547;
const CONNECTED: usize = 161;
const EDGES: usize = 344;

/// Replicas: log-normal, median 2, mean about 6.4, at most 206.
fn replicas(dice: &mut Dice) -> usize {
    (dice.around(2.6, 1.35).round() as usize).clamp(1, 206)
}

fn exchange(dice: &mut Dice, locality: Locality, requests: u64) -> Exchange {
    let far = match locality {
        Locality::SamePod | Locality::SameNode => 0.0,
        Locality::SameZone => 200.0,
        Locality::OtherZone => 1200.0,
    };
    let mut exchange = Exchange {
        requests,
        ..Exchange::default()
    };
    for _ in 0..8 {
        let (network, served) = (dice.around(400.0, 0.2) + far, dice.around(1000.0, 1.0));
        exchange.network.add(Micros(network as u64), requests / 8);
        exchange.served.add(Micros(served as u64), requests / 8);
        exchange.upstream.add(Micros((network + served) as u64), requests / 8);
    }
    exchange
}

/// One edge: each caller pod calls some pods of the callee.
fn edge(world: &World, dice: &mut Dice, from: &WorkloadId, to: &WorkloadId, requests: u64) -> EdgeStats {
    let ends = |id: &WorkloadId| -> Vec<Endpoint> {
        let pods = world.cluster.pods_of(id);
        pods.filter_map(|pod| world.cluster.endpoint(&pod.uid)).collect()
    };
    let (callers, callees) = (ends(from), ends(to));
    let mut stats = EdgeStats {
        edge: EdgeId {
            source: from.clone(),
            destination: to.clone(),
        },
        total: Exchange::default(),
        by_locality: [].into(),
        pairs: Vec::new(),
        classes: [(RequestClass::Grpc, requests)].into(),
        last: Timestamp(0),
    };
    for caller in &callers {
        let first = dice.below(callees.len());
        for step in 0..callees.len().min(6) {
            let callee = &callees[(first + step) % callees.len()];
            let locality = Locality::between(caller, callee);
            let part = (requests / (callers.len() * callees.len().min(6)) as u64).max(8);
            let exchange = exchange(dice, locality, part);
            stats.total.merge(&exchange);
            stats.by_locality.entry(locality).or_default().merge(&exchange);
            stats.pairs.push(PairStats {
                caller: caller.pod.clone(),
                callee: callee.pod.clone(),
                caller_node: caller.node.clone(),
                callee_node: callee.node.clone(),
                locality,
                exchange,
            });
        }
    }
    stats
}

fn m3() -> (World, Snapshot, Vec<Finding>) {
    let mut dice = Dice(3);
    let mut world = World::new(100, 3, 40_000);
    for service in 0..SERVICES {
        let nodes: Vec<usize> = (0..replicas(&mut dice)).map(|_| dice.below(100)).collect();
        let cpu = (dice.around(900.0, 0.6) as u64).clamp(100, 2500);
        world.deploy(&format!("s{service}"), cpu, &nodes);
    }
    let window = Window {
        from: Timestamp(0),
        to: Timestamp(300_000),
    };
    let mut snapshot = Snapshot {
        at: window.to,
        window,
        edges: [].into(),
    };
    while snapshot.edges.len() < EDGES {
        let (from, to) = (dice.below(CONNECTED), dice.below(CONNECTED));
        // A few services are called by many (preferential attachment).
        let to = if dice.unit() < 0.3 { to % 8 } else { to };
        if from != to {
            let weight = 3_000_000.0 / (snapshot.edges.len() as f64 + 1.0).powf(1.1);
            let stats = edge(
                &world,
                &mut dice,
                &id(&format!("s{from}")),
                &id(&format!("s{to}")),
                weight as u64,
            );
            snapshot.edges.entry(stats.edge.clone()).or_insert(stats);
        }
    }
    let findings = diagnose(&snapshot, &DiagnoseConfig::default());
    (world, snapshot, findings)
}

fn benches(criterion: &mut Criterion) {
    let (world, snapshot, findings) = m3();
    let config = PlannerConfig::default();
    let planned = plan(&snapshot, &findings, &world.cluster, &config, snapshot.at);
    let all: f64 = findings.iter().map(|finding| finding.cost).sum();
    println!(
        "{} pods, {} edges, {} with distance; plan: {} moves, saves {:.2} of {all:.2} s/s",
        world.cluster.pods.len(),
        snapshot.edges.len(),
        findings.iter().filter(|finding| finding.cost > 0.0).count(),
        planned.pods_restarted,
        planned.saved,
    );
    let mut group = criterion.benchmark_group("m3");
    group.sample_size(10);
    group.bench_function("diagnose", |bencher| {
        bencher.iter(|| diagnose(&snapshot, &DiagnoseConfig::default()));
    });
    group.bench_function("plan", |bencher| {
        bencher.iter(|| plan(&snapshot, &findings, &world.cluster, &config, snapshot.at));
    });
    let busiest = &findings[0].edge.destination;
    group.bench_function("load_after_routing", |bencher| {
        let mode = huddle_core::cluster::RoutingMode::PreferSameNode;
        bencher.iter(|| load_after_routing(&snapshot, &world.cluster, busiest, mode, &config));
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
