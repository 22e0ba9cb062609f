//! What the cluster asks for: health, metrics, the filter module.

use super::Module;
use crate::shutdown::Shutdown;
use crate::watch::Cluster;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use tokio::sync::watch;

/// Whether the controller can do its work.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// What the watches know.
    pub cluster: watch::Receiver<Arc<Cluster>>,
    /// Whether it is about to stop.
    pub shutdown: Shutdown,
}

impl Readiness {
    /// Why it is not ready; `None` if it is.
    pub fn missing(&self) -> Option<String> {
        if self.shutdown.has_begun() {
            return Some("shutting down".to_owned());
        }
        let waiting = self.cluster.borrow().waiting_for.clone();
        (!waiting.is_empty()).then(|| format!("still reading {}", waiting.join(", ")))
    }
}

#[derive(Clone)]
struct Shared {
    readiness: Readiness,
    metrics: Arc<Registry>,
    module: Option<Module>,
}

/// The router of the cluster's port. Without a module, `/filter.wasm` is not found.
pub fn public(readiness: Readiness, metrics: Arc<Registry>, module: Option<Module>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(exposition))
        .route("/filter.wasm", get(wasm))
        .route("/filter.wasm.sha256", get(sha256))
        .with_state(Shared {
            readiness,
            metrics,
            module,
        })
}

async fn ready(State(shared): State<Shared>) -> Response {
    match shared.readiness.missing() {
        None => "ready\n".into_response(),
        Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, missing + "\n").into_response(),
    }
}

async fn exposition(State(shared): State<Shared>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &shared.metrics) {
        Ok(()) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn wasm(State(shared): State<Shared>) -> Response {
    match shared.module {
        Some(module) => ([(header::CONTENT_TYPE, "application/wasm")], module.bytes).into_response(),
        None => no_module(),
    }
}

async fn sha256(State(shared): State<Shared>) -> Response {
    match shared.module {
        Some(module) => (module.sha256 + "\n").into_response(),
        None => no_module(),
    }
}

fn no_module() -> Response {
    (
        StatusCode::NOT_FOUND,
        "this controller was started without --filter-module\n",
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::{Trigger, shutdown};
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    fn setup(waiting_for: Vec<&'static str>) -> (Trigger, Router) {
        let (trigger, shutdown) = shutdown();
        let cluster = Cluster {
            waiting_for,
            ..Cluster::default()
        };
        let (_, cluster) = watch::channel(Arc::new(cluster));
        let mut registry = Registry::with_prefix("huddle");
        crate::ingest::Metrics::default().register(&mut registry);
        let module = Module::new(b"\0asm\x01\0\0\0".to_vec()).unwrap();
        (
            trigger,
            public(Readiness { cluster, shutdown }, Arc::new(registry), Some(module)),
        )
    }

    async fn fetch(router: &Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn ready_means_the_cluster_was_read_and_no_stop_is_near() {
        let (_trigger, router) = setup(vec!["pods", "nodes"]);
        assert_eq!(
            fetch(&router, "/readyz").await,
            (503, "still reading pods, nodes\n".to_owned())
        );
        assert_eq!(fetch(&router, "/healthz").await.0, 200);
        let (trigger, router) = setup(Vec::new());
        assert_eq!(fetch(&router, "/readyz").await.0, 200);
        trigger.begin();
        assert_eq!(fetch(&router, "/readyz").await, (503, "shutting down\n".to_owned()));
    }

    #[tokio::test]
    async fn the_module_and_its_hash_belong_together() {
        let (_trigger, router) = setup(Vec::new());
        let (status, hash) = fetch(&router, "/filter.wasm.sha256").await;
        assert_eq!(
            (status, hash.trim()),
            (200, "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476")
        );
        assert_eq!(fetch(&router, "/filter.wasm").await.1, "\0asm\x01\0\0\0");
        assert!(Module::new(b"MZ".to_vec()).is_err());
    }

    #[tokio::test]
    async fn metrics_are_in_the_text_format() {
        let (_trigger, router) = setup(Vec::new());
        let (status, text) = fetch(&router, "/metrics").await;
        assert_eq!(status, 200);
        assert!(
            text.contains("huddle_ingest_dropped_requests_total 0") && text.ends_with("# EOF\n"),
            "{text}"
        );
    }
}
