//! The demo's shop as the real scheduler laid it out.

use super::{World, demo, resources};
use huddle_core::cluster::Pod;
use huddle_core::graph::Snapshot;
use huddle_core::id::WorkloadId;

/// Workload, node, cpu in millicores and memory in MiB asked for, sidecar included; one per pod.
pub type Draw = Vec<(String, String, u64, u64)>;

/// The recorded draws.
pub fn all() -> Vec<Draw> {
    serde_json::from_str(include_str!("../data/draws.json")).unwrap()
}

/// What comes onto the bed after the shop: the load, and Huddle itself. They go where least is asked for.
const LATER: [(&str, u64); 3] = [
    ("load/driver", 100),
    ("load/fortio", 100),
    ("huddle-system/huddle", 100),
];

/// Four nodes of 1500m and 4 GiB in two zones, with a draw's pods and the shop's calls.
pub fn world(draw: &Draw) -> World {
    let mut world = World::new(4, 2, 1500);
    for node in world.cluster.nodes.values_mut() {
        node.allocatable = resources(1500, 4096);
        node.allocatable.pods = 110;
    }
    let mut pods = draw.clone();
    for (name, cpu) in LATER {
        let asked = |node: &str| pods.iter().filter(|pod| pod.1 == node).map(|pod| pod.2).sum::<u64>();
        let nodes = (1..=4).map(|number| format!("node-{number}"));
        let node = nodes.min_by_key(|node| asked(node)).unwrap();
        pods.push((name.to_owned(), node, cpu, 128));
    }
    while let Some((full, ..)) = pods.first().cloned() {
        let (own, others): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| pod.0 == full);
        deploy(&mut world, &full, &own);
        pods = others;
    }
    world.calls = demo(1.0).calls;
    world.calls[0].0 = WorkloadId::deployment("load", "driver");
    world
}

fn deploy(world: &mut World, full: &str, pods: &[(String, String, u64, u64)]) {
    let (namespace, name) = full.split_once('/').unwrap();
    let number = |node: &str| node.trim_start_matches("node-").parse::<usize>().unwrap() - 1;
    let nodes: Vec<usize> = pods.iter().map(|pod| number(&pod.1)).collect();
    let made = world.deploy(name, pods[0].2, &nodes);
    let id = WorkloadId::deployment(namespace, name);
    let mut workload = world.cluster.workloads.remove(&made).unwrap();
    workload.id = id.clone();
    // As tests/shop/boutique.yaml has it annotated.
    workload.opted_out = name == "frontend";
    world.cluster.workloads.insert(id.clone(), workload);
    let own = |pod: &&mut Pod| pod.workload == made;
    for pod in world.cluster.pods.values_mut().filter(own) {
        pod.workload = id.clone();
        pod.requests = resources(pods[0].2, pods[0].3);
    }
}

/// Same-node share of the calls that the shop's pods make.
pub fn same_node_share(snapshot: &Snapshot) -> f64 {
    let shop = "shop".into();
    let edges = || {
        snapshot
            .edges
            .values()
            .filter(|stats| stats.edge.source.namespace == shop)
    };
    let near: u64 = edges().map(|stats| stats.part(true).requests).sum();
    let all: u64 = edges().map(|stats| stats.total.requests).sum();
    near as f64 / all as f64
}
