//! Who talks with whom in a cluster made up, and how much.

use std::collections::BTreeSet;

use super::super::random::Dice;
use super::super::table::{at, put};
use super::{Group, shuffled};

/// The exponent of the edges' weights by rank. M3: 1.0 over its 30 heaviest edges, 1.2 over 100.
const ZIPF: f64 = 1.1;
/// Services that call nobody (leaves), as in Alibaba's traces: 39 %.
const LEAVES: f64 = 0.39;
/// Edges beside those of the tree, per service. M3 has 344 edges of 161 services.
const MORE_EDGES: f64 = 0.9;
/// Edges that lead from a group to a hub of another, per service.
const CROSS_EDGES: f64 = 0.5;
/// The heaviest edges of a cluster stay inside groups, so that chance does not decide how much is planted: one in so many.
const KEPT_INSIDE: usize = 50;

/// Edges with weights: in every group a tree of callers and callees, more edges towards services that have many, and lighter
/// ones between groups.
pub(super) fn traffic(groups: &[Group], dice: &mut Dice) -> Vec<(usize, usize, f64)> {
    let mut inside = Vec::new();
    let mut hubs = Vec::new();
    for group in groups {
        hubs.extend(tree(group, &mut inside, dice));
    }
    let mut cross = BTreeSet::new();
    for (index, group) in groups.iter().enumerate() {
        for service in &group.services {
            if dice.unit() < CROSS_EDGES && groups.len() > 1 {
                let other = (index + 1 + dice.below(groups.len() - 1)) % groups.len();
                cross.insert((*service, at(&hubs, other)));
            }
        }
    }
    let count = inside.len() + cross.len();
    let kept = (count / KEPT_INSIDE).min(inside.len());
    let order = shuffled(inside.len(), dice);
    let edge = |index: &usize| inside.get(*index).copied();
    let mut ranked: Vec<(usize, usize)> = order.iter().take(kept).filter_map(edge).collect();
    let mut rest: Vec<(usize, usize)> = order.iter().skip(kept).filter_map(edge).collect();
    rest.extend(cross);
    ranked.extend(
        shuffled(rest.len(), dice)
            .iter()
            .filter_map(|index| rest.get(*index).copied()),
    );
    ranked
        .into_iter()
        .enumerate()
        .map(|(rank, (a, b))| (a, b, ((rank + 1) as f64).powf(-ZIPF)))
        .collect()
}

/// The edges of one group; returns the service with most of them.
fn tree(group: &Group, edges: &mut Vec<(usize, usize)>, dice: &mut Dice) -> Option<usize> {
    let size = group.services.len();
    let callers = ((size as f64 * (1.0 - LEAVES)) as usize).max(1);
    let mut pairs: BTreeSet<(usize, usize)> = BTreeSet::new();
    let mut degree = vec![0usize; size];
    let link = |a: usize, b: usize, pairs: &mut BTreeSet<(usize, usize)>, degree: &mut Vec<usize>| {
        if a != b && pairs.insert((a.min(b), a.max(b))) {
            for end in [a, b] {
                let more = at(degree, end) + 1;
                put(degree, end, more);
            }
        }
    };
    for callee in 1..size {
        link(dice.below(callee.min(callers)), callee, &mut pairs, &mut degree);
    }
    for _ in 0..(size as f64 * MORE_EDGES) as usize {
        let caller = dice.below(callers);
        // Of three callees the one with most edges: hubs grow.
        let callee = (0..3).map(|_| dice.below(size)).max_by_key(|end| at(&degree, *end));
        link(caller, callee.unwrap_or_default(), &mut pairs, &mut degree);
    }
    edges.extend(
        pairs
            .into_iter()
            .map(|(a, b)| (at(&group.services, a), at(&group.services, b))),
    );
    let hub = (0..size).max_by_key(|index| (at(&degree, *index), std::cmp::Reverse(*index)))?;
    group.services.get(hub).copied()
}
