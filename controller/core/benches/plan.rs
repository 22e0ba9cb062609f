//! How long a plan takes on a cluster of the size and skew of ByteDance's M3 (facts/loop.md C5): 100 nodes, 547 services, about
//! 3 500 pods, 344 edges between 161 services, edge weights Zipf 1.1.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

mod made;
#[path = "../tests/world/mod.rs"]
mod world;

use criterion::{Criterion, criterion_group, criterion_main};
use huddle_core::diagnose::{DiagnoseConfig, diagnose};
use huddle_core::plan::{PlannerConfig, load_after_routing, plan};

fn benches(criterion: &mut Criterion) {
    let (world, snapshot, findings) = made::make(made::M3);
    let config = PlannerConfig::default();
    let planned = plan(&snapshot, &findings, &world.cluster, &config, snapshot.at);
    world::check::check(&world.cluster, &planned).unwrap();
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
