//! What a rule does to pods, and who may make one.

use super::cluster::{apply, shared};
use super::scene::{Scene, wait};
use anyhow::{Result, ensure};
use huddle_api as api;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

fn rule(name: &str, namespace: &str, spec: &Value) -> Value {
    json!({"apiVersion": "huddle.dev/v1alpha1", "kind": "Rule",
           "metadata": {"name": name, "namespace": namespace, "labels": {"huddle.dev/state": "trial"}}, "spec": spec})
}

fn everything(form: &str) -> Value {
    let host = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-2"]}]);
    let near = json!({"labelSelector": {"matchLabels": {"app": "caller"}}, "topologyKey": "kubernetes.io/hostname"});
    json!({
        "workload": "callee", "form": form, "selector": {"matchLabels": {"app": "callee"}},
        "preferredNodeAffinity": [{"weight": 100, "preference": {"matchExpressions": host}}],
        "preferredPodAffinity": [{"weight": 100, "podAffinityTerm": near}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "callee"}}}],
        "labels": {"huddle.dev/gen": "p"}, "annotations": {"huddle.dev/why": "near"}, "preStopSleepSeconds": 2,
    })
}

pub(super) fn pod(extra: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {"generateName": "trial-", "labels": {"app": "callee", "huddle.dev/trial": "true"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x",
                "uid": "8b6a1c1e-0000-4000-8000-000000000000", "controller": true}]},
        "spec": {"containers": [{"name": "app", "image": "x"}]},
    });
    json_patch::merge(&mut pod, extra);
    serde_json::from_value(pod).expect("a pod")
}

pub(super) async fn dry_run(client: &Client, namespace: &str, pod: &Pod) -> Result<Pod, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = PostParams {
        dry_run: true,
        field_manager: None,
    };
    pods.create(&params, pod).await
}

/// The dry-run pod once so many rules have worked on it.
async fn ruled(client: &Client, namespace: &str, pod: &Pod, rules: usize) -> Result<Value> {
    wait("the rules are seen", async || {
        let made = dry_run(client, namespace, pod).await?;
        let marks = made
            .annotations()
            .get(api::ANNOTATION_RULE)
            .map_or(0, |it| it.split(',').count());
        ensure!(marks == rules, "{marks} rules");
        Ok(serde_json::to_value(made)?)
    })
    .await
}

#[tokio::test]
async fn a_rule_merges_with_what_the_pod_has() -> Result<()> {
    let scene = Scene::set("merge").await?;
    let controller = Client::try_from(shared().await.controller_config().await)?;
    apply(&controller, rule("one", "merge", &everything("Step"))).await?;

    let bare = ruled(&controller, "merge", &pod(&json!({})), 1).await?;
    let count = |pod: &Value, path: &str| pod.pointer(path).and_then(Value::as_array).map_or(0, Vec::len);
    let nodes = "/spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution";
    let near = "/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution";
    ensure!(count(&bare, nodes) == 1 && count(&bare, near) == 1, "{bare:#}");
    ensure!(count(&bare, "/spec/topologySpreadConstraints") == 1, "{bare:#}");
    ensure!(
        bare.pointer("/spec/containers/0/lifecycle/preStop/sleep/seconds") == Some(&json!(2)),
        "{bare:#}"
    );
    ensure!(
        bare.pointer("/metadata/labels/huddle.dev~1gen") == Some(&json!("p")),
        "{bare:#}"
    );

    // A pod that has all of it already keeps its own, gets the wishes beside them, and stays valid.
    let term = json!([{"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}]);
    let own = json!({
        "metadata": {"annotations": {"own": "kept"}},
        "spec": {
            "terminationGracePeriodSeconds": 3,
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": term}},
            "topologySpreadConstraints": [{"maxSkew": 5, "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "callee"}}}],
        },
    });
    let full = ruled(&controller, "merge", &pod(&own), 1).await?;
    ensure!(count(&full, nodes) == 2, "{full:#}");
    ensure!(
        full.pointer("/spec/topologySpreadConstraints/0/maxSkew") == Some(&json!(5)),
        "{full:#}"
    );
    ensure!(count(&full, "/spec/topologySpreadConstraints") == 1, "{full:#}");
    ensure!(
        full.pointer("/metadata/annotations/own") == Some(&json!("kept")),
        "{full:#}"
    );
    ensure!(
        full.pointer("/spec/containers/0/lifecycle").is_none(),
        "no sleep longer than the pod's grace: {full:#}"
    );

    apply(&controller, rule("two", "merge", &everything("Step"))).await?;
    let both = ruled(&controller, "merge", &pod(&json!({})), 2).await?;
    ensure!(count(&both, nodes) == 2 && count(&both, near) == 2, "{both:#}");

    // Pods of nobody, and other workloads' pods, are left alone.
    let others = [
        json!({"metadata": {"ownerReferences": null}}),
        json!({"metadata": {"labels": {"app": "other"}}}),
    ];
    for other in others {
        let made = dry_run(&controller, "merge", &pod(&other)).await?;
        ensure!(!made.annotations().contains_key(api::ANNOTATION_RULE), "{other}");
    }
    scene.remove().await
}

#[tokio::test]
async fn rules_are_a_privilege() -> Result<()> {
    let scene = Scene::set("privilege").await?;
    let bind = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "admins", "namespace": "privilege"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ada"}]});
    apply(&scene.admin, bind).await?;
    let ada = shared().await.user(Some("ada")).await;
    let forged = rule("forged", "privilege", &everything("Step"));
    let refusal = |result: Result<()>| match result {
        Ok(()) => "accepted".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    let by_ada = refusal(apply(&ada, forged.clone()).await);
    ensure!(
        by_ada.contains("cannot"),
        "a namespace's admin has no right to rules: {by_ada}"
    );
    let by_root = refusal(apply(&scene.admin, forged).await);
    ensure!(
        by_root.contains("only Huddle's controller"),
        "not even the cluster's admin makes one: {by_root}"
    );

    let controller = Client::try_from(shared().await.controller_config().await)?;
    let in_system = refusal(apply(&controller, rule("x", "kube-system", &everything("Step"))).await);
    ensure!(in_system.contains("forbidden"), "{in_system}");
    let steady = refusal(apply(&controller, rule("x", "privilege", &everything("Steady"))).await);
    ensure!(steady.contains("only a step rule may name hosts"), "{steady}");
    for field in ["containers", "env", "volumes", "securityContext", "serviceAccountName"] {
        let mut spec = everything("Step");
        spec[field] = json!([{"name": "evil", "image": "evil"}]);
        let strict = refusal(apply(&controller, rule("x", "privilege", &spec)).await);
        ensure!(strict.contains("not declared in schema"), "{field}: {strict}");
    }
    let sized = |containers: Value| {
        json!({"workload": "callee", "form": "Steady", "containers": containers,
        "selector": {"matchLabels": {"app": "callee"}}})
    };
    let wrong = [
        (json!([{"name": "app", "limits": {"cpu": "-1"}}]), "should match"),
        (json!([{"name": "app", "limits": {"cpu": "0"}}]), "should match"),
        (
            json!([{"name": "app", "limits": {"cpu": "1", "nvidia.com/gpu": "1"}}]),
            "not declared in schema",
        ),
        (
            json!([{"name": "app", "requests": {"cpu": "2"}, "limits": {"cpu": "1"}}]),
            "not above the limit beside it",
        ),
        (
            json!([{"name": "app", "requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}]),
            "not above the limit beside it",
        ),
        (json!([{"name": "app", "image": "evil"}]), "not declared in schema"),
    ];
    for (containers, why) in wrong {
        let refused = refusal(apply(&controller, rule("x", "privilege", &sized(containers.clone()))).await);
        ensure!(refused.contains(why), "{containers}: {refused}");
    }
    let mut spec = sized(json!([{"name": "app", "limits": {"cpu": "1"}}]));
    spec["form"] = json!("Step");
    let step = refusal(apply(&controller, rule("x", "privilege", &spec)).await);
    ensure!(step.contains("only a steady rule sets figures"), "{step}");
    let mut spec = everything("Step");
    spec["labels"] = json!({"app": "other"});
    let label = refusal(apply(&controller, rule("x", "privilege", &spec)).await);
    ensure!(label.contains("huddle.dev/ labels only"), "{label}");

    apply(&controller, rule("x", "privilege", &everything("Step"))).await?;
    let mut spec = everything("Step");
    spec["preStopSleepSeconds"] = json!(3);
    let changed = refusal(apply(&controller, rule("x", "privilege", &spec)).await);
    ensure!(changed.contains("never changes"), "{changed}");

    // Undo needs no Huddle: whoever may delete, may.
    let rules: Api<api::Rule> = Api::namespaced(scene.admin.clone(), "privilege");
    rules.delete("x", &DeleteParams::default()).await?;
    scene.remove().await
}

#[tokio::test]
async fn the_controller_is_held_to_dry_runs_labels_and_routing() -> Result<()> {
    let scene = Scene::set("restraint").await?;
    let controller = Client::try_from(shared().await.controller_config().await)?;
    let pods: Api<Pod> = Api::namespaced(controller.clone(), "restraint");
    let made = pods.create(&PostParams::default(), &pod(&json!({}))).await;
    ensure!(made.is_err(), "it made a pod");
    let callees = scene.pods("callee").await?;
    let name = callees.first().map(ResourceExt::name_any).unwrap_or_default();
    let image = json!({"spec": {"containers": [{"name": "app", "image": "evil"}]}});
    let patched = pods
        .patch(&name, &PatchParams::default(), &Patch::Strategic(image))
        .await;
    ensure!(patched.is_err(), "it changed an image");
    let services: Api<k8s_openapi::api::core::v1::Service> = Api::namespaced(controller, "restraint");
    let hijack = json!({"spec": {"selector": {"app": "caller"}}});
    let patched = services
        .patch("callee", &PatchParams::default(), &Patch::Merge(hijack))
        .await;
    ensure!(patched.is_err(), "it changed a selector");
    scene.remove().await
}

#[tokio::test]
async fn an_approval_carries_the_name_of_whoever_gives_it() -> Result<()> {
    let scene = Scene::set("approval").await?;
    let object = api::Plan::new("plan-forged", huddle::act::spec_of(&scene.plan().await?)?);
    let plans = scene.plans();
    let forged = plans.create(&PostParams::default(), &object).await;
    ensure!(forged.is_err(), "somebody else than the controller made a plan");
    let controller = Client::try_from(shared().await.controller_config().await)?;
    let theirs: Api<api::Plan> = Api::namespaced(controller, api::SYSTEM_NAMESPACE);
    let made = theirs.create(&PostParams::default(), &object).await?;
    let approve = |by: &str, digest: &str| json!({"spec": {"approval": {"by": by, "at": 1, "digest": digest}}});
    let digest = &made.spec.digest;
    for wrong in [approve("somebody", digest), approve("admin", &"0".repeat(64))] {
        let patched = plans
            .patch("plan-forged", &PatchParams::default(), &Patch::Merge(&wrong))
            .await;
        ensure!(patched.is_err(), "accepted: {wrong}");
    }
    plans
        .patch(
            "plan-forged",
            &PatchParams::default(),
            &Patch::Merge(approve("admin", digest)),
        )
        .await?;
    plans.delete("plan-forged", &DeleteParams::default()).await?;
    scene.remove().await
}
