//! Wire to values: one entry of a batch becomes the exchange between two pods, or is refused with a reason and a field.

use huddle_core::distribution::Distribution;
use huddle_core::sample::{Exchange, RequestClass};
use huddle_core::units::Micros;
use huddle_proto::{Batch, Edge, Histogram, Reason, VM_ID_BYTES, buckets, is_accepted};
use std::net::SocketAddr;

/// Most entries taken in one batch: eight times the filter's own limit of edges.
pub const MAX_EDGES: usize = 4096;

/// Longest cluster name taken. Istio's are `outbound|PORT|SUBSET|HOST` with a host of at most 253 characters.
const MAX_CLUSTER: usize = 512;

/// Why an entry or a batch is refused for good: the wire's reason and the field at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {field}", reason.as_str_name())]
pub struct Invalid {
    /// Why.
    pub reason: Reason,
    /// Where.
    pub field: &'static str,
}

impl Invalid {
    const fn new(reason: Reason, field: &'static str) -> Self {
        Self { reason, field }
    }
}

/// A reporter's random number.
pub type VmId = [u8; VM_ID_BYTES];

/// What a batch says about itself, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Which reporter.
    pub vm: VmId,
    /// Which of its batches; at least 1.
    pub sequence: u64,
    /// How long its window was, in milliseconds.
    pub length_ms: u64,
}

/// Checks everything of a batch but its entries.
///
/// # Errors
/// The first thing at fault; nothing of such a batch may be applied.
pub fn envelope(batch: &Batch) -> Result<Envelope, Invalid> {
    if !is_accepted(batch.contract) {
        return Err(Invalid::new(Reason::ContractUnknown, "contract"));
    }
    let vm = VmId::try_from(batch.vm_id.as_slice()).map_err(|_| Invalid::new(Reason::VmIdMalformed, "vm_id"))?;
    if batch.sequence == 0 {
        return Err(Invalid::new(Reason::SequenceMalformed, "sequence"));
    }
    if batch.edges.len() > MAX_EDGES {
        return Err(Invalid::new(Reason::TooManyEdges, "edges"));
    }
    Ok(Envelope {
        vm,
        sequence: batch.sequence,
        length_ms: batch.window.map_or(0, |window| window.length_ms),
    })
}

/// Where the calls of one entry went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// To this endpoint.
    Address(SocketAddr),
    /// Nowhere: no endpoint was chosen. Errors only.
    Nowhere,
}

/// One entry, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where to.
    pub upstream: Upstream,
    /// What kind of calls.
    pub class: RequestClass,
    /// What passed.
    pub exchange: Exchange,
}

/// Checks one entry.
///
/// # Errors
/// The first thing at fault; the other entries of the batch are not touched by it.
pub fn entry(edge: &Edge) -> Result<Entry, Invalid> {
    check_cluster(&edge.cluster)?;
    let upstream = match edge.upstream_address.as_str() {
        "" if edge.cluster.is_empty() => return Err(Invalid::new(Reason::AddressMalformed, "upstream_address")),
        "" => Upstream::Nowhere,
        address => Upstream::Address(
            address
                .parse()
                .map_err(|_| Invalid::new(Reason::AddressMalformed, "upstream_address"))?,
        ),
    };
    let exchange = exchange(edge)?;
    if upstream == Upstream::Nowhere && !exchange.upstream.is_empty() {
        return Err(Invalid::new(Reason::CountsContradict, "upstream"));
    }
    Ok(Entry {
        upstream,
        class: class(edge.class)?,
        exchange,
    })
}

fn check_cluster(cluster: &str) -> Result<(), Invalid> {
    let printable = cluster.bytes().all(|byte| byte.is_ascii_graphic());
    if cluster.len() > MAX_CLUSTER || !printable {
        return Err(Invalid::new(Reason::ClusterMalformed, "cluster"));
    }
    Ok(())
}

fn class(class: i32) -> Result<RequestClass, Invalid> {
    match huddle_proto::RequestClass::try_from(class) {
        Ok(huddle_proto::RequestClass::Http) => Ok(RequestClass::Http),
        Ok(huddle_proto::RequestClass::Grpc) => Ok(RequestClass::Grpc),
        Ok(huddle_proto::RequestClass::Long) => Ok(RequestClass::Long),
        Ok(huddle_proto::RequestClass::Unspecified) | Err(_) => Err(Invalid::new(Reason::ClassUnknown, "class")),
    }
}

fn exchange(edge: &Edge) -> Result<Exchange, Invalid> {
    let contradict = |field| Err(Invalid::new(Reason::CountsContradict, field));
    if edge.requests == 0 {
        return contradict("requests");
    }
    if edge.errors > edge.requests {
        return contradict("errors");
    }
    if edge.missing_served > edge.requests {
        return contradict("missing_served");
    }
    if edge.negative_network > edge.requests {
        return contradict("negative_network");
    }
    let upstream = distribution(edge.upstream.as_ref(), "upstream.gaps_and_counts")?;
    let times = upstream.count();
    if times > edge.requests {
        return contradict("upstream");
    }
    let part = |histogram: Option<&Histogram>, field, name| {
        let part = distribution(histogram, field)?;
        if part.count() > times {
            return Err(Invalid::new(Reason::CountsContradict, name));
        }
        Ok(part)
    };
    Ok(Exchange {
        requests: edge.requests,
        errors: edge.errors,
        // The wire counts further attempts; a request with any is one that was retried.
        retried: edge.retries.min(edge.requests),
        missing_served: edge.missing_served,
        request_bytes: edge.request_bytes,
        response_bytes: edge.response_bytes,
        served: part(edge.served.as_ref(), "served.gaps_and_counts", "served")?,
        network: part(edge.network.as_ref(), "network.gaps_and_counts", "network")?,
        body: part(edge.body.as_ref(), "body.gaps_and_counts", "body")?,
        upstream,
    })
}

fn distribution(histogram: Option<&Histogram>, field: &'static str) -> Result<Distribution, Invalid> {
    let mut distribution = Distribution::default();
    let Some(histogram) = histogram else {
        return Ok(distribution);
    };
    let buckets = buckets::decode(histogram).map_err(|_| Invalid::new(Reason::HistogramMalformed, field))?;
    for (index, count) in buckets {
        distribution.add(Micros(index.lowest_us()), count);
    }
    Ok(distribution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::wire;
    use proptest::prelude::*;

    fn refused(edge: &Edge) -> (Reason, &'static str) {
        let invalid = entry(edge).unwrap_err();
        (invalid.reason, invalid.field)
    }

    #[test]
    fn a_good_entry_keeps_its_counts_and_times() {
        let entry = entry(&wire::edge("10.0.0.2:8080", &[1_000, 2_000, 40_000])).unwrap();
        assert_eq!(entry.upstream, Upstream::Address("10.0.0.2:8080".parse().unwrap()));
        assert_eq!(entry.exchange.requests, 3);
        assert_eq!(entry.exchange.upstream.count(), 3);
        assert_eq!(entry.exchange.upstream.quantile(0.5), Some(Micros(2_003)));
    }

    #[test]
    fn each_fault_names_its_field() {
        let good = wire::edge("10.0.0.2:8080", &[1_000]);
        let with = |f: fn(&mut Edge)| {
            let mut edge = good.clone();
            f(&mut edge);
            refused(&edge)
        };
        assert_eq!(
            with(|edge| edge.upstream_address = "shop".to_owned()),
            (Reason::AddressMalformed, "upstream_address")
        );
        assert_eq!(
            with(|edge| {
                edge.upstream_address.clear();
                edge.cluster.clear();
            }),
            (Reason::AddressMalformed, "upstream_address")
        );
        assert_eq!(
            with(|edge| edge.cluster = "a\nb".to_owned()),
            (Reason::ClusterMalformed, "cluster")
        );
        assert_eq!(with(|edge| edge.class = 99), (Reason::ClassUnknown, "class"));
        assert_eq!(with(|edge| edge.requests = 0), (Reason::CountsContradict, "requests"));
        assert_eq!(with(|edge| edge.errors = 2), (Reason::CountsContradict, "errors"));
        assert_eq!(
            with(|edge| edge.network = Some(Histogram {
                gaps_and_counts: vec![1, 0]
            })),
            (Reason::HistogramMalformed, "network.gaps_and_counts")
        );
        assert_eq!(
            with(|edge| edge.served = Some(Histogram {
                gaps_and_counts: vec![1, 9]
            })),
            (Reason::CountsContradict, "served")
        );
    }

    #[test]
    fn an_entry_without_endpoint_carries_errors_only() {
        let mut edge = wire::edge("", &[]);
        edge.requests = 4;
        edge.errors = 4;
        let entry = entry(&edge).unwrap();
        assert_eq!((entry.upstream, entry.exchange.errors), (Upstream::Nowhere, 4));
        edge.upstream = wire::edge("", &[5]).upstream;
        assert_eq!(refused(&edge), (Reason::CountsContradict, "upstream"));
    }

    fn any_edge() -> impl Strategy<Value = Edge> {
        let histogram = || {
            prop::option::of(
                prop::collection::vec(0_u64..4_000, 0..8).prop_map(|gaps_and_counts| Histogram { gaps_and_counts }),
            )
        };
        (
            "[ -~]{0,24}|10\\.0\\.0\\.[0-9]:80",
            any::<i32>(),
            (0_u64..50, 0_u64..50, any::<u64>(), 0_u64..50),
            (histogram(), histogram(), histogram(), histogram()),
        )
            .prop_map(
                |(address, class, (requests, errors, retries, missing), (upstream, served, network, body))| Edge {
                    upstream_address: address,
                    cluster: "outbound|80||x".to_owned(),
                    class: class.rem_euclid(5),
                    requests,
                    errors,
                    retries,
                    missing_served: missing,
                    upstream,
                    served,
                    network,
                    body,
                    ..Edge::default()
                },
            )
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_consistent(edge in any_edge()) {
            if let Ok(entry) = entry(&edge) {
                let exchange = entry.exchange;
                prop_assert!(exchange.requests >= 1 && exchange.errors <= exchange.requests);
                prop_assert!(exchange.upstream.count() <= exchange.requests);
                prop_assert!(exchange.network.count() <= exchange.upstream.count());
                prop_assert!(exchange.retried <= exchange.requests);
            }
        }
    }
}
