//! A layout as rules: one per service with traffic.

use std::collections::BTreeMap;

use super::super::layout::Layout;
use super::super::problem::{Amount, Problem};
use super::super::table::{at, put};
use super::Rule;
use super::scheduler::resources;

/// By which rules a layout is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Each service beside one that it talks with, along a tree; the service with most pods of each tree has no rule.
    Beside,
    /// Each service in a cell of its nodes, all alike.
    Cells,
    /// Each service in a cell of its nodes, with weights that make the layout one in which every pod that is created anew comes up where
    /// it was: the more pods a node shall hold the more it weighs, and the less, the more it attracts pods by its free room.
    WeightedCells,
}

/// The most a wish can weigh in Kubernetes.
const MOST: u32 = 100;
/// How much the spread may take off the wish for the node with most pods, as a part of the wish: where there are several nodes to
/// spread over, and where there is one. The rest of the wish is what keeps pods inside the cell.
const SPREAD: (f64, f64) = (0.6, 0.1);

/// One rule for each service, under which the stock scheduler keeps a layout, as far as rules of that kind can.
#[must_use]
pub fn rules(problem: &Problem, layout: &Layout, means: Means) -> Vec<Rule> {
    let loads = layout.loads(problem);
    let mut rules = match means {
        Means::Beside => beside(problem, layout),
        Means::Cells | Means::WeightedCells => vec![Rule::None; problem.services()],
    };
    for (service, rule) in rules.iter_mut().enumerate() {
        let talks = !problem.ties_of(service).is_empty();
        let skew = skew(problem, layout, service);
        match (means, rule) {
            (Means::Beside, Rule::Beside { skew: own, .. }) => *own = skew,
            (Means::Cells | Means::WeightedCells, rule) if talks => {
                let weights = match means {
                    Means::WeightedCells => weights(problem, layout, &loads, service),
                    Means::Cells | Means::Beside => layout.of(service).map(|(node, _)| (node, MOST)).collect(),
                };
                *rule = Rule::Cell { weights, skew };
            }
            _ => {}
        }
    }
    rules
}

/// How many pods the fullest node of a service holds, and how much the spread counts there.
fn fullest(layout: &Layout, service: usize) -> (f64, f64) {
    let most = layout.of(service).map(|(_, pods)| pods).max().unwrap_or(1);
    let spread = if layout.of(service).count() > 1 {
        SPREAD.0
    } else {
        SPREAD.1
    };
    (f64::from(most), spread)
}

/// The skew at which the spread takes off as much as it shall: counts c, with c times ln(nodes + 2) + skew − 1 as the scheduler sees
/// it, are compared in parts of the largest.
fn skew(problem: &Problem, layout: &Layout, service: usize) -> u32 {
    let (most, spread) = fullest(layout, service);
    let count = most * (problem.nodes() as f64 + 2.0).ln();
    1 + (count * (1.0 - spread) / spread).round() as u32
}

/// Weights with which wish, spread and room come to the same on every node of the service: none attracts a pod of another's.
fn weights(problem: &Problem, layout: &Layout, loads: &[Amount], service: usize) -> BTreeMap<usize, u32> {
    let (most, spread) = fullest(layout, service);
    let most_wish = f64::from(MOST);
    let needs: Vec<(usize, f64)> = layout
        .of(service)
        .map(|(node, pods)| {
            // The scheduler counts wish and spread twice, and room once.
            let room = resources(at(loads, node), at(&problem.nodes, node)) as f64 / 2.0;
            (node, most_wish * spread * f64::from(pods) / most - room)
        })
        .collect();
    let highest = needs.iter().map(|(_, need)| *need).fold(f64::MIN, f64::max);
    let weight = |need: f64| (most_wish + need - highest).round().clamp(1.0, most_wish) as u32;
    needs.into_iter().map(|(node, need)| (node, weight(need))).collect()
}

/// The heaviest tree over what the pairs have together (Kruskal), each service beside the next on the way to its tree's
/// largest.
fn beside(problem: &Problem, layout: &Layout) -> Vec<Rule> {
    let mut edges: Vec<(i64, usize, usize)> = Vec::new();
    for service in 0..problem.services() {
        for tie in problem.ties_of(service).iter().filter(|tie| tie.other > service) {
            let shared = layout.of(service).map(|(node, pods)| {
                let others = layout.pods(tie.other, node);
                (tie.own * i64::from(pods)).min(tie.theirs * i64::from(others))
            });
            edges.push((shared.sum(), service, tie.other));
        }
    }
    edges.retain(|(together, ..)| *together > 0);
    edges.sort_by_key(|(together, a, b)| (std::cmp::Reverse(*together), *a, *b));
    let mut group: Vec<usize> = (0..problem.services()).collect();
    let mut branches: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (_, a, b) in edges {
        let (one, other) = (at(&group, a), at(&group, b));
        if one != other {
            group.iter_mut().filter(|of| **of == other).for_each(|of| *of = one);
            branches.entry(a).or_default().push(b);
            branches.entry(b).or_default().push(a);
        }
    }
    let mut roots: Vec<usize> = (0..problem.services()).collect();
    roots.sort_by_key(|service| (std::cmp::Reverse(at(&problem.replicas, *service)), *service));
    let mut rules = vec![Rule::None; problem.services()];
    let mut seen = vec![false; problem.services()];
    for root in roots {
        if at(&seen, root) {
            continue;
        }
        put(&mut seen, root, true);
        let mut queue = vec![root];
        while let Some(with) = queue.pop() {
            for service in branches.get(&with).into_iter().flatten() {
                if !at(&seen, *service) {
                    put(&mut seen, *service, true);
                    put(&mut rules, *service, Rule::Beside { with, skew: 1 });
                    queue.push(*service);
                }
            }
        }
    }
    rules
}
