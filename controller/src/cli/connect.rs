//! Reaching the cluster, and the controller in it.
//!
//! The controller's page and API listen on its pod's loopback address: who may reach them is who may forward ports in
//! `huddle-system`, which is the API server's to say.

use crate::args::Connection;
use anyhow::{Context, anyhow};
use http_body_util::{BodyExt, Full};
use huddle_core::view::State;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use tokio::io::{AsyncRead, AsyncWrite};

/// Huddle's namespace.
pub const NAMESPACE: &str = huddle_api::SYSTEM_NAMESPACE;
/// Selects the controller's pods.
pub const CONTROLLER: &str = "app.kubernetes.io/name=huddle";
/// The people's port.
pub const PEOPLE: u16 = 8081;
/// The cluster's port.
pub const PUBLIC: u16 = 8080;

/// The controller cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// A client for the cluster the user means.
///
/// # Errors
/// If there is no configuration, or it is not usable.
pub async fn client(connection: &Connection) -> anyhow::Result<Client> {
    Client::try_from(config(connection).await?).context("the kubeconfig cannot be used")
}

/// What such a client is made of.
///
/// # Errors
/// If there is no configuration, or it cannot be read.
pub async fn config(connection: &Connection) -> anyhow::Result<Config> {
    let mut config = inferred(connection).await?;
    // The default repeats 429 up to 15 times for minutes; every loop here has its own, visible patience.
    config.default_retry = false;
    Ok(config)
}

async fn inferred(connection: &Connection) -> anyhow::Result<Config> {
    let options = KubeConfigOptions {
        context: connection.context.clone(),
        ..KubeConfigOptions::default()
    };
    if let Some(path) = &connection.kubeconfig {
        let file = Kubeconfig::read_from(path).with_context(|| format!("--kubeconfig {}", path.display()))?;
        return Ok(Config::from_custom_kubeconfig(file, &options).await?);
    }
    if connection.context.is_some() {
        return Ok(Config::from_kubeconfig(&options).await?);
    }
    Config::infer()
        .await
        .context("no cluster: give --kubeconfig, set KUBECONFIG, or run inside a cluster")
}

/// The controller's pod.
///
/// # Errors
/// [`Unreachable`] if there is none that is ready, with what is there instead.
pub async fn controller_pod(client: &Client) -> anyhow::Result<String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let list = pods
        .list(&ListParams::default().labels(CONTROLLER))
        .await
        .map_err(|error| {
            Unreachable(format!(
                "cannot look for the controller in namespace {NAMESPACE}: {error}"
            ))
        })?;
    let ready = list
        .iter()
        .find(|pod| pod.metadata.deletion_timestamp.is_none() && is_ready(pod));
    if let Some(pod) = ready {
        return Ok(pod.name_any());
    }
    let found: Vec<String> = list
        .iter()
        .map(|pod| format!("{} is not ready", pod.name_any()))
        .collect();
    Err(Unreachable(if found.is_empty() {
        format!("no controller runs in namespace {NAMESPACE}; install it with `huddle install`")
    } else {
        format!("the controller is not ready: {}", found.join(", "))
    })
    .into())
}

/// Whether the Ready condition holds.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A connection to a port of a pod.
///
/// # Errors
/// [`Unreachable`] if the API server does not forward.
pub async fn forward(
    client: &Client,
    pod: &str,
    port: u16,
) -> anyhow::Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let unreachable =
        |error: String| Unreachable(format!("cannot forward port {port} of pod {NAMESPACE}/{pod}: {error}"));
    let mut forwarder = pods
        .portforward(pod, &[port])
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    let stream = forwarder
        .take_stream(port)
        .ok_or_else(|| unreachable("no stream".to_owned()))?;
    // The forwarder's task ends with the stream.
    tokio::spawn(forwarder.join());
    Ok(stream)
}

/// Fetches one path from the controller.
///
/// # Errors
/// [`Unreachable`] if it cannot be reached; otherwise if it does not answer 200.
pub async fn fetch(client: &Client, port: u16, path: &str) -> anyhow::Result<Bytes> {
    exchange(client, port, hyper::Request::get(path), Bytes::new()).await
}

/// Sends JSON to one path of the controller.
///
/// # Errors
/// As [`fetch`].
pub async fn send(client: &Client, port: u16, path: &str, body: Vec<u8>) -> anyhow::Result<Bytes> {
    let request = hyper::Request::post(path).header(hyper::header::CONTENT_TYPE, "application/json");
    exchange(client, port, request, body.into()).await
}

async fn exchange(
    client: &Client,
    port: u16,
    request: hyper::http::request::Builder,
    body: Bytes,
) -> anyhow::Result<Bytes> {
    let pod = controller_pod(client).await?;
    let stream = forward(client, &pod, port).await?;
    let lost = |error: hyper::Error| Unreachable(format!("the connection to the controller broke: {error}"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(lost)?;
    let connection = tokio::spawn(connection);
    let request = request
        .header(hyper::header::HOST, "localhost")
        .header(hyper::header::CONNECTION, "close")
        .body(Full::new(body))?;
    let path = request.uri().path().to_owned();
    let response = sender.send_request(request).await.map_err(lost)?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(lost)?.to_bytes();
    connection.abort();
    if status.is_success() {
        Ok(body)
    } else {
        Err(anyhow!(
            "the controller answered {status} to {path}: {}",
            String::from_utf8_lossy(&body).trim()
        ))
    }
}

/// The controller's state.
///
/// # Errors
/// [`Unreachable`] if it cannot be reached; otherwise if it speaks another language.
pub async fn state(connection: &Connection) -> anyhow::Result<State> {
    let client = client(connection).await?;
    let body = fetch(&client, PEOPLE, "/api/v1/state").await?;
    serde_json::from_slice(&body)
        .context("the controller is of another version than this command: its state cannot be read")
}
