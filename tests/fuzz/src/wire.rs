//! The wire between filter and controller, from both ends.

use huddle::ingest::{Invalid, MAX_EDGES, entry, envelope};
use huddle_filter::attributes::{Attributes, Reading};
use huddle_filter::config::Config;
use huddle_filter_core::{Exchange, Limits, Next, Recorder, Reporter, VmId};
use huddle_proto::{Batch, Edge, Histogram, Reason, Reply, buckets};
use prost::Message as _;

/// Bytes from the network are a batch or an error. A batch says the same after it was written again; what is taken of it is
/// consistent, what is refused names a field.
pub(crate) fn batch(bytes: &[u8]) {
    let Ok(batch) = Batch::decode(bytes) else { return };
    assert_eq!(Batch::decode(batch.encode_to_vec().as_slice()), Ok(batch.clone()));
    match envelope(&batch) {
        Ok(taken) => assert!(taken.sequence >= 1 && batch.edges.len() <= MAX_EDGES),
        Err(refused) => named(refused),
    }
    batch.edges.iter().for_each(|edge| {
        check(edge);
    });
}

fn named(refused: Invalid) {
    assert!(!refused.field.is_empty());
    assert_ne!(refused.reason, Reason::Unspecified);
}

/// Takes one entry as ingest does.
fn check(edge: &Edge) -> Option<Invalid> {
    let entry = match entry(edge) {
        Ok(entry) => entry,
        Err(refused) => {
            named(refused);
            return Some(refused);
        }
    };
    let exchange = entry.exchange;
    let times = exchange.upstream.count();
    assert!(exchange.requests >= 1 && times <= exchange.requests);
    assert!(exchange.errors <= exchange.requests && exchange.retried <= exchange.requests);
    for part in [&exchange.served, &exchange.network, &exchange.body] {
        assert!(part.count() <= times);
        assert_eq!(part.quantile(0.99).is_some(), !part.is_empty());
    }
    // Twice the same is twice as much, or as much as fits.
    let mut twice = exchange.clone();
    twice.merge(&exchange);
    assert_eq!(twice.requests, exchange.requests.saturating_mul(2));
    None
}

/// A histogram from the wire is buckets in ascending order with counts, or malformed; what was taken is written as it came.
pub(crate) fn histogram(bytes: &[u8]) {
    let Ok(histogram) = Histogram::decode(bytes) else {
        return;
    };
    let Ok(taken) = buckets::decode(&histogram) else { return };
    assert!(taken.is_sorted_by(|(a, _), (b, _)| a < b));
    assert!(
        taken
            .iter()
            .all(|(index, count)| *count > 0 && index.get() < buckets::COUNT)
    );
    taken
        .iter()
        .try_fold(0_u64, |sum, (_, count)| sum.checked_add(*count))
        .expect("the sum fits");
    assert_eq!(buckets::encode(taken), histogram);
}

/// Whatever a controller answers, the filter goes on: the batch is done with, the interval stays within its bounds, and the next
/// request is reported under the next number.
pub(crate) fn reply(bytes: &[u8]) {
    let mut reporter = Reporter::new(VmId([7; 16]), 7, Limits::default(), 0);
    let request = Exchange {
        upstream_address: "10.0.0.1:80",
        cluster: "outbound|80||a",
        attempts: 1,
        ..Exchange::default()
    };
    for sequence in 1..=2 {
        reporter.record(&request);
        let Next::Send(sent) = reporter.flush(sequence * 1_000) else {
            panic!("nothing was sent")
        };
        let batch = Batch::decode(sent).expect("a batch");
        assert_eq!(batch.sequence, sequence);
        reporter.on_reply(sequence * 1_000 + 1, bytes);
        assert!(!reporter.is_under_way());
        assert!((50..=300_000).contains(&reporter.interval_ms()));
    }
    if let Ok(reply) = Reply::decode(bytes) {
        assert_eq!(Reply::decode(reply.encode_to_vec().as_slice()), Ok(reply));
    }
}

/// Where the bytes of an attribute stand in the input.
const PATHS: [&[&str]; 12] = [
    &["upstream", "address"],
    &["xds", "cluster_name"],
    &["request", "headers", "content-type"],
    &["response", "code"],
    &["response", "grpc_status"],
    &["upstream", "request_attempt_count"],
    &["request", "duration"],
    &["response", "backend_latency"],
    &["request", "total_size"],
    &["response", "total_size"],
    &["metadata", "filter_metadata", "huddle", "served_us"],
    &["metadata", "filter_metadata", "huddle", "upstream_us"],
];

/// One request's attributes: each a length (255: Envoy does not have it) and so many bytes.
struct Told<'a>([Option<&'a [u8]>; PATHS.len()]);

impl<'a> Told<'a> {
    fn next(rest: &mut &'a [u8]) -> Option<Self> {
        let mut told = [None; PATHS.len()];
        let mut any = false;
        for value in &mut told {
            let here: &'a [u8] = rest;
            let Some((&length, after)) = here.split_first() else {
                break;
            };
            any = true;
            if length == 255 {
                *rest = after;
                continue;
            }
            let (bytes, after) = after.split_at(usize::from(length).min(after.len()));
            *value = Some(bytes);
            *rest = after;
        }
        any.then_some(Self(told))
    }
}

impl Attributes for Told<'_> {
    fn read(&self, path: &[&str]) -> Option<Vec<u8>> {
        let at = PATHS
            .iter()
            .position(|known| *known == path)
            .expect("a known attribute");
        self.0[at].map(<[u8]>::to_vec)
    }
}

/// Whatever Envoy says of requests, served-time header included: they are counted or dropped and counted, within the memory
/// allowed, and nothing that the filter sends contradicts itself in the eyes of ingest.
pub(crate) fn attributes(bytes: &[u8]) {
    let limits = Limits {
        edges: 4,
        memory_bytes: 10_000,
        ..Limits::default()
    };
    let mut recorder = Recorder::new(limits, 0);
    let (mut rest, mut requests) = (bytes, 0_u64);
    while let Some(told) = Told::next(&mut rest) {
        recorder.record(&Reading::of(&told).exchange());
        requests += 1;
        assert!(recorder.bytes() <= limits.memory_bytes, "{} bytes", recorder.bytes());
    }
    let cut = recorder.cut(1_000);
    assert!(recorder.is_empty());
    let counted: u64 = cut.edges.iter().map(|edge| edge.requests).sum();
    assert!(counted <= requests);
    for edge in &cut.edges {
        // Where to is Envoy's word, which ingest judges; the counts and times are the filter's own.
        if let Some(refused) = check(edge) {
            let foreign = [Reason::AddressMalformed, Reason::ClusterMalformed].contains(&refused.reason);
            assert!(foreign, "{refused} of {edge:?}");
        }
    }
}

/// A configuration is good within all bounds, or the field at fault is named.
pub(crate) fn config(bytes: &[u8]) {
    match Config::parse(bytes) {
        Ok(config) => {
            assert!((1..=10_000).contains(&config.limits.edges));
            assert!((10_000..=16 << 20).contains(&config.limits.memory_bytes));
            assert!((50..=300_000).contains(&config.limits.interval_ms));
            assert!((100..=60_000).contains(&config.timeout.as_millis()));
            // Envoy's message of two fields within one: all lengths below 128.
            let message = config.service.message();
            assert!(message.is_ascii() && message.starts_with('\n'));
            assert_eq!(usize::from(message.as_bytes()[1]), message.len() - 2);
        }
        Err(wrong) => assert!(!wrong.expected.is_empty()),
    }
}
