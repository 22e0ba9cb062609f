//! After a small change: the layout that stood before, adapted, and searched again only around what changed.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::anneal::Annealer;
use super::cool::Search;
use super::core::{Core, Ground};
use super::layout::Layout;
use super::problem::{Amount, Problem};
use super::search::{Answer, Budget, seats};
use super::settle::settle;
use super::state::State;
use super::table::{at, put};

/// Services searched again around the changed ones, at most.
const SERVICES: usize = 60;
/// Nodes searched again: those of the services, at most; and the emptiest beside them.
const NODES: (usize, usize) = (240, 16);
/// What a move must bring at least, as a part of what a pod with traffic is worth on average.
const PRICE: f64 = 0.02;

/// A new layout after a change of a few services (their pods, demands or traffic), near the one that stood before. `changed`
/// names them by their indices in `problem`, and `before` is a layout in its numbering; pods that it lacks are seated, and
/// those that exist no more leave. The answer's moves are counted from `before`. Services and nodes far from the change stay as
/// they were. `None` where no room is found for all pods.
pub fn renew(
    problem: &Problem,
    before: &Layout,
    changed: &[usize],
    seed: u64,
    budget: &mut dyn Budget,
) -> Option<Answer> {
    let (adapted, mut touched) = adapt(problem, before);
    touched.extend(changed.iter().filter(|service| **service < problem.services()));
    let mut seated = adapted.clone();
    let mut steps = 0;
    let (services, nodes) = region(problem, &adapted, &touched);
    if !services.is_empty() {
        let core = Core::region(&Ground::new(problem, &adapted), &adapted, services, nodes);
        let price = (PRICE * core.pod_worth) as i64;
        let count = |service, node| core.home.at(service, node).max(0) as u32;
        let state = State::seated(&core, price.max(1), count);
        let mut search = Search::new(Annealer::new(seed, &core), budget);
        let state = search.refine(state, None, 1.0);
        steps = search.steps;
        for (service, row) in seats(&state) {
            if let Some(slot) = seated.seats.get_mut(service) {
                *slot = row;
            }
        }
    }
    let (found, stayed) = (settle(problem, &adapted, &seated), settle(problem, &adapted, &adapted));
    let gain = |layout: &Layout| layout.gain(problem);
    let better = found.filter(|found| stayed.as_ref().is_none_or(|stayed| gain(found) >= gain(stayed)));
    let layout = better.or(stayed)?;
    Some(Answer {
        gain: layout.gain(problem),
        moves: layout.moves_from(before),
        layout,
        steps,
    })
}

/// The layout without pods that exist no more or may not stay, with those that were nowhere; and whose pods these were.
/// Services whose pods find no room at once are left out, for [`settle`] to seat.
fn adapt(problem: &Problem, before: &Layout) -> (Layout, BTreeSet<usize>) {
    let mut layout = Layout {
        seats: vec![Default::default(); problem.services()],
    };
    let mut lacking = Vec::new();
    for service in 0..problem.services() {
        let mut left = at(&problem.replicas, service);
        for (node, pods) in before.of(service) {
            let stay = if problem.may_run(service, node) {
                pods.min(left)
            } else {
                0
            };
            layout.put(service, node, stay);
            left -= stay;
        }
        if left > 0 {
            lacking.push((service, left));
        }
    }
    let mut free: Vec<Amount> = layout
        .loads(problem)
        .iter()
        .zip(&problem.nodes)
        .map(|(load, capacity)| capacity.minus(*load))
        .collect();
    let mut touched = BTreeSet::new();
    for (service, pods) in lacking {
        touched.insert(service);
        for _ in 0..pods {
            let Some(node) = best_seat(problem, &layout, &free, service) else {
                if let Some(row) = layout.seats.get_mut(service) {
                    row.clear();
                }
                break;
            };
            let room = at(&free, node).minus(problem.demand(service));
            put(&mut free, node, room);
            layout.put(service, node, layout.pods(service, node) + 1);
        }
    }
    (layout, touched)
}

/// The node where one more pod of a service is worth most, and among equals the emptiest, of those with room.
fn best_seat(problem: &Problem, layout: &Layout, free: &[Amount], service: usize) -> Option<usize> {
    let demand = problem.demand(service);
    let admits = |node: usize| {
        problem.caps_of(service).iter().all(|cap| {
            let sharing = (0..problem.services()).filter(|other| problem.caps_of(*other).contains(cap));
            sharing.map(|other| layout.pods(other, node)).sum::<u32>() < at(&problem.caps, *cap)
        })
    };
    let worth = |node: usize| -> i64 {
        let own = i64::from(layout.pods(service, node));
        let ties = problem.ties_of(service).iter();
        ties.map(|tie| {
            let other = tie.theirs * i64::from(layout.pods(tie.other, node));
            (tie.own * (own + 1)).min(other) - (tie.own * own).min(other)
        })
        .sum()
    };
    let fits = |node: &usize| demand.fits(at(free, *node)) && problem.may_run(service, *node);
    let mut nodes: Vec<usize> = (0..problem.nodes()).filter(fits).collect();
    let room = |node: usize| at(free, node).share_of(at(&problem.nodes, node));
    nodes.sort_by_cached_key(|node| (Reverse(worth(*node)), Reverse(room(*node).to_bits()), *node));
    nodes.into_iter().find(|node| admits(*node))
}

/// The changed services with traffic and those they talk with most, and where they sit, with the emptiest nodes.
fn region(problem: &Problem, layout: &Layout, changed: &BTreeSet<usize>) -> (Vec<usize>, Vec<usize>) {
    let seated = |service: &usize| layout.of(*service).next().is_some();
    let talks = |service: &usize| !problem.ties_of(*service).is_empty() && seated(service);
    let mut services: BTreeSet<usize> = changed.iter().copied().filter(talks).collect();
    let mut around: Vec<(i64, usize)> = Vec::new();
    for service in &services {
        let pods = i64::from(at(&problem.replicas, *service));
        let ties = problem.ties_of(*service).iter();
        around.extend(ties.map(|tie| (tie.own * pods, tie.other)));
    }
    around.sort_by_key(|(weight, service)| (Reverse(*weight), *service));
    for (_, service) in around.into_iter().filter(|(_, service)| seated(service)) {
        if services.len() < SERVICES {
            services.insert(service);
        }
    }
    let mut nodes: BTreeSet<usize> = BTreeSet::new();
    services.retain(|service| {
        let more: BTreeSet<usize> = layout.of(*service).map(|(node, _)| node).collect();
        let room = nodes.union(&more).count() <= NODES.0;
        if room {
            nodes.extend(more);
        }
        room
    });
    let loads = layout.loads(problem);
    let taken = |node: &usize| at(&loads, *node).share_of(at(&problem.nodes, *node)).to_bits();
    let mut others: Vec<usize> = (0..problem.nodes()).filter(|node| !nodes.contains(node)).collect();
    others.sort_by_cached_key(|node| (taken(node), *node));
    nodes.extend(others.into_iter().take(NODES.1));
    (services.into_iter().collect(), nodes.into_iter().collect())
}
