//! What the search needs to know of its problem, in the order in which it asks: services with traffic and nodes, renumbered.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::Layout;
use super::problem::{Amount, Problem, Tie};
use super::table::{Table, at, put};

/// Up to so many pods all are searched.
const FEW_PODS: u64 = 256;

/// Services with traffic and the nodes they may use, both numbered anew from 0; services with most worth per pod first.
#[derive(Debug)]
pub(super) struct Core<'a> {
    pub(super) problem: &'a Problem,
    pub(super) ids: Vec<usize>,
    pub(super) node_ids: Vec<usize>,
    pub(super) ties: Vec<Vec<Tie>>,
    pub(super) demand: Vec<Amount>,
    pub(super) replicas: Vec<u32>,
    pub(super) worth: Vec<i64>,
    /// What one pod is worth on average, in gain units: the scale of temperatures.
    pub(super) pod_worth: f64,
    /// The first pod of each service in [`State::seats`](super::state::State::seats); one more entry at the end.
    pub(super) first: Vec<usize>,
    /// What every node has for the services here.
    pub(super) capacity: Vec<Amount>,
    pub(super) home: Table<i32>,
    /// The node of every pod at home, in the order of [`State::seats`](super::state::State::seats).
    pub(super) home_seats: Vec<u32>,
    /// Per node: what its idle pods take after 0, 1, 2… of them, the largest first, have left. Empty: they are not counted.
    pub(super) idle: Vec<Vec<Amount>>,
    /// Services that stay where they are; empty: none.
    pub(super) fixed: Vec<bool>,
    /// Whether services without traffic are among these.
    pub(super) complete: bool,
    caps_of: Vec<Vec<usize>>,
    pub(super) caps: Vec<u32>,
    cap_numbers: BTreeMap<usize, usize>,
    /// What others hold of caps: cap, node and pods.
    pub(super) occupied: Vec<(usize, usize, u32)>,
}

impl<'a> Core<'a> {
    /// All services with traffic, on all nodes; idle pods that leave are counted as moves. Where there are few pods, those
    /// without traffic are seated too: counting them is not exact.
    pub(super) fn new(problem: &'a Problem, home: &Layout) -> Self {
        if problem.pods() > FEW_PODS {
            return Self::talking(problem, home);
        }
        let all = (0..problem.services()).collect();
        let mut core = Self::part(problem, home, all, (0..problem.nodes()).collect());
        core.complete = true;
        core
    }

    /// All services with traffic, on all nodes.
    fn talking(problem: &'a Problem, home: &Layout) -> Self {
        let services = (0..problem.services())
            .filter(|s| !problem.ties_of(*s).is_empty())
            .collect();
        let mut core = Self::part(problem, home, services, (0..problem.nodes()).collect());
        core.idle = idle(problem, home);
        core
    }

    /// All services with traffic, on what the idle pods leave of the nodes: these stay where they are.
    pub(super) fn beside_idle(problem: &'a Problem, home: &Layout) -> Self {
        let mut core = Self::talking(problem, home);
        for (capacity, steps) in core.capacity.iter_mut().zip(&core.idle) {
            *capacity = capacity.minus(steps.first().copied().unwrap_or_default());
        }
        core.idle.clear();
        for service in (0..problem.services()).filter(|service| problem.ties_of(*service).is_empty()) {
            let caps: Vec<usize> = problem
                .caps_of(service)
                .iter()
                .filter_map(|cap| core.cap_numbers.get(cap).copied())
                .collect();
            for (node, pods) in home.of(service) {
                core.occupied.extend(caps.iter().map(|cap| (*cap, node, pods)));
            }
        }
        core
    }

    /// Some services on some nodes, which are theirs alone; traffic with others is left out.
    pub(super) fn part(problem: &'a Problem, home: &Layout, services: Vec<usize>, nodes: Vec<usize>) -> Self {
        let mut ids = services;
        let mut number = vec![usize::MAX; problem.services()];
        for id in &ids {
            put(&mut number, *id, 0);
        }
        let inside = |id: usize| -> Vec<Tie> {
            let ties = problem.ties_of(id).iter().copied();
            ties.filter(|tie| at(&number, tie.other) == 0).collect()
        };
        let worth = |id: usize| -> i64 { inside(id).iter().map(|tie| tie.own).sum() };
        ids.sort_by_cached_key(|s| (std::cmp::Reverse(worth(*s)), *s));
        let worth: Vec<i64> = ids.iter().map(|s| worth(*s)).collect();
        let replicas: Vec<u32> = ids.iter().map(|s| at(&problem.replicas, *s)).collect();
        let whole: f64 = worth
            .iter()
            .zip(&replicas)
            .map(|(worth, pods)| *worth as f64 * f64::from(*pods))
            .sum();
        let pods: u64 = replicas.iter().map(|pods| u64::from(*pods)).sum();
        let mut ties: Vec<Vec<Tie>> = ids.iter().map(|s| inside(*s)).collect();
        for (new, old) in ids.iter().enumerate() {
            put(&mut number, *old, new);
        }
        for tie in ties.iter_mut().flatten() {
            tie.other = at(&number, tie.other);
        }
        let (caps_of, caps, cap_numbers) = caps(problem, &ids);
        let mut core = Self {
            ties,
            demand: ids.iter().map(|s| problem.demand(*s)).collect(),
            replicas,
            worth,
            pod_worth: (whole / pods.max(1) as f64).max(1.0),
            capacity: nodes.iter().map(|node| at(&problem.nodes, *node)).collect(),
            home: Table::new(ids.len(), nodes.len()),
            home_seats: Vec::new(),
            first: vec![0],
            idle: Vec::new(),
            fixed: Vec::new(),
            complete: false,
            problem,
            ids,
            node_ids: nodes,
            caps_of,
            caps,
            cap_numbers,
            occupied: Vec::new(),
        };
        core.settle_homes(|_| home);
        core
    }

    /// Some services on some nodes, on which all their pods are and which they share with others. Those stay, and what they
    /// take is not there for these; the ones that these talk with are here too, with their pods on these nodes, but fixed.
    /// Idle pods that leave the nodes are counted as moves, and so are these services' pods that are not where `home` has them.
    pub(super) fn region(ground: &Ground<'a>, home: &Layout, services: Vec<usize>, nodes: Vec<usize>) -> Self {
        let (problem, now) = (ground.problem, &ground.layout);
        let movable: BTreeSet<usize> = services.iter().copied().collect();
        let ties = services.iter().flat_map(|service| problem.ties_of(*service));
        let members: BTreeSet<usize> = movable.iter().copied().chain(ties.map(|tie| tie.other)).collect();
        let mut core = Self::part(problem, home, members.iter().copied().collect(), nodes);
        let mut local = vec![usize::MAX; problem.nodes()];
        for (new, old) in core.node_ids.iter().enumerate() {
            put(&mut local, *old, new);
        }
        core.capacity = core.node_ids.iter().map(|node| ground.left(*node)).collect();
        for (service, id) in core.ids.iter().enumerate() {
            let mut inside = 0;
            for (node, pods) in now.of(*id).filter(|(node, _)| at(&local, *node) != usize::MAX) {
                inside += pods;
                if let Some(capacity) = core.capacity.get_mut(at(&local, node)) {
                    *capacity = capacity.plus(problem.demand(*id).times(i64::from(pods)));
                }
            }
            put(&mut core.replicas, service, inside);
        }
        core.fixed = core.ids.iter().map(|id| !movable.contains(id)).collect();
        core.resettle(|id| if movable.contains(&id) { home } else { now });
        if !core.caps.is_empty() {
            let talks = |service: &usize| !problem.ties_of(*service).is_empty();
            for service in (0..problem.services()).filter(|s| talks(s) && !members.contains(s)) {
                let numbers = problem.caps_of(service).iter();
                let caps: Vec<usize> = numbers.filter_map(|cap| core.cap_numbers.get(cap).copied()).collect();
                for (node, pods) in now.of(service).filter(|(node, _)| at(&local, *node) != usize::MAX) {
                    core.occupied
                        .extend(caps.iter().map(|cap| (*cap, at(&local, node), pods)));
                }
            }
        }
        let idle = core.node_ids.iter().map(|node| ground.idle.get(*node).cloned());
        core.idle = idle.map(Option::unwrap_or_default).collect();
        core
    }

    /// The homes of all services anew, each from a layout of its own.
    fn resettle<'l>(&mut self, home: impl Fn(usize) -> &'l Layout) {
        self.home = Table::new(self.ids.len(), self.node_ids.len());
        self.first = vec![0];
        self.home_seats.clear();
        self.settle_homes(home);
    }

    fn settle_homes<'l>(&mut self, home: impl Fn(usize) -> &'l Layout) {
        let mut local = vec![usize::MAX; self.problem.nodes()];
        for (new, old) in self.node_ids.iter().enumerate() {
            put(&mut local, *old, new);
        }
        for (new, old) in self.ids.iter().enumerate() {
            for (node, pods) in home(*old).of(*old) {
                let node = at(&local, node);
                if node != usize::MAX {
                    self.home.put(new, node, pods as i32);
                    self.home_seats.extend(std::iter::repeat_n(node as u32, pods as usize));
                }
            }
            let end = self.first.last().copied().unwrap_or_default() + at(&self.replicas, new) as usize;
            self.first.push(end);
            self.home_seats.resize(end, 0);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn nodes(&self) -> usize {
        self.node_ids.len()
    }

    #[inline]
    pub(super) fn ties_of(&self, service: usize) -> &[Tie] {
        self.ties.get(service).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn caps_of(&self, service: usize) -> &[usize] {
        self.caps_of.get(service).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Where everybody is while regions are searched one after the other, and what that leaves of the nodes.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    pub(super) problem: &'a Problem,
    /// Services with traffic are as they are now; the others are where they were at first.
    pub(super) layout: Layout,
    /// What the services with traffic take of each node.
    loads: Vec<Amount>,
    /// Per node: what its idle pods take after 0, 1, 2… of them have left.
    idle: Vec<Vec<Amount>>,
}

impl<'a> Ground<'a> {
    pub(super) fn new(problem: &'a Problem, layout: &Layout) -> Self {
        let mut loads = vec![Amount::default(); problem.nodes()];
        for service in (0..problem.services()).filter(|s| !problem.ties_of(*s).is_empty()) {
            let demand = problem.demand(service);
            for (node, pods) in layout.of(service) {
                let load = at(&loads, node).plus(demand.times(i64::from(pods)));
                put(&mut loads, node, load);
            }
        }
        Self {
            problem,
            layout: layout.clone(),
            loads,
            idle: idle(problem, layout),
        }
    }

    /// What of a node the services with traffic leave.
    fn left(&self, node: usize) -> Amount {
        at(&self.problem.nodes, node).minus(at(&self.loads, node))
    }

    /// Seats the pods of a service anew.
    pub(super) fn seat(&mut self, service: usize, row: BTreeMap<usize, u32>) {
        let Some(slot) = self.layout.seats.get_mut(service) else {
            return;
        };
        let demand = self.problem.demand(service);
        let old = std::mem::replace(slot, row);
        for (node, pods) in old {
            let load = at(&self.loads, node).minus(demand.times(i64::from(pods)));
            put(&mut self.loads, node, load);
        }
        for (node, pods) in self.layout.of(service) {
            let load = at(&self.loads, node).plus(demand.times(i64::from(pods)));
            put(&mut self.loads, node, load);
        }
    }
}

/// The caps that bind some services, numbered anew.
fn caps(problem: &Problem, ids: &[usize]) -> (Vec<Vec<usize>>, Vec<u32>, BTreeMap<usize, usize>) {
    let mut number: BTreeMap<usize, usize> = BTreeMap::new();
    let mut caps = Vec::new();
    let mut of = Vec::new();
    for id in ids {
        let mut list = Vec::new();
        for cap in problem.caps_of(*id) {
            let new = *number.entry(*cap).or_insert_with(|| {
                caps.push(at(&problem.caps, *cap));
                caps.len() - 1
            });
            list.push(new);
        }
        of.push(list);
    }
    (of, caps, number)
}

fn idle(problem: &Problem, home: &Layout) -> Vec<Vec<Amount>> {
    super::settle::idle_pods(problem, home)
        .into_iter()
        .map(|pods| {
            let mut left = pods.iter().fold(Amount::default(), |sum, pod| sum.plus(pod.demand));
            let mut steps = vec![left];
            for pod in pods {
                left = left.minus(pod.demand);
                steps.push(left);
            }
            steps
        })
        .collect()
}
