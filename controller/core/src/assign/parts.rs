//! Large problems in parts: services that talk much with each other, with nodes of their own, searched one after the other in
//! tables small enough for the cache. What parts say to each other is left to chance.

use std::collections::BTreeMap;

use super::problem::{Amount, Problem};
use super::table::{at, put};

/// No part gets more pods than the second by joining (one service may have more), and parts with fewer than the first are put
/// together, so that nodes can be dealt out evenly.
const PODS: (u64, u64) = (800, 4_000);

/// Services with traffic, and the nodes they may use.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) services: Vec<usize>,
    pub(super) nodes: Vec<usize>,
    pub(super) pods: u64,
    /// What the pods take, in shares of the whole cluster.
    weight: f64,
}

/// All services with traffic in parts, each with nodes in proportion to what it takes. A part for which none are left has
/// none.
pub(super) fn split(problem: &Problem) -> Vec<Part> {
    let mut parts = groups(problem, PODS);
    deal_nodes(problem, &mut parts);
    parts
}

/// All services with traffic in parts of about so many pods, without nodes.
pub(super) fn groups(problem: &Problem, (least, most): (u64, u64)) -> Vec<Part> {
    gather(problem, clusters(problem, most), least)
}

/// Clusters of services under construction.
struct Clusters {
    parent: Vec<usize>,
    pods: Vec<u64>,
    /// Traffic of all members together, in gain units.
    strength: Vec<i64>,
}

impl Clusters {
    fn root(&mut self, mut service: usize) -> usize {
        while at(&self.parent, service) != service {
            let above = at(&self.parent, at(&self.parent, service));
            put(&mut self.parent, service, above);
            service = above;
        }
        service
    }
}

/// Which services may use the same nodes: equal numbers, equal lists.
fn pools(problem: &Problem) -> Vec<usize> {
    let mut known: BTreeMap<Option<Vec<usize>>, usize> = BTreeMap::new();
    let mut pools = Vec::new();
    for service in &problem.services {
        let list = service.allowed.clone().map(|mut list| {
            list.sort_unstable();
            list.dedup();
            list
        });
        let next = known.len();
        pools.push(*known.entry(list).or_insert(next));
    }
    pools
}

/// Joins clusters pair by pair, in every round first those of which one gives the other the largest share of its traffic.
/// Returns each service's cluster.
fn clusters(problem: &Problem, most: u64) -> Vec<usize> {
    let pools = pools(problem);
    let traffic = |s: usize| at(&problem.replicas, s) as i64 * problem.pod_worth(s);
    let mut clusters = Clusters {
        parent: (0..problem.services()).collect(),
        pods: problem.replicas.iter().map(|r| u64::from(*r)).collect(),
        strength: (0..problem.services()).map(traffic).collect(),
    };
    loop {
        let mut between: BTreeMap<(usize, usize), i64> = BTreeMap::new();
        for service in 0..problem.services() {
            for tie in problem.ties_of(service).iter().filter(|tie| tie.other > service) {
                let (a, b) = (clusters.root(service), clusters.root(tie.other));
                let same_pool = at(&pools, service) == at(&pools, tie.other);
                if a != b && same_pool && at(&clusters.pods, a) + at(&clusters.pods, b) <= most {
                    *between.entry((a.min(b), a.max(b))).or_default() +=
                        tie.own * at(&problem.replicas, service) as i64;
                }
            }
        }
        let share = |(a, b): (usize, usize), weight: i64| {
            let least = at(&clusters.strength, a).min(at(&clusters.strength, b)).max(1);
            weight as f64 / least as f64
        };
        let mut pairs: Vec<(f64, usize, usize)> = between.iter().map(|(p, w)| (share(*p, *w), p.0, p.1)).collect();
        pairs.sort_by(|x, y| y.0.total_cmp(&x.0).then((x.1, x.2).cmp(&(y.1, y.2))));
        let mut joined = vec![false; problem.services()];
        let mut any = false;
        for (_, a, b) in pairs {
            if at(&joined, a) || at(&joined, b) {
                continue;
            }
            for end in [a, b] {
                put(&mut joined, end, true);
            }
            put(&mut clusters.parent, b, a);
            let pods = at(&clusters.pods, a) + at(&clusters.pods, b);
            put(&mut clusters.pods, a, pods);
            let strength = at(&clusters.strength, a) + at(&clusters.strength, b);
            put(&mut clusters.strength, a, strength);
            any = true;
        }
        if !any {
            break;
        }
    }
    (0..problem.services()).map(|s| clusters.root(s)).collect()
}

/// Makes parts of clusters: the small ones of a pool together.
fn gather(problem: &Problem, cluster_of: Vec<usize>, least: u64) -> Vec<Part> {
    let pools = pools(problem);
    let whole = problem
        .nodes
        .iter()
        .fold(Amount::default(), |sum, node| sum.plus(*node));
    let mut clusters: BTreeMap<usize, Part> = BTreeMap::new();
    for service in (0..problem.services()).filter(|s| !problem.ties_of(*s).is_empty()) {
        let part = clusters.entry(at(&cluster_of, service)).or_default();
        let pods = at(&problem.replicas, service);
        part.services.push(service);
        part.pods += u64::from(pods);
        part.weight += problem.demand(service).share_of(whole) * f64::from(pods);
    }
    let mut parts = Vec::new();
    let mut open: BTreeMap<usize, Part> = BTreeMap::new();
    for part in clusters.into_values() {
        let pool = part.services.first().map(|s| at(&pools, *s)).unwrap_or_default();
        let all = open.entry(pool).or_default();
        all.services.extend(part.services);
        all.pods += part.pods;
        all.weight += part.weight;
        if all.pods >= least {
            parts.push(std::mem::take(all));
        }
    }
    parts.extend(open.into_values().filter(|part| !part.services.is_empty()));
    parts
}

/// Deals the nodes out, the largest first, each to the part that has least for what it takes (D'Hondt's rule). Nodes that
/// only some parts may use come first.
fn deal_nodes(problem: &Problem, parts: &mut [Part]) {
    let whole = problem
        .nodes
        .iter()
        .fold(Amount::default(), |sum, node| sum.plus(*node));
    let may = |part: &Part, node: usize| part.services.iter().all(|service| problem.may_run(*service, node));
    let mut nodes: Vec<(usize, Amount, usize)> = Vec::new();
    for (node, capacity) in problem.nodes.iter().enumerate() {
        let takers = parts.iter().filter(|part| may(part, node)).count();
        nodes.push((takers, *capacity, node));
    }
    nodes.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
    let mut given = vec![0.0; parts.len()];
    for (_, capacity, node) in nodes {
        let size = capacity.share_of(whole);
        let hunger = |index: usize, part: &Part| part.weight / (at(&given, index) + size).max(f64::MIN_POSITIVE);
        let candidates = parts.iter().enumerate().filter(|(_, part)| may(part, node));
        let hungriest = candidates.max_by(|a, b| hunger(a.0, a.1).total_cmp(&hunger(b.0, b.1)).then(b.0.cmp(&a.0)));
        let Some(index) = hungriest.map(|(index, _)| index) else {
            continue;
        };
        let taken = at(&given, index) + size;
        put(&mut given, index, taken);
        if let Some(part) = parts.get_mut(index) {
            part.nodes.push(node);
        }
    }
    for part in parts {
        part.nodes.sort_unstable();
    }
}
