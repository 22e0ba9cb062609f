//! Simulated annealing: single pods, swaps, and whole clusters of services that sit together.
//!
//! Cluster moves are what finds the coarse shape: the services on one node that are tied more strongly than the temperature
//! move as one (the bond rule of U. Wolff, "Collective Monte Carlo updating for spin systems", 1989).

use super::core::Core;
use super::random::Dice;
use super::state::{Change, State};
use super::table::{at, put};

/// Single moves of one [`Annealer::batch`]: so many per pod, within these bounds.
const SINGLES_PER_POD: usize = 16;
const SINGLES: (usize, usize) = (256, 4096);
/// One cluster move for so many single ones; it takes about as long.
const SINGLES_PER_CLUSTER: usize = 40;
/// Where moves cost, one attempt to exchange all that sits on two nodes for so many single moves.
const SINGLES_PER_EXCHANGE: usize = 100;
/// Where moves cost, so many of 256 targets are a node where the service has a pod at home.
const HOMING: u64 = 32;
/// Entries of the table by which services are picked: a power of two.
const PICKS: usize = 8192;
/// Entries of the table of logarithms: a power of two that stays in the first cache.
const LOGS: usize = 4096;
/// Services that move as one, at most.
const LARGEST_CLUSTER: usize = 12;

/// The searcher's tools beside the state: dice, the pick table of the temperature, scratch lists.
#[derive(Debug)]
pub(super) struct Annealer {
    pub(super) dice: Dice,
    singles: usize,
    temperature: f64,
    picks: Vec<u16>,
    picks_at: f64,
    /// −ln of a number evenly spread over 0..1: the energy that chance grants, in temperatures.
    logs: Vec<f64>,
    /// Which services may move of themselves.
    pub(super) free: Vec<bool>,
    /// Whether the others may not even make room or follow.
    pub(super) strict: bool,
    /// Which services are seated.
    pub(super) present: Vec<bool>,
    cluster: Vec<usize>,
    changes: Vec<(usize, usize, usize, i32)>,
}

impl Annealer {
    pub(super) fn new(seed: u64, core: &Core<'_>) -> Self {
        let (services, pods) = (core.len(), core.home_seats.len());
        Self {
            dice: Dice::new(seed),
            singles: (pods * SINGLES_PER_POD).clamp(SINGLES.0, SINGLES.1),
            temperature: 0.0,
            picks: Vec::new(),
            picks_at: 0.0,
            logs: (0..LOGS).map(|i| -((i as f64 + 0.5) / LOGS as f64).ln()).collect(),
            free: vec![true; services],
            strict: false,
            present: vec![true; services],
            cluster: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// With so many single moves for each pod in a batch.
    pub(super) fn with_singles(mut self, per_pod: usize, core: &Core<'_>) -> Self {
        self.singles = (core.home_seats.len() * per_pod).clamp(SINGLES.0, SINGLES.1);
        self
    }

    /// The set of free or present services has changed.
    pub(super) fn refresh(&mut self) {
        self.picks_at = 0.0;
    }

    /// A few thousand attempts at one temperature, in gain units.
    pub(super) fn batch(&mut self, state: &mut State<'_>, temperature: f64) {
        self.temperature = temperature;
        if (temperature / self.picks_at - 1.0).abs() > 0.03 || self.picks_at == 0.0 {
            self.renew_picks(state);
        }
        if self.picks.is_empty() {
            return;
        }
        for _ in 0..self.singles / SINGLES_PER_CLUSTER {
            self.cluster(state);
        }
        for _ in 0..self.singles {
            self.single(state);
        }
        if state.price > 0 && state.counts_pods() && state.core.fixed.is_empty() {
            for _ in 0..self.singles / SINGLES_PER_EXCHANGE {
                self.exchange_nodes(state);
            }
        }
    }

    /// Pods are picked where the temperature decides: those worth far less only fill the room, those worth far more are frozen.
    fn renew_picks(&mut self, state: &State<'_>) {
        self.picks_at = self.temperature;
        let weight = |service: usize| {
            let movable = at(&self.free, service) && at(&self.present, service) && !at(&state.core.fixed, service);
            let warmth = at(&state.core.worth, service) as f64 / self.temperature;
            let interest = if warmth == 0.0 {
                // Without traffic, seated here only to make room.
                0.3
            } else if warmth < 0.1 {
                warmth * 10.0
            } else if warmth > 30.0 {
                (30.0 / warmth).max(0.02)
            } else {
                1.0
            };
            if movable {
                f64::from(at(&state.core.replicas, service)) * interest
            } else {
                0.0
            }
        };
        let weights: Vec<f64> = (0..state.core.len().min(usize::from(u16::MAX))).map(weight).collect();
        let total: f64 = weights.iter().sum();
        self.picks.clear();
        if total <= 0.0 {
            return;
        }
        let (mut sum, mut last) = (0.0, 0);
        for (service, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            sum += weight / total;
            last = service as u16;
            while self.picks.len() < PICKS && (self.picks.len() as f64 + 0.5) / (PICKS as f64) < sum {
                self.picks.push(last);
            }
        }
        self.picks.resize(PICKS, last);
    }

    #[inline]
    fn pick(&self, bits: u64) -> usize {
        usize::from(at(&self.picks, bits as usize % PICKS))
    }

    #[inline]
    fn pod_of(state: &State<'_>, service: usize, bits: u64) -> (usize, usize) {
        let pods = u64::from(at(&state.core.replicas, service));
        state.seat(service, (((bits & 0xffff) * pods) >> 16) as usize)
    }

    /// What chance grants for one attempt.
    #[inline]
    fn grant(&self, bits: u64) -> i64 {
        (self.temperature * at(&self.logs, bits as usize % LOGS)) as i64
    }

    /// Any node, or (three times of four) the node of a pod that this service talks with.
    #[inline]
    fn target(&mut self, state: &State<'_>, service: usize) -> Option<usize> {
        let bits = self.dice.bits();
        if state.price > 0 && ((bits >> 20) & 0xff) < HOMING {
            let (seat, _) = Self::pod_of(state, service, bits >> 18);
            return Some(at(&state.core.home_seats, seat) as usize);
        }
        if bits & 3 == 0 {
            return Some(((((bits >> 32) & 0xffff_ffff) * state.load.len() as u64) >> 32) as usize);
        }
        let ties = state.core.ties_of(service);
        let tie = ties.get(((((bits >> 2) & 0xffff) * ties.len() as u64) >> 16) as usize)?;
        at(&self.present, tie.other).then(|| Self::pod_of(state, tie.other, bits >> 18).1)
    }

    fn single(&mut self, state: &mut State<'_>) {
        let bits = self.dice.bits();
        let service = self.pick(bits);
        let (seat, from) = Self::pod_of(state, service, bits >> 13);
        let Some(to) = self.target(state, service).filter(|to| *to != from) else {
            return;
        };
        let grant = self.grant(bits >> 32);
        let gain = state.down.at(service, from) + state.up.at(service, to) + grant;
        let moves = if state.price > 0 {
            state.way(service, from, to)
        } else {
            0
        };
        // Even three idle pods that may stay cannot pay for it.
        if gain - state.price * (moves - 3) < 0 {
            return;
        }
        let demand = at(&state.core.demand, service);
        let filled = at(&state.load, to).plus(demand);
        if !filled.fits(state.capacity(to)) || !state.admits(service, to, 1, None) {
            return self.swap(state, (service, seat, from, to), grant);
        }
        let left = at(&state.load, from).minus(demand);
        let evictions = if state.price > 0 {
            state.evictions_change((from, left), (to, filled))
        } else {
            0
        };
        if gain - state.price * (moves + evictions) >= 0 {
            state.carry(service, from, to, 1);
            put(&mut state.seats, seat, to as u32);
            state.renew_evicted(from);
            state.renew_evicted(to);
        }
    }

    /// The target is full: a pod there changes places with this one.
    fn swap(&mut self, state: &mut State<'_>, (service, seat, from, to): (usize, usize, usize, usize), grant: i64) {
        for _ in 0..8 {
            let bits = self.dice.bits();
            let other = self.pick(bits);
            let (other_seat, place) = Self::pod_of(state, other, bits >> 13);
            if place != to || other == service {
                continue;
            }
            let (ours, theirs) = (at(&state.core.demand, service), at(&state.core.demand, other));
            let there = at(&state.load, to).plus(ours).minus(theirs);
            let here = at(&state.load, from).minus(ours).plus(theirs);
            if !there.fits(state.capacity(to))
                || !here.fits(state.capacity(from))
                || !state.admits(service, to, 1, Some((other, 1)))
                || !state.admits(other, from, 1, Some((service, 1)))
            {
                return;
            }
            let tied = state.core.ties_of(service).iter().any(|tie| tie.other == other);
            let apart = state.down.at(service, from)
                + state.up.at(service, to)
                + state.down.at(other, to)
                + state.up.at(other, from);
            if !tied && state.price == 0 && apart + grant < 0 {
                return;
            }
            let before = state.value();
            let ways = [(service, from, to), (other, to, from)];
            exchange(state, ways);
            if state.value() - before + grant >= 0 {
                put(&mut state.seats, seat, to as u32);
                put(&mut state.seats, other_seat, from as u32);
            } else {
                exchange(state, ways.map(|(service, from, to)| (service, to, from)));
            }
            return;
        }
    }

    /// Services that sit together on one node move together to another; what is in their way changes places with them.
    fn cluster(&mut self, state: &mut State<'_>) {
        let bits = self.dice.bits();
        let service = self.pick(bits);
        let (_, from) = Self::pod_of(state, service, bits >> 13);
        let Some(to) = self.target(state, service).filter(|to| *to != from) else {
            return;
        };
        let before = state.value();
        self.grow(state, service, from);
        let share = if self.dice.below(2) == 0 { 1.0 } else { self.dice.unit() };
        self.changes.clear();
        for index in 0..self.cluster.len() {
            let service = at(&self.cluster, index);
            let exact = f64::from(state.pods.at(service, from)) * share;
            let pods = exact.floor() as i32 + i32::from(self.dice.unit() < exact.fract());
            self.carry(state, (service, from, to, pods));
        }
        let fits = self.make_room(state, from, to);
        for node in [from, to] {
            state.renew_evicted(node);
        }
        let bits = self.dice.bits();
        if fits && state.value() - before + self.grant(bits) >= 0 {
            for (service, from, to, pods) in &self.changes {
                state.reseat(*service, *from, *to, *pods);
            }
            return;
        }
        for (service, from, to, pods) in self.changes.iter().rev() {
            state.carry(*service, *to, *from, *pods);
        }
        for node in [from, to] {
            state.renew_evicted(node);
        }
    }

    /// All that sits on two nodes changes places: it gains nothing, but may bring pods nearer home.
    fn exchange_nodes(&mut self, state: &mut State<'_>) {
        let nodes = state.load.len();
        let (a, b) = (self.dice.below(nodes), self.dice.below(nodes));
        let (load_a, load_b) = (at(&state.load, a), at(&state.load, b));
        if a == b || !load_a.fits(state.capacity(b)) || !load_b.fits(state.capacity(a)) {
            return;
        }
        let bits = self.dice.bits();
        let way = state.swap_way(a, b) + state.evictions_change((a, load_b), (b, load_a));
        if state.price * way > self.grant(bits) {
            return;
        }
        self.changes.clear();
        self.cluster.clear();
        for service in 0..state.core.len() {
            let extra = state.pods.at(service, a) - state.pods.at(service, b);
            let way = if extra > 0 {
                (service, a, b, extra)
            } else {
                (service, b, a, -extra)
            };
            self.carry(state, way);
        }
        let admitted = self
            .changes
            .iter()
            .all(|(service, _, to, _)| state.admits(*service, *to, 0, None));
        if admitted {
            for (service, from, to, pods) in &self.changes {
                state.reseat(*service, *from, *to, *pods);
            }
        } else {
            for (service, from, to, pods) in self.changes.iter().rev() {
                state.carry(*service, *to, *from, *pods);
            }
        }
        state.renew_evicted(a);
        state.renew_evicted(b);
    }

    fn carry(&mut self, state: &mut State<'_>, way: (usize, usize, usize, i32)) {
        let (service, from, to, pods) = way;
        if pods > 0 {
            state.carry(service, from, to, pods);
            self.changes.push(way);
        }
    }

    /// Whether a service may move with another or make room for it.
    #[inline]
    fn may_follow(&self, state: &State<'_>, service: usize) -> bool {
        !at(&state.core.fixed, service) && (!self.strict || at(&self.free, service))
    }

    /// Gathers a service and those tied to it on its node, each the more likely the stronger the tie.
    fn grow(&mut self, state: &State<'_>, service: usize, node: usize) {
        self.cluster.clear();
        self.cluster.push(service);
        let mut next = 0;
        while let Some(member) = self.cluster.get(next).copied() {
            next += 1;
            let pods = i64::from(state.pods.at(member, node));
            for tie in state.core.ties_of(member) {
                let others = i64::from(state.pods.at(tie.other, node));
                if self.cluster.len() >= LARGEST_CLUSTER {
                    return;
                }
                let free = self.may_follow(state, tie.other);
                if others > 0 && free && !self.cluster.contains(&tie.other) {
                    let bits = self.dice.bits();
                    if self.grant(bits) < (tie.own * pods).min(tie.theirs * others) {
                        self.cluster.push(tie.other);
                    }
                }
            }
        }
    }

    /// Sends others from the full node to the one that was left, until the cluster fits. False where it does not.
    fn make_room(&mut self, state: &mut State<'_>, from: usize, to: usize) -> bool {
        for _ in 0..=8 {
            if at(&state.load, to).fits(state.capacity(to)) {
                return self
                    .changes
                    .iter()
                    .all(|(service, _, to, _)| state.admits(*service, *to, 0, None));
            }
            let services = state.core.len();
            let start = self.dice.below(services);
            let free = |service: &usize| self.may_follow(state, *service);
            let sits =
                |service: &usize| state.pods.at(*service, to) > 0 && free(service) && !self.cluster.contains(service);
            let Some(other) = (start..services).chain(0..start).find(sits) else {
                return false;
            };
            let demand = at(&state.core.demand, other);
            let excess = at(&state.load, to).minus(state.capacity(to));
            let enough = excess
                .0
                .iter()
                .zip(demand.0)
                .filter(|(over, each)| **over > 0 && *each > 0);
            let enough = enough.map(|(over, each)| (over + each - 1) / each).max().unwrap_or(1);
            let room = demand.goes_into(state.capacity(from).minus(at(&state.load, from)));
            let mut pods = i64::from(state.pods.at(other, to)).min(room);
            if self.dice.below(2) == 0 {
                pods = pods.min(enough);
            }
            self.carry(state, (other, to, from, pods as i32));
        }
        false
    }
}

fn exchange(state: &mut State<'_>, ways: [(usize, usize, usize); 2]) {
    for (service, from, _) in ways {
        state.shift(Change {
            service,
            node: from,
            pods: -1,
        });
    }
    for (service, from, to) in ways {
        state.shift(Change {
            service,
            node: to,
            pods: 1,
        });
        state.renew_evicted(from);
    }
}
