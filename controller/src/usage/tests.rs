use super::*;
use crate::engine::testing::{delivery, engine};
use crate::testing::cluster;
use huddle_core::time::Timestamp;
use huddle_core::units::Bytes;
use huddle_core::usage::Pace;

fn published() -> Published {
    let mut engine = engine();
    let mut known = cluster(&[
        ("web-1", "node-1"),
        ("db-1", "node-1"),
        ("db-2", "node-2"),
        ("aside-1", "node-3"),
    ]);
    for (node, address) in [("node-1", "10.0.0.1:10250"), ("node-3", "10.0.0.3:10250")] {
        known.kubelets.insert(NodeName::from(node), address.parse().unwrap());
    }
    engine.know(Arc::new(known));
    engine.deliver(&delivery(100_000, ("web-1", "node-1"), ("db-1", "node-1"), 500, 30));
    engine.look(Timestamp(110_000))
}

#[test]
fn only_nodes_with_pods_of_the_graph_are_asked() {
    let targets = targets(&published());
    // node-2 holds one too, and has no address; node-3 holds none.
    let [(node, target)] = targets.iter().collect::<Vec<_>>()[..] else {
        panic!("{targets:?}")
    };
    assert_eq!(
        (node.as_str(), target.address),
        ("node-1", "10.0.0.1:10250".parse().unwrap())
    );
    let pods: Vec<&str> = target.pods.values().map(PodUid::as_str).collect();
    assert_eq!(pods, ["db-1", "web-1"]);
}

#[test]
fn nodes_have_their_own_moments() {
    let mut nodes = [0; EVERY as usize];
    for number in 0..1_000 {
        nodes[phase(&NodeName::from(format!("node-{number}").as_str())) as usize] += 1;
    }
    assert!(nodes.iter().all(|count| (50..200).contains(count)), "{nodes:?}");
}

/// The node's clock is an hour behind.
#[test]
fn a_reading_is_as_old_as_the_node_says_by_the_controllers_clock() {
    let text = "container_cpu_usage_seconds_total{container=\"app\",namespace=\"shop\",pod=\"db-1\"} 1.5 90000\n\
                container_memory_working_set_bytes{container=\"app\",namespace=\"shop\",pod=\"db-1\"} 4096 90000\n\
                container_cpu_usage_seconds_total{container=\"app\",namespace=\"shop\",pod=\"other\"} 1.5 90000\n\
                container_cpu_usage_seconds_total{container=\"old\",namespace=\"shop\",pod=\"db-1\"} 1.5 20000\n";
    let pods: Names = [(("shop".to_owned(), "db-1".to_owned()), PodUid::from("uid"))].into();
    let (now, rows) = (Timestamp(3_700_000), parse(text).rows);
    let oldest = Pace::KUBELETS.oldest;
    let read = readings::readings(&rows, &pods, now, Some(3_600_000), oldest);
    let [reading] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!((reading.pod.as_str(), reading.at), ("uid", Timestamp(3_690_000)));
    assert_eq!(
        (reading.counters.cpu_us, reading.counters.periods),
        (Some(1_500_000), None)
    );
    assert_eq!(reading.working_set, Bytes(4096));
    // Nobody knows the node's clock.
    assert_eq!(readings::readings(&rows, &pods, now, None, oldest)[0].at, now);
}

#[tokio::test]
async fn a_kubelet_that_is_not_there_is_unreachable() {
    // Bound and let go: nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let kubelets = Kubelets::new(kube::Config::new("https://127.0.0.1".parse().unwrap()), false);
    assert_eq!(kubelets.cadvisor(address).await.unwrap_err(), Cause::Unreachable);
}
