//! The graph as people see it.

use super::*;
use huddle_core::view::{
    BlindView, ClusterSummary, ContainerView, FindingView, Localities, NodeView, PodView, SilentView, WorkloadView,
};

fn quantiles(p50: u64) -> Quantiles {
    Quantiles {
        p50_us: p50,
        p95_us: p50 * 3,
        p99_us: p50 * 8,
    }
}

fn part(requests: u64, upstream: u64, network: u64) -> Part {
    Part {
        requests,
        errors: requests / 400,
        upstream: quantiles(upstream),
        network: quantiles(network),
        served: quantiles(upstream - network),
        reliable: requests >= 100,
    }
}

fn workload(name: &str, nodes: &[&str]) -> WorkloadView {
    WorkloadView {
        id: format!("shop/{name}"),
        namespace: "shop".to_owned(),
        kind: "Deployment".to_owned(),
        name: name.to_owned(),
        replicas: nodes.len() as u64,
        ready: nodes.len() as u64,
        pods: nodes
            .iter()
            .map(|node| PodView {
                name: format!("{name}-{node}"),
                node: (*node).to_owned(),
                zone: "zone-a".to_owned(),
                ready: true,
                reporting: name == "frontend",
            })
            .collect(),
        containers: vec![ContainerView {
            name: "app".to_owned(),
            pods: nodes.len() as u64,
            cpu_used_m: 182,
            cpu_peak_m: 240,
            cpu_request_m: Some(100),
            cpu_limit_m: (name == "currency").then_some(250),
            throttled: if name == "currency" { 0.34 } else { 0.0 },
            memory_peak_bytes: 61 << 20,
            memory_limit_bytes: Some(64 << 20),
            ..ContainerView::default()
        }],
    }
}

/// Two edges, one of them slow because of distance, and a silent pod.
pub(in crate::cli) fn state() -> State {
    let node = |name: &str| NodeView {
        name: name.to_owned(),
        zone: "zone-a".to_owned(),
        ready: true,
    };
    let edge = |source: &str, destination: &str, total: Part| EdgeView {
        source: source.to_owned(),
        destination: destination.to_owned(),
        protocol: "http".to_owned(),
        rps: 40.0,
        error_rate: 0.0025,
        bytes_per_second: 51_200.0,
        local_share: 0.25,
        total,
        localities: Localities {
            same_node: Some(part(1_200, 1_100, 400)),
            other_zone: Some(part(60, 3_200, 2_300)),
            ..Localities::default()
        },
        merge: None,
        inside: None,
        finding: Some(FindingView {
            cause: "distance".to_owned(),
            sentence: "Distance: calls that leave the node wait 1.90 ms longer at the median.".to_owned(),
        }),
    };
    let mut quiet = edge("istio-system/ingress", "shop/frontend", part(500, 9_000, 500));
    quiet.localities = Localities::default();
    quiet.rps = 1.25;
    quiet.finding = Some(FindingView {
        cause: "notEnoughData".to_owned(),
        sentence: String::new(),
    });
    State {
        at: 0,
        window_ms: 120_000,
        cluster: ClusterSummary {
            name: "kubernetes".to_owned(),
            nodes: vec![node("node-1"), node("node-2"), node("node-3")],
        },
        workloads: vec![
            workload("currency", &["node-1", "node-2"]),
            workload("frontend", &["node-1", "node-1"]),
        ],
        edges: vec![quiet, edge("shop/frontend", "shop/currency", part(4_800, 2_350, 1_500))],
        totals: Vec::new(),
        plans: Vec::new(),
        silent: vec![SilentView {
            namespace: "shop".to_owned(),
            pod: "currency-node-2".to_owned(),
            reason: "neverReported".to_owned(),
            sentence: "has a sidecar that never reported".to_owned(),
        }],
        blind: vec![BlindView {
            node: "node-3".to_owned(),
            reason: "unreachable".to_owned(),
            sentence: "its kubelet cannot be reached".to_owned(),
        }],
        unrelieved: Vec::new(),
    }
}

#[test]
fn costliest_edges_first_with_their_localities() {
    insta::assert_snapshot!(render(&state(), false, Style::plain()));
}

#[test]
fn an_empty_graph_says_why() {
    let mut state = state();
    state.edges.clear();
    assert!(render(&state, false, Style::plain()).contains("no traffic between them"));
    for workload in &mut state.workloads {
        for pod in &mut workload.pods {
            pod.reporting = false;
        }
    }
    assert!(render(&state, false, Style::plain()).contains("huddle check"));
    state.workloads.clear();
    assert!(render(&state, false, Style::plain()).contains("huddle install"));
}

#[test]
fn a_namespace_can_be_chosen() {
    let mut state = state();
    keep_namespace(&mut state, "istio-system");
    assert_eq!((state.edges.len(), state.workloads.len()), (1, 0));
}

#[test]
fn labels_become_words() {
    assert_eq!(words("notEnoughData"), "not enough data");
    assert_eq!(percent(0.0025), "0.25 %");
    assert_eq!(percent(0.62), "62 %");
}
