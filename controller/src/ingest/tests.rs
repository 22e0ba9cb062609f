//! Ingest under repeats, gaps and garbage.

use super::*;
use crate::testing::endpoint;
use crate::watch::Tenant;
use huddle_core::id::WorkloadId;
use huddle_core::sample::Locality;
use proptest::prelude::*;
use prost::Message;

const NOW: Timestamp = Timestamp(1_000_000);

fn service(capacity: usize) -> (Service, mpsc::Receiver<Delivery>) {
    let (deliveries, received) = mpsc::channel(capacity);
    let service = Service {
        book: SharedBook::default(),
        reporters: Arc::default(),
        deliveries,
        trust: TrustPeer::Header,
        interval_ms: 5_000,
        metrics: Arc::default(),
    };
    (service, received)
}

fn know(service: &Service, pods: &[(&str, [u8; 4], &str)]) {
    service.book.sync(
        NOW,
        pods.iter().map(|(pod, address, node)| Tenant {
            address: IpAddr::from(*address),
            endpoint: endpoint(pod, node, "zone-a"),
            since: Timestamp(0),
            inside: pod.starts_with("a-").then(|| WorkloadId::deployment("shop", "inside")),
        }),
    );
}

fn peer() -> Option<IpAddr> {
    Some(IpAddr::from([10, 0, 0, 1]))
}

fn known(capacity: usize) -> (Service, mpsc::Receiver<Delivery>) {
    let (service, received) = service(capacity);
    know(
        &service,
        &[("a-1", [10, 0, 0, 1], "node-1"), ("b-1", [10, 0, 0, 2], "node-2")],
    );
    (service, received)
}

#[test]
fn a_batch_becomes_samples_between_pods() {
    let (service, mut received) = known(8);
    let batch = wire::batch(
        1,
        1,
        vec![
            wire::edge("10.0.0.2:8080", &[700, 900]),
            wire::edge("8.8.8.8:53", &[5_000]),
        ],
    );
    let reply = service.take(NOW, peer(), &batch).unwrap();
    assert_eq!((reply.accepted, reply.rejected.len(), reply.interval_ms), (2, 0, 5_000));
    let delivery = received.try_recv().unwrap();
    assert_eq!(delivery.outside, 1);
    let [sample] = delivery.samples.as_slice() else {
        panic!("one sample expected, got {:?}", delivery.samples)
    };
    assert_eq!(
        (
            sample.caller.pod.as_str(),
            sample.callee.pod.as_str(),
            sample.exchange.requests
        ),
        ("a-1", "b-1", 2)
    );
}

#[test]
fn calls_to_a_pods_own_loopback_are_calls_to_its_companion() {
    let (service, mut received) = known(8);
    let batch = wire::batch(
        1,
        1,
        vec![
            wire::edge("127.0.0.1:8080", &[300, 300, 300]),
            wire::edge("10.0.0.2:8080", &[700]),
        ],
    );
    service.take(NOW, peer(), &batch).unwrap();
    let delivery = received.try_recv().unwrap();
    let [inside, outside] = delivery.samples.as_slice() else {
        panic!("two samples expected, got {:?}", delivery.samples)
    };
    assert_eq!(inside.callee.workload, WorkloadId::deployment("shop", "inside"));
    assert_eq!(Locality::between(&inside.caller, &inside.callee), Locality::SamePod);
    assert_eq!((inside.exchange.requests, outside.exchange.requests), (3, 1));
    // Of a pod without a companion nobody knows what its loopback is.
    let other = service.take(
        NOW,
        Some(IpAddr::from([10, 0, 0, 2])),
        &wire::batch(2, 1, vec![wire::edge("127.0.0.1:8080", &[300])]),
    );
    assert_eq!(other.unwrap().accepted, 1);
    assert_eq!(received.try_recv().unwrap().outside, 1);
}

#[test]
fn a_repeat_counts_once() {
    let (service, mut received) = known(8);
    let batch = wire::batch(1, 1, vec![wire::edge("10.0.0.2:8080", &[700])]);
    assert!(!service.take(NOW, peer(), &batch).unwrap().duplicate);
    assert!(service.take(NOW, peer(), &batch).unwrap().duplicate);
    assert!(received.try_recv().is_ok());
    assert!(received.try_recv().is_err());
}

#[test]
fn what_came_too_early_is_applied_when_it_comes_again() {
    let (service, mut received) = service(1);
    let batch = wire::batch(1, 1, vec![wire::edge("10.0.0.2:8080", &[700])]);
    let code = |service: &Service| service.take(NOW, peer(), &batch).unwrap_err().code();
    assert_eq!(code(&service), tonic::Code::Unavailable);
    know(&service, &[("b-1", [10, 0, 0, 2], "node-2")]);
    assert_eq!(code(&service), tonic::Code::Unavailable);
    assert_eq!(
        service.take(NOW, None, &batch).unwrap_err().code(),
        tonic::Code::Unavailable
    );
    know(
        &service,
        &[("a-1", [10, 0, 0, 1], "node-1"), ("b-1", [10, 0, 0, 2], "node-2")],
    );
    assert_eq!(service.take(NOW, peer(), &batch).unwrap().accepted, 1);
    assert_eq!(received.try_recv().unwrap().samples.len(), 1);
}

#[test]
fn a_batch_that_found_the_engine_behind_is_not_lost() {
    let (service, mut received) = known(1);
    let batch = |sequence| wire::batch(1, sequence, vec![wire::edge("10.0.0.2:8080", &[700])]);
    assert!(service.take(NOW, peer(), &batch(1)).is_ok());
    let busy = service.take(NOW, peer(), &batch(2)).unwrap_err();
    assert_eq!(busy.code(), tonic::Code::Unavailable);
    assert!(received.try_recv().is_ok());
    assert!(!service.take(NOW, peer(), &batch(2)).unwrap().duplicate);
    assert!(received.try_recv().is_ok());
}

#[test]
fn one_bad_entry_does_not_cost_the_batch() {
    let (service, mut received) = known(8);
    let mut bad = wire::edge("10.0.0.2:8080", &[700]);
    bad.class = 77;
    let good = wire::edge("10.0.0.2:8080", &[700]);
    let reply = service
        .take(NOW, peer(), &wire::batch(1, 1, vec![bad, good.clone(), good]))
        .unwrap();
    let rejected: Vec<_> = reply
        .rejected
        .iter()
        .map(|rejection| (rejection.index, rejection.reason(), rejection.field.as_str()))
        .collect();
    assert_eq!(reply.accepted, 1);
    assert_eq!(
        rejected,
        [
            (0, huddle_proto::Reason::ClassUnknown, "class"),
            (2, huddle_proto::Reason::EdgeRepeated, "upstream_address"),
        ]
    );
    assert_eq!(received.try_recv().unwrap().samples.len(), 1);
}

#[test]
fn bad_envelopes_are_final_and_name_the_field() {
    let (service, mut received) = known(8);
    let refused = |change: fn(&mut Batch)| {
        let mut batch = wire::batch(1, 1, Vec::new());
        change(&mut batch);
        service.take(NOW, peer(), &batch).unwrap().refused.unwrap().field
    };
    assert_eq!(refused(|batch| batch.contract = 0), "contract");
    assert_eq!(refused(|batch| batch.contract = huddle_proto::CONTRACT + 1), "contract");
    assert_eq!(refused(|batch| batch.vm_id.truncate(3)), "vm_id");
    assert_eq!(refused(|batch| batch.sequence = 0), "sequence");
    assert_eq!(
        refused(|batch| batch.edges = vec![wire::edge("10.0.0.2:1", &[1]); MAX_EDGES + 1]),
        "edges"
    );
    assert!(received.try_recv().is_err());
}

proptest! {
    /// Bytes from anybody: whatever decodes is answered, and nothing panics.
    #[test]
    fn garbage_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (service, _received) = known(8);
        if let Ok(batch) = Batch::decode(bytes.as_slice()) {
            prop_assert!(service.take(NOW, peer(), &batch).is_ok());
        }
    }

    /// Whatever is repeated, the engine gets each batch's requests exactly once.
    #[test]
    fn requests_arrive_exactly_once(sends in prop::collection::vec((0_u8..3, 0_u64..3), 0..60)) {
        let (service, mut received) = known(256);
        let mut next = [1_u64; 3];
        let mut sent = 0_u64;
        for (vm, back) in sends {
            let slot = &mut next[usize::from(vm)];
            // Mostly the next batch, sometimes a repeat of an earlier one.
            let sequence = slot.saturating_sub(back).max(1);
            if sequence == *slot {
                *slot += 1;
                sent += 2;
            }
            let batch = wire::batch(vm, sequence, vec![wire::edge("10.0.0.2:8080", &[700, 800])]);
            prop_assert!(service.take(NOW, peer(), &batch).is_ok());
        }
        let mut arrived = 0;
        while let Ok(delivery) = received.try_recv() {
            arrived += delivery.samples.iter().map(|sample| sample.exchange.requests).sum::<u64>();
        }
        prop_assert_eq!(arrived, sent);
    }
}
