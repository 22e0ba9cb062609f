//! The shop without a cluster: its file, its call counts, its manifests, and itself on loopback.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};

use huddle_tests::shop::{
    Edge, Graph, Local, MilliCpu, ServiceName, Target, manifests,
    witness::{self, Report},
};

const BOUTIQUE: &str = include_str!("../shop/boutique.yaml");
/// Processor the bed's nodes offer, in thousandths of a core, and how many nodes there are.
const NODE: (u64, u64) = (1_500, 4);

fn boutique() -> Graph {
    Graph::parse(BOUTIQUE).expect("the committed graph is valid")
}

fn target(text: &str) -> Target {
    Target::parse(text).expect("a target")
}

fn edge(source: &str, destination: &str) -> Edge {
    let name = |name| ServiceName::new(name).expect("a name");
    Edge {
        source: name(source),
        destination: name(destination),
    }
}

/// A small graph with everything in it: both protocols, a late body, a parallel step, repeats.
const SMALL: &str = "
name: small
namespace: shop
image: shop
seed: 1
timeout: 5s
defaults:
  replicas: 1
  compute: {median: 50us, sigma: 0.5, spin: 0.1}
  request: 0B
  response: 100B
  startup: 0us
  resources: {cpu: 10m, memory: 10Mi}
  sidecar: {cpu: 10m, memory: 10Mi}
services:
  - name: front
    protocol: http
    port: 8080
    endpoints:
      - name: home
        calls:
          - {call: slow/stream, request: 1KiB}
          - parallel: [{call: price/get, times: 3}, text/get]
  - name: price
    protocol: grpc
    port: 8081
    endpoints: [{name: get, calls: [text/get]}]
  - name: text
    protocol: http
    port: 8082
    endpoints: [{name: get, response: 64KiB}]
  - name: slow
    protocol: grpc
    port: 8083
    endpoints: [{name: stream, body_after: 400ms}]
entries:
  - {name: home, to: front/home, rate: 10}
";

#[test]
fn the_home_page_makes_thirteen_calls_and_one_nested() {
    let caused = boutique().calls_caused(&target("frontend/home"));
    let from_frontend: u64 = caused
        .iter()
        .filter(|(edge, _)| edge.source.as_str() == "frontend")
        .map(|(_, n)| n)
        .sum();
    assert_eq!(from_frontend, 13);
    assert_eq!(caused[&edge("cart", "redis")], 1);
    assert_eq!(caused.values().sum::<u64>(), 14);
}

/// facts/loop.md C1, with one item in the cart: product 11 + 1, checkout: order 7 + 2n, then recommendations and more.
#[test]
fn the_other_pages_make_the_calls_of_the_original() {
    let graph = boutique();
    let from = |source: &str, page: &str| -> u64 {
        let caused = graph.calls_caused(&target(page));
        caused
            .iter()
            .filter(|(edge, _)| edge.source.as_str() == source)
            .map(|(_, calls)| calls)
            .sum()
    };
    assert_eq!(
        (
            from("frontend", "frontend/product"),
            from("recommendation", "frontend/product")
        ),
        (11, 1)
    );
    assert_eq!(from("checkout", "frontend/checkout"), 7 + 2);
    assert_eq!(from("frontend", "frontend/checkout"), 1 + 1 + 5 + 1);
    assert_eq!(from("frontend", "frontend/cart"), 1 + 1 + 1 + 5 + 1 + 1 + 2);
    assert_eq!((from("frontend", "frontend/add"), from("cart", "frontend/add")), (2, 2));
    assert_eq!(graph.services().len(), 11);
}

#[test]
fn no_node_can_hold_two_fifths_of_the_shop_and_all_of_them_hold_it() {
    let requested = boutique().requested().cpu.get();
    assert!(NODE.0 * 10 < requested * 4, "a node offers {}m of {requested}m", NODE.0);
    // Room for istiod, Huddle and the load, and for a surge pod during moves.
    assert!(requested + 1_200 <= NODE.0 * NODE.1, "the shop requests {requested}m");
    assert!(boutique().requested().cpu > MilliCpu::new(0));
}

#[test]
fn the_load_leaves_half_of_two_processors_idle() {
    let calls: f64 = boutique().rates().values().sum();
    // About 0.8 ms of processor for the two proxies of a call, measured on two cores.
    assert!((300.0..=500.0).contains(&calls), "{calls} calls per second");
}

#[test]
fn replicas_stay_within_two_to_four_and_some_edge_is_unequal() {
    let graph = boutique();
    assert!(
        graph
            .services()
            .iter()
            .all(|service| (2..=4).contains(&service.replicas))
    );
    let replicas = |name: &ServiceName| graph.service(name).map(|service| service.replicas);
    assert!(
        graph
            .rates()
            .keys()
            .any(|edge| replicas(&edge.source) != replicas(&edge.destination))
    );
}

#[test]
fn a_wrong_file_names_its_fields() {
    let wrong = SMALL
        .replace("slow/stream", "slow/steam")
        .replace("times: 3", "times: 0")
        .replace("name: price", "name: Price")
        .replace("rate: 10", "rate: -1")
        .replace("port: 8082", "port: 80");
    insta::assert_snapshot!(Graph::parse(&wrong).expect_err("five mistakes").to_string());
    let circle = SMALL.replace("name: get, response: 64KiB", "name: get, calls: [price/get]");
    insta::assert_snapshot!(Graph::parse(&circle).expect_err("a circle").to_string());
    let unit = SMALL.replace("seed: 1", "seed: 1\ncolour: red");
    insta::assert_snapshot!(Graph::parse(&unit).expect_err("a field nobody knows").to_string());
    let unit = SMALL.replace("median: 50us", "median: 50");
    insta::assert_snapshot!(Graph::parse(&unit).expect_err("no unit").to_string());
}

#[test]
fn a_service_may_have_limits_and_not_below_its_requests() {
    let limited = |cpu: &str| SMALL.replace("port: 8082", &format!("port: 8082\n    limits: {{cpu: {cpu}}}"));
    let manifests = manifests::of(&limited("20m")).expect("manifests");
    let resources = |index: usize| {
        let spec = manifests.services[index].deployment.spec.as_ref();
        let pod = spec.and_then(|spec| spec.template.spec.as_ref()).expect("a pod");
        serde_json::to_value(&pod.containers[0].resources).expect("resources")
    };
    assert_eq!(resources(2)["limits"], serde_json::json!({"cpu": "20m"}));
    assert_eq!(resources(0).get("limits"), None);
    let below = Graph::parse(&limited("5m"))
        .expect_err("less than is requested")
        .to_string();
    assert_eq!(below, "services[2].limits.cpu: 5m is not at least what is requested");
}

#[test]
fn manifests_give_the_scheduler_no_hints() {
    let manifests = manifests::of(BOUTIQUE).expect("manifests");
    assert_eq!(manifests.services.len(), 11);
    for of in &manifests.services {
        let spec = of
            .deployment
            .spec
            .as_ref()
            .and_then(|spec| spec.template.spec.as_ref())
            .expect("a pod");
        assert!(spec.affinity.is_none() && spec.topology_spread_constraints.is_none() && spec.node_selector.is_none());
        assert!(spec.containers.iter().all(|container| container.lifecycle.is_none()));
    }
    let small = manifests::of(SMALL).expect("manifests");
    insta::assert_json_snapshot!(serde_json::to_value(&small.services[1].deployment).expect("JSON"));
}

type Client = hyper_util::client::legacy::Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

/// The small shop on loopback and a client for it.
struct Running {
    local: Local,
    graph: Graph,
    client: Client,
}

impl Running {
    async fn start() -> Self {
        let graph = Graph::parse(SMALL).expect("the small graph");
        let local = Local::start(Arc::new(graph.clone())).await.expect("free ports");
        let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
        Self { local, graph, client }
    }

    async fn send(&self, method: Method, url: String, body: &str) -> (StatusCode, Bytes) {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("content-type", "application/json");
        let request = request
            .body(Full::new(Bytes::from(body.to_owned())))
            .expect("a request");
        let response = self.client.request(request).await.expect("an answer");
        let status = response.status();
        (status, response.into_body().collect().await.expect("a body").to_bytes())
    }

    async fn home(&self) -> StatusCode {
        let front = self.local.services[&edge("front", "front").source];
        self.send(Method::GET, format!("http://{front}/home"), "").await.0
    }

    async fn fault(&self, service: &str, fault: &str) {
        let admin = self.local.admins[&edge(service, service).source];
        let (status, _) = self.send(Method::POST, format!("http://{admin}/fault"), fault).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }

    async fn reports(&self) -> Vec<Report> {
        let mut reports = Vec::new();
        for admin in self.local.admins.values() {
            let (_, body) = self.send(Method::GET, format!("http://{admin}/witness"), "").await;
            reports.push(serde_json::from_slice(&body).expect("a report"));
        }
        reports
    }
}

#[tokio::test]
async fn on_loopback_the_witness_counts_every_call_of_the_graph_once() {
    let running = Running::start().await;
    for _ in 0..5 {
        assert_eq!(running.home().await, StatusCode::OK);
    }
    let reports = running.reports().await;
    let seen = witness::by_edge(&reports);
    let caused = running.graph.calls_caused(&target("front/home"));
    assert_eq!(seen.len(), caused.len());
    for (edge, calls) in &caused {
        assert_eq!((seen[edge].requests, seen[edge].errors), (5 * calls, 0), "{edge}");
        assert_eq!(seen[edge].headers.len(), 5 * calls, "{edge}");
        // Each callee, by HTTP or gRPC, says how long it had the call.
        assert_eq!(seen[edge].way.len(), 5 * calls, "{edge}");
    }
    // `price` calls on, and that is time in which it has the call: what is left is the way to it, and shorter.
    let price = &seen[&edge("front", "price")];
    assert!(price.way.max() < price.headers.max(), "{price:?}");
    let served = witness::served_by_service(&reports);
    assert_eq!(served[&edge("text", "text").source], 5 * (1 + 3));
    // The body comes 400 ms after the headers: the clock stops at the headers.
    let slow = &seen[&edge("front", "slow")].headers;
    assert!(
        slow.value_at_quantile(0.5) < 200_000,
        "headers after {} us",
        slow.value_at_quantile(0.5)
    );
    running.local.stop().await.expect("a clean stop");
}

#[tokio::test]
async fn a_pod_told_to_fail_fails_its_callers_until_told_otherwise() {
    let running = Running::start().await;
    running.fault("price", r#"{"errors": 1.0}"#).await;
    assert_eq!(running.home().await, StatusCode::INTERNAL_SERVER_ERROR);
    let seen = witness::by_edge(&running.reports().await);
    let price = &seen[&edge("front", "price")];
    assert_eq!((price.requests, price.errors, price.headers.len()), (1, 1, 0));
    running.fault("price", "{}").await;
    assert_eq!(running.home().await, StatusCode::OK);
    running.local.stop().await.expect("a clean stop");
}
