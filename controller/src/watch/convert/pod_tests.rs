//! Pods as the API server gives them.

use super::*;
use huddle_core::cluster::Operator;
use huddle_core::units::{Bytes, Millicores};
use serde_json::{Value, json};

fn read(spec: Value) -> Result<Option<PodFacts>, Invalid> {
    let object: v1::Pod = serde_json::from_value(json!({
        "metadata": {"name": "web-7f-x", "namespace": "shop", "uid": "u1", "labels": {"app": "web", "pod-template-hash": "7f"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7f", "uid": "r", "controller": true}]},
        "spec": spec,
        "status": {"phase": "Running", "podIP": "10.1.2.3", "conditions": [{"type": "Ready", "status": "True"}]}
    }))
    .unwrap();
    pod(&object)
}

fn requests_of(spec: Value) -> (u64, u64) {
    let requests = read(spec).unwrap().unwrap().pod.requests;
    (requests.cpu.0, requests.memory.0 >> 20)
}

fn container(cpu: &str, memory: &str) -> Value {
    json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
}

#[test]
fn requests_are_those_of_the_scheduler() {
    let sidecar = json!({"name": "istio-proxy", "restartPolicy": "Always",
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}});
    let init = |cpu: &str| json!({"name": "init", "resources": {"requests": {"cpu": cpu}}});
    // Containers and native sidecar together, larger than the init container.
    assert_eq!(
        requests_of(json!({"containers": [container("200m", "64Mi")], "initContainers": [init("50m"), sidecar]})),
        (300, 192)
    );
    // An init container that runs beside the sidecar, and wins.
    assert_eq!(
        requests_of(json!({"containers": [container("200m", "64Mi")], "initContainers": [sidecar, init("500m")]})),
        (600, 192)
    );
    // The same before the sidecar starts: alone.
    assert_eq!(
        requests_of(json!({"containers": [container("200m", "64Mi")], "initContainers": [init("500m"), sidecar]})),
        (500, 192)
    );
    // Pod-level requests replace the sum; overhead comes on top.
    assert_eq!(
        requests_of(
            json!({"containers": [container("200m", "64Mi")], "resources": {"requests": {"cpu": "1"}},
            "overhead": {"cpu": "10m", "memory": "1Mi"}})
        ),
        (1_010, 65)
    );
}

#[test]
fn the_rest_is_read() {
    let facts = read(json!({
        "nodeName": "node-1",
        "containers": [{"name": "web", "ports": [{"containerPort": 80, "hostPort": 8080}],
            "resources": {"requests": {"example.com/gpu": "2"}}}, {"name": "istio-proxy"}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "tolerations": [{"operator": "Exists"}, {"key": "k", "value": "v", "effect": "NoExecute"}],
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]}},
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"labelSelector": {"matchLabels": {"app": "web"}}, "namespaceSelector": {}, "topologyKey": "kubernetes.io/hostname"}]}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {}, "matchLabelKeys": ["pod-template-hash"]}]
    }))
    .unwrap()
    .unwrap();
    let pod = &facts.pod;
    assert_eq!(pod.workload.to_string(), "shop/ReplicaSet/web-7f");
    assert_eq!(facts.owner.as_ref().map(|owner| owner.name.as_str()), Some("web-7f"));
    assert!(pod.ready && pod.meshed && !pod.deleting && pod.orphan_of.is_none());
    assert_eq!(pod.address, Some("10.1.2.3".parse().unwrap()));
    assert_eq!(pod.requests.extended.get("example.com/gpu"), Some(&2));
    assert_eq!((pod.requests.cpu, pod.requests.memory), (Millicores(0), Bytes(0)));
    let constraints = &pod.constraints;
    assert!(constraints.host_ports.iter().any(|port| port.port == 8080) && constraints.pinned_volumes);
    assert_eq!(constraints.tolerations[0].key, None);
    assert_eq!(constraints.tolerations[0].value, None);
    assert_eq!(constraints.tolerations[1].value.as_deref(), Some("v"));
    assert_eq!(constraints.node_terms[0][0].operator, Operator::In);
    assert_eq!(facts.anti_affinity_namespaces, [(0, Selector::default())]);
    assert_eq!(
        constraints.spread[0]
            .selector
            .labels
            .get("pod-template-hash")
            .map(String::as_str),
        Some("7f")
    );
}

#[test]
fn bad_fields_are_named() {
    let invalid = read(json!({"containers": [container("lots", "1")]})).unwrap_err();
    assert_eq!(invalid.field, "spec.containers[c].resources.requests[cpu]");
    let taints = read(json!({"containers": [], "tolerations": [{"effect": "Sometimes"}]})).unwrap_err();
    assert_eq!(taints.field, "spec.tolerations.effect");
}

#[test]
fn ended_pods_are_left_out() {
    let object: v1::Pod = serde_json::from_value(json!({
        "metadata": {"name": "a", "namespace": "b", "uid": "c"}, "spec": {"containers": []}, "status": {"phase": "Succeeded"}
    }))
    .unwrap();
    assert_eq!(pod(&object), Ok(None));
}

#[test]
fn runs_of_a_cron_job_are_one_workload() {
    assert_eq!(cron("report-29384950"), "report");
    assert_eq!(cron("report-v2"), "report-v2");
}

/// From its creation to its readiness; nothing is said of one that is not ready.
#[test]
fn a_pod_s_start_up_is_read_from_its_conditions() {
    let start_up = |status: &str| {
        let object: v1::Pod = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "creationTimestamp": "2026-11-28T14:00:00Z"},
            "spec": {"containers": [{"name": "c"}]},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": status, "lastTransitionTime": "2026-11-28T14:00:12Z"}]}
        }))
        .unwrap();
        pod(&object).unwrap().unwrap().pod.start_up
    };
    assert_eq!(start_up("True"), Some(huddle_core::time::Span::seconds(12)));
    assert_eq!(start_up("False"), None);
}

/// Where something else than the known filters decides, nobody can say where the pod would go.
#[test]
fn another_scheduler_or_claimed_devices_are_named() {
    let read = |more: Value| {
        let mut spec = json!({"containers": [{"name": "c"}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let object: v1::Pod = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u"}, "spec": spec
        }))
        .unwrap();
        pod(&object).unwrap().unwrap().pod.constraints.unpredictable
    };
    assert_eq!(read(json!({"schedulerName": "default-scheduler"})), None);
    assert_eq!(
        read(json!({"schedulerName": "volcano"})),
        Some("spec.schedulerName".to_owned())
    );
    let claims = json!({"resourceClaims": [{"name": "gpu", "resourceClaimName": "one"}]});
    assert_eq!(read(claims), Some("spec.resourceClaims".to_owned()));
}

#[test]
fn kills_for_want_of_memory_and_resizes_are_read_with_their_times() {
    let object: v1::Pod = serde_json::from_value(json!({
        "metadata": {"name": "a", "namespace": "b", "uid": "c", "managedFields": [
            {"manager": "huddle", "operation": "Update", "subresource": "resize", "time": "2026-01-01T00:10:00Z"},
            {"manager": "kubelet", "operation": "Update", "subresource": "status", "time": "2026-01-01T00:20:00Z"}]},
        "spec": {"containers": [{"name": "web"}, {"name": "other"}]},
        "status": {"phase": "Running", "containerStatuses": [
            {"name": "web", "image": "x", "imageID": "", "ready": true, "restartCount": 1, "state": {"running": {}},
             "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:05:00Z"}}},
            {"name": "other", "image": "x", "imageID": "", "ready": true, "restartCount": 1, "state": {"running": {}},
             "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": "2026-01-01T00:05:00Z"}}}]}
    }))
    .unwrap();
    let containers = pod(&object).unwrap().unwrap().pod.containers;
    let minutes = |at: Option<Timestamp>| at.map(|at| at.0 / 60_000 % 60);
    let told: Vec<_> = containers
        .iter()
        .map(|it| (minutes(it.killed), minutes(it.resized)))
        .collect();
    assert_eq!(told, [(Some(5), Some(10)), (None, Some(10))]);
}
