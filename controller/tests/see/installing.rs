//! An installation that cannot end, and its removal without a controller. Every manifest meets the real API server here.

use super::plane::Plane;
use huddle_api::Plan;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams};
use kube::discovery::Discovery;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::process::Output;
use tokio::process::Command;

/// A definition that takes everything: what matters of Istio here is that its kinds are served.
pub(crate) fn definition(group: &str, versions: &[&str], kind: &str, plural: &str) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .enumerate()
        .map(|(index, version)| {
            json!({"name": version, "served": true, "storage": index == 0, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
        })
        .collect();
    // Groups under k8s.io are somebody's; this is a stand-in for them.
    let metadata = json!({"name": format!("{plural}.{group}"), "annotations": {"api-approved.kubernetes.io": "unapproved, a test's"}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata,
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural}, "versions": versions}
    })
}

async fn istio(plane: &Plane) {
    istio_of(plane, "1.31.1").await;
}

async fn istio_of(plane: &Plane, version: &str) {
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
                "spec": {"containers": [{"name": "discovery", "image": format!("none/pilot:{version}")}]}}}}),
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
    let install = [
        "install",
        "--namespace",
        "shop",
        "--allow",
        "act,cells",
        "--patience",
        "1",
        "--yes",
        "--image",
        "none/huddle:1",
    ];
    istio_of(&plane, "1.26.4-distroless").await;
    let output = huddle(&plane, &install).await;
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        wrong.contains("is Istio 1.26.4-distroless: Huddle needs 1.27 or newer"),
        "{wrong}"
    );
    assert_eq!(
        (output.status.code(), traces(&plane.client).await),
        (Some(1), Vec::<String>::new())
    );
    istio(&plane).await;
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
        "ValidatingAdmissionPolicy huddle-restraint-nodes",
    ] {
        assert!(kinds.iter().any(|kind| kind == wanted), "{wanted} not in {kinds:?}");
    }
    assert!(
        served(&plane.client, "huddle.dev", "Plan").await,
        "the kinds are there although the controller is not"
    );
    assert!(
        !kinds.iter().any(|kind| kind == "ClusterRole huddle-cells"),
        "rights come last: {kinds:?}"
    );
    // The right to label nodes, and a label that no plan accounts for: both go, with the policy.
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/admission/rbac-cells.yaml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    for object in serde_saphyr::from_multiple::<Value>(&manifest).unwrap() {
        plane.apply(object).await.unwrap();
    }
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1", "labels": {"huddle.dev/cell-plan-1-0": "0"}}});
    plane.apply(node).await.unwrap();
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

/// Placement has another way there, merging has none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_serves_no_mutating_policies_merges_nothing_and_is_left_as_it_was() {
    let plane = Plane::start_without_mutating_policies().await.unwrap();
    istio(&plane).await;
    let line = [
        "install",
        "--namespace",
        "shop",
        "--yes",
        "--image",
        "none/huddle:1",
        "--patience",
        "1",
        "--allow",
    ];
    let output = huddle(&plane, &[&line[..], &["act,merge"]].concat()).await;
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{wrong}");
    assert!(wrong.contains("serves no MutatingAdmissionPolicy v1"), "{wrong}");
    assert_eq!(traces(&plane.client).await, Vec::<String>::new());
    // The same line without it gets as far as waiting for a controller.
    let output = huddle(&plane, &[&line[..], &["act"]].concat()).await;
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(wrong.contains("the controller to be ready"), "{wrong}");
}

async fn served(client: &Client, group: &str, kind: &str) -> bool {
    let gvk = GroupVersionKind::gvk(group, "v1alpha1", kind);
    kube::discovery::pinned_kind(client, &gvk).await.is_ok()
}

/// The rights that an earlier installation gave: what `--allow act` applies once the controller runs, which it never does here.
async fn allow(plane: &Plane, namespace: &str) {
    for text in [
        include_str!("../../../manifests/admission/rbac-act-namespace.yaml"),
        include_str!("../../../manifests/mesh/filter.yaml"),
    ] {
        for document in text.split("\n---") {
            let document = document
                .replace("namespace: NAMESPACE", &format!("namespace: {namespace}"))
                .replace("{{namespace}}", namespace)
                .replace("{{interval_ms}}", "1000")
                .replace("{{ingest_port}}", "9000");
            let mut object: Value = serde_saphyr::from_str(&document).unwrap();
            object["metadata"]["labels"]["app.kubernetes.io/part-of"] = json!("huddle");
            plane.apply(object).await.unwrap();
        }
    }
    let labels = json!({"istio-injection": "enabled", "huddle.dev/act": "allowed"});
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}});
    plane.apply(object).await.unwrap();
}

/// What is left of the rights in a namespace: role, binding, label, filter.
async fn left(plane: &Plane, namespace: &str) -> Vec<&'static str> {
    let client = plane.client.clone();
    let roles: Api<Role> = Api::namespaced(client.clone(), namespace);
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
    let labels = Api::<Namespace>::all(client.clone()).get(namespace).await.unwrap();
    let kind = GroupVersionKind::gvk("extensions.istio.io", "v1alpha1", "WasmPlugin");
    let plugins: Api<DynamicObject> = Api::namespaced_with(client, namespace, &ApiResource::from_gvk(&kind));
    [
        ("role", roles.get_opt("huddle-act").await.unwrap().is_some()),
        ("binding", bindings.get_opt("huddle-act").await.unwrap().is_some()),
        ("label", labels.labels().contains_key("huddle.dev/act")),
        ("filter", plugins.get_opt("huddle-filter").await.unwrap().is_some()),
    ]
    .into_iter()
    .filter_map(|(what, there)| there.then_some(what))
    .collect()
}

/// A plan as the controller writes it, of one action in a namespace, in a phase.
async fn plan(plane: &Plane, namespace: &str, phase: &str) {
    let mut config = plane.config.clone();
    config.auth_info.impersonate = Some("system:serviceaccount:huddle-system:huddle-controller".to_owned());
    let plans: Api<Plan> = Api::namespaced(Client::try_from(config).unwrap(), huddle_api::SYSTEM_NAMESPACE);
    let workload = json!({"namespace": namespace, "kind": "Deployment", "name": "cart"});
    let object = json!({"apiVersion": "huddle.dev/v1alpha1", "kind": "Plan", "metadata": {"name": "p1"},
        "spec": {"at": 1, "podsRestarted": 0, "saved": 1.0, "digest": "0".repeat(64),
            "actions": [{"kind": "place", "workload": workload, "with": workload}]}});
    if plans.get_opt("p1").await.unwrap().is_none() {
        let object: Plan = serde_json::from_value(object).unwrap();
        plans.create(&PostParams::default(), &object).await.unwrap();
    }
    let status = Patch::Merge(json!({"status": {"phase": phase, "since": 1}}));
    plans
        .patch_status("p1", &PatchParams::default(), &status)
        .await
        .unwrap();
}

/// The installation itself cannot end here (no kubelet starts the controller); what it takes away comes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_installation_takes_back_what_its_line_does_not_name() {
    const ALL: [&str; 4] = ["role", "binding", "label", "filter"];
    let plane = Plane::start().await.unwrap();
    istio(&plane).await;
    let again = async |more: &[&str]| {
        let line = [
            &["install", "--patience", "1", "--yes", "--image", "none/huddle:1"],
            more,
        ]
        .concat();
        let output = huddle(&plane, &line).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}{wrong}");
        (said, wrong)
    };
    let (said, _) = again(&["--namespace", "shop"]).await;
    assert!(!said.contains("taken away"), "{said}");
    let other = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "load"}});
    plane.apply(other).await.unwrap();
    allow(&plane, "shop").await;
    allow(&plane, "load").await;

    // The same line as before, in its effect: nothing goes.
    let (said, wrong) = again(&["--namespace", "shop,load", "--allow", "act"]).await;
    assert!(!said.contains("taken away"), "{said}");
    assert!(wrong.contains("the controller to be ready"), "{wrong}");
    assert_eq!(
        (left(&plane, "shop").await, left(&plane, "load").await),
        (ALL.to_vec(), ALL.to_vec())
    );

    // A plan stands that could not be undone.
    plan(&plane, "shop", "proved").await;
    let (said, wrong) = again(&["--namespace", "shop,load"]).await;
    assert!(said.contains("the right to act in namespace shop"), "{said}");
    assert!(
        wrong.contains("plan p1 stands in namespace shop") && wrong.contains("huddle rollback p1"),
        "{wrong}"
    );
    assert_eq!(
        (left(&plane, "shop").await, left(&plane, "load").await),
        (ALL.to_vec(), ALL.to_vec())
    );

    // One namespace less: its right and its filter go, the plan's own namespace keeps both.
    let (said, wrong) = again(&["--namespace", "shop", "--allow", "act"]).await;
    assert!(
        said.contains("the right to act in namespace load") && said.contains("the filter from namespace load"),
        "{said}"
    );
    assert!(wrong.contains("the controller to be ready"), "{wrong}");
    assert_eq!(
        (left(&plane, "shop").await, left(&plane, "load").await),
        (ALL.to_vec(), Vec::new())
    );

    // Undone, it stands in nobody's way; a dry run only says so.
    plan(&plane, "shop", "rolledBack").await;
    let dry = huddle(&plane, &["install", "--namespace", "shop", "--dry-run"]).await;
    let said = String::from_utf8_lossy(&dry.stdout).into_owned();
    assert!(
        dry.status.success() && said.contains("the right to act in namespace shop"),
        "{said}"
    );
    assert_eq!(left(&plane, "shop").await, ALL);
    again(&["--namespace", "shop"]).await;
    assert_eq!(left(&plane, "shop").await, ["filter"]);

    // Without a namespace nothing would be measured: that is not meant by accident.
    let (_, wrong) = again(&[]).await;
    assert!(
        wrong.contains("names no namespace") && wrong.contains("--namespace shop"),
        "{wrong}"
    );
    assert_eq!(left(&plane, "shop").await, ["filter"]);
}
