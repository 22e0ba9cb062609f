//! What passed between nodes, or between pods, over a window of the reader's choice: the graph's finest grain.

use super::Part;
use crate::distribution::Distribution;
use crate::graph::{PairStats, Snapshot};
use crate::id::PodUid;
use crate::sample::{Exchange, Locality};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What makes a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum By {
    /// Where the caller runs and where the callee runs.
    NodePair,
    /// Which pod calls which.
    PodPair,
}

/// Which edges count; an empty choice is every edge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeChoice {
    /// Only calls of this workload (`shop/frontend`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Only calls to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
}

/// The counts behind quantiles: requests by the lowest value of their bucket, in µs (2 significant digits). Quantiles of
/// several rows together come from added counts, never from averaged quantiles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Histograms {
    /// Request sent to response headers, at the caller's proxy.
    pub upstream: Distribution,
    /// The same at the callee's proxy.
    pub served: Distribution,
    /// The difference, request by request.
    pub network: Distribution,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PairView {
    /// The calling pod; by pods only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The called pod; by pods only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callee: Option<String>,
    /// Where the caller ran.
    pub caller_node: String,
    /// Where the callee ran.
    pub callee_node: String,
    /// How far apart that is.
    pub locality: Locality,
    /// All requests of the row.
    pub total: Part,
    /// Their times in full.
    pub histograms: Histograms,
}

/// All rows of a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PairsView {
    /// Begin of what is covered, ms since the epoch: samples taken in from then on. A sample tells of up to one reporting
    /// interval before it was taken in.
    pub from: i64,
    /// Its end.
    pub to: i64,
    /// What makes a row.
    pub by: By,
    /// The rows, ordered by nodes and pods.
    pub pairs: Vec<PairView>,
}

type Key = (String, String, Option<String>, Option<String>);

impl PairsView {
    /// The rows of a snapshot. `name` gives a pod's name, where it is still known.
    pub fn new(snapshot: &Snapshot, by: By, choice: &EdgeChoice, name: impl Fn(&PodUid) -> Option<String>) -> Self {
        let chosen = |id: String, wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| *wanted == id);
        let edges = snapshot.edges.values().filter(|stats| {
            chosen(stats.edge.source.to_string(), &choice.source)
                && chosen(stats.edge.destination.to_string(), &choice.destination)
        });
        let pod = |uid: &PodUid| match by {
            By::NodePair => None,
            By::PodPair => Some(name(uid).unwrap_or_else(|| uid.to_string())),
        };
        let key = |pair: &PairStats| -> Key {
            (
                pair.caller_node.to_string(),
                pair.callee_node.to_string(),
                pod(&pair.caller),
                pod(&pair.callee),
            )
        };
        let mut rows: BTreeMap<Key, (Locality, Exchange)> = BTreeMap::new();
        for pair in edges.flat_map(|stats| &stats.pairs) {
            let (locality, exchange) = rows
                .entry(key(pair))
                .or_insert_with(|| (pair.locality, Exchange::default()));
            *locality = (*locality).max(pair.locality);
            exchange.merge(&pair.exchange);
        }
        Self {
            from: snapshot.window.from.0,
            to: snapshot.window.to.0,
            by,
            pairs: rows.into_iter().map(row).collect(),
        }
    }
}

fn row(((caller_node, callee_node, caller, callee), (locality, exchange)): (Key, (Locality, Exchange))) -> PairView {
    PairView {
        caller,
        callee,
        caller_node,
        callee_node,
        locality,
        total: (&exchange).into(),
        histograms: Histograms {
            upstream: exchange.upstream,
            served: exchange.served,
            network: exchange.network,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{GraphConfig, TrafficGraph};
    use crate::id::WorkloadId;
    use crate::sample::{Endpoint, RequestClass, Sample};
    use crate::time::{Timestamp, Window};
    use crate::units::Micros;

    fn end(workload: &str, pod: u64, node: &str) -> Endpoint {
        Endpoint {
            pod: PodUid::new(format!("{workload}-{pod}")),
            workload: WorkloadId::deployment("shop", workload),
            node: node.into(),
            zone: "zone-1".into(),
        }
    }

    /// `web` on node a calls two pods of `db` on node b and one on its own node, and `cache` on node b.
    fn snapshot() -> Snapshot {
        let mut graph = TrafficGraph::new(GraphConfig::default());
        let calls = [
            (end("db", 1, "b"), 1_000_u64),
            (end("db", 2, "b"), 3_000),
            (end("db", 3, "a"), 200),
            (end("cache", 1, "b"), 9_000),
        ];
        for (callee, us) in calls {
            let mut exchange = Exchange {
                requests: 10,
                ..Exchange::default()
            };
            exchange.network.add(Micros(us), 10);
            exchange.upstream.add(Micros(us + 500), 10);
            exchange.served.add(Micros(500), 10);
            graph.absorb(&Sample {
                at: Timestamp(12_000),
                caller: end("web", 1, "a"),
                callee,
                class: RequestClass::Http,
                exchange,
            });
        }
        let window = Window {
            from: Timestamp(10_000),
            to: Timestamp(20_000),
        };
        graph.snapshot(window, Timestamp(20_000))
    }

    #[test]
    fn node_pairs_merge_what_passed_between_two_nodes() {
        let view = PairsView::new(&snapshot(), By::NodePair, &EdgeChoice::default(), |_| None);
        let seen: Vec<(&str, &str, u64)> = view
            .pairs
            .iter()
            .map(|row| (row.caller_node.as_str(), row.callee_node.as_str(), row.total.requests))
            .collect();
        assert_eq!(seen, [("a", "a", 10), ("a", "b", 30)]);
        assert_eq!((view.from, view.to), (10_000, 20_000));
        let far = &view.pairs[1];
        assert_eq!(far.locality, Locality::SameZone);
        assert_eq!(far.histograms.network.count(), 30);
        assert!((2_990..=3_010).contains(&far.total.network.p50_us), "{far:?}");
    }

    #[test]
    fn edges_are_chosen_and_pods_named() {
        let choice = EdgeChoice {
            source: None,
            destination: Some("shop/db".to_owned()),
        };
        let name = |uid: &PodUid| (uid.as_str() != "db-2").then(|| format!("the {uid}"));
        let view = PairsView::new(&snapshot(), By::PodPair, &choice, name);
        let callees: Vec<&str> = view.pairs.iter().filter_map(|row| row.callee.as_deref()).collect();
        assert_eq!(callees, ["the db-3", "db-2", "the db-1"]);
        let stranger = EdgeChoice {
            source: Some("shop/db".to_owned()),
            destination: None,
        };
        assert!(
            PairsView::new(&snapshot(), By::NodePair, &stranger, |_| None)
                .pairs
                .is_empty()
        );
    }

    #[test]
    fn json_holds_what_it_says() {
        let view = PairsView::new(&snapshot(), By::NodePair, &EdgeChoice::default(), |_| None);
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["by"], "nodePair");
        assert_eq!(json["pairs"][0]["locality"], "sameNode");
        assert_eq!(json["pairs"][0]["histograms"]["network"]["200"], 10);
        assert_eq!(serde_json::from_value::<PairsView>(json).unwrap(), view);
    }
}
