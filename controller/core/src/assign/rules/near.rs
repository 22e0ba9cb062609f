//! The layout for same-node-first routing: from the free one on, single pods change places as that routing's own worth says.

use super::super::calls::{Calls, Inflow, NearFirst};
use super::super::cool::between;
use super::super::curve::Share;
use super::super::layout::Layout;
use super::super::problem::{Amount, Problem, WHOLE};
use super::super::random::Dice;
use super::super::search::{Budget, Wish, assign};
use super::super::table::{Table, at, put};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct NearWish {
    /// Where the random choices begin.
    pub seed: u64,
    /// At most so many pods leave their node; `None`: moves are free.
    pub most_moves: Option<u64>,
    /// The most that one pod of a service may get, in shares, for calls to go to the caller's own node first.
    pub most_load: f64,
}

/// The best layout found for same-node-first routing.
#[derive(Clone, Debug)]
pub struct NearAnswer {
    /// Who sits where.
    pub layout: Layout,
    /// Its [`Layout::near_first`].
    pub near: NearFirst,
    /// Pods that leave their node for it.
    pub moves: u64,
    /// Steps the search took.
    pub steps: u64,
}

/// The share of the budget for the free layout from which this search begins.
pub(super) const FOR_FREE: f64 = 0.5;
/// Temperatures, as parts of what a pod with traffic is worth on average, and how dear load beyond the bound is, as a part of what
/// it is worth: from mild to forbidding. Found by trial on M3 (docs/results/planner.md).
const HEAT: (f64, f64) = (0.3, 0.003);
const STRICTNESS: (f64, f64) = (0.5, 100.0);
/// Attempts of one step.
const ATTEMPTS: usize = 1024;
/// Pods that change their node in one attempt, at most.
const CHANGES: usize = 6;

/// Searches for the layout whose [`Layout::near_first`] is largest, from today's, within a budget. Never worse than today's,
/// and never more moves than wished for.
pub fn assign_near(problem: &Problem, wish: NearWish, budget: &mut dyn Budget) -> NearAnswer {
    let (free, steps) = free(problem, wish, &mut *budget, FOR_FREE);
    let mut part = Share::new(&mut *budget, steps, 1.0 - FOR_FREE);
    let found = near(problem, wish, &free, &mut part);
    let steps = part.steps();
    let home = Layout::home(problem);
    let best = NearAnswer {
        near: home.near_first(problem, wish.most_load),
        moves: 0,
        layout: home.clone(),
        steps,
    };
    let better = |best: NearAnswer, layout: Layout| {
        let near = layout.near_first(problem, wish.most_load);
        let moves = layout.moves_from(&home);
        let allowed = wish.most_moves.is_none_or(|most| moves <= most);
        if allowed && near.local > best.near.local {
            NearAnswer {
                layout,
                near,
                moves,
                steps,
            }
        } else {
            best
        }
    };
    [free, found].into_iter().fold(best, better)
}

/// The free layout, in a share of a budget from its beginning; and the steps it took.
pub(super) fn free(problem: &Problem, wish: NearWish, budget: &mut dyn Budget, share: f64) -> (Layout, u64) {
    let free = Wish {
        seed: wish.seed,
        most_moves: wish.most_moves,
        ..Wish::default()
    };
    let mut part = Share::new(budget, 0, share);
    let layout = assign(problem, free, &mut part).layout;
    (layout, part.steps())
}

/// The layout for same-node-first routing, from a free one on.
pub(super) fn near(problem: &Problem, wish: NearWish, free: &Layout, budget: &mut dyn Budget) -> Layout {
    let mut hall = Hall::new(problem, wish, &Layout::home(problem), free);
    if hall.busy.is_empty() {
        free.clone()
    } else {
        hall.search(budget)
    }
}

/// Everybody seated, and what each called service keeps near.
struct Hall<'a> {
    problem: &'a Problem,
    wish: NearWish,
    calls: Calls,
    pods: Table<i32>,
    home: Table<i32>,
    flow: Table<i64>,
    free: Vec<Amount>,
    capped: Table<u32>,
    /// By called service, in gain units, load beyond the bound taken off.
    worth: Vec<i64>,
    total: i64,
    moved: i64,
    strictness: f64,
    /// By pod: its service, its node, and where it stands in the node's list.
    service: Vec<usize>,
    seats: Vec<usize>,
    slot: Vec<usize>,
    /// By node: its pods.
    on: Vec<Vec<usize>>,
    /// By service: its first pod; one more entry at the end.
    first: Vec<usize>,
    /// Services with calls, each as often as it shall be picked.
    busy: Vec<usize>,
    dice: Dice,
    changes: Vec<(usize, usize)>,
    touched: Vec<usize>,
    before: Vec<i64>,
}

impl<'a> Hall<'a> {
    fn new(problem: &'a Problem, wish: NearWish, home: &Layout, layout: &Layout) -> Self {
        let (services, nodes) = (problem.services(), problem.nodes());
        let mut hall = Self {
            problem,
            wish,
            calls: Calls::of(problem),
            pods: Table::new(services, nodes),
            home: Table::new(services, nodes),
            flow: Table::new(services, nodes),
            free: problem.nodes.clone(),
            capped: Table::new(problem.caps.len(), nodes),
            worth: vec![0; services],
            total: 0,
            moved: layout.moves_from(home) as i64,
            strictness: STRICTNESS.0,
            service: Vec::new(),
            seats: Vec::new(),
            slot: Vec::new(),
            on: vec![Vec::new(); nodes],
            first: Vec::new(),
            busy: Vec::new(),
            dice: Dice::new(wish.seed ^ 0x006e_6561_7200),
            changes: Vec::new(),
            touched: Vec::new(),
            before: Vec::new(),
        };
        for service in 0..services {
            hall.first.push(hall.seats.len());
            for (node, pods) in home.of(service) {
                hall.home.put(service, node, pods as i32);
            }
            for (node, pods) in layout.of(service) {
                hall.seat(service, node, pods);
            }
        }
        hall.first.push(hall.seats.len());
        hall.flow = hall.calls.flow(&hall.pods, nodes);
        hall.busy = picks(problem);
        hall.renew_all();
        hall
    }

    fn seat(&mut self, service: usize, node: usize, pods: u32) {
        self.pods.put(service, node, pods as i32);
        let taken = self.problem.demand(service).times(i64::from(pods));
        let left = at(&self.free, node).minus(taken);
        put(&mut self.free, node, left);
        for cap in self.problem.caps_of(service) {
            self.capped.put(*cap, node, self.capped.at(*cap, node) + pods);
        }
        for _ in 0..pods {
            let pod = self.seats.len();
            self.service.push(service);
            self.seats.push(node);
            if let Some(list) = self.on.get_mut(node) {
                self.slot.push(list.len());
                list.push(pod);
            }
        }
    }

    /// One cooling, in which load beyond the bound becomes ever dearer. Answers with the best layout on its way.
    fn search(&mut self, budget: &mut dyn Budget) -> Layout {
        let talking = (0..self.problem.services()).filter(|s| !self.problem.ties_of(*s).is_empty());
        let pods: u32 = talking.map(|service| at(&self.problem.replicas, service)).sum();
        let scale = 2.0 * WHOLE / f64::from(pods.max(1));
        let mut best = (self.exact(), self.layout());
        let mut steps = 0;
        loop {
            let spent = budget.spent(steps);
            if spent >= 1.0 {
                break;
            }
            self.strictness = between(STRICTNESS, spent / 0.9);
            self.renew_all();
            let temperature = between(HEAT, spent / 0.95) * scale;
            for _ in 0..ATTEMPTS {
                self.attempt(temperature);
            }
            steps += 1;
            let exact = self.exact();
            if spent > 0.5 && exact > best.0 {
                best = (exact, self.layout());
            }
        }
        best.1
    }

    /// What stays near, with every service called evenly whose pods would get too much.
    fn exact(&self) -> i64 {
        let services = (0..self.worth.len()).filter(|service| at(&self.calls.whole, *service) > 0);
        services
            .map(|service| {
                let inflow = self.inflow(service);
                if inflow.worst <= self.wish.most_load {
                    inflow.near
                } else {
                    inflow.any
                }
            })
            .sum()
    }

    fn inflow(&self, service: usize) -> Inflow {
        let whole = at(&self.calls.whole, service);
        Inflow::of(
            self.flow.row(service),
            self.pods.row(service),
            whole,
            self.wish.most_load,
        )
    }

    fn worth_of(&self, service: usize) -> i64 {
        let inflow = self.inflow(service);
        if inflow.over > 0.0 {
            inflow.any.max(inflow.near - (inflow.over * self.strictness) as i64)
        } else {
            inflow.near
        }
    }

    fn renew_all(&mut self) {
        self.total = 0;
        for service in 0..self.worth.len() {
            if at(&self.calls.whole, service) > 0 {
                let worth = self.worth_of(service);
                put(&mut self.worth, service, worth);
                self.total += worth;
            }
        }
    }

    /// A pod goes to another node; what is in its way there goes to the node it left.
    fn attempt(&mut self, temperature: f64) {
        let service = at(&self.busy, self.dice.below(self.busy.len()));
        let pod = self.any_pod(service);
        let from = at(&self.seats, pod);
        let Some(to) = self.target(service).filter(|to| *to != from) else {
            return;
        };
        self.changes.clear();
        let moved = self.moved;
        self.carry(pod, to);
        let fits = self.make_room(pod, from, to) && self.allowed();
        let worse = self
            .wish
            .most_moves
            .is_some_and(|most| self.moved > (most as i64).max(moved));
        if !fits || worse || !self.keeps(temperature) {
            while let Some((pod, back)) = self.changes.pop() {
                self.carry(pod, back);
                self.changes.pop();
            }
        }
    }

    /// Works out what the changes come to, and keeps it where chance grants that.
    fn keeps(&mut self, temperature: f64) -> bool {
        self.touched.clear();
        for (pod, _) in &self.changes {
            let service = at(&self.service, *pod);
            let called = self.calls.out_of.get(service).into_iter().flatten();
            self.touched.extend(called.map(|call| call.other).chain([service]));
        }
        self.touched.sort_unstable();
        self.touched.dedup();
        self.before.clear();
        let total = self.total;
        for index in 0..self.touched.len() {
            let service = at(&self.touched, index);
            let before = at(&self.worth, service);
            self.before.push(before);
            if at(&self.calls.whole, service) > 0 {
                let worth = self.worth_of(service);
                self.total += worth - before;
                put(&mut self.worth, service, worth);
            }
        }
        let grant = -temperature * (1.0 - self.dice.unit()).ln();
        if (self.total - total) as f64 + grant >= 0.0 {
            return true;
        }
        for (service, before) in self.touched.iter().zip(&self.before) {
            put(&mut self.worth, *service, *before);
        }
        self.total = total;
        false
    }

    fn any_pod(&mut self, service: usize) -> usize {
        let first = at(&self.first, service);
        first + self.dice.below(at(&self.first, service + 1) - first)
    }

    /// The node of a pod that this service talks with, or (once in four) any.
    fn target(&mut self, service: usize) -> Option<usize> {
        if self.dice.below(4) == 0 {
            return Some(self.dice.below(self.on.len()));
        }
        let ties = self.problem.ties_of(service);
        let other = ties.get(self.dice.below(ties.len()))?.other;
        let pod = self.any_pod(other);
        Some(at(&self.seats, pod))
    }

    fn make_room(&mut self, guest: usize, from: usize, to: usize) -> bool {
        let over = |free: Amount| free.0.iter().any(|room| *room < 0);
        while over(at(&self.free, to)) {
            let there = self.on.get(to).map_or(0, Vec::len);
            let index = self.dice.below(there);
            let Some(other) = self.on.get(to).and_then(|list| list.get(index)).copied() else {
                return false;
            };
            if self.changes.len() >= CHANGES || other == guest {
                return false;
            }
            self.carry(other, from);
        }
        !over(at(&self.free, from))
    }

    /// Whether everybody who moved may be where it is now, room aside.
    fn allowed(&self) -> bool {
        self.changes.iter().all(|(pod, _)| {
            let (service, node) = (at(&self.service, *pod), at(&self.seats, *pod));
            let mut caps = self.problem.caps_of(service).iter();
            self.problem.may_run(service, node)
                && caps.all(|cap| self.capped.at(*cap, node) <= at(&self.problem.caps, *cap))
        })
    }

    /// Takes a pod to a node, whether it fits or not.
    fn carry(&mut self, pod: usize, to: usize) {
        let (service, from) = (at(&self.service, pod), at(&self.seats, pod));
        self.changes.push((pod, from));
        for (node, by) in [(from, -1), (to, 1)] {
            let (old, home) = (self.pods.at(service, node), self.home.at(service, node));
            self.moved += i64::from((home - old - by).max(0) - (home - old).max(0));
            self.pods.put(service, node, old + by);
            let taken = self.problem.demand(service).times(i64::from(by));
            let left = at(&self.free, node).minus(taken);
            put(&mut self.free, node, left);
            for cap in self.problem.caps_of(service) {
                let pods = self.capped.at(*cap, node).saturating_add_signed(by);
                self.capped.put(*cap, node, pods);
            }
            for call in self.calls.out_of.get(service).into_iter().flatten() {
                let flow = self.flow.at(call.other, node) + call.unit * i64::from(by);
                self.flow.put(call.other, node, flow);
            }
        }
        let slot = at(&self.slot, pod);
        if let Some(list) = self.on.get_mut(from) {
            list.swap_remove(slot);
            if let Some(moved) = list.get(slot) {
                put(&mut self.slot, *moved, slot);
            }
        }
        if let Some(list) = self.on.get_mut(to) {
            put(&mut self.slot, pod, list.len());
            list.push(pod);
        }
        put(&mut self.seats, pod, to);
    }

    fn layout(&self) -> Layout {
        Layout::of_table(&self.pods, self.problem.services())
    }
}

/// Services with traffic, each once for each pod and once more for every thousandth of the traffic.
fn picks(problem: &Problem) -> Vec<usize> {
    let mut picks = Vec::new();
    for service in (0..problem.services()).filter(|service| !problem.ties_of(*service).is_empty()) {
        let pods = at(&problem.replicas, service);
        let worth = problem.pod_worth(service) as f64 * f64::from(pods) / WHOLE;
        picks.extend(std::iter::repeat_n(service, pods as usize + (worth * 1000.0) as usize));
    }
    picks
}
