//! What merging asks, read from a real API server, by the controller's own account: with the rights it is installed with and no others.

use super::installing::definition;
use super::plane::{Plane, node, until};
use huddle::watch::{self, Cluster, SharedBook, Skipped};
use huddle_core::cluster::{HostNamespace, Rerouting, Template, VolumeKind};
use huddle_core::id::WorkloadId;
use kube::{Client, Config};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::watch as channel;
use tokio::task::JoinHandle;

const ACCOUNT: &str = "system:serviceaccount:huddle-system:huddle-controller";

/// A Deployment with everything that merging asks about.
fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": 0, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                "serviceAccountName": "web", "hostNetwork": true, "priorityClassName": "system-node-critical",
                "imagePullSecrets": [{"name": "registry"}], "nodeSelector": {"disk": "ssd"},
                "securityContext": {"runAsUser": 1000, "fsGroup": 2000, "sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]},
                "initContainers": [{"name": "wait", "image": "none"}, {"name": "log", "image": "none", "restartPolicy": "Always"}],
                "containers": [{"name": "app", "image": "none",
                    "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                    "ports": [{"name": "http", "containerPort": 8080}], "readinessProbe": {"httpGet": {"path": "/", "port": 9901}},
                    "securityContext": {"privileged": true}, "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}}],
                "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
                    {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
                    {"name": "info", "downwardAPI": {"items": []}}, {"name": "spiffe", "csi": {"driver": "csi.spiffe.io", "readOnly": true}}]
            }}}
    })
}

/// What the watches know once they hold `wanted`.
async fn known(
    clusters: &channel::Receiver<Arc<Cluster>>,
    what: &str,
    wanted: impl Fn(&Cluster) -> bool,
) -> Arc<Cluster> {
    until(what, async || {
        let cluster = Arc::clone(&clusters.borrow());
        let missing = format!(
            "waiting for {:?}, trust is {:?}",
            cluster.waiting_for, cluster.view.trust
        );
        (cluster.waiting_for.is_empty() && wanted(&cluster))
            .then_some(cluster)
            .ok_or(missing)
    })
    .await
}

/// A cluster with the rights that an installation gives, and a namespace to look at.
async fn installed() -> Plane {
    let plane = Plane::start().await.unwrap();
    plane.apply(node("node-1", "zone-a")).await.unwrap();
    for manifest in [
        include_str!("../../../manifests/controller/namespace.yaml"),
        include_str!("../../../manifests/controller/rbac.yaml"),
    ] {
        // The mesh's own kinds are not served here.
        let ours = |document: &Value| !document["apiVersion"].as_str().unwrap_or_default().contains("istio.io");
        for document in documents(manifest).into_iter().filter(ours) {
            plane.apply(document).await.unwrap();
        }
    }
    plane
        .apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}))
        .await
        .unwrap();
    plane
}

/// What the controller's own account sees of it.
async fn watched(plane: &Plane) -> (channel::Receiver<Arc<Cluster>>, JoinHandle<()>) {
    let mut config: Config = plane.config.clone();
    config.auth_info.impersonate = Some(ACCOUNT.to_owned());
    let client = Client::try_from(config).unwrap();
    let updates = watch::streams(&client, &Skipped::default()).await;
    let (sender, clusters) = channel::channel(Arc::new(Cluster::default()));
    let running = tokio::spawn(async move {
        watch::run(updates, SharedBook::default(), sender).await;
    });
    (clusters, running)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_read_is_said_and_holds_nothing_up() {
    let plane = installed().await;
    plane.apply(deployment()).await.unwrap();
    plane
        .apply(json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "web", "namespace": "shop", "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/web"}}}))
        .await
        .unwrap();
    let subject = json!([{"kind": "ServiceAccount", "name": "web", "namespace": "shop"}]);
    let role = |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
    plane
        .apply(
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "web", "namespace": "shop"}, "roleRef": role("view"), "subjects": subject}),
        )
        .await
        .unwrap();

    let (clusters, running) = watched(&plane).await;
    let first = known(&clusters, "the cluster without bindings", |cluster| {
        !cluster.view.templates.is_empty()
    })
    .await;
    let trust = &first.view.trust;
    assert_eq!(trust.grants, None, "nobody gave the right");
    assert!(
        trust.mesh.as_ref().is_some_and(std::collections::BTreeSet::is_empty),
        "there is no mesh"
    );
    assert_eq!(trust.cloud.as_ref().map(std::collections::BTreeSet::len), Some(1));
    read(&first.view.templates[&WorkloadId::deployment("shop", "web")]);

    plane
        .apply(
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "huddle-read-grants"}, "roleRef": role("huddle-read-grants"),
            "subjects": [{"kind": "ServiceAccount", "name": "huddle-controller", "namespace": "huddle-system"}]}),
        )
        .await
        .unwrap();
    let then = known(&clusters, "the bindings", |cluster| cluster.view.trust.grants.is_some()).await;
    let grants = then.view.trust.grants.clone().unwrap_or_default();
    assert!(
        grants.iter().any(|grant| grant.binding == "RoleBinding shop/web"),
        "{grants:?}"
    );
    running.abort();
}

/// Each kind of route sends calls to the Service to another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_of_the_mesh_are_read_of_all_their_kinds() {
    let plane = installed().await;
    let gateway = "gateway.networking.k8s.io";
    for (group, kind, plural) in [
        ("networking.istio.io", "VirtualService", "virtualservices"),
        (gateway, "HTTPRoute", "httproutes"),
        (gateway, "GRPCRoute", "grpcroutes"),
    ] {
        plane.apply(definition(group, &["v1"], kind, plural)).await.unwrap();
    }
    let metadata = json!({"name": "web", "namespace": "shop"});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    plane.apply(service).await.unwrap();
    let attached = |kind: &str| {
        json!({"apiVersion": format!("{gateway}/v1"), "kind": kind, "metadata": metadata,
            "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "web"}], "rules": [{"backendRefs": [{"name": "other", "port": 80}]}]}})
    };
    let kinds = ["GRPCRoute", "HTTPRoute", "VirtualService"];
    for route in [
        attached("HTTPRoute"),
        attached("GRPCRoute"),
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata,
            "spec": {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "other"}}]}]}}),
    ] {
        // A kind is served a moment after it is defined.
        until("the route to be taken", async || {
            plane.apply(route.clone()).await.map_err(|error| format!("{error:#}"))
        })
        .await;
    }
    let (clusters, running) = watched(&plane).await;
    let told = |cluster: &Cluster| -> Vec<String> {
        let routes = cluster.view.reroutes.iter().flatten();
        let elsewhere = routes.filter(|it| it.service.name == "web" && it.does == Rerouting::Elsewhere);
        elsewhere.map(|it| it.by.clone()).collect()
    };
    let wanted = kinds.map(|kind| format!("{kind} shop/web"));
    known(&clusters, "the routes", |cluster| told(cluster) == wanted).await;
    running.abort();
}

fn documents(text: &str) -> Vec<Value> {
    let read = |document: &str| serde_saphyr::from_str::<Value>(document).unwrap();
    text.split("\n---\n").map(read).collect()
}

/// The template as it comes back, with the API server's defaults in it.
fn read(template: &Template) {
    let settings: Vec<&str> = template.settings.keys().map(String::as_str).collect();
    assert_eq!(
        settings,
        [
            "spec.priorityClassName",
            "spec.securityContext.fsGroup",
            "spec.securityContext.sysctls"
        ]
    );
    assert!(template.host.contains(&HostNamespace::Network) && template.one_at_a_time.is_some());
    let kinds: Vec<&VolumeKind> = template.volumes.iter().map(|volume| &volume.is).collect();
    let csi = VolumeKind::Csi {
        driver: "csi.spiffe.io".to_owned(),
    };
    let expected = [
        VolumeKind::Claim,
        VolumeKind::Downward,
        VolumeKind::Plain,
        csi,
        VolumeKind::Token,
    ];
    assert_eq!(kinds, expected.iter().collect::<Vec<_>>());
    let app = &template.containers[0];
    let ports: Vec<u16> = app.ports.iter().map(|port| port.port).collect();
    // With the node's network, the API server makes the container's port one of the node as well.
    assert_eq!(ports, [8080, 9901]);
    assert!(app.privileges.contains("securityContext.privileged") && app.pod_fields.contains("metadata.name"));
}
