//! Laws of the recorder and the reporter, for drawn traffic and drawn failures.

mod controller;

use controller::Controller;
use huddle_filter_core::{Exchange, Limits, Next, Recorder, Reporter, VmId};
use huddle_proto::buckets;
use proptest::prelude::*;

/// One request in words that proptest can draw.
#[derive(Debug, Clone)]
struct Request {
    address: u8,
    cluster: u8,
    grpc: bool,
    status: u16,
    upstream_us: Option<u32>,
    served_us: Option<u32>,
    body_us: Option<u32>,
    attempts: u8,
}

fn request() -> impl Strategy<Value = Request> {
    let time = || proptest::option::weighted(0.9, prop_oneof![0..300_u32, 0..100_000_u32, any::<u32>()]);
    let status = prop_oneof![Just(200_u16), Just(0), Just(404), Just(503), Just(101)];
    (0..6_u8, 0..3_u8, any::<bool>(), status, time(), time(), time(), 0..4_u8).prop_map(
        |(address, cluster, grpc, status, upstream_us, served_us, body_us, attempts)| Request {
            address,
            cluster,
            grpc,
            status,
            upstream_us,
            served_us,
            body_us,
            attempts,
        },
    )
}

const ADDRESSES: [&str; 6] = [
    "",
    "10.0.0.1:80",
    "10.0.0.2:80",
    "10.0.0.3:80",
    "[fd00::1]:80",
    "10.0.0.4:80",
];
const CLUSTERS: [&str; 3] = ["", "outbound|80||a.b.svc.cluster.local", "PassthroughCluster"];

impl Request {
    fn exchange(&self) -> Exchange<'static> {
        let upstream_us = self.upstream_us.map(u64::from);
        Exchange {
            upstream_address: ADDRESSES[usize::from(self.address)],
            cluster: CLUSTERS[usize::from(self.cluster)],
            grpc: self.grpc,
            status: Some(u64::from(self.status)),
            grpc_status: Some(0),
            attempts: u64::from(self.attempts),
            duration_us: upstream_us,
            upstream_us,
            served_us: self.served_us.map(u64::from),
            backend_us: upstream_us
                .zip(self.body_us)
                .map(|(upstream, body)| upstream + u64::from(body)),
            request_bytes: 10,
            response_bytes: 20,
        }
    }
}

/// What happens between the reporter and the controller.
#[derive(Debug, Clone)]
enum Event {
    Request(Request),
    Pass(u32),
    SetBack(u32),
    Answer,
    /// The controller applies the batch, but the answer is lost.
    AppliedThenLost,
    NeverArrived,
    Garbage(Vec<u8>),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => request().prop_map(Event::Request),
        4 => (0..20_000_u32).prop_map(Event::Pass),
        1 => (0..20_000_u32).prop_map(Event::SetBack),
        2 => Just(Event::Answer),
        1 => Just(Event::AppliedThenLost),
        1 => Just(Event::NeverArrived),
        1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Event::Garbage),
    ]
}

/// A reporter, what it was told, and what the controller got.
struct Story {
    reporter: Reporter,
    expected: Recorder,
    controller: Controller,
    now_ms: u64,
    under_way: Option<Vec<u8>>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let limits = Limits::default();
        Self {
            reporter: Reporter::new(VmId([7; 16]), seed, limits, 1_000_000),
            expected: Recorder::new(limits, 1_000_000),
            controller: Controller::default(),
            now_ms: 1_000_000,
            under_way: None,
        }
    }

    fn poll(&mut self) {
        if let Next::Send(bytes) = self.reporter.poll(self.now_ms) {
            assert!(self.under_way.is_none(), "two batches under way");
            self.under_way = Some(bytes.to_vec());
        } else if !self.reporter.is_under_way() {
            // The reporter gave up waiting for an answer.
            self.under_way = None;
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Request(request) => {
                self.reporter.record(&request.exchange());
                self.expected.record(&request.exchange());
            }
            Event::Pass(ms) => self.now_ms += u64::from(ms),
            Event::SetBack(ms) => self.now_ms -= u64::from(ms).min(self.now_ms),
            Event::Answer => {
                if let Some(bytes) = self.under_way.take() {
                    let reply = self.controller.report(&bytes);
                    self.reporter.on_reply(self.now_ms, &reply);
                }
            }
            Event::AppliedThenLost => {
                if let Some(bytes) = self.under_way.take() {
                    self.controller.report(&bytes);
                    self.reporter.on_failure(self.now_ms);
                }
            }
            Event::NeverArrived => {
                if self.under_way.take().is_some() {
                    self.reporter.on_failure(self.now_ms);
                }
            }
            Event::Garbage(bytes) => {
                // The controller applied it and answered OK, and the answer is rubbish.
                if let Some(batch) = self.under_way.take() {
                    self.controller.report(&batch);
                    self.reporter.on_reply(self.now_ms, &bytes);
                }
            }
        }
        self.poll();
    }

    /// The network is well again: everything must arrive in bounded time.
    fn settle(&mut self) {
        for _ in 0..50 {
            self.happen(Event::Pass(120_000));
            self.happen(Event::Answer);
            if self.reporter.is_settled() {
                return;
            }
        }
        panic!("not settled");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// However sends fail: what the controller has in the end is exactly what was recorded, edge by edge, bucket by bucket.
    #[test]
    fn nothing_lost_nothing_doubled(seed in any::<u64>(), events in proptest::collection::vec(event(), 0..150)) {
        let refused = events.iter().any(|event| matches!(event, Event::Garbage(_)));
        let mut story = Story::new(seed);
        for event in events {
            story.happen(event);
        }
        story.settle();
        let expected = story.expected.cut(0);
        // A rubbish answer may read as "refused": the requests were applied here all the same, so only that counter may differ.
        if !refused {
            prop_assert_eq!(story.controller.drops.lost_requests, 0);
        }
        prop_assert_eq!(story.controller.drops.unrouted_requests, expected.drops.unrouted_requests);
        prop_assert_eq!(story.controller.drops.overflow_requests, expected.drops.overflow_requests);
        prop_assert_eq!(story.controller.edges(), expected.edges);
        prop_assert_eq!(story.controller.gaps, 0);
    }

    /// Two windows added up are one long window.
    #[test]
    fn merge_is_sum(first in proptest::collection::vec(request(), 0..60), second in proptest::collection::vec(request(), 0..60)) {
        let (mut whole, mut parts) = (Recorder::new(Limits::default(), 0), Recorder::new(Limits::default(), 0));
        let mut controller = Controller::default();
        for half in [&first, &second] {
            for request in half {
                whole.record(&request.exchange());
                parts.record(&request.exchange());
            }
            parts.cut(1).edges.into_iter().for_each(|edge| controller.absorb(edge));
        }
        prop_assert_eq!(controller.edges(), whole.cut(1).edges);
    }

    /// Memory stays below the limit, and every request is in an entry or in a counter.
    #[test]
    fn memory_is_bounded(
        edges in 0..40_usize,
        memory_bytes in 0..60_000_usize,
        requests in proptest::collection::vec((any::<u16>(), 0..100_000_000_u64), 0..600),
        windows in 1..4_usize,
    ) {
        let limits = Limits { edges, memory_bytes, ..Limits::default() };
        let mut recorder = Recorder::new(limits, 0);
        for _ in 0..windows {
            for (number, time) in &requests {
                let address = format!("10.0.{}.{}:80", number / 256, number % 256);
                recorder.record(&Exchange {
                    upstream_address: &address,
                    cluster: CLUSTERS[1],
                    status: Some(200),
                    upstream_us: Some(*time),
                    served_us: Some(time / 2),
                    backend_us: Some(time * 2),
                    ..Exchange::default()
                });
                prop_assert!(recorder.bytes() <= memory_bytes);
            }
            let cut = recorder.cut(0);
            prop_assert!(recorder.bytes() <= memory_bytes);
            prop_assert!(cut.edges.len() <= edges);
            let counted: u64 = cut.edges.iter().map(|edge| edge.requests).sum();
            prop_assert_eq!(counted + cut.drops.overflow_requests, requests.len() as u64);
            let times: u64 = cut.edges.iter().flat_map(controller::histograms).map(|h| controller::total(&h)).sum();
            prop_assert_eq!(times + cut.drops.dropped_times, counted * 4);
        }
    }

    /// A batch keeps the rules that the contract states for entries.
    #[test]
    fn entries_keep_the_contract(requests in proptest::collection::vec(request(), 0..200)) {
        let mut recorder = Recorder::new(Limits::default(), 0);
        requests.iter().for_each(|request| recorder.record(&request.exchange()));
        for edge in recorder.cut(0).edges {
            prop_assert!(edge.requests >= 1);
            prop_assert!(edge.errors.max(edge.missing_served).max(edge.negative_network) <= edge.requests);
            let [upstream, served, network, body] = controller::histograms(&edge).map(|h| controller::total(&h));
            prop_assert!(upstream <= edge.requests && body <= upstream);
            prop_assert_eq!(served, network);
            prop_assert_eq!(served + edge.missing_served, upstream);
            for histogram in controller::histograms(&edge) {
                prop_assert!(buckets::decode(&histogram).is_ok());
            }
        }
    }

    /// Any numbers at all, as a hostile or broken host might give them.
    #[test]
    fn no_number_breaks_it(numbers in proptest::collection::vec(any::<[u64; 8]>(), 0..50)) {
        let mut recorder = Recorder::new(Limits::default(), u64::MAX);
        for [status, grpc_status, attempts, duration, upstream, served, backend, bytes] in numbers {
            recorder.record(&Exchange {
                upstream_address: "a",
                cluster: "b",
                grpc: status % 2 == 0,
                status: Some(status),
                grpc_status: Some(grpc_status),
                attempts,
                duration_us: Some(duration),
                upstream_us: Some(upstream),
                served_us: Some(served),
                backend_us: Some(backend),
                request_bytes: bytes,
                response_bytes: bytes,
            });
        }
        recorder.cut(0);
    }
}
