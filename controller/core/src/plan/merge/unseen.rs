//! Calls that no proxy sees: over loopback, inside the caller's pods. They are reckoned with by what was measured before and by what the caller
//! answers now, so that nothing takes them for gone.

use crate::cluster::ClusterView;
use crate::distribution::Distribution;
use crate::graph::{EdgeStats, PairStats, Snapshot};
use crate::id::{EdgeId, PodUid, WorkloadId};
use crate::plan::Percent;
use crate::sample::{Exchange, Locality, RequestClass};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Fewer calls than this tell no share, by choice: of twenty, one is a twentieth.
pub const TELLING: u64 = 20;

/// What passed on an edge, and around it, before its calls went where no proxy sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usual {
    /// When it was measured.
    pub at: Timestamp,
    /// Calls of the edge.
    pub calls: u64,
    /// Calls of others to its callee.
    pub others: u64,
    /// Calls to its caller that were answered without an error, all in one window.
    pub answered: u64,
}

impl Usual {
    /// What passes today; `None` where too little does to reckon with.
    pub fn of(edge: &EdgeId, snapshot: &Snapshot) -> Option<Self> {
        let calls = calls(edge, snapshot);
        let into = snapshot.edges_into(&edge.destination);
        let all = into.fold(0_u64, |sum, stats| sum.saturating_add(stats.total.requests));
        let answered = answered(&edge.source, snapshot);
        (calls >= TELLING && answered >= TELLING).then_some(Self {
            at: snapshot.at,
            calls,
            others: all.saturating_sub(calls),
            answered,
        })
    }
    /// How many calls the edge has where its caller answers so many.
    fn expected(&self, answered: u64) -> u64 {
        let expected = u128::from(self.calls) * u128::from(answered) / u128::from(self.answered.max(1));
        u64::try_from(expected).unwrap_or(u64::MAX)
    }
    /// Of the calls that the caller must have made in the snapshot's window, those that nobody saw on their way to the callee's Service; `None`
    /// where the caller answered too few. Calls that it failed to answer show nothing: what it did not get it did not call for.
    pub fn inside(&self, edge: &EdgeId, snapshot: &Snapshot) -> Option<Percent> {
        let expected = self.expected(answered(&edge.source, snapshot));
        let outside = calls(edge, snapshot).saturating_mul(100) / expected.max(1);
        (expected >= TELLING).then(|| Percent(100_u64.saturating_sub(outside)))
    }
    /// The same of one pod of the caller, by what others ask of it and it answers. What its companion does not do, it fails to do itself: so it must
    /// answer as well as the caller's other pods, and the lower of the two shares counts. `None` where it was asked too little. A caller that
    /// answers without an error though its callee failed does not show.
    pub fn inside_of(&self, edge: &EdgeId, pod: &PodUid, snapshot: &Snapshot) -> Option<Percent> {
        let (mut own, mut rest) = (Asked::default(), Asked::default());
        for pair in snapshot.edges_from_others(&edge.source).flat_map(|stats| &stats.pairs) {
            let of = if pair.callee == *pod { &mut own } else { &mut rest };
            of.add(&pair.exchange);
        }
        let kept = own.answered_of_hundred()?.saturating_mul(100) / rest.answered_of_hundred().unwrap_or(100).max(1);
        let expected = self.expected(own.answered);
        let seen = snapshot.edges.get(edge).into_iter().flat_map(|stats| &stats.pairs);
        let seen = seen.filter(|pair| pair.caller == *pod);
        let outside = seen.fold(0_u64, |sum, pair| sum.saturating_add(pair.exchange.requests));
        let inside = 100_u64.saturating_sub(outside.saturating_mul(100) / expected.max(1));
        Some(Percent(inside.min(kept)))
    }
    /// Of all calls to the callee those of others, as it was.
    pub fn others(&self) -> Option<Percent> {
        let all = self.others.saturating_add(self.calls);
        (all >= TELLING).then(|| Percent(self.others.saturating_mul(100) / all.max(1)))
    }
    /// Puts the calls that nobody saw on the graph, inside the caller's pods, with the times that `known`, the edge as last measured, had.
    pub fn put(&self, edge: &EdgeId, known: Option<&EdgeStats>, cluster: &ClusterView, snapshot: &mut Snapshot) {
        let expected = self.expected(answered(&edge.source, snapshot));
        let unseen = expected.saturating_sub(calls(edge, snapshot));
        if unseen == 0 {
            return;
        }
        let to = snapshot.window.to;
        let stats = snapshot.edges.entry(edge.clone()).or_insert_with(|| EdgeStats {
            edge: edge.clone(),
            total: Exchange::default(),
            by_locality: BTreeMap::new(),
            pairs: Vec::new(),
            classes: BTreeMap::new(),
            last: to,
        });
        let nothing = Exchange::default();
        let like = known.map_or(&nothing, |known| &known.total);
        let added = scaled(like, unseen);
        stats.total.merge(&added);
        stats.by_locality.entry(Locality::SamePod).or_default().merge(&added);
        let class = known.and_then(|known| known.classes.iter().max_by_key(|(_, calls)| **calls));
        let class = class.map_or(RequestClass::Http, |(class, _)| *class);
        let counted = stats.classes.entry(class).or_default();
        *counted = counted.saturating_add(unseen);
        let pods: Vec<_> = cluster.pods_of(&edge.source).collect();
        for (index, pod) in pods.iter().enumerate() {
            let part = part_of(unseen, index as u64, pods.len() as u64);
            let Some(node) = pod.node.as_ref().filter(|_| part > 0) else {
                continue;
            };
            stats.pairs.push(PairStats {
                caller: pod.uid.clone(),
                callee: pod.uid.clone(),
                caller_node: node.clone(),
                callee_node: node.clone(),
                locality: Locality::SamePod,
                exchange: scaled(like, part),
            });
        }
        stats
            .pairs
            .sort_by(|a, b| (&a.caller, &a.callee).cmp(&(&b.caller, &b.callee)));
    }
}

/// What others asked of a caller's pods.
#[derive(Default)]
struct Asked {
    calls: u64,
    answered: u64,
}

impl Asked {
    fn add(&mut self, exchange: &Exchange) {
        self.calls = self.calls.saturating_add(exchange.requests);
        let answered = exchange.requests.saturating_sub(exchange.errors);
        self.answered = self.answered.saturating_add(answered);
    }

    /// `None` of fewer calls than tell anything.
    fn answered_of_hundred(&self) -> Option<u64> {
        (self.calls >= TELLING).then(|| self.answered.saturating_mul(100) / self.calls.max(1))
    }
}

/// The `index`th of `parts` equal parts of a number; they add up to it.
fn part_of(whole: u64, index: u64, parts: u64) -> u64 {
    let (each, more) = (whole / parts.max(1), whole % parts.max(1));
    each + u64::from(index < more)
}

fn calls(edge: &EdgeId, snapshot: &Snapshot) -> u64 {
    snapshot.edges.get(edge).map_or(0, |stats| stats.total.requests)
}

/// Calls of others to a workload that were answered without an error.
fn answered(workload: &WorkloadId, snapshot: &Snapshot) -> u64 {
    snapshot.edges_from_others(workload).fold(0_u64, |sum, stats| {
        sum.saturating_add(stats.total.requests.saturating_sub(stats.total.errors))
    })
}

/// As many requests of the same kind; of an exchange of none, requests of which nothing more is known.
fn scaled(like: &Exchange, requests: u64) -> Exchange {
    let factor = requests as f64 / like.requests.max(1) as f64;
    let count = |of: u64| (of as f64 * factor).round() as u64;
    let times = |of: &Distribution| {
        let mut times = Distribution::default();
        times.merge_scaled(of, factor);
        times
    };
    Exchange {
        requests,
        errors: count(like.errors).min(requests),
        retried: count(like.retried).min(requests),
        missing_served: match like.requests {
            0 => requests,
            _ => count(like.missing_served).min(requests),
        },
        request_bytes: count(like.request_bytes),
        response_bytes: count(like.response_bytes),
        upstream: times(&like.upstream),
        served: times(&like.served),
        network: times(&like.network),
        body: times(&like.body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeName;
    use crate::time::Window;

    fn edge(source: &str, destination: &str) -> EdgeId {
        EdgeId {
            source: WorkloadId::deployment("shop", source),
            destination: WorkloadId::deployment("shop", destination),
        }
    }

    /// gate → front, with so many errors, front → back, other → back.
    fn snapshot(into: (u64, u64), calls: u64, others: u64) -> Snapshot {
        let window = Window {
            from: Timestamp(0),
            to: Timestamp(60_000),
        };
        let stats = |edge: EdgeId, requests, errors| {
            let stats = EdgeStats {
                edge: edge.clone(),
                total: Exchange {
                    requests,
                    errors,
                    ..Exchange::default()
                },
                by_locality: BTreeMap::new(),
                pairs: Vec::new(),
                classes: BTreeMap::new(),
                last: window.to,
            };
            (edge, stats)
        };
        Snapshot {
            at: window.to,
            window,
            edges: BTreeMap::from([
                stats(edge("gate", "front"), into.0, into.1),
                stats(edge("front", "back"), calls, 0),
                stats(edge("other", "back"), others, 0),
            ]),
        }
    }

    #[test]
    fn that_calls_are_not_seen_counts_where_their_caller_answers() {
        let edge = edge("front", "back");
        let usual = Usual::of(&edge, &snapshot((1_000, 0), 3_000, 1_000)).unwrap();
        assert_eq!((usual.calls, usual.answered), (3_000, 1_000));
        assert_eq!(usual.others(), Some(Percent(25)));
        let inside = |into, calls| usual.inside(&edge, &snapshot(into, calls, 0)).map(|share| share.0);
        assert_eq!(inside((1_000, 0), 3_000), Some(0), "as before");
        assert_eq!(inside((1_000, 0), 300), Some(90), "a tenth of what it was");
        assert_eq!(inside((2_000, 0), 300), Some(95), "at twice the load");
        assert_eq!(inside((1_000, 0), 9_000), Some(0), "more than ever");
        assert_eq!(inside((3, 0), 0), None, "nobody calls the caller");
        assert_eq!(
            inside((1_000, 1_000), 0),
            None,
            "it fails every call: nothing is inside"
        );
        assert_eq!(Usual::of(&edge, &snapshot((1_000, 0), 3, 0)), None);
        assert_eq!(Usual::of(&edge, &snapshot((1_000, 995), 3_000, 0)), None);
    }

    #[test]
    fn one_pod_shows_by_what_it_is_asked_and_answers() {
        let edge = edge("front", "back");
        let usual = Usual::of(&edge, &snapshot((1_000, 0), 3_000, 0)).unwrap();
        let pair = |caller: &str, callee: &str, requests, errors| PairStats {
            caller: PodUid::from(caller),
            callee: PodUid::from(callee),
            caller_node: NodeName::from("n"),
            callee_node: NodeName::from("n"),
            locality: Locality::SameNode,
            exchange: Exchange {
                requests,
                errors,
                ..Exchange::default()
            },
        };
        let inside = |new: (u64, u64), old: (u64, u64), outside: u64| {
            let mut seen = snapshot((new.0 + old.0, new.1 + old.1), outside, 0);
            let into = seen.edges.keys().find(|into| into.destination == edge.source).cloned();
            let pairs = vec![pair("g", "new", new.0, new.1), pair("g", "old", old.0, old.1)];
            seen.edges.get_mut(&into.unwrap()).unwrap().pairs = pairs;
            seen.edges.get_mut(&edge).unwrap().pairs = vec![pair("new", "b", outside, 0), pair("old", "b", 500, 0)];
            usual.inside_of(&edge, &PodUid::from("new"), &seen).map(|share| share.0)
        };
        assert_eq!(
            inside((100, 0), (100, 0), 0),
            Some(100),
            "the other one's calls are its own affair"
        );
        assert_eq!(
            inside((100, 0), (100, 0), 60),
            Some(80),
            "a fifth of its calls goes out"
        );
        assert_eq!(inside((100, 100), (100, 0), 0), Some(0), "it answers nothing");
        assert_eq!(inside((100, 40), (100, 0), 0), Some(60));
        assert_eq!(inside((100, 40), (100, 40), 0), Some(100), "as well as the other one");
        assert_eq!(inside((100, 40), (5, 5), 0), Some(60), "the other one is hardly asked");
        assert_eq!(inside((10, 0), (100, 0), 0), None, "it is hardly asked");
    }

    #[test]
    fn calls_that_are_seen_are_not_counted_twice_and_none_are_made_up() {
        let edge = edge("front", "back");
        let usual = Usual::of(&edge, &snapshot((1_000, 0), 3_000, 0)).unwrap();
        let after = |into, calls| {
            let mut after = snapshot((into, 0), calls, 0);
            usual.put(&edge, None, &ClusterView::default(), &mut after);
            let stats = &after.edges[&edge];
            let inside = stats.by_locality.get(&Locality::SamePod);
            (stats.total.requests, inside.map_or(0, |inside| inside.requests))
        };
        assert_eq!(after(1_000, 100), (3_000, 2_900));
        assert_eq!(after(1_000, 3_100), (3_100, 0));
        assert_eq!(after(0, 0), (0, 0), "no load, no calls");
    }
}
