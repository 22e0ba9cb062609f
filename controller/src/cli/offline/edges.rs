//! Which edges a layout brings together, worked out from the file's own numbers.

use huddle_core::assign::RasaCluster;
use serde::Serialize;
use std::collections::BTreeMap;

/// One edge, today and in the layout.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EdgeGain {
    pub(super) services: [String; 2],
    /// Its share of all traffic.
    pub(super) traffic: f64,
    /// The share of it that is local, today and then.
    pub(super) local: [f64; 2],
}

impl EdgeGain {
    fn gained(&self) -> f64 {
        self.traffic * (self.local[1] - self.local[0])
    }
}

/// Machines, with the share of a service's containers that each holds.
type Shares<'a> = BTreeMap<&'a str, BTreeMap<usize, f64>>;

fn shares<'a>(cluster: &'a RasaCluster, layout: &BTreeMap<String, usize>) -> Shares<'a> {
    let mut shares = Shares::new();
    for service in &cluster.service_list {
        let row = shares.entry(&service.service).or_default();
        for machine in service
            .container_list
            .iter()
            .filter_map(|container| layout.get(container))
        {
            *row.entry(*machine).or_default() += 1.0 / service.container_list.len() as f64;
        }
    }
    shares
}

fn local(shares: &Shares<'_>, [a, b]: [&str; 2]) -> f64 {
    let (Some(a), Some(b)) = (shares.get(a), shares.get(b)) else {
        return 0.0;
    };
    a.iter()
        .map(|(machine, own)| own.min(b.get(machine).copied().unwrap_or_default()))
        .sum()
}

/// Edges whose local share changes, those first that gain most.
pub(super) fn changed(
    cluster: &RasaCluster,
    today: &BTreeMap<String, usize>,
    then: &BTreeMap<String, usize>,
) -> Vec<EdgeGain> {
    let (today, then) = (shares(cluster, today), shares(cluster, then));
    // As the search counts: not calls to oneself, not those of services without containers.
    let counted: Vec<_> = cluster
        .traffic_list
        .iter()
        .map(|edge| ([edge.service1.as_str(), edge.service2.as_str()], edge.traffic))
        .filter(|([a, b], _)| {
            a != b
                && [a, b]
                    .iter()
                    .all(|end| today.get(**end).is_some_and(|row| !row.is_empty()))
        })
        .collect();
    let whole: f64 = counted.iter().map(|(_, traffic)| traffic).sum();
    let mut edges: Vec<EdgeGain> = counted
        .into_iter()
        .filter(|_| whole > 0.0)
        .map(|(ends, traffic)| EdgeGain {
            services: ends.map(str::to_owned),
            traffic: traffic / whole,
            local: [local(&today, ends), local(&then, ends)],
        })
        .filter(|edge| (edge.local[1] - edge.local[0]).abs() > 1e-9)
        .collect();
    edges.sort_by(|a, b| {
        let names = |edge: &EdgeGain| edge.services.clone();
        b.gained().total_cmp(&a.gained()).then_with(|| names(a).cmp(&names(b)))
    });
    edges
}
