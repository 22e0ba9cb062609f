//! Gives the idle pods (those of services without traffic) their nodes, once the others are seated: they stay where they are
//! as long as there is room, and the largest leave first, so that few have to.

use std::cmp::Reverse;

use super::layout::Layout;
use super::problem::{Amount, Problem};
use super::table::{Table, at, put};

/// One pod of a service without traffic.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdlePod {
    pub(super) service: usize,
    pub(super) demand: Amount,
}

/// The idle pods of a node today, in the order in which they would leave it.
pub(super) fn idle_pods(problem: &Problem, node: usize) -> Vec<IdlePod> {
    let capacity = at(&problem.nodes, node);
    let mut pods = Vec::new();
    for (service, data) in problem.services.iter().enumerate() {
        if problem.ties_of(service).is_empty() {
            let here = data.home.get(&node).copied().unwrap_or_default();
            let pod = IdlePod {
                service,
                demand: data.demand,
            };
            pods.extend(std::iter::repeat_n(pod, here as usize));
        }
    }
    pods.sort_by(|a, b| {
        let size = |pod: &IdlePod| pod.demand.share_of(capacity);
        size(b).total_cmp(&size(a)).then(a.service.cmp(&b.service))
    });
    pods
}

/// Seats every idle pod beside what `seated` holds of the services with traffic. `None` where the way used here finds no
/// room; another layout of the others then has to be tried.
pub(super) fn settle(problem: &Problem, seated: &Layout) -> Option<Layout> {
    let mut hall = Hall::new(problem, seated.clone());
    let mut waiting = Vec::new();
    for node in 0..problem.nodes() {
        for pod in idle_pods(problem, node) {
            if at(&hall.free, node).0.iter().any(|room| *room < 0) {
                hall.change(pod, node, -1);
                waiting.push(pod);
            }
        }
        if at(&hall.free, node).0.iter().any(|room| *room < 0) && at(&hall.over, node) == Amount::default() {
            return None;
        }
    }
    let largest = problem.nodes.iter().copied().max().unwrap_or_default();
    let mut patience = 4 * waiting.len() + 1000;
    while !waiting.is_empty() {
        waiting.sort_by_key(|pod| (pod.demand.share_of(largest).to_bits(), Reverse(pod.service)));
        while let Some(pod) = waiting.pop() {
            patience = patience.checked_sub(1)?;
            match hall.tightest(pod) {
                Some(node) => hall.change(pod, node, 1),
                None => waiting.extend(hall.make_room(pod)?),
            }
        }
    }
    Some(hall.layout)
}

/// Nodes being filled.
struct Hall<'a> {
    problem: &'a Problem,
    layout: Layout,
    free: Vec<Amount>,
    /// What today's layout already exceeds, per node: not the search's fault.
    over: Vec<Amount>,
    capped: Table<u32>,
}

impl<'a> Hall<'a> {
    fn new(problem: &'a Problem, mut layout: Layout) -> Self {
        let home = Layout::home(problem);
        for (service, data) in problem.services.iter().enumerate() {
            let idle = problem.ties_of(service).is_empty();
            if let Some(row) = layout.seats.get_mut(service).filter(|_| idle) {
                row.clone_from(&data.home);
            }
        }
        let free = |layout: &Layout| -> Vec<Amount> {
            let loads = layout.loads(problem);
            problem
                .nodes
                .iter()
                .zip(loads)
                .map(|(capacity, load)| capacity.minus(load))
                .collect()
        };
        let over = free(&home)
            .into_iter()
            .map(|room| Amount(room.0.map(|v| v.min(0))))
            .collect();
        let mut capped = Table::new(problem.caps.len(), problem.nodes());
        for (service, row) in layout.seats.iter().enumerate() {
            for (node, pods) in row {
                for cap in problem.caps_of(service) {
                    capped.put(*cap, *node, capped.at(*cap, *node) + pods);
                }
            }
        }
        Self {
            problem,
            free: free(&layout),
            over,
            layout,
            capped,
        }
    }

    fn change(&mut self, pod: IdlePod, node: usize, by: i32) {
        let pods = self.layout.pods(pod.service, node).saturating_add_signed(by);
        self.layout.put(pod.service, node, pods);
        let free = at(&self.free, node).minus(pod.demand.times(i64::from(by)));
        put(&mut self.free, node, free);
        for cap in self.problem.caps_of(pod.service) {
            self.capped
                .put(*cap, node, self.capped.at(*cap, node).saturating_add_signed(by));
        }
    }

    fn admits(&self, pod: IdlePod, node: usize) -> bool {
        let below = |cap: &usize| self.capped.at(*cap, node) < at(&self.problem.caps, *cap);
        self.problem.may_run(pod.service, node) && self.problem.caps_of(pod.service).iter().all(below)
    }

    /// A node where it was, or else the one it fills most tightly.
    fn tightest(&self, pod: IdlePod) -> Option<usize> {
        let data = self.problem.services.get(pod.service)?;
        let fits = |node: &usize| pod.demand.fits(at(&self.free, *node)) && self.admits(pod, *node);
        let returns = |node: &usize| {
            data.home
                .get(node)
                .is_some_and(|home| self.layout.pods(pod.service, *node) < *home)
        };
        if let Some(node) = data.home.keys().copied().find(|node| returns(node) && fits(node)) {
            return Some(node);
        }
        let left = |node: &usize| {
            at(&self.free, *node)
                .minus(pod.demand)
                .share_of(at(&self.problem.nodes, *node))
        };
        (0..self.problem.nodes())
            .filter(fits)
            .min_by(|a, b| left(a).total_cmp(&left(b)))
    }

    /// Seats a pod where the smallest amount of smaller idle pods has to give way, and returns those.
    fn make_room(&mut self, pod: IdlePod) -> Option<Vec<IdlePod>> {
        let size = |amount: Amount, node: usize| amount.share_of(at(&self.problem.nodes, node));
        let mut best: Option<(f64, usize, Vec<IdlePod>)> = None;
        for node in (0..self.problem.nodes()).filter(|node| self.admits(pod, *node)) {
            let mut room = at(&self.free, node);
            let (mut leaving, mut sum) = (Vec::new(), 0.0);
            for (service, data) in self.problem.services.iter().enumerate() {
                let smaller = size(data.demand, node) < size(pod.demand, node);
                if !smaller || !self.problem.ties_of(service).is_empty() {
                    continue;
                }
                for _ in 0..self.layout.pods(service, node) {
                    if !pod.demand.fits(room) {
                        room = room.plus(data.demand);
                        sum += size(data.demand, node);
                        leaving.push(IdlePod {
                            service,
                            demand: data.demand,
                        });
                    }
                }
            }
            if pod.demand.fits(room) && best.as_ref().is_none_or(|(least, ..)| sum < *least) {
                best = Some((sum, node, leaving));
            }
        }
        let (_, node, leaving) = best?;
        for other in &leaving {
            self.change(*other, node, -1);
        }
        self.change(pod, node, 1);
        Some(leaving)
    }
}
