//! What a placement means for the calls of a graph: which share of them stays on its node.
//!
//! Reckoned from where pods are and how often services call each other, without a mesh or a measurement: the premises
//! of the demo, and what its figures can be held against.

use std::collections::BTreeMap;

use super::graph::{Edge, Graph, ServiceName};

/// The node of every pod, by service.
pub type Placement = BTreeMap<String, Vec<String>>;

/// How calls are spread over the callee's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// Evenly over all of them.
    Even,
    /// To the pods on the caller's node where there are any (`trafficDistribution: PreferSameNode`).
    SameNodeFirst,
}

fn nodes<'a>(placement: &'a Placement, service: &ServiceName) -> &'a [String] {
    placement.get(service.as_str()).map(Vec::as_slice).unwrap_or_default()
}

/// Share, 0 to 1, of an edge's calls that stay on their node, each caller pod calling equally often.
pub fn same_node_share(placement: &Placement, edge: &Edge, routing: Routing) -> f64 {
    let (callers, callees) = (nodes(placement, &edge.source), nodes(placement, &edge.destination));
    if callers.is_empty() || callees.is_empty() {
        return 0.0;
    }
    let of_caller = |node: &String| {
        let local = callees.iter().filter(|callee| *callee == node).count() as f64;
        match routing {
            Routing::Even => local / callees.len() as f64,
            Routing::SameNodeFirst => local.min(1.0),
        }
    };
    callers.iter().map(of_caller).sum::<f64>() / callers.len() as f64
}

/// The same share over all calls inside the shop, at the graph's rates.
pub fn same_node_share_of_all(graph: &Graph, placement: &Placement, routing: Routing) -> f64 {
    let rates = graph.rates();
    let home = |(edge, rate): (&Edge, &f64)| rate * same_node_share(placement, edge, routing);
    rates.iter().map(home).sum::<f64>() / rates.values().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge() -> Edge {
        let name = |name| ServiceName::new(name).expect("a name");
        Edge {
            source: name("frontend"),
            destination: name("currency"),
        }
    }

    fn placement(frontend: &[&str], currency: &[&str]) -> Placement {
        let nodes = |nodes: &[&str]| nodes.iter().map(ToString::to_string).collect();
        BTreeMap::from([
            ("frontend".to_owned(), nodes(frontend)),
            ("currency".to_owned(), nodes(currency)),
        ])
    }

    #[test]
    fn half_the_callers_next_to_half_the_callees_is_a_quarter_and_half_when_routed() {
        let placement = placement(&["a", "b"], &["b", "c"]);
        assert_eq!(same_node_share(&placement, &edge(), Routing::Even), 0.25);
        assert_eq!(same_node_share(&placement, &edge(), Routing::SameNodeFirst), 0.5);
    }

    #[test]
    fn two_callees_on_one_node_are_one_place_to_go() {
        let placement = placement(&["a", "b"], &["a", "a"]);
        assert_eq!(same_node_share(&placement, &edge(), Routing::Even), 0.5);
        assert_eq!(same_node_share(&placement, &edge(), Routing::SameNodeFirst), 0.5);
    }

    #[test]
    fn a_service_without_pods_keeps_nothing_at_home() {
        assert_eq!(same_node_share(&placement(&[], &["a"]), &edge(), Routing::Even), 0.0);
    }
}
