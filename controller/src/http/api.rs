//! What people ask for: the state once, or as a stream, and the page.

use crate::clock;
use crate::dashboard::guard::local_only;
use crate::engine::{Graph, Published};
use crate::shutdown::Shutdown;
use axum::Json;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use futures::stream::{self, Stream, StreamExt};
use huddle_core::time::{Span, Window};
use huddle_core::view;
use huddle_core::view::pairs::{By, EdgeChoice, PairsView};
use kube::Client;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What is published, and when to stop telling.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) published: watch::Receiver<Arc<Published>>,
    /// By which what is asked for is proposed.
    pub(super) client: Client,
    graph: Graph,
    shutdown: Shutdown,
}

/// A stream gets at most one state per this long.
const PACE: Duration = Duration::from_secs(1);

/// The router of the people's port: `/api/v1/state`, `/api/v1/stream`, `/api/v1/pairs`, `/api/v1/dump`, `/api/v1/merge`, and `page` for the
/// rest. Answers only to localhost.
pub fn people(
    published: watch::Receiver<Arc<Published>>,
    client: Client,
    graph: Graph,
    shutdown: Shutdown,
    page: Router,
) -> Router {
    Router::new()
        .route("/api/v1/state", get(state))
        .route("/api/v1/stream", get(changes))
        .route("/api/v1/pairs", get(pairs))
        .route("/api/v1/dump", get(dump))
        .route("/api/v1/merge", post(super::merge::ask))
        .with_state(Shared {
            published,
            client,
            graph,
            shutdown,
        })
        .merge(page)
        .layer(middleware::from_fn(local_only))
}

async fn state(State(shared): State<Shared>) -> Response {
    let json = Arc::clone(&shared.published.borrow().json);
    (
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        json.to_string(),
    )
        .into_response()
}

/// What `/api/v1/pairs` is asked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PairsAsked {
    by: By,
    /// The window begins so many milliseconds ago; without it, where the published one does.
    since_ms: Option<u64>,
    /// And ends so many milliseconds ago.
    #[serde(default)]
    until_ms: u64,
    source: Option<String>,
    destination: Option<String>,
}

/// The graph by pairs of nodes or pods, over a window of the reader's choice.
async fn pairs(State(shared): State<Shared>, Query(asked): Query<PairsAsked>) -> Response {
    let published = Arc::clone(&shared.published.borrow());
    let now = clock::now();
    let window = Window {
        from: now.minus(Span(asked.since_ms.unwrap_or(published.state.window_ms))),
        to: now.minus(Span(asked.until_ms)),
    };
    let snapshot = shared.graph.read(|graph| graph.snapshot(window, now));
    let choice = EdgeChoice {
        source: asked.source,
        destination: asked.destination,
    };
    let pods = &published.cluster.view.pods;
    let name = |uid: &_| {
        let pod = pods.get(uid)?;
        Some(format!("{}/{}", pod.workload.namespace, pod.name))
    };
    let view = PairsView::new(&snapshot, asked.by, &choice, name);
    ([(header::CACHE_CONTROL, "no-store")], Json(view)).into_response()
}

/// What the planner reads, for planning elsewhere. Written on a thread of its own: it is large where the cluster is.
async fn dump(State(shared): State<Shared>) -> Response {
    let published = Arc::clone(&shared.published.borrow());
    let waiting = &published.cluster.waiting_for;
    if !waiting.is_empty() {
        let what = format!(
            "the cluster is not read completely yet: {} are missing",
            waiting.join(", ")
        );
        return (StatusCode::SERVICE_UNAVAILABLE, what).into_response();
    }
    let write = move || {
        let plan = published.plan.as_deref();
        let view = crate::engine::with_use(&published.cluster.view, &published.usage);
        let used = huddle_core::plan::merge::uses(&published.usage, &view);
        crate::dump::encode_used(Some(&view), Some(&published.snapshot), plan, &used)
    };
    let failed = |error: String| (StatusCode::INTERNAL_SERVER_ERROR, error).into_response();
    match tokio::task::spawn_blocking(write).await {
        Ok(Ok(bytes)) => {
            let headers = [
                (header::CONTENT_TYPE, "application/json"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, bytes).into_response()
        }
        Ok(Err(error)) => failed(error.to_string()),
        Err(error) => failed(error.to_string()),
    }
}

/// Server-sent events: `state` with the whole state first, then at each change, at most one per second. A slow reader skips
/// states; it never queues them.
async fn changes(State(shared): State<Shared>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let first = Some(Arc::clone(&shared.published.borrow()));
    let stream = stream::unfold((shared.published, first, None::<Arc<Published>>), next).map(Ok);
    Sse::new(stream.take_until(shared.shutdown.begun())).keep_alive(KeepAlive::default())
}

type Reader = (
    watch::Receiver<Arc<Published>>,
    Option<Arc<Published>>,
    Option<Arc<Published>>,
);

async fn next((mut published, first, last): Reader) -> Option<(Event, Reader)> {
    let current = match first {
        Some(first) => first,
        None => {
            tokio::time::sleep(PACE).await;
            loop {
                published.changed().await.ok()?;
                let current = Arc::clone(&published.borrow_and_update());
                if last
                    .as_ref()
                    .is_none_or(|last| !same_state(&last.state, &current.state))
                {
                    break current;
                }
            }
        }
    };
    let event = Event::default().event("state").data(&*current.json);
    Some((event, (published, None, Some(current))))
}

/// Whether two states say the same, but for the time at which they were made.
pub fn same_state(a: &view::State, b: &view::State) -> bool {
    a.workloads == b.workloads
        && a.edges == b.edges
        && a.plans == b.plans
        && a.silent == b.silent
        && a.cluster == b.cluster
        && a.window_ms == b.window_ms
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A client of an API server that does not answer.
    pub(in crate::http) fn nobody() -> Client {
        let refuse = tower::service_fn(async |_: axum::http::Request<kube::client::Body>| {
            Err::<axum::http::Response<kube::client::Body>, _>(std::io::Error::other("nobody"))
        });
        Client::new(refuse, "default")
    }

    /// The people's port over what is published once.
    pub(in crate::http) fn setup_with(published: Published, client: Client) -> Router {
        let (_sender, receiver) = watch::channel(Arc::new(published));
        let (_trigger, shutdown) = crate::shutdown::shutdown();
        let graph = Graph::new(huddle_core::graph::GraphConfig::default());
        people(receiver, client, graph, shutdown, Router::new())
    }
}

#[cfg(test)]
mod tests {
    use super::testing::nobody;
    use super::*;
    use crate::engine::Engine;
    use crate::shutdown::{Trigger, shutdown};
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use huddle_core::time::Timestamp;
    use tower::ServiceExt;

    fn setup() -> (Engine, watch::Sender<Arc<Published>>, Trigger, Router) {
        let mut engine = crate::engine::testing::engine();
        let (sender, receiver) = watch::channel(Arc::new(engine.look(Timestamp(1_000))));
        let (trigger, shutdown) = shutdown();
        let page = Router::new().route("/", get(|| async { "page" }));
        let graph = crate::engine::testing::graph_of(&engine);
        (
            engine,
            sender,
            trigger,
            people(receiver, nobody(), graph, shutdown, page),
        )
    }

    async fn ask(router: &Router, host: &str, path: &str) -> Response {
        let request = Request::get(path).header("host", host).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn strangers_are_turned_away_everywhere() {
        let (_engine, _sender, _trigger, router) = setup();
        for path in ["/", "/api/v1/state", "/api/v1/stream", "/api/v1/dump"] {
            assert_eq!(ask(&router, "rebound.example", path).await.status(), 403, "{path}");
            assert_eq!(ask(&router, "localhost:8081", path).await.status(), 200, "{path}");
        }
    }

    #[tokio::test]
    async fn the_state_can_be_read_back() {
        let (_engine, _sender, _trigger, router) = setup();
        let body = ask(&router, "localhost", "/api/v1/state").await.into_body();
        let bytes = body.collect().await.unwrap().to_bytes();
        let state: view::State = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(state.workloads.len(), 2);
    }

    #[tokio::test]
    async fn a_dump_holds_what_is_published() {
        let (mut engine, sender, _trigger, router) = setup();
        engine.deliver(&crate::engine::testing::delivery(
            30_000,
            ("web-1", "node-1"),
            ("db-1", "node-1"),
            500,
            7,
        ));
        let published = Arc::new(engine.look(Timestamp(60_000)));
        sender.send_replace(Arc::clone(&published));
        let body = ask(&router, "localhost", "/api/v1/dump").await.into_body();
        let part = crate::dump::Part::decode(&body.collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!(part.cluster.as_ref(), Some(&published.cluster.view));
        assert_eq!(part.graph.as_ref(), Some(&*published.snapshot));
        assert_eq!(part.graph.unwrap().edges.len(), 1);

        let mut unread = crate::testing::cluster(&[("web-1", "node-1")]);
        unread.waiting_for = vec!["pods"];
        engine.know(Arc::new(unread));
        sender.send_replace(Arc::new(engine.look(Timestamp(61_000))));
        assert_eq!(ask(&router, "localhost", "/api/v1/dump").await.status(), 503);
    }

    #[tokio::test]
    async fn pairs_are_read_over_a_window_of_choice() {
        let (mut engine, _sender, _trigger, router) = setup();
        let at = clock::now().minus(Span::seconds(60)).0;
        let calls = crate::engine::testing::delivery(at, ("web-1", "node-1"), ("db-1", "node-1"), 500, 7);
        engine.deliver(&calls);
        let rows = async |query: &str| {
            let response = ask(&router, "localhost", &format!("/api/v1/pairs?{query}")).await;
            assert_eq!(response.status(), 200, "{query}");
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            let view: PairsView = serde_json::from_slice(&bytes).unwrap();
            view.pairs
        };
        let all = rows("by=podPair&sinceMs=120000").await;
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].caller.as_deref(), Some("shop/web-1"));
        assert_eq!(all[0].total.requests, 7);
        assert_eq!(rows("by=nodePair&sinceMs=120000&source=shop/web").await.len(), 1);
        assert_eq!(rows("by=nodePair&sinceMs=120000&source=shop/db").await.len(), 0);
        assert_eq!(rows("by=nodePair&sinceMs=30000").await.len(), 0);
        assert_eq!(rows("by=nodePair&sinceMs=300000&untilMs=120000").await.len(), 0);
        assert_eq!(ask(&router, "localhost", "/api/v1/pairs?by=zone").await.status(), 400);
    }

    #[tokio::test(start_paused = true)]
    async fn the_stream_tells_everything_first_and_then_changes_only() {
        let (mut engine, sender, trigger, router) = setup();
        let mut body = ask(&router, "localhost", "/api/v1/stream").await.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(first.starts_with(b"event: state\ndata: {\"at\":1000,"), "{first:?}");
        // The same state at a later time is no change; a changed cluster is.
        sender.send_replace(Arc::new(engine.look(Timestamp(2_000))));
        engine.know(Arc::new(crate::testing::cluster(&[("web-1", "node-1")])));
        let later = tokio::spawn(async move { body.frame().await.map(|frame| (frame, body)) });
        tokio::task::yield_now().await;
        sender.send_replace(Arc::new(engine.look(Timestamp(3_000))));
        let (frame, mut body) = later.await.unwrap().unwrap();
        let second = frame.unwrap().into_data().unwrap();
        assert!(second.starts_with(b"event: state\ndata: {\"at\":3000,"), "{second:?}");
        trigger.begin();
        assert!(body.frame().await.is_none());
    }
}
