//! Proxy: the proxied way to a companion in a real Envoy. The test does what Istio does with the two EnvoyFilters: it appends the clusters
//! and merges the route into the virtual host of its name.

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{any, get};
use futures::future::join_all;
use http_body_util::{BodyExt, Full};
use huddle::act::{Again, Check, Inside, Speaks, filters};
use huddle_tests::envoy::Envoy;
use huddle_tests::wait;
use hyper::body::Bytes;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const HOST: &str = "back.shop.svc.cluster.local";
const PATIENCE: Duration = Duration::from_secs(60);

/// What an application is asked to be, and what it has seen.
#[derive(Default)]
struct State {
    unready: AtomicBool,
    orders: AtomicU64,
    /// Of the header by which its caller's proxy is told what to try again.
    told: AtomicBool,
}

/// An application that dies as a process does: at once, with all its connections.
struct Application {
    runtime: Option<Runtime>,
    address: SocketAddr,
    state: Arc<State>,
    says: &'static str,
}

impl Application {
    async fn start(says: &'static str, port: u16) -> Result<Self> {
        let mut application = Self {
            runtime: None,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            state: Arc::default(),
            says,
        };
        application.revive().await?;
        Ok(application)
    }

    async fn revive(&mut self) -> Result<()> {
        let (state, says) = (Arc::clone(&self.state), self.says);
        let ready = Arc::clone(&state);
        let router = Router::new()
            .route("/", get(async move || says))
            .route("/fail", get(async move || (StatusCode::INTERNAL_SERVER_ERROR, says)))
            .route(
                "/ready",
                get(async move || match ready.unready.load(Ordering::SeqCst) {
                    true => StatusCode::SERVICE_UNAVAILABLE,
                    false => StatusCode::OK,
                }),
            )
            .route(
                "/order",
                any(async move |headers: HeaderMap| {
                    state
                        .told
                        .fetch_or(headers.contains_key("x-envoy-retry-on"), Ordering::SeqCst);
                    state.orders.fetch_add(1, Ordering::SeqCst);
                    std::future::pending::<&'static str>().await
                }),
            );
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let at = self.address;
        let listening = runtime.spawn(TcpListener::bind(at)).await??;
        self.address = listening.local_addr()?;
        runtime.spawn(async move { axum::serve(listening, router).await });
        self.runtime = Some(runtime);
        Ok(())
    }

    /// Whoever calls meets it in the middle of it.
    fn die(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.die();
    }
}

/// A caller's proxy with the companion beside it and the callee's Service elsewhere.
struct Scene {
    _envoy: Envoy,
    outbound: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    inside: Application,
    outside: Application,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
    upstream: String,
}

impl Scene {
    async fn set(again: Again, check: impl FnOnce(u16) -> Check) -> Result<Self> {
        let inside = Application::start("inside", 0).await?;
        let outside = Application::start("outside", 0).await?;
        let target = inside.address.port();
        let way = Inside {
            host: HOST.to_owned(),
            port: 80,
            target,
            speaks: Speaks::Http1,
            check: check(target),
            again,
        };
        let bootstrap = bootstrap(outside.address, &filters("shop", "plan-1-0", &[way]))?;
        let envoy = Envoy::start(|_| Ok(bootstrap)).await?;
        let outbound = envoy.listener("outbound").await?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let scene = Self {
            _envoy: envoy,
            outbound,
            client,
            inside,
            outside,
        };
        scene.answers_come_from("inside").await?;
        Ok(scene)
    }

    async fn call(&self, method: &str, path: &str) -> Result<Answer> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.outbound))
            .header(http::header::HOST, HOST)
            .body(Full::default())?;
        let (parts, body) = self.client.request(request).await?.into_parts();
        let upstream = parts.headers.get("x-upstream").context("no upstream is named")?;
        Ok(Answer {
            status: parts.status.as_u16(),
            upstream: upstream.to_str()?.to_owned(),
            body: String::from_utf8(body.collect().await?.to_bytes().to_vec())?,
        })
    }

    /// So many calls beside each other, all of which must be answered, and how many of them inside.
    async fn burst(&self, calls: usize) -> Result<usize> {
        let answers = join_all((0..calls).map(|_| self.call("GET", "/"))).await;
        let mut inside = 0;
        for answer in answers {
            let answer = answer?;
            ensure!(answer.status == 200, "a call failed: {answer:?}");
            inside += usize::from(answer.body == "inside");
        }
        Ok(inside)
    }

    async fn answers_come_from(&self, wanted: &str) -> Result<()> {
        wait::until(format!("answers from {wanted}"), PATIENCE, async || {
            let answer = self.call("GET", "/").await?;
            ensure!(answer.status == 200 && answer.body == wanted, "{answer:?}");
            Ok(())
        })
        .await?;
        Ok(())
    }
}

/// What Istio makes of a Service, and of the two objects.
fn bootstrap(service: SocketAddr, filters: &[Value; 2]) -> Result<Value> {
    let outside = format!("outbound|80||{HOST}");
    let endpoint =
        json!({"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": service.port()}}}});
    let mut clusters = vec![json!({
        "name": outside, "type": "STATIC", "connect_timeout": "10s",
        "circuit_breakers": {"thresholds": [{"max_retries": u32::MAX}]},
        "load_assignment": {"cluster_name": outside, "endpoints": [{"lb_endpoints": [endpoint]}]},
    })];
    let mut host = json!({
        "name": format!("{HOST}:80"), "domains": [HOST, format!("{HOST}:80")],
        "response_headers_to_add": [{"header": {"key": "x-upstream", "value": "%UPSTREAM_REMOTE_ADDRESS%"}}],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": outside, "timeout": "0s", "retry_policy": {
            "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes", "num_retries": 2,
            "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}],
            "host_selection_retry_max_attempts": "5", "retriable_status_codes": [503]}}}],
    });
    for patch in filters
        .iter()
        .flat_map(|filter| filter["spec"]["configPatches"].as_array())
        .flatten()
    {
        let value = &patch["patch"]["value"];
        match (patch["applyTo"].as_str(), patch["patch"]["operation"].as_str()) {
            (Some("CLUSTER"), Some("ADD")) => clusters.push(value.clone()),
            (Some("HTTP_ROUTE"), Some("MERGE")) => {
                let named = &patch["match"]["routeConfiguration"]["vhost"]["name"];
                ensure!(*named == host["name"], "{named} is no virtual host of Istio's");
                merge(&mut host["routes"][0], value);
            }
            other => anyhow::bail!("{other:?}"),
        }
    }
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "outbound", "route_config": {"name": "80", "virtual_hosts": [host]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
    });
    let chain =
        json!({"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]});
    let at = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    let listener =
        json!({"name": "outbound", "address": at, "traffic_direction": "OUTBOUND", "filter_chains": [chain]});
    Ok(json!({"node": {"id": "caller", "cluster": "caller"},
        "static_resources": {"listeners": [listener], "clusters": clusters}}))
}

/// As protocol buffers merge, and with them Istio: lists are appended to.
fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(patch)) => into.extend(patch.iter().cloned()),
        (into, patch) => *into = patch.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_stay_inside_and_none_fails_while_the_companion_is_gone() -> Result<()> {
    let mut scene = Scene::set(Again::All, |_| Check::Connects).await?;
    ensure!(scene.burst(200).await? == 200, "a healthy companion has all calls");
    let answer = scene.call("GET", "/").await?;
    ensure!(
        answer.upstream == scene.inside.address.to_string(),
        "what the graph is told: {answer:?}"
    );
    for _ in 0..5 {
        // The first ones meet it as it dies.
        scene.inside.die();
        scene.burst(50).await?;
        scene.answers_come_from("outside").await?;
        ensure!(scene.burst(50).await? == 0, "a dead companion answered");
        let answer = scene.call("GET", "/").await?;
        ensure!(answer.upstream == scene.outside.address.to_string(), "{answer:?}");
        scene.inside.revive().await?;
        scene.answers_come_from("inside").await?;
    }
    ensure!(scene.burst(200).await? == 200, "back inside");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_an_answer_also_where_it_is_a_5xx() -> Result<()> {
    let scene = Scene::set(Again::Safe, |_| Check::Connects).await?;
    for _ in 0..20 {
        let answer = scene.call("GET", "/fail").await?;
        ensure!(answer.status == 500 && answer.body == "inside", "{answer:?}");
    }
    ensure!(scene.burst(100).await? == 100, "its errors put the companion out");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_ready_gets_no_calls() -> Result<()> {
    let path = "/ready".to_owned();
    let scene = Scene::set(Again::Safe, |port| Check::Answers { path, port }).await?;
    scene.inside.state.unready.store(true, Ordering::SeqCst);
    scene.answers_come_from("outside").await?;
    ensure!(scene.burst(100).await? == 0, "it says that it is not ready");
    scene.inside.state.unready.store(false, Ordering::SeqCst);
    scene.answers_come_from("inside").await
}

/// An order is under way when the companion dies; how often it is carried out elsewhere.
async fn repeated(again: Again, method: &str) -> Result<u64> {
    let mut scene = Scene::set(again, |_| Check::Connects).await?;
    let orders = |application: &Application| application.state.orders.load(Ordering::SeqCst);
    let life = scene.inside.runtime.take().context("it lives")?;
    let call = scene.call(method, "/order");
    tokio::pin!(call);
    let arrival = wait::until("the order to arrive", PATIENCE, async || {
        ensure!(orders(&scene.inside) == 1, "not yet");
        Ok(())
    });
    tokio::select! {
        answer = &mut call => anyhow::bail!("answered: {answer:?}"),
        arrived = arrival => arrived?,
    }
    life.shutdown_background();
    let again = wait::until("the order's second life", PATIENCE, async || {
        ensure!(orders(&scene.outside) > 0, "not yet");
        Ok(())
    });
    // Elsewhere it is never answered either.
    tokio::select! {
        answer = &mut call => {
            let status = answer.map(|answer| answer.status);
            ensure!(!matches!(status, Ok(200)), "an order that nobody carried out was answered: {status:?}");
        }
        repeated = again => repeated?,
    }
    ensure!(
        !scene.outside.state.told.load(Ordering::SeqCst),
        "the callee was told how its caller's proxy tries again"
    );
    Ok(orders(&scene.outside))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_sent_again_where_it_only_asks_or_its_owner_says_so() -> Result<()> {
    for (again, method, times) in [
        (Again::Safe, "GET", 1),
        (Again::Safe, "HEAD", 1),
        (Again::Safe, "POST", 0),
        (Again::Safe, "DELETE", 0),
        (Again::All, "POST", 1),
        (Again::Never, "GET", 0),
    ] {
        let repeated = repeated(again, method)
            .await
            .with_context(|| format!("{again:?}, {method}"))?;
        ensure!(
            repeated == times,
            "{again:?}: a {method} that was under way was sent again {repeated} times"
        );
    }
    Ok(())
}
