//! The dump at 5 000 nodes, 150 000 pods, 10 000 services, in seconds of this process's cpu, one thread. One JSON object per line.
//! `cargo bench -p huddle --bench large`; `NODES=500` makes all of it a tenth as large, `EDGES=100000` gives it so many edges. The planner at
//! this size: `cargo bench -p huddle-core --bench live`.
#![allow(missing_docs, reason = "a program, not an interface")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads its arguments and its clock")]

#[path = "../core/benches/made/mod.rs"]
mod made;
#[path = "../core/benches/meter/mod.rs"]
mod meter;
#[path = "../core/tests/world/mod.rs"]
mod world;

use huddle::dump::{Part, encode};
use made::Size;
use meter::{status, timed};
use serde_json::json;

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
    let ((world, snapshot, _), made) = timed(|| made::make(size));
    let cluster = &world.cluster;
    println!(
        "{}",
        json!({"row": "made", "cpu_seconds": made, "nodes": cluster.nodes.len(), "pods": cluster.pods.len(),
            "services": cluster.workloads.len(), "edges": snapshot.edges.len(), "mib": status("VmRSS")})
    );
    let (bytes, took) = timed(|| encode(Some(cluster), Some(&snapshot), None).unwrap());
    println!(
        "{}",
        json!({"row": "dump-written", "cpu_seconds": took, "mb": bytes.len() as f64 / 1e6})
    );
    let (part, took) = timed(|| Part::decode(&bytes).unwrap());
    assert_eq!(part.cluster.as_ref(), Some(cluster));
    assert_eq!(part.graph.map(|graph| graph.edges.len()), Some(snapshot.edges.len()));
    println!(
        "{}",
        json!({"row": "dump-read", "cpu_seconds": took, "peak_mib": status("VmHWM")})
    );
}
