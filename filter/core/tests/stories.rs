//! Single cases, told one by one.

use huddle_filter_core::{Exchange, Limits, Next, Recorder, Reporter, VmId};
use huddle_proto::{Batch, Edge, Reason, Refusal, Reply, RequestClass, buckets};
use prost::Message as _;

const ADDRESS: &str = "10.0.0.1:8080";
const CLUSTER: &str = "outbound|8080||a.b.svc.cluster.local";

fn healthy() -> Exchange<'static> {
    Exchange {
        upstream_address: ADDRESS,
        cluster: CLUSTER,
        status: Some(200),
        attempts: 1,
        duration_us: Some(60_000),
        upstream_us: Some(4_000),
        served_us: Some(3_000),
        backend_us: Some(54_000),
        ..Exchange::default()
    }
}

fn one(exchange: Exchange<'_>) -> Edge {
    let mut recorder = Recorder::new(Limits::default(), 0);
    recorder.record(&exchange);
    let mut edges = recorder.cut(0).edges;
    assert_eq!(edges.len(), 1);
    edges.remove(0)
}

/// The only value of a histogram, as its bucket's lowest value.
fn only(histogram: &Option<huddle_proto::Histogram>) -> Option<u64> {
    let buckets = buckets::decode(histogram.as_ref()?).expect("well-formed");
    assert_eq!(buckets.len(), 1);
    Some(buckets[0].0.lowest_us())
}

fn bucket(value_us: u64) -> Option<u64> {
    Some(buckets::index_of(value_us).lowest_us())
}

#[test]
fn a_late_body_is_not_distance() {
    let edge = one(healthy());
    assert_eq!(only(&edge.upstream), bucket(4_000));
    assert_eq!(only(&edge.served), bucket(3_000));
    assert_eq!(only(&edge.network), bucket(1_000));
    assert_eq!(only(&edge.body), bucket(50_000));
    assert_eq!((edge.requests, edge.errors, edge.missing_served), (1, 0, 0));
}

#[test]
fn a_callee_without_a_proxy_is_flagged() {
    let edge = one(Exchange {
        served_us: None,
        ..healthy()
    });
    assert_eq!(edge.missing_served, 1);
    assert_eq!(only(&edge.upstream), bucket(4_000));
    assert_eq!((edge.served, edge.network), (None, None));
}

#[test]
fn a_negative_network_time_is_zero_and_counted() {
    let edge = one(Exchange {
        served_us: Some(5_000),
        ..healthy()
    });
    assert_eq!(edge.negative_network, 1);
    assert_eq!(only(&edge.network), Some(0));
}

#[test]
fn a_local_reply_has_no_times() {
    let edge = one(Exchange {
        upstream_address: "",
        upstream_us: Some(1),
        status: Some(503),
        ..healthy()
    });
    assert_eq!((edge.requests, edge.errors, edge.upstream), (1, 1, None));
}

#[test]
fn errors_follow_the_protocol() {
    let grpc = |status, grpc_status| Exchange {
        grpc: true,
        status,
        grpc_status,
        ..healthy()
    };
    assert!(!healthy().failed());
    assert!(
        !Exchange {
            grpc_status: Some(2),
            ..healthy()
        }
        .failed(),
        "Envoy derives a gRPC status for plain HTTP"
    );
    assert!(
        !Exchange {
            status: Some(404),
            ..healthy()
        }
        .failed()
    );
    assert!(
        Exchange {
            status: Some(500),
            ..healthy()
        }
        .failed()
    );
    assert!(
        Exchange {
            status: None,
            ..healthy()
        }
        .failed()
    );
    assert!(!grpc(Some(200), Some(0)).failed());
    assert!(!grpc(Some(200), Some(5)).failed(), "NOT_FOUND is an answer");
    assert!(grpc(Some(200), Some(14)).failed());
    assert!(grpc(Some(200), None).failed());
}

#[test]
fn streams_and_tunnels_are_kept_apart() {
    let limit = Limits::default().long_us;
    assert_eq!(healthy().class(limit), RequestClass::Http);
    assert_eq!(
        Exchange {
            grpc: true,
            ..healthy()
        }
        .class(limit),
        RequestClass::Grpc
    );
    assert_eq!(
        Exchange {
            grpc: true,
            duration_us: Some(limit + 1),
            ..healthy()
        }
        .class(limit),
        RequestClass::Long
    );
    assert_eq!(
        Exchange {
            status: Some(101),
            ..healthy()
        }
        .class(limit),
        RequestClass::Long
    );
}

#[test]
fn addresses_outside_the_mesh_leave_room_for_services() {
    let mut recorder = Recorder::new(
        Limits {
            edges: 10,
            ..Limits::default()
        },
        0,
    );
    for n in 0..20 {
        recorder.record(&Exchange {
            upstream_address: &format!("1.1.1.{n}:443"),
            cluster: "PassthroughCluster",
            ..healthy()
        });
    }
    for n in 0..5 {
        recorder.record(&Exchange {
            upstream_address: &format!("10.0.0.{n}:80"),
            ..healthy()
        });
    }
    let cut = recorder.cut(0);
    assert_eq!(cut.edges.iter().filter(|edge| edge.cluster == CLUSTER).count(), 5);
    assert_eq!((cut.edges.len(), cut.drops.overflow_requests), (10, 15));
}

#[test]
fn forgotten_edges_free_the_table() {
    let mut recorder = Recorder::new(
        Limits {
            edges: 1,
            ..Limits::default()
        },
        0,
    );
    recorder.record(&healthy());
    recorder.cut(0);
    recorder.cut(0);
    recorder.record(&Exchange {
        upstream_address: "10.0.0.2:8080",
        ..healthy()
    });
    assert_eq!(recorder.cut(0).drops.overflow_requests, 0);
}

fn reporter() -> Reporter {
    Reporter::new(VmId([1; 16]), 5, Limits::default(), 0)
}

fn sent(next: Next<'_>) -> Batch {
    match next {
        Next::Send(bytes) => Batch::decode(bytes).expect("a batch"),
        Next::Wait => panic!("nothing to send"),
    }
}

#[test]
fn a_reporter_without_traffic_keeps_silent_unless_told() {
    let mut reporter = reporter();
    assert_eq!(reporter.poll(1_000_000), Next::Wait);
    reporter.beat(1_000_000);
    assert_eq!(sent(reporter.poll(1_000_000)).edges, []);
}

#[test]
fn an_idle_reporter_says_so() {
    let mut reporter = reporter();
    reporter.record(&healthy());
    sent(reporter.poll(5_000));
    reporter.on_reply(5_000, &Reply::default().encode_to_vec());
    assert_eq!(reporter.poll(34_999), Next::Wait);
    let heartbeat = sent(reporter.poll(35_000));
    assert_eq!((heartbeat.sequence, heartbeat.edges.len()), (2, 0));
}

#[test]
fn the_first_report_comes_within_one_interval_and_not_for_all_at_once() {
    let first = |seed| {
        let mut reporter = Reporter::new(VmId([1; 16]), seed, Limits::default(), 0);
        reporter.record(&healthy());
        (0..=5_000)
            .find(|&now| reporter.poll(now) != Next::Wait)
            .expect("within the interval")
    };
    let times: std::collections::BTreeSet<u64> = (0..50).map(first).collect();
    assert!(times.len() > 40, "{times:?}");
}

#[test]
fn pauses_grow_while_the_controller_is_away_and_end_when_it_is_back() {
    let mut reporter = reporter();
    reporter.record(&healthy());
    let (mut now, mut tries) = (0, 0);
    while now < 600_000 {
        if let Next::Send(_) = reporter.poll(now) {
            tries += 1;
            reporter.on_failure(now);
        }
        now += 250;
    }
    assert!((8..20).contains(&tries), "{tries} tries in ten minutes");
    sent(reporter.flush(now));
    reporter.on_reply(now, &Reply::default().encode_to_vec());
    reporter.record(&healthy());
    assert_eq!(
        sent(reporter.poll(now + 5_000)).drops.expect("drops").failed_sends,
        tries
    );
}

#[test]
fn the_controller_sets_the_interval_within_reason() {
    let mut reporter = reporter();
    for (asked, got) in [(1_000, 1_000), (0, 1_000), (1, 50), (u32::MAX, 300_000)] {
        reporter.record(&healthy());
        sent(reporter.flush(10_000));
        reporter.on_reply(
            10_000,
            &Reply {
                interval_ms: asked,
                ..Reply::default()
            }
            .encode_to_vec(),
        );
        assert_eq!(reporter.interval_ms(), got);
    }
}

#[test]
fn a_refused_batch_is_given_up_and_counted() {
    let mut reporter = reporter();
    reporter.record(&healthy());
    sent(reporter.flush(0));
    let refused = Some(Refusal {
        reason: Reason::ContractUnknown.into(),
        field: "contract".into(),
    });
    reporter.on_reply(
        0,
        &Reply {
            refused,
            ..Reply::default()
        }
        .encode_to_vec(),
    );
    let next = sent(reporter.flush(0));
    assert_eq!((next.sequence, next.drops.expect("drops").lost_requests), (2, 1));
}

#[test]
fn a_call_that_is_never_answered_is_repeated() {
    let mut reporter = reporter();
    reporter.record(&healthy());
    let first = sent(reporter.flush(1_000));
    assert_eq!(reporter.poll(15_999), Next::Wait);
    assert_eq!(reporter.poll(16_000), Next::Wait, "taken for failed: a pause first");
    assert_eq!(sent(reporter.poll(60_000)), first);
}
