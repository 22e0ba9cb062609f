//! Assembly from objects in any order.

use super::*;
use crate::testing::deployment;
use crate::watch::convert;
use huddle_core::cluster::{Rerouting, RoutingMode};
use k8s_openapi::api::core::v1;
use serde_json::json;

fn pod(name: &str, replica_set: Option<&str>, labels: serde_json::Value) -> PodFacts {
    let owners = replica_set.map(
        |owner| json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": "r", "controller": true}]),
    );
    let object: v1::Pod = serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": labels, "ownerReferences": owners},
        "spec": {"nodeName": "node-1", "containers": [{"name": "c"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": "True"}]}
    }))
    .unwrap();
    convert::pod(&object).unwrap().unwrap()
}

fn web() -> Deployed {
    let object = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "generation": 1},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}},
        "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
    }))
    .unwrap();
    convert::deployed(&object).unwrap().unwrap()
}

fn row<V>(key: &str, value: V) -> Change<V> {
    Change::Row(key.to_owned(), Some(value))
}

fn node() -> NodeFacts {
    let object = serde_json::from_value(json!({
        "metadata": {"name": "node-1", "labels": {"topology.kubernetes.io/zone": "zone-a"}},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]}
    }))
    .unwrap();
    convert::node(&object).unwrap().unwrap()
}

fn store() -> Store {
    let mut store = Store::default();
    store.apply(Update::Node(row("node-1", node())));
    store.apply(Update::Pod(row(
        "shop/web-7f-x",
        pod("web-7f-x", Some("web-7f"), json!({"app": "web"})),
    )));
    store
}

#[test]
fn a_replica_set_that_comes_late_names_the_deployment() {
    let mut store = store();
    let before = store.assemble();
    assert_eq!(
        before.workloads.keys().map(ToString::to_string).collect::<Vec<_>>(),
        ["shop/ReplicaSet/web-7f"]
    );
    let owner = Owner {
        kind: "Deployment".to_owned(),
        name: "web".to_owned(),
    };
    store.apply(Update::ReplicaSet(row("shop/web-7f", owner)));
    store.apply(Update::Deployment(row("shop/web", web())));
    let after = store.assemble();
    assert_eq!(after.pods_of(&deployment("web")).count(), 1);
    assert_eq!(after.workloads.len(), 1);
    let tenants: Vec<_> = store.tenants(&after).collect();
    assert_eq!(tenants.len(), 1);
    assert_eq!(
        (
            tenants[0].endpoint.zone.as_str(),
            tenants[0].endpoint.workload.name.as_str()
        ),
        ("zone-a", "web")
    );
}

#[test]
fn an_orphan_still_answers_for_its_deployment_but_is_not_one_of_its_pods() {
    let mut store = store();
    store.apply(Update::Deployment(row("shop/web", web())));
    let labels = json!({"app": "web", "huddle.dev/orphan": "plan-1"});
    store.apply(Update::Pod(row("shop/web-old", pod("web-old", None, labels))));
    let budget = serde_json::from_value(json!({
        "metadata": {"name": "b", "namespace": "shop"}, "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 2, "currentHealthy": 3, "desiredHealthy": 1, "expectedPods": 3}
    }))
    .unwrap();
    store.apply(Update::Budget(row(
        "shop/b",
        convert::budget(&budget).unwrap().unwrap(),
    )));
    let view = store.assemble();
    let orphan = view.pods.values().find(|pod| pod.name == "web-old").unwrap();
    assert_eq!(orphan.workload, deployment("web"));
    assert!(view.pods_of(&deployment("web")).all(|pod| pod.name != "web-old"));
    assert_eq!(view.workloads[&deployment("web")].budget, Budget::Allows(1));
    store.apply(Update::Budget(row(
        "shop/c",
        convert::budget(&budget).unwrap().unwrap(),
    )));
    assert_eq!(store.assemble().workloads[&deployment("web")].budget, Budget::Ambiguous);

    // Without the labels of its Services only its name tells whose it was.
    let owner = Owner {
        kind: "Deployment".to_owned(),
        name: "web".to_owned(),
    };
    store.apply(Update::ReplicaSet(row("shop/web-6c", owner)));
    let bare = || json!({"huddle.dev/orphan": "plan-1"});
    for (name, kind) in [
        ("web-6c-x2", WorkloadKind::Deployment),
        ("web-5d-x3", WorkloadKind::Pod),
    ] {
        store.apply(Update::Pod(row(&format!("shop/{name}"), pod(name, None, bare()))));
        let view = store.assemble();
        let released = view.pods.values().find(|pod| pod.name == name).unwrap();
        assert_eq!(released.workload.kind, kind, "{name}");
    }
}

#[test]
fn rights_and_routing_overrides_are_joined() {
    let mut store = store();
    let namespace = serde_json::from_value(
        json!({"metadata": {"name": "shop", "labels": {"huddle.dev/act": "allowed", "huddle.dev/cells": "allowed", "huddle.dev/merge": "allowed", "istio-injection": "enabled"}}}),
    )
    .unwrap();
    store.apply(Update::Namespace(row(
        "shop",
        convert::namespace(&namespace).unwrap().unwrap(),
    )));
    store.apply(Update::Filter(row("shop/huddle", Namespace::from("shop"))));
    let service = serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app": "web"}, "trafficDistribution": "PreferClose"}}))
    .unwrap();
    store.apply(Update::Service(row(
        "shop/web",
        convert::service(&service).unwrap().unwrap(),
    )));
    store.apply(Update::Route(row(
        "shop/r",
        convert::RouteFacts {
            namespace: Namespace::from("shop"),
            name: "r".to_owned(),
            host: "web".to_owned(),
        },
    )));
    let view = store.assemble();
    let policy = view.policy(&Namespace::from("shop"));
    assert!(policy.may_act && policy.cells && policy.may_merge && !policy.merges);
    let service = view.services.values().next().unwrap();
    assert_eq!(service.routing, RoutingMode::PreferSameZone);
    assert_eq!(service.overridden_by.as_deref(), Some("DestinationRule shop/r"));
    let (facts, filtered) = &store.namespaces()[&Namespace::from("shop")];
    assert!(facts.injected && *filtered);
}

#[test]
fn endpoints_that_no_selector_made_are_named() {
    let mut store = store();
    let service = serde_json::from_value(
        json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"selector": {"app": "web"}}}),
    );
    let service = convert::service(&service.unwrap()).unwrap().unwrap();
    store.apply(Update::Service(row("shop/web", service)));
    let slice = |of: &str| {
        let object = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "by-hand", "namespace": "shop", "labels": {"kubernetes.io/service-name": of}}});
        convert::foreign_slice(&serde_json::from_value(object).unwrap()).unwrap()
    };
    let by = |store: &Store| store.assemble().services.into_values().next().unwrap().overridden_by;
    store.apply(Update::Slice(Change::Row("shop/by-hand".to_owned(), slice("other"))));
    assert_eq!(by(&store), None);
    store.apply(Update::Slice(Change::Row("shop/by-hand".to_owned(), slice("web"))));
    assert_eq!(
        by(&store).as_deref(),
        Some("EndpointSlice shop/by-hand, which no selector made,")
    );
    store.apply(Update::Slice(Change::Gone("shop/by-hand".to_owned())));
    assert_eq!(by(&store), None);
}

/// Rules tell beside whose pods they place, and what is noted of their use; a note that cannot be read is none.
#[test]
fn a_rule_names_the_workload_whose_labels_it_carries() {
    let rule = |noted: serde_json::Value| {
        let object: huddle_api::Rule = serde_json::from_value(json!({
            "metadata": {"name": "plan-1-0", "namespace": "shop", "uid": "rule", "annotations": {"huddle.dev/faded": noted},
                "labels": {"huddle.dev/plan": "plan-1", "huddle.dev/workload": "db"}},
            "spec": {"workload": "db", "form": "Steady", "selector": {"matchLabels": {"app": "db"}},
                "outranks": [{"rule": "plan-0-0"}],
                "preferredPodAffinity": [{"weight": 100, "podAffinityTerm": {
                    "labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}}]}
        }))
        .unwrap();
        convert::rule(&object).unwrap().unwrap()
    };
    let mut store = store();
    let noted = r#"{"why":"notCalled","since":1000,"seen":2000}"#;
    store.apply(Update::Rule(row("shop/plan-1-0", rule(json!(noted)))));
    let steady = store.assemble().steady;
    assert_eq!(
        (steady.len(), &steady[0].beside),
        (1, &None),
        "nobody has these labels yet"
    );
    store.apply(Update::Deployment(row("shop/web", web())));
    let steady = store.assemble().steady;
    assert_eq!(steady[0].beside, Some(deployment("web")));
    assert_eq!(steady[0].workload, deployment("db"));
    assert_eq!(steady[0].outranks, ["plan-0-0".to_owned()].into());
    let fade = steady[0].fade.as_ref().unwrap();
    assert_eq!(
        (fade.why, fade.since.0, fade.seen.0),
        (huddle_core::plan::Faded::NotCalled, 1000, 2000)
    );
    store.apply(Update::Rule(row("shop/plan-1-0", rule(json!("what?")))));
    assert_eq!(store.assemble().steady[0].fade, None);
}

/// How long pods are slow after they are ready is their owner's to say, as a whole number of seconds.
#[test]
fn a_warm_up_is_read_or_its_field_is_named() {
    let read = |text: &str| {
        let object = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "annotations": {"huddle.dev/warm-up-seconds": text}},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {"spec": {"containers": []}}}
        }))
        .unwrap();
        convert::deployment(&object).map(|workload| workload.unwrap().warm_up)
    };
    assert_eq!(read("600"), Ok(Some(huddle_core::time::Span::seconds(600))));
    let error = read("ten minutes").unwrap_err();
    assert_eq!(error.field, "metadata.annotations[huddle.dev/warm-up-seconds]");
}

#[test]
fn routes_of_the_mesh_are_told_by_service() {
    let service = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    }))
    .unwrap();
    let route = serde_json::from_value(json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "v", "namespace": "shop"},
        "spec": {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "other"}}]}]}
    }))
    .unwrap();
    let mut store = store();
    store.apply(Update::Service(row(
        "shop/web",
        convert::service(&service).unwrap().unwrap(),
    )));
    let route = convert::virtual_service(&route).unwrap().unwrap();
    store.apply(Update::Virtual(row("shop/v", route)));
    let reroutes = store.assemble().reroutes.unwrap();
    let told: Vec<_> = reroutes
        .iter()
        .map(|it| (it.service.name.as_str(), it.by.as_str(), it.does))
        .collect();
    let by = "VirtualService shop/v";
    assert_eq!(
        told,
        [("web", by, Rerouting::Elsewhere), ("web", by, Rerouting::Stands)]
    );
    let attached = |kind: &str| {
        serde_json::from_value(json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": {"name": "v", "namespace": "shop"},
            "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "web"}], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}
        }))
        .unwrap()
    };
    let (http, grpc) = (attached("HTTPRoute"), attached("GRPCRoute"));
    store.apply(Update::HttpRoute(row(
        "shop/v",
        convert::http_route(&http).unwrap().unwrap(),
    )));
    store.apply(Update::GrpcRoute(row(
        "shop/v",
        convert::grpc_route(&grpc).unwrap().unwrap(),
    )));
    let told = store.assemble().reroutes.unwrap();
    for by in ["HTTPRoute shop/v", "GRPCRoute shop/v"] {
        let of: Vec<_> = told.iter().filter(|it| it.by == by).map(|it| it.does).collect();
        assert_eq!(of, [Rerouting::Stands]);
    }
    assert_eq!(told.len(), 4);
}

#[test]
fn routes_are_unknown_where_one_kind_of_them_may_not_be_read() {
    for denied in [
        Update::Virtual(Change::Forbidden),
        Update::HttpRoute(Change::Forbidden),
        Update::GrpcRoute(Change::Forbidden),
    ] {
        let mut store = store();
        assert_eq!(store.assemble().reroutes, Some(BTreeSet::new()));
        store.apply(denied);
        assert_eq!(store.assemble().reroutes, None);
    }
}
