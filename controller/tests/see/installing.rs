//! An installation that cannot end, and its removal without a controller. Every manifest meets the real API server here.

use super::plane::Plane;
use kube::api::{Api, DynamicObject, GroupVersionKind, ListParams};
use kube::discovery::Discovery;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::process::Output;
use tokio::process::Command;

/// A definition that takes everything: what matters of Istio here is that its kinds are served.
fn definition(group: &str, versions: &[&str], kind: &str, plural: &str) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .enumerate()
        .map(|(index, version)| {
            json!({"name": version, "served": true, "storage": index == 0, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
        })
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural}, "versions": versions}
    })
}

async fn istio(plane: &Plane) {
    for object in [
        definition("extensions.istio.io", &["v1alpha1"], "WasmPlugin", "wasmplugins"),
        definition(
            "networking.istio.io",
            &["v1", "v1alpha3"],
            "EnvoyFilter",
            "envoyfilters",
        ),
        definition(
            "security.istio.io",
            &["v1"],
            "PeerAuthentication",
            "peerauthentications",
        ),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "istiod", "namespace": "istio-system", "labels": {"app": "istiod"}},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "istiod"}}, "template": {"metadata": {"labels": {"app": "istiod"}},
                "spec": {"containers": [{"name": "discovery", "image": "none/pilot:1.31.1"}]}}}}),
    ] {
        plane.apply(object).await.unwrap();
    }
}

async fn huddle(plane: &Plane, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_huddle"));
    command.arg("--kubeconfig").arg(&plane.kubeconfig).args(args);
    command.output().await.unwrap()
}

/// Everything in the cluster that carries Huddle's label or name.
async fn traces(client: &Client) -> Vec<String> {
    let mut traces = Vec::new();
    for group in Discovery::new(client.clone()).run().await.unwrap().groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if !capabilities.supports_operation("list") || resource.kind == "Event" {
                continue;
            }
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            for object in api.list(&ListParams::default()).await.unwrap() {
                let text = serde_json::to_string(&object.metadata.labels).unwrap() + &object.name_any();
                let within = object.namespace().is_some_and(|namespace| namespace.contains("huddle"));
                if within || text.contains("huddle") {
                    traces.push(format!("{} {}", resource.kind, object.name_any()));
                }
            }
        }
    }
    traces
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_that_cannot_end_says_why_and_can_be_taken_away() {
    let plane = Plane::start().await.unwrap();
    istio(&plane).await;
    assert_eq!(traces(&plane.client).await, Vec::<String>::new());
    let install = [
        "install",
        "--namespace",
        "shop",
        "--allow",
        "act",
        "--patience",
        "1",
        "--yes",
        "--image",
        "none/huddle:1",
    ];
    // Twice: what is there already is applied again.
    for _ in 0..2 {
        let output = huddle(&plane, &install).await;
        let (said, wrong) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        assert_eq!(output.status.code(), Some(1), "{said}{wrong}");
        assert!(said.contains("Istio 1.31.1 in namespace istio-system"), "{said}");
        assert!(wrong.contains("the controller to be ready"), "{wrong}");
    }
    let kinds: Vec<String> = traces(&plane.client).await;
    for wanted in [
        "Deployment huddle-controller",
        "ValidatingAdmissionPolicy huddle-privilege",
        "ClusterRole huddle-read",
    ] {
        assert!(kinds.iter().any(|kind| kind == wanted), "{wanted} not in {kinds:?}");
    }
    assert!(
        served(&plane.client, "huddle.dev", "Plan").await,
        "the kinds are there although the controller is not"
    );
    let refused = huddle(&plane, &["uninstall"]).await;
    assert_eq!(refused.status.code(), Some(1), "nobody can be asked");
    let output = huddle(&plane, &["uninstall", "--yes"]).await;
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(traces(&plane.client).await, Vec::<String>::new());
    let again = huddle(&plane, &["uninstall", "--yes"]).await;
    assert!(String::from_utf8_lossy(&again.stdout).contains("Nothing of Huddle is installed"));
}

async fn served(client: &Client, group: &str, kind: &str) -> bool {
    let gvk = GroupVersionKind::gvk(group, "v1alpha1", kind);
    kube::discovery::pinned_kind(client, &gvk).await.is_ok()
}
