//! The layout while it is searched: counts, loads, and for every service and node what one pod more or less would be worth.
//!
//! Only services with traffic are seated here. The others ("idle" ones) are alike to the objective: what matters of them is
//! how many must leave a node so that what is seated there has room. They are given their nodes in the end, by
//! [`settle`](super::settle).

use super::problem::{Amount, Problem, Tie};
use super::table::{Table, at, put};

/// The services with traffic, numbered anew from 0, most worth per pod first.
#[derive(Debug)]
pub(super) struct Core<'a> {
    pub(super) problem: &'a Problem,
    pub(super) ids: Vec<usize>,
    pub(super) ties: Vec<Vec<Tie>>,
    pub(super) demand: Vec<Amount>,
    pub(super) replicas: Vec<u32>,
    pub(super) worth: Vec<i64>,
    /// The first pod of each service in [`State::seats`]; one more entry at the end.
    pub(super) first: Vec<usize>,
    home: Table<i32>,
    /// Per node: what its idle pods take after 0, 1, 2… of them, the largest first, have left.
    idle: Vec<Vec<Amount>>,
}

impl<'a> Core<'a> {
    pub(super) fn new(problem: &'a Problem) -> Self {
        let mut ids: Vec<usize> = (0..problem.services())
            .filter(|s| !problem.ties_of(*s).is_empty())
            .collect();
        ids.sort_by_key(|s| (std::cmp::Reverse(problem.pod_worth(*s)), *s));
        let mut number = vec![usize::MAX; problem.services()];
        for (new, old) in ids.iter().enumerate() {
            put(&mut number, *old, new);
        }
        let renumbered = |tie: &Tie| Tie {
            other: at(&number, tie.other),
            ..*tie
        };
        let mut home = Table::new(ids.len(), problem.nodes());
        let mut first = vec![0];
        for (new, old) in ids.iter().enumerate() {
            for (node, pods) in problem.services.get(*old).iter().flat_map(|s| &s.home) {
                home.put(new, *node, *pods as i32);
            }
            first.push(first.last().copied().unwrap_or_default() + at(&problem.replicas, *old) as usize);
        }
        Self {
            ties: ids
                .iter()
                .map(|s| problem.ties_of(*s).iter().map(renumbered).collect())
                .collect(),
            demand: ids.iter().map(|s| problem.demand(*s)).collect(),
            replicas: ids.iter().map(|s| at(&problem.replicas, *s)).collect(),
            worth: ids.iter().map(|s| problem.pod_worth(*s)).collect(),
            idle: idle(problem),
            problem,
            ids,
            first,
            home,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    #[inline]
    pub(super) fn ties_of(&self, service: usize) -> &[Tie] {
        self.ties.get(service).map(Vec::as_slice).unwrap_or_default()
    }

    fn caps_of(&self, service: usize) -> &[usize] {
        self.problem.caps_of(at(&self.ids, service))
    }
}

fn idle(problem: &Problem) -> Vec<Vec<Amount>> {
    (0..problem.nodes())
        .map(|node| {
            let sizes = super::settle::idle_pods(problem, node)
                .into_iter()
                .map(|pod| pod.demand);
            let sizes: Vec<Amount> = sizes.collect();
            let mut left = sizes.iter().fold(Amount::default(), |sum, size| sum.plus(*size));
            let mut steps = vec![left];
            for size in sizes {
                left = left.minus(size);
                steps.push(left);
            }
            steps
        })
        .collect()
}

/// What one change would do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub(super) service: usize,
    pub(super) node: usize,
    pub(super) pods: i32,
}

/// The layout of the services with traffic, and all that is derived from it, kept up to date change by change.
#[derive(Debug)]
pub(super) struct State<'a> {
    pub(super) core: &'a Core<'a>,
    pub(super) pods: Table<i32>,
    pub(super) up: Table<i64>,
    pub(super) down: Table<i64>,
    pub(super) load: Vec<Amount>,
    capped: Table<u32>,
    /// The node of every pod, service by service.
    pub(super) seats: Vec<u32>,
    /// Idle pods that must leave, per node.
    evicted: Vec<u32>,
    pub(super) evictions: i64,
    pub(super) moved: i64,
    pub(super) gain: i64,
    /// Gain units that one moved pod costs. 0: moves are free, and not counted.
    pub(super) price: i64,
}

impl<'a> State<'a> {
    /// Nobody seated.
    pub(super) fn empty(core: &'a Core<'a>) -> Self {
        let (services, nodes) = (core.len(), core.problem.nodes());
        Self {
            pods: Table::new(services, nodes),
            up: Table::new(services, nodes),
            down: Table::new(services, nodes),
            load: vec![Amount::default(); nodes],
            capped: Table::new(core.problem.caps.len(), nodes),
            seats: vec![0; core.first.last().copied().unwrap_or_default()],
            evicted: vec![0; nodes],
            evictions: 0,
            moved: 0,
            gain: 0,
            price: 0,
            core,
        }
    }

    /// Everybody seated as a layout says.
    pub(super) fn seated(core: &'a Core<'a>, price: i64, count: impl Fn(usize, usize) -> u32) -> Self {
        let mut state = Self::empty(core);
        state.price = price;
        for service in 0..core.len() {
            let mut seat = at(&core.first, service);
            for node in 0..core.problem.nodes() {
                let pods = count(service, node);
                for _ in 0..pods {
                    put(&mut state.seats, seat, node as u32);
                    seat += 1;
                }
                state.shift(Change {
                    service,
                    node,
                    pods: pods as i32,
                });
            }
        }
        state.moved = 0;
        for service in 0..core.len() {
            for node in 0..core.problem.nodes() {
                state.moved += i64::from((core.home.at(service, node) - state.pods.at(service, node)).max(0));
            }
        }
        for node in 0..core.problem.nodes() {
            state.renew_evicted(node);
        }
        state
    }

    pub(super) fn copy_from(&mut self, other: &Self) {
        self.pods.copy_from(&other.pods);
        self.up.copy_from(&other.up);
        self.down.copy_from(&other.down);
        self.capped.copy_from(&other.capped);
        self.load.clone_from(&other.load);
        self.seats.clone_from(&other.seats);
        self.evicted.clone_from(&other.evicted);
        (self.evictions, self.moved) = (other.evictions, other.moved);
        (self.gain, self.price) = (other.gain, other.price);
    }

    /// All pods that leave their node, idle ones included.
    pub(super) fn moves(&self) -> i64 {
        self.moved + self.evictions
    }

    /// Gain less the price of the moves.
    pub(super) fn value(&self) -> i64 {
        self.gain - self.price * self.moves()
    }

    #[inline]
    pub(super) fn capacity(&self, node: usize) -> Amount {
        at(&self.core.problem.nodes, node)
    }

    /// Takes `pods` pods of a service from one node to another, whether they fit or not.
    pub(super) fn carry(&mut self, service: usize, from: usize, to: usize, pods: i32) {
        self.shift(Change {
            service,
            node: from,
            pods: -pods,
        });
        self.shift(Change {
            service,
            node: to,
            pods,
        });
    }

    /// Adds pods to (or, below 0, takes pods from) a node, whether they fit or not.
    pub(super) fn shift(&mut self, change: Change) {
        let Change { service, node, pods } = change;
        let old = i64::from(self.pods.at(service, node));
        let new = old + i64::from(pods);
        self.pods.put(service, node, new as i32);
        let demand = at(&self.core.demand, service);
        let load = at(&self.load, node).plus(demand.times(i64::from(pods)));
        put(&mut self.load, node, load);
        for cap in self.core.caps_of(service) {
            self.capped
                .put(*cap, node, self.capped.at(*cap, node).saturating_add_signed(pods));
        }
        let home = self.core.home.at(service, node);
        self.moved += i64::from((home - new as i32).max(0) - (home - old as i32).max(0));
        let (mut up, mut down) = (0, 0);
        for tie in self.core.ties_of(service) {
            let there = i64::from(self.pods.at(tie.other, node));
            let other = tie.theirs * there;
            let (before, after) = (tie.own * old, tie.own * new);
            let (now, was) = (after.min(other), before.min(other));
            self.gain += now - was;
            up += (after + tie.own).min(other) - now;
            down += (after - tie.own).min(other) - now;
            let more = other + tie.theirs;
            let gained = (more.min(after) - now) - (more.min(before) - was);
            self.up.put(tie.other, node, self.up.at(tie.other, node) + gained);
            if there > 0 {
                let less = other - tie.theirs;
                let lost = (less.min(after) - now) - (less.min(before) - was);
                self.down.put(tie.other, node, self.down.at(tie.other, node) + lost);
            }
        }
        self.up.put(service, node, up);
        self.down.put(service, node, if new > 0 { down } else { 0 });
    }

    /// How many moves one pod's way between nodes adds (−1, 0 or 1), idle pods aside.
    #[inline]
    pub(super) fn way(&self, service: usize, from: usize, to: usize) -> i64 {
        let leaves = self.pods.at(service, from) <= self.core.home.at(service, from);
        let returns = self.pods.at(service, to) < self.core.home.at(service, to);
        i64::from(leaves) - i64::from(returns)
    }

    /// How many idle pods must leave a node for a load to have room.
    #[inline]
    pub(super) fn evicted_at(&self, node: usize, load: Amount) -> u32 {
        let Some(steps) = self.core.idle.get(node) else {
            return 0;
        };
        let room = self.capacity(node).minus(load);
        let mut count = at(&self.evicted, node) as usize;
        while count + 1 < steps.len() && !at(steps, count).fits(room) {
            count += 1;
        }
        while count > 0 && at(steps, count - 1).fits(room) {
            count -= 1;
        }
        count as u32
    }

    pub(super) fn renew_evicted(&mut self, node: usize) {
        if self.price > 0 {
            let count = self.evicted_at(node, at(&self.load, node));
            self.evictions += i64::from(count) - i64::from(at(&self.evicted, node));
            put(&mut self.evicted, node, count);
        }
    }

    /// Evictions on two nodes if their loads were these, less those of now.
    #[inline]
    pub(super) fn evictions_change(&self, (a, load_a): (usize, Amount), (b, load_b): (usize, Amount)) -> i64 {
        let now = i64::from(at(&self.evicted, a)) + i64::from(at(&self.evicted, b));
        i64::from(self.evicted_at(a, load_a)) + i64::from(self.evicted_at(b, load_b)) - now
    }

    /// Whether so many more pods of a service may run on a node, capacity aside, once `leaving` has left it.
    #[inline]
    pub(super) fn admits(&self, service: usize, node: usize, pods: u32, leaving: Option<(usize, u32)>) -> bool {
        if !self.core.problem.may_run(at(&self.core.ids, service), node) {
            return false;
        }
        self.core.caps_of(service).iter().all(|cap| {
            let shared = leaving.filter(|(other, _)| self.core.caps_of(*other).contains(cap));
            let left = self
                .capped
                .at(*cap, node)
                .saturating_sub(shared.map(|(_, pods)| pods).unwrap_or_default());
            left + pods <= at(&self.core.problem.caps, *cap)
        })
    }

    /// Where a pod sits: the index of its seat and its node.
    #[inline]
    pub(super) fn seat(&self, service: usize, pod: usize) -> (usize, usize) {
        let seat = at(&self.core.first, service) + pod;
        (seat, at(&self.seats, seat) as usize)
    }

    /// Books pods of one service from one node to another in the list of seats.
    pub(super) fn reseat(&mut self, service: usize, from: usize, to: usize, pods: i32) {
        let range = at(&self.core.first, service)..at(&self.core.first, service + 1);
        let seats = self.seats.get_mut(range).unwrap_or_default();
        for seat in seats
            .iter_mut()
            .filter(|seat| **seat == from as u32)
            .take(pods.max(0) as usize)
        {
            *seat = to as u32;
        }
    }
}
