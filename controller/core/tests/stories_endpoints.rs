//! Whose calls a Service's routing decides: its endpoints must be the workload's ready pods, all of them and no others.

mod world;

use huddle_core::id::{ServiceId, WorkloadId, WorkloadKind};
use huddle_core::plan::overriding;
use world::{World, id, labels};

fn shop() -> (World, WorkloadId, ServiceId) {
    let mut world = World::new(4, 2, 4_000);
    let web = world.deploy("web", 100, &[1, 2]);
    let service = ServiceId {
        namespace: web.namespace.clone(),
        name: "web".to_owned(),
    };
    (world, web, service)
}

fn said(world: &World, workload: &WorkloadId, service: &ServiceId) -> Option<String> {
    let cluster = &world.cluster;
    overriding(cluster, workload, &cluster.services[service], cluster.pods_of(workload))
}

#[test]
fn a_selector_that_changed_is_noticed() {
    let (mut world, web, service) = shop();
    assert_eq!(said(&world, &web, &service), None);
    world.cluster.services.get_mut(&service).unwrap().selector = labels(&[("app", "other")]);
    let other = said(&world, &web, &service).unwrap();
    assert_eq!(other, "Service shop/web, which does not select it,");
    // A wider one takes in another workload.
    let (mut world, web, service) = shop();
    let twin = world.deploy("twin", 100, &[3]);
    for workload in [&web, &twin] {
        let labels = labels(&[("app", &workload.name), ("tier", "front")]);
        world.cluster.workloads.get_mut(workload).unwrap().labels = labels.clone();
        for pod in world.cluster.pods.values_mut().filter(|pod| pod.workload == *workload) {
            pod.labels = labels.clone();
        }
    }
    world.cluster.services.get_mut(&service).unwrap().selector = labels(&[("tier", "front")]);
    let shared = said(&world, &web, &service).unwrap();
    assert!(shared.contains("which also selects shop/twin"), "{shared}");
}

#[test]
fn a_pod_that_the_service_does_not_select_is_noticed() {
    let (mut world, web, service) = shop();
    let uid = world.cluster.pods_of(&web).next().unwrap().uid.clone();
    world.cluster.pods.get_mut(&uid).unwrap().labels = labels(&[("app", "web-debug")]);
    let name = world.cluster.pods[&uid].name.clone();
    assert!(
        said(&world, &web, &service)
            .unwrap()
            .contains(&format!("does not select pod {name}"))
    );
    // Released for a move, or on its way out, it is no endpoint by intent.
    world.cluster.pods.get_mut(&uid).unwrap().orphan_of = Some("plan-1".to_owned());
    assert_eq!(said(&world, &web, &service), None);
}

#[test]
fn a_pod_of_nobody_that_the_service_selects_is_noticed() {
    let (mut world, web, service) = shop();
    let own = world.cluster.workloads[&web].clone();
    let alone = WorkloadId {
        kind: WorkloadKind::Pod,
        ..id("by-hand")
    };
    let by_hand = huddle_core::cluster::Workload {
        id: alone.clone(),
        replicas: 1,
        ready: 1,
        ..own
    };
    world.cluster.workloads.insert(alone, by_hand);
    let also = said(&world, &web, &service).unwrap();
    assert!(also.contains("which also selects"), "{also}");
}
