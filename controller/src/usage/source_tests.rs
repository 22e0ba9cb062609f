use super::*;
use crate::usage::Names;
use huddle_core::id::PodUid;
use std::net::{Ipv4Addr, SocketAddr};

fn target(node: &str, pod: &str) -> Target {
    Target {
        node: NodeName::from(node),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        pods: Names::from([(("shop".to_owned(), pod.to_owned()), PodUid::from(pod))]),
    }
}

fn prometheus() -> Source {
    let args = PrometheusArgs {
        url: Some("http://127.0.0.1:1".to_owned()),
        ..PrometheusArgs::default()
    };
    Source::new(Config::new("https://127.0.0.1".parse().unwrap()), false, &args).unwrap()
}

fn kubelets() -> Source {
    let config = Config::new("https://127.0.0.1".parse().unwrap());
    Source::new(config, false, &PrometheusArgs::default()).unwrap()
}

/// What became of each node, in short.
fn outcomes(looked: &[Looked]) -> Vec<(&str, Result<Vec<&str>, Blind>)> {
    let of = |looked: &'_ Looked| match &looked.outcome {
        Ok(_) => None,
        Err(blind) => Some(*blind),
    };
    let node = |looked| match of(looked) {
        Some(blind) => (looked.node.as_str(), Err(blind)),
        None => {
            let readings = looked.outcome.iter().flatten();
            (
                looked.node.as_str(),
                Ok(readings.map(|reading| reading.pod.as_str()).collect()),
            )
        }
    };
    looked.iter().map(node).collect()
}

#[tokio::test]
async fn one_answer_is_split_by_node_and_who_is_missing_is_blind_alone() {
    let now = clock::now().0;
    let line = |pod: &str, at: i64| {
        format!("container_cpu_usage_seconds_total{{container=\"app\",namespace=\"shop\",pod=\"{pod}\"}} 1 {at}\n")
    };
    let text = line("a", now - 1_000) + &line("b", now - 100_000) + &line("old", now - 200_000) + &line("else", now);
    let batch = ["a", "b", "old", "none"]
        .map(|pod| target(&format!("node-{pod}"), pod))
        .to_vec();
    let answer = Ok(Answer { text, ahead: Some(0) });
    let looked = prometheus().looked(batch, answer, &Metrics::default());
    let nothing = Err(Blind::Prometheus(Cause::Nothing));
    assert_eq!(
        outcomes(&looked),
        [
            ("node-a", Ok(vec!["a"])),
            ("node-b", Ok(vec!["b"])),
            ("node-old", nothing.clone()),
            ("node-none", nothing)
        ]
    );
}

#[tokio::test]
async fn a_kubelet_that_does_not_know_a_pod_yet_is_no_failure() {
    let text = "container_cpu_usage_seconds_total{container=\"app\",namespace=\"shop\",pod=\"else\"} 1 5\n";
    let of = |text: &str| {
        let answer = Answer {
            text: text.to_owned(),
            ahead: Some(0),
        };
        kubelets().looked(vec![target("node-a", "a")], Ok(answer), &Metrics::default())
    };
    assert_eq!(outcomes(&of(text)), [("node-a", Ok(vec![]))]);
    assert_eq!(outcomes(&of("")), [("node-a", Err(Blind::Kubelet(Cause::Nothing)))]);
}

#[tokio::test]
async fn without_prometheus_every_node_is_blind_for_one_reason() {
    let source = prometheus();
    let batches = source.batches((0..3).map(|node| target(&format!("node-{node}"), &format!("pod-{node}"))));
    let [batch] = <[_; 1]>::try_from(batches).unwrap();
    let metrics = Metrics::default();
    // Port 1 (tcpmux) is open nowhere.
    let looked = source.ask(batch, &metrics).await;
    let all: Vec<_> = looked
        .iter()
        .map(|looked| looked.outcome.clone().unwrap_err())
        .collect();
    assert_eq!(all, [Blind::Prometheus(Cause::Unreachable); 3]);
    assert_eq!(
        kubelets()
            .batches((0..3).map(|node| target(&format!("node-{node}"), "a")))
            .len(),
        3
    );
}
