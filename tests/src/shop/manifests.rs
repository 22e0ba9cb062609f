//! The Kubernetes objects of a graph: nothing in them tells the scheduler which services belong together.

use std::collections::BTreeMap;

use k8s_openapi::{
    Resource,
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Namespace, Service as KubeService, ServiceAccount},
    },
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    admin::ADMIN_PORT,
    graph::{Graph, Resources, Service},
    read::InvalidGraph,
};

/// Name of the ConfigMap that holds the graph file.
pub const GRAPH_CONFIG: &str = "shop-graph";
/// Where the program lies in its image.
pub const PROGRAM: &str = "/shop";

/// Why there are no manifests.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// The graph is refused.
    #[error(transparent)]
    Graph(#[from] InvalidGraph),
    /// An object did not come out as Kubernetes' own types want it.
    #[error("{kind} {name}: {error}")]
    Object {
        /// The object's kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What serde says.
        error: serde_json::Error,
    },
}

/// Everything a graph needs in a cluster.
#[derive(Clone, Debug)]
pub struct Manifests {
    /// The graph itself.
    pub graph: Graph,
    /// The namespace, with sidecar injection.
    pub namespace: Namespace,
    /// The graph file, mounted by every pod.
    pub config: ConfigMap,
    /// One set per service, in the order in which they are created.
    pub services: Vec<ServiceManifests>,
}

/// The objects of one service.
#[derive(Clone, Debug)]
pub struct ServiceManifests {
    /// Its identity.
    pub account: ServiceAccount,
    /// Its address.
    pub service: KubeService,
    /// Its pods.
    pub deployment: Deployment,
}

/// The manifests of the graph in `text`.
///
/// # Errors
/// [`ManifestError::Graph`] names the fields of a refused graph.
pub fn of(text: &str) -> Result<Manifests, ManifestError> {
    let graph = Graph::parse(text)?;
    let namespace = namespace(graph.namespace())?;
    let config = config(graph.namespace(), text)?;
    let digest = digest(text);
    let services = graph
        .services()
        .iter()
        .map(|service| manifests_of(&graph, service, &digest))
        .collect::<Result<_, _>>()?;
    Ok(Manifests {
        graph,
        namespace,
        config,
        services,
    })
}

/// A namespace whose pods get a sidecar.
///
/// # Errors
/// Only if the object does not fit Kubernetes' type.
pub fn namespace(name: &str) -> Result<Namespace, ManifestError> {
    object(
        name,
        json!({"metadata": {"name": name, "labels": {"istio-injection": "enabled"}}}),
    )
}

/// The ConfigMap with the graph file, as `graph.yaml`.
///
/// # Errors
/// Only if the object does not fit Kubernetes' type.
pub fn config(namespace: &str, text: &str) -> Result<ConfigMap, ManifestError> {
    let metadata = json!({"name": GRAPH_CONFIG, "namespace": namespace});
    object(
        GRAPH_CONFIG,
        json!({"metadata": metadata, "data": {"graph.yaml": text}}),
    )
}

/// The manifests as one YAML stream, for `kubectl apply -f -`.
///
/// # Errors
/// [`ManifestError::Object`] if an object cannot be written.
pub fn yaml(manifests: &Manifests) -> Result<String, ManifestError> {
    let mut documents = vec![document(&manifests.namespace)?, document(&manifests.config)?];
    for of in &manifests.services {
        documents.extend([
            document(&of.account)?,
            document(&of.service)?,
            document(&of.deployment)?,
        ]);
    }
    Ok(documents.concat())
}

/// JSON is YAML: one document per line is what kubectl reads as well as anything.
fn document<K: Resource + Serialize>(object: &K) -> Result<String, ManifestError> {
    let text = serde_json::to_string(object);
    let text = text.map_err(|error| ManifestError::Object {
        kind: K::KIND,
        name: String::new(),
        error,
    })?;
    Ok(format!("---\n{text}\n"))
}

/// An object of Kubernetes' own types from JSON.
///
/// # Errors
/// [`ManifestError::Object`] if the JSON does not fit.
pub fn object<K: Resource + serde::de::DeserializeOwned>(name: &str, value: Value) -> Result<K, ManifestError> {
    serde_json::from_value(value).map_err(|error| ManifestError::Object {
        kind: K::KIND,
        name: name.to_owned(),
        error,
    })
}

fn digest(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn manifests_of(graph: &Graph, service: &Service, digest: &str) -> Result<ServiceManifests, ManifestError> {
    let name = service.name.as_str();
    let labels = json!({"app": name});
    let metadata = json!({"name": name, "namespace": graph.namespace(), "labels": labels});
    let mut owned = metadata.clone();
    if !service.annotations.is_empty() {
        owned["annotations"] = json!(service.annotations);
    }
    let port = json!({"name": service.protocol.port_name(), "port": service.port, "targetPort": service.port});
    Ok(ServiceManifests {
        account: object(name, json!({"metadata": metadata}))?,
        service: object(
            name,
            json!({"metadata": metadata, "spec": {"selector": labels, "ports": [port]}}),
        )?,
        deployment: object(
            name,
            json!({"metadata": owned, "spec": {
                "replicas": service.replicas,
                "selector": {"matchLabels": labels},
                "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "template": {
                    "metadata": {"labels": labels, "annotations": annotations(service.sidecar, digest)},
                    "spec": pod_spec(graph, service),
                },
            }}),
        )?,
    })
}

/// What every pod with a sidecar carries: the admin port left out of the mesh, the sidecar's size, one worker thread
/// (each would keep connection pools and balancer state of its own).
pub fn annotations(sidecar: Resources, digest: &str) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("traffic.sidecar.istio.io/excludeInboundPorts", ADMIN_PORT.to_string()),
        ("sidecar.istio.io/proxyCPU", sidecar.cpu.to_string()),
        ("sidecar.istio.io/proxyMemory", sidecar.memory.to_string()),
        ("proxy.istio.io/config", "concurrency: 1".to_owned()),
        ("shop/graph", digest.to_owned()),
    ])
}

/// What the application's container asks for, and may use where the file says so.
fn compute(service: &Service) -> Value {
    let mut resources = json!({"requests": {
        "cpu": service.resources.cpu.to_string(),
        "memory": service.resources.memory.to_string(),
    }});
    if let Some(cpu) = service.limits.cpu {
        resources["limits"]["cpu"] = json!(cpu.to_string());
    }
    if let Some(memory) = service.limits.memory {
        resources["limits"]["memory"] = json!(memory.to_string());
    }
    resources
}

fn pod_spec(graph: &Graph, service: &Service) -> Value {
    let name = service.name.as_str();
    let admin_port = json!({"name": "admin", "containerPort": ADMIN_PORT});
    json!({
        "serviceAccountName": name,
        "enableServiceLinks": false,
        "containers": [{
            "name": "shop",
            "image": graph.image(),
            "imagePullPolicy": "IfNotPresent",
            "command": [PROGRAM, "serve"],
            "env": [
                {"name": "SHOP_GRAPH", "value": "/etc/shop/graph.yaml"},
                {"name": "SHOP_SERVICE", "value": name},
                {"name": "SHOP_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
            "ports": [{"name": service.protocol.port_name(), "containerPort": service.port}, admin_port],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": ADMIN_PORT}, "periodSeconds": 1},
            "resources": compute(service),
            "volumeMounts": [{"name": "graph", "mountPath": "/etc/shop", "readOnly": true}],
        }],
        "volumes": [{"name": "graph", "configMap": {"name": GRAPH_CONFIG}}],
    })
}
