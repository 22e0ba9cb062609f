//! The live planner at 5 000 nodes, 150 000 pods, 10 000 services, in seconds of this process's cpu, one thread. One JSON object per line;
//! the independent checker of the tests judges every plan. `cargo bench -p huddle-core --bench live`; `NODES=500` makes all of it a tenth as
//! large, `EDGES=100000` gives it so many edges. `RULES=1` gives a third of the workloads a hard spread over the zones, a tenth of them
//! anti-affinity among their own pods.
#![allow(missing_docs, reason = "a program, not an interface")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads its arguments and its clock")]

mod made;
mod meter;
#[path = "../tests/world/mod.rs"]
mod world;

use huddle_core::cluster::{ClusterView, PodTerm, Selector, SpreadConstraint};
use huddle_core::diagnose::{DiagnoseConfig, diagnose};
use huddle_core::id::WorkloadId;
use huddle_core::plan::{PlannerConfig, limited, plan};
use made::Size;
use meter::{status, timed};
use serde_json::json;
use std::collections::BTreeMap;

/// What many owners ask for.
fn constrain(cluster: &mut ClusterView) {
    let numbers: BTreeMap<WorkloadId, usize> = cluster.workloads.keys().cloned().zip(0..).collect();
    for pod in cluster.pods.values_mut() {
        let number = numbers[&pod.workload];
        let selector = Selector {
            labels: pod.labels.clone(),
            requirements: Vec::new(),
        };
        if number.is_multiple_of(3) {
            pod.constraints.spread.push(SpreadConstraint {
                selector,
                topology_key: "topology.kubernetes.io/zone".to_owned(),
                max_skew: 1,
                hard: true,
                min_domains: 1,
                honors_affinity: true,
                honors_taints: false,
            });
        } else if number % 10 == 1 {
            pod.constraints.anti_affinity.push(PodTerm {
                selector,
                namespaces: None,
                topology_key: "kubernetes.io/hostname".to_owned(),
            });
        }
    }
}

fn main() {
    let nodes = std::env::var("NODES").ok().and_then(|nodes| nodes.parse().ok());
    let nodes: usize = nodes.unwrap_or(5_000);
    let edges = std::env::var("EDGES").ok().and_then(|edges| edges.parse().ok());
    let size = Size {
        nodes,
        services: nodes * 2,
        connected: nodes * 3 / 5,
        edges: edges.unwrap_or(nodes * 5 / 4),
        replicas: 6.1,
        callees: 3,
    };
    let ((mut world, snapshot, _), made) = timed(|| made::make(size));
    if std::env::var("RULES").is_ok() {
        constrain(&mut world.cluster);
    }
    let cluster = &world.cluster;
    println!(
        "{}",
        json!({"row": "made", "cpu_seconds": made, "nodes": cluster.nodes.len(), "pods": cluster.pods.len(),
            "services": cluster.workloads.len(), "edges": snapshot.edges.len(), "mib": status("VmRSS")})
    );
    let (findings, took) = timed(|| diagnose(&snapshot, &DiagnoseConfig::default()));
    println!(
        "{}",
        json!({"row": "diagnose", "cpu_seconds": took, "findings": findings.len()})
    );
    let config = PlannerConfig::default();
    for most in [20, 100, 500, u64::MAX] {
        let cluster = limited(cluster, most);
        let (planned, took) = timed(|| plan(&snapshot, &findings, &cluster, &config, snapshot.at));
        world::check::check(&cluster, &planned).unwrap();
        println!(
            "{}",
            json!({"row": "plan", "most_moves": most, "cpu_seconds": took, "moves": planned.pods_restarted,
                "actions": planned.actions.len(), "saved": planned.saved})
        );
    }
}
