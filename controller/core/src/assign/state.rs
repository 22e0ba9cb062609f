//! The layout while it is searched: counts, loads, and for every service and node what one pod more or less would be worth.
//!
//! Only services with traffic are seated here. The others ("idle" ones) are alike to the objective: what matters of them is
//! how many must leave a node so that what is seated there has room. They are given their nodes in the end, by
//! [`settle`](super::settle).

use super::core::Core;
use super::problem::Amount;
use super::table::{Table, at, put};

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
    /// Pods away from home, per service.
    pub(super) away: Vec<i32>,
    /// What they count, service by service, for 0, 1, 2… pods; empty: each pod counts 1.
    charges: Vec<i64>,
    pub(super) moved: i64,
    pub(super) gain: i64,
    /// Gain units that one moved pod costs. 0: moves are free, and not counted.
    pub(super) price: i64,
}

impl<'a> State<'a> {
    /// Nobody seated.
    pub(super) fn empty(core: &'a Core<'a>) -> Self {
        let (services, nodes) = (core.len(), core.nodes());
        let mut capped = Table::new(core.caps.len(), nodes);
        for (cap, node, pods) in &core.occupied {
            capped.put(*cap, *node, capped.at(*cap, *node) + pods);
        }
        Self {
            pods: Table::new(services, nodes),
            up: Table::new(services, nodes),
            down: Table::new(services, nodes),
            load: vec![Amount::default(); nodes],
            capped,
            seats: vec![0; core.first.last().copied().unwrap_or_default()],
            evicted: vec![0; nodes],
            evictions: 0,
            away: vec![0; services],
            charges: Vec::new(),
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
            for node in 0..core.nodes() {
                let pods = count(service, node);
                if pods == 0 {
                    continue;
                }
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
        for service in 0..core.len() {
            let rows = core.home.row(service).iter().zip(state.pods.row(service));
            put(
                &mut state.away,
                service,
                rows.map(|(home, pods)| (home - pods).max(0)).sum(),
            );
        }
        state.moved = state.away.iter().map(|away| i64::from(*away)).sum();
        for node in 0..core.nodes() {
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
        self.away.clone_from(&other.away);
        self.charges.clone_from(&other.charges);
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
        at(&self.core.capacity, node)
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
        let left = (home - new as i32).max(0) - (home - old as i32).max(0);
        if left != 0 {
            let away = at(&self.away, service);
            self.moved += self.charge(service, away + left) - self.charge(service, away);
            put(&mut self.away, service, away + left);
        }
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
        let more = i32::from(leaves) - i32::from(returns);
        if more == 0 || self.charges.is_empty() {
            return i64::from(more);
        }
        let away = at(&self.away, service);
        self.charge(service, away + more) - self.charge(service, away)
    }

    /// Whether every pod away from home counts alike.
    pub(super) fn counts_pods(&self) -> bool {
        self.charges.is_empty()
    }

    /// What so many pods of a service away from home count, in moves (or in the units of [`State::charges`]).
    #[inline]
    fn charge(&self, service: usize, away: i32) -> i64 {
        if self.charges.is_empty() {
            return i64::from(away);
        }
        at(
            &self.charges,
            at(&self.core.first, service) + service + away.max(0) as usize,
        )
    }

    /// Sets what a service's pods away from home count: `of(replicas, away)`, in units of the caller's choice.
    pub(super) fn recharge(&mut self, of: impl Fn(u32, u32) -> i64) {
        self.charges.clear();
        for replicas in &self.core.replicas {
            self.charges.extend((0..=*replicas).map(|away| of(*replicas, away)));
        }
        self.moved = (0..self.core.len()).map(|s| self.charge(s, at(&self.away, s))).sum();
    }

    /// How many moves the services of two nodes would add if they changed places, idle pods aside.
    pub(super) fn swap_way(&self, a: usize, b: usize) -> i64 {
        let mut way = 0;
        for service in 0..self.core.len() {
            let (on_a, on_b) = (self.pods.at(service, a), self.pods.at(service, b));
            if on_a != on_b {
                let (home_a, home_b) = (self.core.home.at(service, a), self.core.home.at(service, b));
                way +=
                    (home_a - on_b).max(0) + (home_b - on_a).max(0) - (home_a - on_a).max(0) - (home_b - on_b).max(0);
            }
        }
        i64::from(way)
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
        if !self
            .core
            .problem
            .may_run(at(&self.core.ids, service), at(&self.core.node_ids, node))
        {
            return false;
        }
        self.core.caps_of(service).iter().all(|cap| {
            let shared = leaving.filter(|(other, _)| self.core.caps_of(*other).contains(cap));
            let left = self
                .capped
                .at(*cap, node)
                .saturating_sub(shared.map(|(_, pods)| pods).unwrap_or_default());
            left + pods <= at(&self.core.caps, *cap)
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
