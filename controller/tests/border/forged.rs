//! Companions, and pods that hold them, as whoever writes them might wish they were.

use super::admission::dry_run;
use super::cluster::{apply, companioned};
use super::companions::{companion, refusal, scene, spec};
use anyhow::{Result, ensure};
use huddle_api as api;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use serde_json::{Value, json};

#[tokio::test]
async fn a_forged_companion_is_no_companion() -> Result<()> {
    let scene = scene("forged").await?;
    let controller = Client::try_from(companioned().await.controller_config().await)?;
    let token = json!([{"serviceAccountToken": {"path": "token"}}]);
    let undeclared = "not declared in schema";
    let forged = [
        ("/containers/0/securityContext", json!({"privileged": true}), undeclared),
        (
            "/containers/0/securityContext",
            json!({"procMount": "Unmasked"}),
            undeclared,
        ),
        (
            "/containers/0/securityContext",
            json!({"allowPrivilegeEscalation": true}),
            "gains no privileges",
        ),
        (
            "/containers/0/securityContext",
            json!({"capabilities": {"drop": [], "add": ["NET_ADMIN"]}}),
            undeclared,
        ),
        (
            "/containers/0/securityContext",
            json!({"runAsUser": 1337}),
            "the proxy's",
        ),
        (
            "/containers/0/securityContext",
            json!({"seccompProfile": {"type": "Unconfined"}}),
            "Unsupported value",
        ),
        (
            "/containers/0/ports/0",
            json!({"containerPort": 80, "protocol": "TCP", "hostPort": 80}),
            undeclared,
        ),
        (
            "/containers/0/ports/0",
            json!({"containerPort": 15001, "protocol": "TCP"}),
            "the proxy's",
        ),
        ("/containers/0/name", json!("app"), "should match"),
        (
            "/containers/0/env/0",
            json!({"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
            undeclared,
        ),
        (
            "/containers/0/volumeMounts/0",
            json!({"name": "kube-api-access-x", "mountPath": "/x"}),
            "should match",
        ),
        (
            "/containers/0/volumeMounts/0",
            json!({"name": "huddle-other", "mountPath": "/x"}),
            "its own volumes only",
        ),
        (
            "/containers/0/volumeMounts/1",
            json!({"name": "huddle-no-token", "mountPath": "/x"}),
            "gets no token",
        ),
        (
            "/volumes/1",
            json!({"name": "huddle-no-token", "secret": {"secretName": "token"}}),
            "gets no token",
        ),
        (
            "/volumes/0",
            json!({"name": "huddle-callee-conf", "hostPath": {"path": "/"}}),
            undeclared,
        ),
        (
            "/volumes/0",
            json!({"name": "huddle-callee-conf", "csi": {"driver": "x"}}),
            undeclared,
        ),
        (
            "/volumes/0",
            json!({"name": "huddle-callee-conf", "persistentVolumeClaim": {"claimName": "x"}}),
            undeclared,
        ),
        (
            "/volumes/0",
            json!({"name": "huddle-callee-conf", "projected": {"sources": token}}),
            undeclared,
        ),
        (
            "/volumes/0",
            json!({"name": "huddle-callee-conf"}),
            "one of configMap, secret, emptyDir and projected",
        ),
        (
            "/installer/volumeMounts/0",
            json!({"name": "huddle-other", "mountPath": "/x"}),
            "its own volumes only",
        ),
        (
            "/installer/volumeMounts/1",
            json!({"name": "huddle-no-token", "mountPath": "/x"}),
            "the installer mounts an emptyDir",
        ),
        ("/callee", json!("caller"), "not merged with itself"),
    ];
    for (path, value, why) in forged {
        let mut spec = spec();
        *spec.pointer_mut(path).expect("the path leads somewhere") = value.clone();
        let refused = refusal(apply(&controller, companion("forged", "x", "trial", &spec)).await);
        ensure!(refused.contains(why), "{path} {value}: {refused}");
    }
    for field in [
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "initContainers",
        "serviceAccountName",
        "nodeName",
        "anything",
    ] {
        let mut spec = spec();
        spec[field] = json!(true);
        let refused = refusal(apply(&controller, companion("forged", "x", "trial", &spec)).await);
        ensure!(refused.contains(undeclared), "{field}: {refused}");
    }
    for field in [
        "livenessProbe",
        "readinessProbe",
        "lifecycle",
        "volumeDevices",
        "envFrom",
        "restartPolicy",
    ] {
        let mut spec = spec();
        spec["containers"][0][field] = json!({});
        let refused = refusal(apply(&controller, companion("forged", "x", "trial", &spec)).await);
        ensure!(refused.contains(undeclared), "{field}: {refused}");
    }
    scene.remove().await
}

/// Whoever may create pods may label one as if it held a companion: what looks like one in it holds no token, and nothing of the node.
#[tokio::test]
async fn a_forged_pod_gives_no_companion_a_token() -> Result<()> {
    let scene = scene("forged-pods").await?;
    let pod = |mount: &Value, volume: &Value| -> Result<Pod> {
        Ok(serde_json::from_value(json!({
            "metadata": {"generateName": "x-", "labels": {"huddle.dev/companion": "one"}},
            "spec": {"containers": [{"name": "huddle-callee-app", "image": "x", "volumeMounts": [mount]}], "volumes": [volume]},
        }))?)
    };
    let mounted = json!({"name": "huddle-v", "mountPath": api::TOKEN_PATH});
    let token = json!([{"serviceAccountToken": {"path": "token"}}]);
    let rows = [
        (
            json!({"name": "v", "mountPath": api::TOKEN_PATH}),
            json!({"name": "v", "emptyDir": {}}),
            "not its own",
        ),
        (
            mounted.clone(),
            json!({"name": "huddle-v", "projected": {"sources": token}}),
            "holds a token",
        ),
        (
            mounted.clone(),
            json!({"name": "huddle-v", "hostPath": {"path": "/"}}),
            "holds a token",
        ),
        (
            mounted.clone(),
            json!({"name": "huddle-v", "persistentVolumeClaim": {"claimName": "x"}}),
            "holds a token",
        ),
    ];
    for (mount, volume, why) in rows {
        let forged = pod(&mount, &volume)?;
        let refused = match dry_run(&scene.admin, "forged-pods", &forged).await {
            Ok(_) => "accepted".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        ensure!(refused.contains(why), "{volume}: {refused}");
    }
    dry_run(
        &scene.admin,
        "forged-pods",
        &pod(&mounted, &json!({"name": "huddle-v", "emptyDir": {}}))?,
    )
    .await?;
    scene.remove().await
}
