//! What the stock scheduler does: filter, then score, one pod after the other.

use super::super::layout::Layout;
use super::super::problem::{Amount, Problem};
use super::super::random::Dice;
use super::super::table::{Table, at, put};
use super::Rule;

/// The weights of kube-scheduler's default profile (1.36): NodeAffinity, InterPodAffinity and PodTopologySpread 2 each;
/// LeastAllocated and BalancedAllocation 1. Plugins that score all nodes alike here are left out.
const WISH: i64 = 2;
/// The most a plugin gives.
const FULL: i64 = 100;
/// The weight of Huddle's pod affinity.
const BESIDE: i64 = 100;
/// The skew of kube-scheduler's own spread over nodes, for pods that have none.
const USUAL_SKEW: i64 = 3;

/// Every pod deleted and created anew, once, one after the other in an order drawn by `seed`, each where the stock scheduler
/// puts it under its service's rule: of the nodes with room the one with the best score, by lot among equals. The first two
/// resources of a problem are what the scheduler scores by (cpu and memory).
#[must_use]
pub fn recreate(problem: &Problem, layout: &Layout, rules: &[Rule], seed: u64) -> Layout {
    let mut board = Board::new(problem, layout, rules, seed);
    let mut pods: Vec<(usize, usize)> = Vec::new();
    for service in 0..problem.services() {
        let of = layout.of(service);
        pods.extend(of.flat_map(|(node, count)| std::iter::repeat_n((service, node), count as usize)));
    }
    for index in (1..pods.len()).rev() {
        let other = board.dice.below(index + 1);
        pods.swap(index, other);
    }
    // Pods of a service on one node are alike: which of them is deleted does not matter, only that each is once.
    for (service, from) in pods {
        board.shift(service, from, -1);
        let to = board.node_for(service).unwrap_or(from);
        board.shift(service, to, 1);
    }
    board.layout()
}

struct Board<'a> {
    problem: &'a Problem,
    rules: &'a [Rule],
    /// By service: those whose rule is to be beside it.
    followers: Vec<Vec<usize>>,
    pods: Table<i32>,
    load: Vec<Amount>,
    capped: Table<u32>,
    dice: Dice,
}

impl<'a> Board<'a> {
    fn new(problem: &'a Problem, layout: &Layout, rules: &'a [Rule], seed: u64) -> Self {
        let mut followers = vec![Vec::new(); problem.services()];
        for (service, rule) in rules.iter().enumerate() {
            if let Rule::Beside { with, .. } = rule
                && let Some(list) = followers.get_mut(*with)
            {
                list.push(service);
            }
        }
        let mut board = Self {
            problem,
            rules,
            followers,
            pods: Table::new(problem.services(), problem.nodes()),
            load: vec![Amount::default(); problem.nodes()],
            capped: Table::new(problem.caps.len(), problem.nodes()),
            dice: Dice::new(seed),
        };
        for service in 0..problem.services() {
            for (node, pods) in layout.of(service) {
                board.shift(service, node, pods as i32);
            }
        }
        board
    }

    fn shift(&mut self, service: usize, node: usize, by: i32) {
        self.pods.put(service, node, self.pods.at(service, node) + by);
        let demand = self.problem.demand(service).times(i64::from(by));
        let load = at(&self.load, node).plus(demand);
        put(&mut self.load, node, load);
        for cap in self.problem.caps_of(service) {
            let pods = self.capped.at(*cap, node).saturating_add_signed(by);
            self.capped.put(*cap, node, pods);
        }
    }

    fn admits(&self, service: usize, node: usize) -> bool {
        let problem = self.problem;
        let filled = at(&self.load, node).plus(problem.demand(service));
        let mut caps = problem.caps_of(service).iter();
        filled.fits(at(&problem.nodes, node))
            && problem.may_run(service, node)
            && caps.all(|cap| self.capped.at(*cap, node) < at(&problem.caps, *cap))
    }

    /// The node on which a new pod comes up.
    fn node_for(&mut self, service: usize) -> Option<usize> {
        let nodes: Vec<usize> = (0..self.problem.nodes())
            .filter(|node| self.admits(service, *node))
            .collect();
        let rule = self.rules.get(service).unwrap_or(&Rule::None);
        let of = |score: &dyn Fn(usize) -> i64| -> Vec<i64> { nodes.iter().map(|node| score(*node)).collect() };
        let labels = in_parts_of_most(of(&|node| match rule {
            Rule::Cell { weights, .. } => i64::from(weights.get(&node).copied().unwrap_or_default()),
            Rule::None | Rule::Beside { .. } => 0,
        }));
        let beside = from_least_to_most(of(&|node| self.beside(service, rule, node)));
        let skew = match rule {
            Rule::None => USUAL_SKEW,
            Rule::Beside { skew, .. } | Rule::Cell { skew, .. } => i64::from((*skew).max(1)),
        };
        // PodTopologySpread weighs a domain's count by ln(domains + 2).
        let weight = (nodes.len() as f64 + 2.0).ln();
        let count = |node: usize| f64::from(self.pods.at(service, node));
        let spread = fewest_first(of(&|node| (count(node) * weight + (skew - 1) as f64).round() as i64));
        let mut best: (i64, usize, Option<usize>) = (i64::MIN, 0, None);
        let wishes = labels.iter().zip(&beside).zip(&spread);
        for (node, ((labels, beside), spread)) in nodes.iter().zip(wishes) {
            let score = WISH * (labels + beside + spread)
                + resources(
                    at(&self.load, *node).plus(self.problem.demand(service)),
                    at(&self.problem.nodes, *node),
                );
            if score > best.0 {
                best = (score, 1, Some(*node));
            } else if score == best.0 {
                best.1 += 1;
                if self.dice.below(best.1) == 0 {
                    best.2 = Some(*node);
                }
            }
        }
        best.2
    }

    /// InterPodAffinity's sum: what the new pod wishes for, and whose wish it is.
    fn beside(&self, service: usize, rule: &Rule, node: usize) -> i64 {
        let own = match rule {
            Rule::Beside { with, .. } => i64::from(self.pods.at(*with, node)),
            Rule::None | Rule::Cell { .. } => 0,
        };
        let followers = self.followers.get(service).map(Vec::as_slice).unwrap_or_default();
        let theirs = followers.iter().map(|other| i64::from(self.pods.at(*other, node)));
        BESIDE * (own + theirs.sum::<i64>())
    }

    fn layout(&self) -> Layout {
        Layout::of_table(&self.pods, self.problem.services())
    }
}

/// NodeAffinity's scale: the most gets 100.
fn in_parts_of_most(scores: Vec<i64>) -> Vec<i64> {
    let most = scores.iter().copied().max().unwrap_or_default();
    match most {
        0 => scores,
        most => scores.into_iter().map(|score| score * FULL / most).collect(),
    }
}

/// InterPodAffinity's scale: the least gets 0, the most 100.
fn from_least_to_most(scores: Vec<i64>) -> Vec<i64> {
    let least = scores.iter().copied().min().unwrap_or_default();
    let most = scores.iter().copied().max().unwrap_or_default();
    let scale = |score: i64| match most - least {
        0 => 0,
        span => FULL * (score - least) / span,
    };
    scores.into_iter().map(scale).collect()
}

/// PodTopologySpread's scale: the fewer the more, to 100.
fn fewest_first(scores: Vec<i64>) -> Vec<i64> {
    let least = scores.iter().copied().min().unwrap_or_default();
    let most = scores.iter().copied().max().unwrap_or_default();
    let scale = |score: i64| match most {
        0 => FULL,
        most => FULL * (most + least - score) / most,
    };
    scores.into_iter().map(scale).collect()
}

/// LeastAllocated and BalancedAllocation, each to 100, of a node with room for `room` that holds `load`.
pub(super) fn resources(load: Amount, room: Amount) -> i64 {
    let parts = load.0.into_iter().zip(room.0).take(2).filter(|(_, room)| *room > 0);
    let parts: Vec<(i64, i64)> = parts.collect();
    let free = parts.iter().map(|(load, room)| (room - load).max(0) * FULL / room);
    let least_allocated = free.sum::<i64>() / (parts.len() as i64).max(1);
    let used: Vec<f64> = parts
        .iter()
        .map(|(load, room)| (*load as f64 / *room as f64).min(1.0))
        .collect();
    let apart = match used.as_slice() {
        [cpu, memory] => (cpu - memory).abs() / 2.0,
        _ => 0.0,
    };
    least_allocated + ((1.0 - apart) * FULL as f64) as i64
}
