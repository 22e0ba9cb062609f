//! What comes in from outside: configuration and attributes.

use std::{collections::HashMap, time::Duration};

use huddle_filter::{
    attributes::{Attributes, Reading},
    config::Config,
    service::Service,
};
use huddle_filter_core::{Exchange, Limits};
use proptest::prelude::*;

const SMALLEST: &str = r#"{"controller": {"host": "ingest.huddle-system.svc.cluster.local", "port": 9000}}"#;

#[test]
fn defaults_fill_in() {
    let config = Config::parse(SMALLEST.as_bytes()).expect("good");
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.timeout, Duration::from_secs(5));
    let host = "ingest.huddle-system.svc.cluster.local";
    assert_eq!(
        Some(config.service),
        Service::new(&format!("outbound|9000||{host}"), &format!("{host}:9000"))
    );
}

#[test]
fn numbers_may_come_as_istio_writes_them() {
    let text = SMALLEST
        .replace("9000", "9000.0")
        .replacen('{', r#"{"interval_ms": 1e3, "#, 1);
    let config = Config::parse(text.as_bytes()).expect("good");
    assert_eq!(config.limits.interval_ms, 1_000);
}

#[test]
fn faults_name_the_field() {
    let field = |text: &str| Config::parse(text.as_bytes()).expect_err(text).field;
    let with = |more: &str| SMALLEST.replacen('{', &format!("{{{more}, "), 1);
    assert_eq!(field(""), "");
    assert_eq!(field("[]"), "");
    assert_eq!(field("{}"), "controller");
    assert_eq!(field(r#"{"controller": {"port": 9000}}"#), "controller.host");
    assert_eq!(field(r#"{"controller": {"host": "a"}}"#), "controller.port");
    assert_eq!(
        field(r#"{"controller": {"host": "a b", "port": 1}}"#),
        "controller.host"
    );
    assert_eq!(
        field(r#"{"controller": {"host": "a", "port": 65536}}"#),
        "controller.port"
    );
    assert_eq!(
        field(r#"{"controller": {"host": "a", "port": 1, "prot": 2}}"#),
        "controller.prot"
    );
    assert_eq!(
        field(&format!(
            r#"{{"controller": {{"host": "{}", "port": 1}}}}"#,
            "a".repeat(100)
        )),
        "controller.host"
    );
    assert_eq!(field(&with(r#""interval_ms": 0"#)), "interval_ms");
    assert_eq!(field(&with(r#""interval_ms": 1000.5"#)), "interval_ms");
    assert_eq!(field(&with(r#""max_edges": "many""#)), "max_edges");
    assert_eq!(field(&with(r#""intervall_ms": 1000"#)), "intervall_ms");
}

#[test]
fn the_service_is_envoys_message() {
    let service = Service::new("outbound|1||a", "a:1").expect("short");
    assert_eq!(
        service.message().as_bytes(),
        b"\x0a\x14\x0a\x0doutbound|1||a\x12\x03a:1"
    );
    assert_eq!(Service::new("ä", "a"), None);
    assert!(Service::new(&"c".repeat(60), &"a".repeat(63)).is_some());
    assert_eq!(Service::new(&"c".repeat(61), &"a".repeat(63)), None);
}

/// Attributes by dotted path.
#[derive(Default)]
struct Fake(HashMap<String, Vec<u8>>);

impl Attributes for Fake {
    fn read(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.0.get(&path.join(".")).cloned()
    }
}

impl Fake {
    fn with(mut self, path: &str, value: impl Into<Vec<u8>>) -> Self {
        self.0.insert(path.to_owned(), value.into());
        self
    }
}

fn healthy() -> Fake {
    Fake::default()
        .with("upstream.address", "10.0.0.1:8080")
        .with("xds.cluster_name", "outbound|80||a")
        .with("request.headers.content-type", "application/grpc+proto")
        .with("response.code", 200_i64.to_le_bytes())
        .with("response.grpc_status", 0_i64.to_le_bytes())
        .with("upstream.request_attempt_count", 2_i64.to_le_bytes())
        .with("request.duration", 5_000_999_i64.to_le_bytes())
        .with("response.backend_latency", 4_500_000_i64.to_le_bytes())
        .with("request.total_size", 100_i64.to_le_bytes())
        .with("response.total_size", 200_i64.to_le_bytes())
        .with("metadata.filter_metadata.huddle.served_us", 3_000_f64.to_le_bytes())
        .with("metadata.filter_metadata.huddle.upstream_us", 4_000_f64.to_le_bytes())
}

#[test]
fn attributes_become_an_exchange() {
    let expected = Exchange {
        upstream_address: "10.0.0.1:8080",
        cluster: "outbound|80||a",
        grpc: true,
        status: Some(200),
        grpc_status: Some(0),
        attempts: 2,
        duration_us: Some(4_500),
        upstream_us: Some(4_000),
        served_us: Some(3_000),
        backend_us: Some(4_500),
        request_bytes: 100,
        response_bytes: 200,
    };
    assert_eq!(Reading::of(&healthy()).exchange(), expected);
}

#[test]
fn a_request_without_an_upstream_has_its_own_duration() {
    let mut local = healthy();
    local.0.remove("response.backend_latency");
    assert_eq!(Reading::of(&local).exchange().duration_us, Some(5_000));
}

#[test]
fn everything_may_be_missing() {
    assert_eq!(Reading::of(&Fake::default()).exchange(), Exchange::default());
}

#[test]
fn only_grpc_content_types_are_grpc() {
    for (content_type, grpc) in [
        ("application/grpc", true),
        ("application/grpc;x=1", true),
        ("application/grpc-web", false),
        ("text/html", false),
    ] {
        let reading = Reading::of(&healthy().with("request.headers.content-type", content_type));
        assert_eq!(reading.exchange().grpc, grpc, "{content_type}");
        assert_eq!(reading.exchange().grpc_status.is_some(), grpc);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_taken(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 12)) {
        let mut paths: Vec<String> = healthy().0.into_keys().collect();
        paths.sort();
        let fake = Fake(paths.into_iter().zip(values).collect());
        let _any = Reading::of(&fake).exchange().times();
    }

    #[test]
    fn any_configuration_is_taken_or_refused(text in "\\PC*") {
        let _any = Config::parse(text.as_bytes());
    }
}
