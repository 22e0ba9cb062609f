//! Clusters of the skew of ByteDance's M3 (facts/loop.md C5), of any size: services with log-normal replicas, three tenths of them
//! with edges, edge weights Zipf 1.1, a few services called by many.
#![allow(unreachable_pub, reason = "shared by several benchmarks")]

use crate::world::{Dice, World, id};
use huddle_core::diagnose::{DiagnoseConfig, Finding, diagnose};
use huddle_core::graph::{EdgeStats, PairStats, Snapshot};
use huddle_core::id::{EdgeId, WorkloadId};
use huddle_core::sample::{Endpoint, Exchange, Locality, RequestClass};
use huddle_core::time::{Timestamp, Window};
use huddle_core::units::Micros;
use std::collections::BTreeMap;

/// How large.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub nodes: usize,
    pub services: usize,
    pub connected: usize,
    pub edges: usize,
    /// The median of replicas; the mean is about two and a half times as many.
    pub replicas: f64,
    /// Callees that each pod of a caller is seen to call, at most.
    pub callees: usize,
}

/// M3: 547 services, about 3 500 pods, 344 edges between 161 services; 100 nodes.
pub const M3: Size = Size {
    nodes: 100,
    services: 547,
    connected: 161,
    edges: 344,
    replicas: 2.6,
    callees: 6,
};

/// At most 206, as in M3.
fn replicas(dice: &mut Dice, median: f64) -> usize {
    (dice.around(median, 1.35).round() as usize).clamp(1, 206)
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
fn edge(dice: &mut Dice, size: Size, (from, callers): Side<'_>, (to, called): Side<'_>, requests: u64) -> EdgeStats {
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
    let several = called.len().min(size.callees);
    for caller in callers {
        let first = dice.below(called.len());
        for step in 0..several {
            let callee = &called[(first + step) % called.len()];
            let locality = Locality::between(caller, callee);
            let part = (requests / (callers.len() * several) as u64).max(8);
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

/// A workload and its pods.
type Side<'a> = (&'a WorkloadId, &'a [Endpoint]);

/// A cluster, five minutes of its traffic, and what is slow in it.
pub fn make(size: Size) -> (World, Snapshot, Vec<Finding>) {
    let mut dice = Dice(3);
    let mut world = World::new(size.nodes, 3, 40_000);
    for service in 0..size.services {
        let pods = replicas(&mut dice, size.replicas);
        let nodes: Vec<usize> = (0..pods).map(|_| dice.below(size.nodes)).collect();
        let cpu = (dice.around(900.0, 0.6) as u64).clamp(100, 2500);
        world.deploy(&format!("s{service}"), cpu, &nodes);
    }
    let mut ends: BTreeMap<WorkloadId, Vec<Endpoint>> = BTreeMap::new();
    for pod in world.cluster.pods.values() {
        let end = world.cluster.endpoint(&pod.uid);
        ends.entry(pod.workload.clone()).or_default().extend(end);
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
    let heaviest = 3_000_000.0 * size.edges as f64 / M3.edges as f64;
    while snapshot.edges.len() < size.edges {
        let (from, to) = (dice.below(size.connected), dice.below(size.connected));
        // A few services are called by many (preferential attachment).
        let to = if dice.unit() < 0.3 {
            to % (size.connected / 20)
        } else {
            to
        };
        if from != to {
            let weight = heaviest / (snapshot.edges.len() as f64 + 1.0).powf(1.1);
            let (from, to) = (id(&format!("s{from}")), id(&format!("s{to}")));
            let stats = edge(&mut dice, size, (&from, &ends[&from]), (&to, &ends[&to]), weight as u64);
            snapshot.edges.entry(stats.edge.clone()).or_insert(stats);
        }
    }
    let findings = diagnose(&snapshot, &DiagnoseConfig::default());
    (world, snapshot, findings)
}
