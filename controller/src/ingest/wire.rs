//! Batches for tests.

use huddle_proto::{Batch, CONTRACT, Edge, RequestClass, Window, buckets};

/// One entry whose upstream times are `times`, all of them network.
pub(crate) fn edge(address: &str, times: &[u64]) -> Edge {
    let mut sorted: Vec<_> = times.iter().map(|&time| buckets::index_of(time)).collect();
    sorted.sort_unstable();
    let mut counted: Vec<(buckets::Index, u64)> = Vec::new();
    for index in sorted {
        match counted.last_mut() {
            Some((last, count)) if *last == index => *count += 1,
            _ => counted.push((index, 1)),
        }
    }
    let histogram = buckets::encode(counted);
    Edge {
        upstream_address: address.to_owned(),
        cluster: "outbound|8080||b.shop.svc.cluster.local".to_owned(),
        class: RequestClass::Http.into(),
        requests: times.len() as u64,
        upstream: Some(histogram.clone()),
        network: Some(histogram),
        ..Edge::default()
    }
}

/// A batch of reporter `vm`.
pub(crate) fn batch(vm: u8, sequence: u64, edges: Vec<Edge>) -> Batch {
    Batch {
        contract: CONTRACT,
        vm_id: vec![vm; 16],
        sequence,
        window: Some(Window {
            start_unix_ms: 0,
            length_ms: 5_000,
        }),
        edges,
        drops: None,
        reporter_version: "test".to_owned(),
    }
}
