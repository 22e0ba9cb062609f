//! Talking to pods from outside the mesh: HTTP through the API server's pod proxy, and server-side apply.

use http::{Method, Request};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{apps::v1::Deployment, core::v1::Pod},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;
use thiserror::Error;

use crate::wait::{Late, until};

/// Who the bed's own writes belong to.
pub const FIELD_MANAGER: &str = "huddle-tests";

/// Why a pod's answer could not be had.
#[derive(Debug, Error)]
pub enum PodError {
    /// The API server, or the pod through it, refused.
    #[error("{method} {path}: {error}")]
    Request {
        /// Method of the request.
        method: Method,
        /// Its path in the pod.
        path: String,
        /// What was answered.
        error: Box<kube::Error>,
    },
    /// The request could not be written.
    #[error("{path}: {error}")]
    Path {
        /// The path in the pod.
        path: String,
        /// What is wrong with it.
        error: http::Error,
    },
    /// The answer is not the JSON that was expected.
    #[error("{path}: {error} in `{text}`")]
    Json {
        /// The path in the pod.
        path: String,
        /// What serde says.
        error: serde_json::Error,
        /// The answer.
        text: String,
    },
}

/// One port of one pod.
#[derive(Clone)]
pub struct PodPort {
    client: Client,
    namespace: String,
    /// The pod's name.
    pub pod: String,
    port: u16,
}

impl PodPort {
    /// The port of a pod.
    pub fn new(client: &Client, namespace: &str, pod: &str, port: u16) -> Self {
        Self {
            client: client.clone(),
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            port,
        }
    }

    /// Sends a request, with `body` as JSON unless it is a GET, and gives the answer's text.
    ///
    /// # Errors
    /// [`PodError::Request`] also for an answer that is an error.
    pub async fn send(&self, method: Method, path: &str, body: &impl Serialize) -> Result<String, PodError> {
        let uri = format!(
            "/api/v1/namespaces/{}/pods/{}:{}/proxy{path}",
            self.namespace, self.pod, self.port
        );
        let body = if method == Method::GET {
            Vec::new()
        } else {
            serde_json::to_vec(body).unwrap_or_default()
        };
        let request = Request::builder()
            .method(method.clone())
            .uri(uri)
            .header("content-type", "application/json");
        let request = request.body(body).map_err(|error| PodError::Path {
            path: path.to_owned(),
            error,
        })?;
        let answer = self.client.request_text(request).await;
        answer.map_err(|error| PodError::Request {
            method,
            path: path.to_owned(),
            error: Box::new(error),
        })
    }

    /// Gets JSON.
    ///
    /// # Errors
    /// As [`PodPort::send`], and [`PodError::Json`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, PodError> {
        let text = self.send(Method::GET, path, &()).await?;
        serde_json::from_str(&text).map_err(|error| PodError::Json {
            path: path.to_owned(),
            error,
            text,
        })
    }
}

/// The running pods of a namespace that match a label selector, by name.
///
/// # Errors
/// Whatever the API server says.
pub async fn running(client: &Client, namespace: &str, selector: &str) -> kube::Result<Vec<Pod>> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace)
        .list(&ListParams::default().labels(selector))
        .await?;
    let mut pods: Vec<Pod> = pods.items.into_iter().filter(alive).collect();
    pods.sort_by_key(ResourceExt::name_any);
    Ok(pods)
}

fn alive(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && phase == Some("Running")
}

/// Applies a namespaced object server-side; objects of others with the same fields are overridden.
///
/// # Errors
/// Whatever the API server says.
pub async fn apply<K>(client: &Client, namespace: &str, object: &K) -> kube::Result<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Serialize
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.patch(
        &object.name_any(),
        &PatchParams::apply(FIELD_MANAGER).force(),
        &Patch::Apply(object),
    )
    .await
}

/// Waits until a Deployment is rolled out: as of `generation` or later, all pods new and available, none of the old ones left.
///
/// # Errors
/// [`Late`], with the counts last seen.
pub async fn rolled_out(
    client: &Client,
    namespace: &str,
    name: &str,
    generation: Option<i64>,
    limit: Duration,
) -> Result<(), Late> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    until(format!("{name} to be rolled out"), limit, async || {
        let now = deployments.get(name).await.map_err(|error| error.to_string())?;
        let status = now.status.unwrap_or_default();
        let wanted = now.spec.and_then(|spec| spec.replicas);
        let whole = [status.replicas, status.updated_replicas, status.available_replicas];
        if status.observed_generation >= generation && whole.iter().all(|count| *count == wanted) {
            Ok(())
        } else {
            Err(format!("{whole:?} of {wanted:?} pods, updated, available"))
        }
    })
    .await
}
