//! Gives the idle pods (those of services without traffic) their nodes, once the others are seated: they stay where they are
//! as long as there is room, and the largest leave first, so that few have to.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::layout::Layout;
use super::problem::{Amount, Problem, RESOURCES};
use super::table::{Table, at, put};

/// One pod of a service without traffic.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdlePod {
    pub(super) service: usize,
    pub(super) demand: Amount,
}

/// The idle pods of every node in a layout, in the order in which they would leave it: the largest first.
pub(super) fn idle_pods(problem: &Problem, layout: &Layout) -> Vec<Vec<IdlePod>> {
    let mut all = vec![Vec::new(); problem.nodes()];
    for service in (0..problem.services()).filter(|s| problem.ties_of(*s).is_empty()) {
        let pod = IdlePod {
            service,
            demand: problem.demand(service),
        };
        for (node, pods) in layout.of(service) {
            if let Some(list) = all.get_mut(node) {
                list.extend(std::iter::repeat_n(pod, pods as usize));
            }
        }
    }
    for (pods, capacity) in all.iter_mut().zip(&problem.nodes) {
        pods.sort_by_cached_key(|pod| (Reverse(pod.demand.share_of(*capacity).to_bits()), pod.service));
    }
    all
}

/// Seats every idle pod, and those of services that `seated` lacks, beside what it holds, as near to `home` as there is room. `None`
/// where the way used here finds no room; another layout of the others then has to be tried.
pub(super) fn settle(problem: &Problem, home: &Layout, seated: &Layout) -> Option<Layout> {
    let mut hall = Hall::new(problem, home, seated.clone());
    let mut waiting = Vec::new();
    for (node, pods) in idle_pods(problem, home).into_iter().enumerate() {
        for pod in pods {
            if at(&hall.free, node).0.iter().any(|room| *room < 0) || hall.crowded(pod, node) {
                hall.change(pod, node, -1);
                waiting.push(pod);
            }
        }
        if at(&hall.free, node).0.iter().any(|room| *room < 0) && at(&hall.over, node) == Amount::default() {
            return None;
        }
    }
    for (service, row) in seated.seats.iter().enumerate() {
        if row.is_empty() && !problem.ties_of(service).is_empty() {
            let pod = IdlePod {
                service,
                demand: problem.demand(service),
            };
            waiting.extend(std::iter::repeat_n(pod, at(&problem.replicas, service) as usize));
        }
    }
    let largest = problem.nodes.iter().copied().max().unwrap_or_default();
    let mut patience = 4 * waiting.len() + 1000;
    hall.file();
    while !waiting.is_empty() {
        waiting.sort_by_cached_key(|pod| (pod.demand.share_of(largest).to_bits(), Reverse(pod.service)));
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
    home: &'a Layout,
    layout: Layout,
    free: Vec<Amount>,
    /// What today's layout already exceeds, per node: not the search's fault.
    over: Vec<Amount>,
    capped: Table<u32>,
    /// Which resource is scarcest, and the nodes by how much of it they have free; empty until [`Hall::file`].
    scarce: usize,
    filed: BTreeSet<(i64, usize)>,
}

/// Up to so many nodes all are looked at for every pod; beyond, those that have least more than it needs.
const FEW_NODES: usize = 256;
/// How many of those.
const LOOKED_AT: usize = 48;

impl<'a> Hall<'a> {
    fn new(problem: &'a Problem, home: &'a Layout, mut layout: Layout) -> Self {
        for (service, (row, home)) in layout.seats.iter_mut().zip(&home.seats).enumerate() {
            if problem.ties_of(service).is_empty() {
                row.clone_from(home);
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
        let over = free(home)
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
            home,
            free: free(&layout),
            over,
            layout,
            capped,
            scarce: 0,
            filed: BTreeSet::new(),
        }
    }

    /// Sorts the nodes by what they have free, where there are too many to look at all.
    fn file(&mut self) {
        if self.problem.nodes() <= FEW_NODES {
            return;
        }
        let sum = |list: &[Amount]| list.iter().fold(Amount::default(), |sum, a| sum.plus(*a));
        let (free, whole) = (sum(&self.free), sum(&self.problem.nodes));
        let left = |index: usize| at(&free.0, index) as f64 / at(&whole.0, index).max(1) as f64;
        let used = (0..RESOURCES).filter(|index| at(&whole.0, *index) > 0);
        self.scarce = used.min_by(|a, b| left(*a).total_cmp(&left(*b))).unwrap_or_default();
        let free = self.free.iter().enumerate();
        self.filed = free.map(|(node, free)| (at(&free.0, self.scarce), node)).collect();
    }

    /// Whether a node has more pods of some cap of this pod than the cap says.
    fn crowded(&self, pod: IdlePod, node: usize) -> bool {
        let caps = self.problem.caps_of(pod.service).iter();
        caps.into_iter()
            .any(|cap| self.capped.at(*cap, node) > at(&self.problem.caps, *cap))
    }

    fn change(&mut self, pod: IdlePod, node: usize, by: i32) {
        let pods = self.layout.pods(pod.service, node).saturating_add_signed(by);
        self.layout.put(pod.service, node, pods);
        let before = at(&self.free, node);
        let free = before.minus(pod.demand.times(i64::from(by)));
        put(&mut self.free, node, free);
        if self.filed.remove(&(at(&before.0, self.scarce), node)) {
            self.filed.insert((at(&free.0, self.scarce), node));
        }
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
        let fits = |node: &usize| pod.demand.fits(at(&self.free, *node)) && self.admits(pod, *node);
        let returns = |(node, home): &(usize, u32)| self.layout.pods(pod.service, *node) < *home && fits(node);
        if let Some((node, _)) = self.home.of(pod.service).find(returns) {
            return Some(node);
        }
        let left = |node: &usize| {
            at(&self.free, *node)
                .minus(pod.demand)
                .share_of(at(&self.problem.nodes, *node))
        };
        if !self.filed.is_empty() {
            let mut roomy = self
                .filed
                .range((at(&pod.demand.0, self.scarce), 0)..)
                .map(|(_, node)| *node);
            let near = roomy.by_ref().take(LOOKED_AT).filter(fits);
            let tightest = near.min_by(|a, b| left(a).total_cmp(&left(b)));
            return tightest.or_else(|| roomy.find(fits));
        }
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
