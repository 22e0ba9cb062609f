use super::*;
use crate::engine::{Metrics, testing};
use huddle_core::time::Timestamp;
use prometheus_client::registry::Registry;
use serde_json::json;

/// A state with three edges, the second busiest of them without a cause, and something of everything that is counted.
fn state() -> State {
    let part = json!({"requests": 900, "errors": 3, "p50Us": 1500, "p95Us": 4000, "p99Us": 9000, "reliable": true,
        "network": {"p50Us": 1000, "p95Us": 3000, "p99Us": 7000}, "served": {"p50Us": 400, "p95Us": 700, "p99Us": 1500}});
    let edge = |to: &str, rps: f64, cause: &str| {
        json!({"source": "shop/web", "destination": to, "protocol": "http", "rps": rps, "errorRate": 0.01, "bytesPerSecond": 1.0,
            "localShare": 0.25, "total": part, "localities": {}, "finding": {"cause": cause, "sentence": "It is."}})
    };
    let total = |to: &str| json!({"source": "shop/web", "destination": to, "requests": 12345, "errors": 6});
    let plan = |id: &str, phase: &str| {
        json!({"id": id, "phase": phase, "summary": "", "createdAt": 0, "actions": [], "refusals": [], "expected": [], "proof": [],
            "spread": [], "verdict": {"outcome": "improved", "sentence": "It is."}})
    };
    serde_json::from_value(json!({
        "at": 0, "windowMs": 120_000, "cluster": {"name": "c", "nodes": []}, "workloads": [],
        "edges": [edge("shop/rare", 0.5, "distance"), edge("shop/cart", 90.0, "pressure"), edge("shop/ad", 7.0, "notDistance")],
        "totals": [total("shop/rare"), total("shop/cart"), total("shop/ad"), total("shop/gone")],
        "plans": [plan("p1", "proved"), plan("p2", "proved"), plan("p3", "proposed")],
        "silent": [{"namespace": "shop", "pod": "db-1", "reason": "noSidecar", "sentence": "It has none."}],
        "blind": [{"node": "n", "reason": "untrusted", "sentence": "It is."}],
    }))
    .unwrap()
}

fn exposition(edges: usize) -> String {
    let mut engine = testing::engine();
    let published = Published {
        state: state(),
        ..engine.look(Timestamp(1))
    };
    let (_, states) = watch::channel(Arc::new(published));
    let mut registry = Registry::with_prefix("huddle");
    crate::ingest::Metrics::default().register(&mut registry);
    crate::usage::Metrics::default().register(&mut registry);
    Metrics::default().register(&mut registry);
    registry.register_collector(Box::new(Series::new(states, edges)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

#[test]
fn what_is_counted_names_nobody() {
    let text = exposition(0);
    assert!(!text.contains("shop/"), "{text}");
    assert!(!text.contains("huddle_edge_"), "{text}");
    let own: Vec<&str> = text
        .lines()
        .filter(|line| {
            ["findings{", "plans", "verdicts", "silent{", "blind{"]
                .iter()
                .any(|name| line.starts_with(&format!("huddle_{name}")))
        })
        .collect();
    insta::assert_snapshot!(own.join("\n"));
}

#[test]
fn the_busiest_edges_are_named_and_the_others_counted() {
    let text = exposition(2);
    assert!(!text.contains("shop/rare") && !text.contains("shop/gone"), "{text}");
    let own: Vec<&str> = text.lines().filter(|line| line.starts_with("huddle_edge_")).collect();
    insta::assert_snapshot!(own.join("\n"));
}

/// Every series that the dashboard for Grafana asks for is one that the controller has.
#[test]
fn grafana_asks_for_what_there_is() {
    let text = exposition(9);
    let file =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/grafana/huddle.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&file).unwrap();
    let mut asked = BTreeSet::new();
    let panels = dashboard["panels"].as_array().unwrap();
    for target in panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten() {
        let query = target["expr"].as_str().unwrap();
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        asked.extend(words.filter(|word| word.starts_with("huddle_")).map(str::to_owned));
    }
    assert!(asked.len() > 10, "{asked:?}");
    let there: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let counters = ["huddle_ingest_batches_total", "huddle_ingest_rejected_entries_total"];
    let missing: Vec<&String> = asked
        .iter()
        .filter(|name| !there.contains(name.as_str()) && !counters.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?} of {there:?}");
}
