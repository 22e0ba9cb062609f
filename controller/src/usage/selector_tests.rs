use super::*;
use crate::usage::Names;
use huddle_core::id::{NodeName, PodUid};
use proptest::prelude::*;
use std::net::{Ipv4Addr, SocketAddr};

fn target(node: usize, pods: &[(String, String)]) -> Target {
    let name = |(namespace, pod): &(String, String)| {
        let uid = PodUid::from(format!("{namespace}/{pod}").as_str());
        ((namespace.clone(), pod.clone()), uid)
    };
    Target {
        node: NodeName::from(format!("node-{node}").as_str()),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 10250)),
        pods: pods.iter().map(name).collect::<Names>(),
    }
}

/// `count` pods of a namespace on a node.
fn full(node: usize, count: usize) -> Target {
    let name = |pod| {
        (
            "shop".to_owned(),
            format!("recommendationservice-7d9f8b6c5-n{node}p{pod}"),
        )
    };
    target(node, &(0..count).map(name).collect::<Vec<_>>())
}

#[test]
fn names_stand_for_themselves() {
    let selector = selector("shop", &["cart-1", "kube-proxy-ip-10-0-0-1.ec2.internal"]);
    let (head, tail) = selector.split_once("\",namespace=").unwrap();
    assert!(
        head.starts_with("{__name__=~\"container_cpu_usage_seconds_total|container_cpu_cfs_periods_total|"),
        "{head}"
    );
    assert_eq!(tail, r#""shop",pod=~"cart-1|kube-proxy-ip-10-0-0-1\\.ec2\\.internal"}"#);
    // No name in a cluster is like these; whatever comes here leaves neither its expression nor its quotes.
    let odd = super::selector("a\"b\\", &["x|y.*", "(\n"]);
    assert!(
        odd.ends_with(r#",namespace="a\"b\\",pod=~"x\\|y\\.\\*|\\(\U0000000a"}"#),
        "{odd}"
    );
}

#[test]
fn a_path_has_one_selector_per_namespace() {
    let pods = [("shop", "cart-1"), ("load", "gun-1"), ("shop", "cart-2")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let path = path(&[target(0, &pods[..2]), target(1, &pods[2..])]);
    let query = path.strip_prefix("/federate?").unwrap();
    let told: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let expected = [selector("load", &["gun-1"]), selector("shop", &["cart-1", "cart-2"])];
    assert_eq!(told, expected.map(|selector| ("match[]".to_owned(), selector)));
    assert!(path.parse::<http::Uri>().is_ok());
}

/// 5 000 nodes with 30 pods each, as they come due: one in ten at each second.
#[test]
fn a_large_cluster_is_few_requests() {
    let batches = batches((0..500).map(|node| full(node, 30)));
    assert_eq!(batches.len(), 63);
    // A node with more pods than that is asked about alone.
    let batches = super::batches([full(0, 10), full(1, 400), full(2, 10)]);
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
}

proptest! {
    /// Every node is in one batch, in order; a batch keeps its bounds unless it is one node, and no two that follow each other could be one
    /// for want of pods alone.
    #[test]
    fn batches_hold_all_and_keep_their_bounds(sizes in prop::collection::vec((0_usize..120, 1_usize..4, prop::bool::weighted(0.1)), 0..60)) {
        let targets: Vec<Target> = sizes.iter().enumerate().map(|(node, (pods, namespaces, dotted))| {
            let name = |pod: usize| {
                let tail = if *dotted { ".a.b.c.d.e.f.g.h" } else { "" };
                (format!("team-{}", pod % namespaces), format!("pod-{node}-{pod}{tail}"))
            };
            target(node, &(0..*pods).map(name).collect::<Vec<_>>())
        }).collect();
        let nodes: Vec<NodeName> = targets.iter().map(|target| target.node.clone()).collect();
        let batches = batches(targets);
        let told: Vec<NodeName> = batches.iter().flatten().map(|target| target.node.clone()).collect();
        prop_assert_eq!(told, nodes);
        let pods = |batch: &[Target]| batch.iter().map(|target| target.pods.len()).sum::<usize>();
        for batch in &batches {
            prop_assert!(batch.len() == 1 || pods(batch) <= MOST && path(batch).len() <= LONGEST, "{} {}", pods(batch), path(batch).len());
        }
        for pair in batches.windows(2) {
            let together = [pair[0].as_slice(), &pair[1][..1]].concat();
            let weight = together.iter().map(weight).sum::<usize>();
            prop_assert!(pods(&together) > MOST || weight > LONGEST);
        }
    }

    /// What a selector says is what was put in, whatever it was: Go's quotes and RE2's escapes undone.
    #[test]
    fn literals_come_back(text in r"[a-z.|*()\[\]{}^$+?\\\-]{0,20}") {
        let mut undone = String::new();
        let mut letters = literal(&text).chars().collect::<Vec<_>>().into_iter();
        while let Some(letter) = letters.next() {
            let plain = if letter == '\\' { letters.next().unwrap() } else { letter };
            let escaped = letter == '\\' || !r".|*()[]{}^$+?".contains(letter);
            prop_assert!(escaped, "{}", letter);
            undone.push(plain);
        }
        prop_assert_eq!(undone, text);
    }
}
