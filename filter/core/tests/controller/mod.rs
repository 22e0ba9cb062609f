//! The other end, as small as the contract allows: drops repeats, adds up everything else.

use std::collections::BTreeMap;

use huddle_proto::{Batch, Drops, Edge, Histogram, Reply, buckets};
use prost::Message as _;

type Counts = BTreeMap<buckets::Index, u64>;

/// What arrived, added up.
#[derive(Default)]
pub(crate) struct Controller {
    last: u64,
    last_bytes: Vec<u8>,
    /// Sequences that were skipped.
    pub(crate) gaps: u64,
    /// All drop counters.
    pub(crate) drops: Drops,
    edges: BTreeMap<(String, String, i32), (Edge, [Counts; 4])>,
}

/// The four histograms of an entry, in the order upstream, served, network, body.
pub(crate) fn histograms(edge: &Edge) -> [Histogram; 4] {
    [&edge.upstream, &edge.served, &edge.network, &edge.body].map(|histogram| histogram.clone().unwrap_or_default())
}

/// Number of times in a histogram.
pub(crate) fn total(histogram: &Histogram) -> u64 {
    buckets::decode(histogram)
        .expect("well-formed")
        .iter()
        .map(|(_, count)| count)
        .sum()
}

impl Controller {
    /// Takes a batch, gives the answer.
    pub(crate) fn report(&mut self, bytes: &[u8]) -> Vec<u8> {
        let batch = Batch::decode(bytes).expect("a batch");
        if batch.sequence <= self.last {
            assert_eq!(bytes, self.last_bytes, "a repeat has the same content");
            return Reply {
                duplicate: true,
                ..Reply::default()
            }
            .encode_to_vec();
        }
        self.gaps += batch.sequence - self.last - 1;
        self.last = batch.sequence;
        self.last_bytes = bytes.to_vec();
        let drops = batch.drops.unwrap_or_default();
        self.drops.overflow_requests += drops.overflow_requests;
        self.drops.unrouted_requests += drops.unrouted_requests;
        self.drops.lost_requests += drops.lost_requests;
        let accepted = batch.edges.len() as u32;
        batch.edges.into_iter().for_each(|edge| self.absorb(edge));
        Reply {
            accepted,
            ..Reply::default()
        }
        .encode_to_vec()
    }

    /// Adds one entry.
    pub(crate) fn absorb(&mut self, edge: Edge) {
        let key = (edge.upstream_address.clone(), edge.cluster.clone(), edge.class);
        let (sum, buckets) = self.edges.entry(key).or_default();
        for (have, histogram) in buckets.iter_mut().zip(histograms(&edge)) {
            for (index, count) in buckets::decode(&histogram).expect("well-formed") {
                *have.entry(index).or_default() += count;
            }
        }
        sum.requests += edge.requests;
        sum.errors += edge.errors;
        sum.retries += edge.retries;
        sum.missing_served += edge.missing_served;
        sum.negative_network += edge.negative_network;
        sum.request_bytes += edge.request_bytes;
        sum.response_bytes += edge.response_bytes;
    }

    /// Everything so far, as one window's entries would look.
    pub(crate) fn edges(&self) -> Vec<Edge> {
        let encode = |buckets: &Counts| {
            (!buckets.is_empty()).then(|| buckets::encode(buckets.iter().map(|(index, count)| (*index, *count))))
        };
        self.edges
            .iter()
            .map(
                |((address, cluster, class), (sum, [upstream, served, network, body]))| Edge {
                    upstream_address: address.clone(),
                    cluster: cluster.clone(),
                    class: *class,
                    upstream: encode(upstream),
                    served: encode(served),
                    network: encode(network),
                    body: encode(body),
                    ..sum.clone()
                },
            )
            .collect()
    }
}
