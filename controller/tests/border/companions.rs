//! What a Companion does to new pods of its caller, who may make one, and what none can say.

use super::admission::dry_run;
use super::cluster::{Cluster, apply, apply_file, breakable, companioned};
use super::faults::{Fault, Faults};
use super::scene::{Scene, config, wait};
use anyhow::{Result, bail, ensure};
use huddle::act::{Binding, Stage, advance};
use huddle_api as api;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::path::Path;

pub(super) fn spec() -> Value {
    json!({
        "caller": "caller", "callee": "callee", "way": "Proxied", "templateHash": "0".repeat(64), "generation": 1,
        "containers": [{
            "name": "huddle-callee-app", "image": "callee:1", "command": ["/serve"], "args": ["--port", "8080"],
            "env": [{"name": "MODE", "value": "fast"},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "key", "key": "key"}}}],
            "ports": [{"containerPort": 8080, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
            "volumeMounts": [
                {"name": "huddle-callee-conf", "mountPath": "/etc/callee", "readOnly": true},
                {"name": "huddle-no-token", "mountPath": api::TOKEN_PATH, "readOnly": true}],
            "securityContext": {"runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
        "installer": installer(),
        "volumes": [{"name": "huddle-callee-conf", "configMap": {"name": "callee"}},
            {"name": "huddle-no-token", "emptyDir": {"sizeLimit": "1Mi"}},
            {"name": "huddle-supervisor", "emptyDir": {"sizeLimit": "8Mi"}}],
    })
}

/// What runs before the pod's containers do.
fn installer() -> Value {
    json!({
        "name": "huddle-installer", "image": "huddle:1", "command": ["/usr/local/bin/supervisor", "install", "/huddle-supervisor"],
        "volumeMounts": [{"name": "huddle-supervisor", "mountPath": "/huddle-supervisor"},
            {"name": "huddle-no-token", "mountPath": api::TOKEN_PATH, "readOnly": true}],
        "securityContext": {"runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    })
}

pub(super) fn companion(namespace: &str, name: &str, state: &str, spec: &Value) -> Value {
    json!({"apiVersion": "huddle.dev/v1alpha1", "kind": "Companion",
        "metadata": {"name": name, "namespace": namespace, "labels": {"huddle.dev/state": state}}, "spec": spec})
}

pub(super) async fn scene(namespace: &str) -> Result<Scene> {
    scene_on(companioned().await, namespace).await
}

/// A namespace where merging is allowed.
pub(crate) async fn scene_on(cluster: &'static Cluster, namespace: &str) -> Result<Scene> {
    let scene = Scene::on(cluster, namespace).await?;
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/admission/rbac-merge-namespace.yaml");
    apply_file(&scene.admin, &role, &[("NAMESPACE", namespace)]).await?;
    apply(
        &scene.admin,
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace,
            "labels": {"huddle.dev/act": "allowed", "huddle.dev/merge": "allowed"}}}),
    )
    .await?;
    Ok(scene)
}

pub(super) fn refusal(result: Result<()>) -> String {
    match result {
        Ok(()) => "accepted".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}

/// A pod of the caller as its ReplicaSet makes it.
async fn like_the_caller(scene: &Scene, labels: &Value) -> Result<Pod> {
    let pods = scene.pods("caller").await?;
    let own = pods
        .first()
        .map(|pod| (pod.labels().clone(), pod.owner_references().to_vec()));
    let mut pod = json!({"metadata": {"generateName": "x-", "labels": {}, "ownerReferences": []},
        "spec": {"containers": [{"name": "app", "image": "x"}]}});
    if let Some((own, owners)) = own {
        pod["metadata"]["labels"] = json!(own);
        pod["metadata"]["ownerReferences"] = json!(owners);
    }
    json_patch::merge(&mut pod["metadata"]["labels"], labels);
    Ok(serde_json::from_value(pod)?)
}

fn mounts(pod: &Value, container: usize) -> Vec<&Value> {
    let mounts = pod.pointer(&format!("/spec/containers/{container}/volumeMounts"));
    mounts.and_then(Value::as_array).into_iter().flatten().collect()
}

#[tokio::test]
async fn a_callers_new_pods_hold_the_companion_and_no_token_of_it() -> Result<()> {
    let scene = scene("joined").await?;
    let controller = Client::try_from(companioned().await.controller_config().await)?;
    // A trial shows on trial pods alone.
    apply(&controller, companion("joined", "one", "trial", &spec())).await?;
    let trial = like_the_caller(&scene, &json!({"huddle.dev/trial": "true"})).await?;
    let plain = like_the_caller(&scene, &json!({})).await?;
    wait("the trial is seen", async || {
        let made = dry_run(&controller, "joined", &trial).await?;
        ensure!(made.labels().contains_key(api::LABEL_COMPANION), "not yet");
        Ok(())
    })
    .await?;
    let made = dry_run(&controller, "joined", &plain).await?;
    ensure!(!made.labels().contains_key(api::LABEL_COMPANION), "a trial met a pod");

    // Armed and bound, the pods that the ReplicaSet makes have it.
    apply(&controller, companion("joined", "one", "armed", &spec())).await?;
    let binding = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/admission/companion-binding.yaml");
    apply_file(&scene.admin, &binding, &[]).await?;
    let pods: Api<Pod> = Api::namespaced(scene.admin.clone(), "joined");
    let params = ListParams::default().labels("app=caller,huddle.dev/companion=one");
    let joined = wait("a pod with its companion", async || {
        if let Some(pod) = pods.list(&params).await?.items.into_iter().next() {
            return Ok(serde_json::to_value(pod)?);
        }
        for pod in scene.pods("caller").await? {
            scene.delete_pod(&pod.name_any()).await?;
        }
        anyhow::bail!("only plain pods")
    })
    .await?;
    ensure!(
        joined.pointer("/spec/containers/1/name") == Some(&json!("huddle-callee-app")),
        "{joined:#}"
    );
    ensure!(
        joined["metadata"]["annotations"][api::ANNOTATION_CALLEE] == "callee",
        "{joined:#}"
    );
    let given = spec();
    for field in ["image", "command", "args", "env", "ports", "resources"] {
        let (has, wanted) = (&joined["spec"]["containers"][1][field], &given["containers"][0][field]);
        ensure!(has == wanted, "{field}: {has} is not {wanted}");
    }
    // The caller's own container has its token as before; the companion an empty directory in its place.
    let at_token = |container| -> Vec<Value> {
        let all = mounts(&joined, container).into_iter();
        all.filter(|it| it["mountPath"] == api::TOKEN_PATH)
            .map(|it| it["name"].clone())
            .collect()
    };
    ensure!(at_token(1) == [json!("huddle-no-token")], "{joined:#}");
    ensure!(mounts(&joined, 1).len() == 2, "{joined:#}");
    ensure!(
        at_token(0)
            .iter()
            .all(|name| name.as_str().is_some_and(|name| name.starts_with("kube-api-access-"))),
        "{joined:#}"
    );

    let init = joined["spec"]["initContainers"].as_array().into_iter().flatten().last();
    let at_token = init
        .and_then(|init| init["volumeMounts"].as_array())
        .into_iter()
        .flatten();
    let at_token: Vec<&Value> = at_token.filter(|it| it["mountPath"] == api::TOKEN_PATH).collect();
    ensure!(
        init.is_some_and(|init| init["name"] == "huddle-installer")
            && at_token.len() == 1
            && at_token[0]["name"] == "huddle-no-token",
        "{joined:#}"
    );

    // Other workloads' pods, and pods that only look like the caller's, are left alone.
    for pod in scene.pods("callee").await? {
        ensure!(!pod.labels().contains_key(api::LABEL_COMPANION), "the callee's own pod");
    }
    let mut forged = plain.clone();
    forged.metadata.owner_references = None;
    let made = dry_run(&scene.admin, "joined", &forged).await?;
    ensure!(!made.labels().contains_key(api::LABEL_COMPANION), "a pod of nobody");

    // Gone, and new pods are plain again.
    let companions: Api<api::Companion> = Api::namespaced(scene.admin.clone(), "joined");
    companions.delete("one", &DeleteParams::default()).await?;
    wait("new pods are plain", async || {
        let made = dry_run(&controller, "joined", &plain).await?;
        ensure!(!made.labels().contains_key(api::LABEL_COMPANION), "still there");
        ensure!(
            made.spec.map_or(0, |spec| spec.containers.len()) == 1,
            "another container"
        );
        Ok(())
    })
    .await?;
    scene.remove().await
}

#[tokio::test]
async fn companions_are_a_privilege() -> Result<()> {
    let scene = scene("companionable").await?;
    for role in ["admin", "edit", "view"] {
        let bind = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": role, "namespace": "companionable"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ada"}]});
        apply(&scene.admin, bind).await?;
    }
    let ada = companioned().await.user(Some("ada")).await;
    let controller = Client::try_from(companioned().await.controller_config().await)?;
    let forged = companion("companionable", "forged", "armed", &spec());
    let by_ada = refusal(apply(&ada, forged.clone()).await);
    ensure!(by_ada.contains("cannot"), "a namespace's admin made one: {by_ada}");
    let by_root = refusal(apply(&scene.admin, forged).await);
    ensure!(by_root.contains("only Huddle's controller"), "{by_root}");

    apply(&controller, companion("companionable", "one", "trial", &spec())).await?;
    let theirs: Api<api::Companion> = Api::namespaced(ada.clone(), "companionable");
    ensure!(
        theirs.get("one").await.is_err(),
        "a view role shows the callee's environment"
    );
    ensure!(
        theirs.list(&ListParams::default()).await.is_err(),
        "a view role lists companions"
    );
    let armed = companion("companionable", "one", "armed", &spec());
    ensure!(
        refusal(apply(&ada, armed.clone()).await).contains("cannot"),
        "a namespace's admin armed it"
    );
    let by_root = refusal(apply(&scene.admin, armed).await);
    ensure!(by_root.contains("only Huddle's controller"), "{by_root}");
    let mut other = spec();
    other["containers"][0]["image"] = json!("evil");
    let changed = refusal(apply(&controller, companion("companionable", "one", "trial", &other)).await);
    ensure!(changed.contains("never changes"), "{changed}");

    // Where merging is not allowed, not even the controller makes one; the cluster's rights say no, and so does the policy.
    let elsewhere = Scene::on(companioned().await, "unmerged").await?;
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/admission/rbac-merge-namespace.yaml");
    let without = refusal(apply(&controller, companion("unmerged", "x", "trial", &spec())).await);
    ensure!(without.contains("cannot"), "{without}");
    apply_file(&scene.admin, &role, &[("NAMESPACE", "unmerged")]).await?;
    wait("the right is there, the label not", async || {
        let without = refusal(apply(&controller, companion("unmerged", "x", "trial", &spec())).await);
        ensure!(
            without.contains("merging is not allowed in this namespace"),
            "{without}"
        );
        Ok(())
    })
    .await?;
    elsewhere.remove().await?;
    scene.remove().await
}

/// The policy with a list literal of typed objects: the API server panics on it, whatever failurePolicy says.
fn harmful() -> Result<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/admission/companions.yaml");
    let all = serde_saphyr::from_multiple::<Value>(&std::fs::read_to_string(file)?)?;
    let mut policy = all.into_iter().next().unwrap_or_default();
    let value = "[Object.spec.tolerations{key: \"x\", operator: \"Exists\"}]";
    policy["spec"]["mutations"] = json!([{"patchType": "JSONPatch", "jsonPatch": {
        "expression": format!("[JSONPatch{{op: \"add\", path: \"/spec/tolerations\", value: {value}}}]"),
    }}]);
    Ok(policy)
}

async fn reaches(client: &Client, namespace: &str, name: &str, wanted: &Stage) -> Result<()> {
    wait("the companion's next stage", async || {
        let stage = advance(client, namespace, name).await?;
        ensure!(&stage == wanted, "{stage:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_companion_that_stops_pod_creation_is_never_bound_and_a_failed_create_unbinds() -> Result<()> {
    let cluster = breakable().await;
    let admin = cluster.admin().await;
    let scene = scene_on(cluster, "broken").await?;
    let controller = Faults::new(Fault::None).client(cluster.controller_config().await);
    apply(&admin, harmful()?).await?;
    apply(&controller, companion("broken", "bad", "trial", &spec())).await?;
    // A slow API server still works by the policy as it was: then the companion would rightly pass its trial.
    let trial = like_the_caller(&scene, &json!({"huddle.dev/trial": "true"})).await?;
    wait("the API server works by the harmful policy", async || {
        ensure!(
            dry_run(&controller, "broken", &trial).await.is_err(),
            "a pod is created"
        );
        Ok(())
    })
    .await?;
    wait("the harm is seen on a dry-run pod", async || {
        let stage = advance(&controller, "broken", "bad").await?;
        ensure!(
            matches!(&stage, Stage::Refused(why) if why.contains("creating a pod fails")),
            "{stage:?}"
        );
        Ok(())
    })
    .await?;
    ensure!(
        !Binding::Companions.is_bound(&admin).await?,
        "a harmful policy was bound"
    );
    let companions: Api<api::Companion> = Api::namespaced(admin.clone(), "broken");
    companions.delete("bad", &DeleteParams::default()).await?;

    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/admission/companions.yaml");
    apply_file(&admin, &policy, &[]).await?;
    apply(&controller, companion("broken", "good", "trial", &spec())).await?;
    reaches(&controller, "broken", "good", &Stage::InForce).await?;

    // The harm is done while no controller runs; the next one finds the event and unbinds.
    apply(&admin, harmful()?).await?;
    let events: Api<k8s_openapi::api::core::v1::Event> = Api::namespaced(admin.clone(), "broken");
    wait("a pod cannot be created", async || {
        for pod in scene.pods("caller").await? {
            scene.delete_pod(&pod.name_any()).await?;
        }
        let failed = events
            .list(&ListParams::default().fields("reason=FailedCreate"))
            .await?;
        ensure!(!failed.items.is_empty(), "every pod is created");
        Ok(())
    })
    .await?;
    ensure!(Binding::Companions.is_bound(&admin).await?, "unbound by nobody");
    let client = Faults::new(Fault::None).client(cluster.controller_config().await);
    let never = std::future::pending();
    let next = huddle::act::run(client, "next".to_owned(), scene.says.clone(), (config(), None), never);
    let story = async {
        wait("companions are unbound", async || {
            ensure!(!Binding::Companions.is_bound(&admin).await?, "still bound");
            Ok(())
        })
        .await?;
        scene.whole("caller", 1).await?;
        // Nothing puts it back in force, and no other one either while it stands.
        reaches(&controller, "broken", "good", &Stage::Unbound).await?;
        apply(&controller, companion("broken", "other", "trial", &spec())).await?;
        reaches(&controller, "broken", "other", &Stage::Unbound).await
    };
    tokio::select! {
        () = next => bail!("the controller ended by itself"),
        result = story => result,
    }?;
    scene.remove().await
}

/// The same over loopback.
fn direct(namespace: &str) -> Value {
    let mut spec = spec();
    spec["way"] = json!("Direct");
    spec["loopback"] = json!({"ip": "127.0.0.1", "hostnames": names(namespace)});
    spec
}

fn names(namespace: &str) -> [String; 4] {
    [
        "callee".to_owned(),
        format!("callee.{namespace}"),
        format!("callee.{namespace}.svc"),
        format!("callee.{namespace}.svc.cluster.local"),
    ]
}

#[tokio::test]
async fn over_loopback_a_callers_new_pods_know_the_callees_names_as_themselves() -> Result<()> {
    let scene = scene("looped").await?;
    let controller = Client::try_from(companioned().await.controller_config().await)?;
    apply(&controller, companion("looped", "one", "trial", &direct("looped"))).await?;
    let trial = like_the_caller(&scene, &json!({"huddle.dev/trial": "true"})).await?;
    let own = json!([{"ip": "10.0.0.1", "hostnames": ["elsewhere"]}]);
    let mut named = trial.clone();
    named.spec.get_or_insert_default().host_aliases = serde_json::from_value(own.clone())?;
    let wanted = json!({"ip": "127.0.0.1", "hostnames": names("looped")});
    for (pod, aliases) in [(&trial, json!([wanted])), (&named, json!([own[0], wanted]))] {
        let made = wait("the trial is seen", async || {
            let made = dry_run(&controller, "looped", pod).await?;
            ensure!(made.labels().contains_key(api::LABEL_COMPANION), "not yet");
            Ok(serde_json::to_value(made)?)
        })
        .await?;
        ensure!(made["spec"]["hostAliases"] == aliases, "{made:#}");
    }
    scene.remove().await
}

#[tokio::test]
async fn a_companion_says_what_names_of_its_own_namespace_mean_and_of_no_other() -> Result<()> {
    let scene = scene("misnamed").await?;
    let controller = Client::try_from(companioned().await.controller_config().await)?;
    let with = |changed: [&str; 4]| json!(changed);
    let [one, two, three, four] = names("misnamed");
    let own: [&str; 4] = [&one, &two, &three, &four];
    let forged = [
        ("/loopback/ip", json!("10.0.0.1"), "should match"),
        ("/loopback/ip", json!("127.0.0.2"), "should match"),
        (
            "/loopback/hostnames",
            with([own[0], "callee.elsewhere", own[2], own[3]]),
            "of its own namespace only",
        ),
        (
            "/loopback/hostnames",
            with([own[0], own[1], own[2], "callee.kube-system.svc.cluster.local"]),
            "of its own namespace only",
        ),
        (
            "/loopback/hostnames",
            with([own[0], own[1], own[2], "api.example.com"]),
            "should match",
        ),
        (
            "/loopback/hostnames",
            with([own[0], own[1], own[2], "example.com"]),
            "that is named by itself too",
        ),
        (
            "/loopback/hostnames",
            with([own[1], own[1], own[2], own[3]]),
            "that is named by itself too",
        ),
        (
            "/loopback",
            json!({"ip": "127.0.0.1", "hostnames": own, "more": true}),
            "not declared in schema",
        ),
        ("/way", json!("Proxied"), "the direct way, and no other"),
    ];
    for (path, value, why) in forged {
        let mut spec = direct("misnamed");
        *spec.pointer_mut(path).expect("the path leads somewhere") = value.clone();
        let refused = refusal(apply(&controller, companion("misnamed", "x", "trial", &spec)).await);
        ensure!(refused.contains(why), "{path} {value}: {refused}");
    }
    let mut nameless = spec();
    nameless["way"] = json!("Direct");
    let refused = refusal(apply(&controller, companion("misnamed", "x", "trial", &nameless)).await);
    ensure!(refused.contains("the direct way, and no other"), "{refused}");
    apply(&controller, companion("misnamed", "x", "trial", &direct("misnamed"))).await?;
    scene.remove().await
}
