//! One slow cooling of everything, then many short ones of small neighbourhoods, of which only those stay that helped; where moves are
//! free, by and by also of everything from a mild heat (thermal cycling: Möbius et al., "Optimization by thermal cycling", 1997).

use super::anneal::Annealer;
use super::core::Core;
use super::problem::WHOLE;
use super::search::Budget;
use super::state::{Change, State};
use super::table::at;

/// Temperatures, as parts of what a pod is worth on average: from where nearly every edge is loose to where nearly none is.
/// Found by trial on M3 (docs/results/planner.md).
const FREE_HEAT: (f64, f64) = (2.43, 0.004);
const PRICED_HEAT: (f64, f64) = (0.4, 0.008);
/// The share of the budget for the slow cooling where moves cost.
const PRICED_SHARE: f64 = 0.95;
/// The first price of a move, as a part of the whole traffic divided by the wished number of moves.
pub(super) const FIRST_PRICE: f64 = 0.2;
/// How fast the price answers to moves too many: its logarithm, per cooling.
pub(super) const STEERING: f64 = 100.0;
/// By how much more moves than wished a cooling begins, and below which share of the pods (its inverse) by less.
const OVER: (f64, f64) = (0.4, 4.0);
/// The coolest and the hottest start of a short cooling.
const SHORT_HEAT: (f64, f64) = (0.08, 2.43);
/// The share of the budget for the first, slow cooling: it gets so many steps, within these bounds.
const SLOW_STEPS: f64 = 800.0;
const SLOW_SHARE: (f64, f64) = (0.2, 0.9);
/// Steps of a short cooling where moves are free, and where they cost: by trial on M3 (docs/results/planner.md). What a neighbourhood of a
/// dozen services has to give shows soon, and most have nothing to give.
const SHORT_STEPS: (u64, u64) = (10, 170);
/// The share of the budget after which cycles begin.
const CYCLES_FROM: f64 = 0.4;
/// Steps of a cycle: everything from a mild heat, then neighbourhoods.
const CYCLE_STEPS: (u64, u64) = (600, 2_000);
/// The coolest and the hottest start of a cycle.
const CYCLE_HEAT: (f64, f64) = (0.05, 0.4);
/// Services in a neighbourhood, at least and at most.
const NEIGHBOURS: (usize, usize) = (4, 25);

pub(super) struct Search<'b> {
    pub(super) annealer: Annealer,
    pub(super) budget: &'b mut dyn Budget,
    pub(super) steps: u64,
}

pub(super) fn between((from, to): (f64, f64), share: f64) -> f64 {
    from * (to / from).powf(share.clamp(0.0, 1.0))
}

/// Everybody at home.
pub(super) fn home(core: &Core<'_>) -> impl Fn(usize, usize) -> u32 {
    move |service, node| core.home.at(service, node).max(0) as u32
}

impl<'b> Search<'b> {
    pub(super) fn new(annealer: Annealer, budget: &'b mut dyn Budget) -> Self {
        Self {
            annealer,
            budget,
            steps: 0,
        }
    }

    /// A step at a temperature in parts of what a pod of the problem is worth.
    pub(super) fn step(&mut self, state: &mut State<'_>, temperature: f64) {
        self.annealer.batch(state, temperature * state.core.pod_worth);
        self.steps += 1;
    }

    /// Moves are free: a slow cooling, neighbourhoods, then cycles until the budget is spent.
    pub(super) fn free<'a>(&mut self, core: &'a Core<'a>) -> Option<State<'a>> {
        let first = self.cooled(core)?;
        let mut best = self.refine(first, None, CYCLES_FROM);
        let mut state = State::empty(core);
        while self.budget.spent(self.steps) < 1.0 {
            state.copy_from(&best);
            let (whole, near) = CYCLE_STEPS;
            let heat = between(CYCLE_HEAT, self.annealer.dice.unit());
            self.annealer.free.fill(true);
            self.annealer.refresh();
            for step in 0..whole {
                if self.budget.spent(self.steps) >= 1.0 {
                    break;
                }
                self.step(&mut state, between((heat, FREE_HEAT.1), step as f64 / whole as f64));
            }
            let spent = self.budget.spent(self.steps);
            let until = spent + near as f64 * spent / self.steps.max(1) as f64;
            state = self.refine(state, None, until.min(1.0));
            if state.gain >= best.gain {
                best.copy_from(&state);
            }
        }
        Some(best)
    }

    /// Moves are free: begins with nobody seated, and lets services in as the temperature falls to what a pod of theirs is
    /// worth, so that the small ones do not stand in the way of the coarse shape.
    fn cooled<'a>(&mut self, core: &'a Core<'a>) -> Option<State<'a>> {
        let mut state = State::empty(core);
        let mut seated = 0;
        if core.complete {
            // Little room and few pods: to find all a seat anew may fail, and nothing is far from home.
            state = State::seated(core, 0, home(core));
            seated = core.len();
        } else {
            self.annealer.present.fill(false);
        }
        let mut slow = SLOW_SHARE.0;
        loop {
            let spent = self.budget.spent(self.steps);
            if self.steps == 16 && spent > 0.0 {
                slow = (SLOW_STEPS * spent / 16.0).clamp(SLOW_SHARE.0, SLOW_SHARE.1);
            }
            let share = spent / slow;
            let temperature = between(FREE_HEAT, share);
            while seated < core.len()
                && (share >= 0.97 || seated < 4 || at(&core.worth, seated) as f64 * 3.0 > temperature * core.pod_worth)
            {
                seat_greedily(&mut state, seated)?;
                super::table::put(&mut self.annealer.present, seated, true);
                self.annealer.refresh();
                seated += 1;
            }
            if share >= 1.0 {
                break;
            }
            self.step(&mut state, temperature);
        }
        Some(state)
    }

    /// Each move has a price, which is steered along: more moves than wished at first, while the coarse shape is found, and
    /// fewer and fewer until the wished number comes out. Answers with where it ended, and with the best on the way that
    /// needed no more moves than wished.
    pub(super) fn priced<'a>(&mut self, core: &'a Core<'a>, most: u64) -> Vec<State<'a>> {
        let price = (FIRST_PRICE * WHOLE / most.max(1) as f64) as i64;
        self.priced_from(State::seated(core, price.max(1), home(core)), most)
    }

    /// The same from a state and the price that it has.
    pub(super) fn priced_from<'a>(&mut self, mut state: State<'a>, most: u64) -> Vec<State<'a>> {
        let core = state.core;
        let pods = core.first.last().copied().unwrap_or_default() as f64;
        let over = OVER.0 * (OVER.1 * most as f64 / pods.max(1.0)).min(1.0);
        let mut best = State::empty(core);
        best.copy_from(&state);
        let mut last = 0.0;
        loop {
            let share = self.budget.spent(self.steps) / PRICED_SHARE;
            if share >= 1.0 {
                break;
            }
            self.step(&mut state, between(PRICED_HEAT, share));
            let target = most as f64 * (1.0 + over * (1.0 - share));
            let off = ((state.moves() as f64 - target) / most as f64).clamp(-1.0, 1.0);
            let turn = STEERING * (share - last) * (1.0 - share) * off;
            state.price = ((state.price as f64 * turn.exp()) as i64).clamp(1, WHOLE as i64);
            last = share;
            if (share > 0.8 || core.complete) && state.moves() <= most as i64 && state.gain > best.gain {
                best.copy_from(&state);
            }
        }
        vec![self.refine(state, Some(most as i64), 1.0), best]
    }

    /// Short coolings of neighbourhoods until so large a share of the budget is spent.
    pub(super) fn refine<'a>(&mut self, state: State<'a>, most: Option<i64>, until: f64) -> State<'a> {
        let mut state = state;
        let mut kept = State::empty(state.core);
        kept.copy_from(&state);
        let coolest = if most.is_some() { PRICED_HEAT.1 } else { FREE_HEAT.1 };
        let short = if most.is_some() { SHORT_STEPS.1 } else { SHORT_STEPS.0 };
        while self.budget.spent(self.steps) < until {
            self.choose_neighbourhood(&state);
            let hottest = between(SHORT_HEAT, self.annealer.dice.unit());
            for step in 0..short {
                if self.budget.spent(self.steps) >= until {
                    break;
                }
                self.step(&mut state, between((hottest, coolest), step as f64 / short as f64));
            }
            if score(&state, most) >= score(&kept, most) {
                kept.copy_from(&state);
            } else {
                state.copy_from(&kept);
            }
            if let Some(most) = most {
                let turn = if state.moves() > most { 1.02 } else { 0.98 };
                state.price = ((state.price as f64 * turn) as i64).clamp(1, WHOLE as i64);
                kept.price = state.price;
            }
        }
        self.annealer.free.fill(true);
        kept
    }

    /// Some services around an edge that loses much, by ties and by shared nodes.
    fn choose_neighbourhood(&mut self, state: &State<'_>) {
        self.annealer.free.fill(false);
        self.annealer.refresh();
        let losses = losses(state);
        let total: i64 = losses.iter().map(|loss| loss.0).sum();
        let dice = &mut self.annealer.dice;
        let mut point = (dice.unit() * total as f64) as i64;
        let edge = losses.iter().find(|loss| {
            point -= loss.0;
            point < 0
        });
        let Some((_, a, b)) = edge.copied() else { return };
        let mut members = vec![a, b];
        let wanted = NEIGHBOURS.0 + dice.below(NEIGHBOURS.1 - NEIGHBOURS.0 + 1);
        for _ in 0..40 * wanted {
            if members.len() >= wanted {
                break;
            }
            let member = at(&members, dice.below(members.len()));
            let next = if dice.below(2) == 0 {
                let ties = state.core.ties_of(member);
                let mut point = (dice.unit() * at(&state.core.worth, member) as f64) as i64;
                ties.iter()
                    .find(|tie| {
                        point -= tie.own;
                        point < 0
                    })
                    .map(|tie| tie.other)
            } else {
                let (_, node) = state.seat(member, dice.below(at(&state.core.replicas, member) as usize));
                Some(dice.below(state.core.len())).filter(|other| state.pods.at(*other, node) > 0)
            };
            members.extend(next.filter(|next| !members.contains(next)));
        }
        for member in members {
            super::table::put(&mut self.annealer.free, member, true);
        }
    }
}

/// Value, with every move above the wished number dearer than it can be worth.
fn score(state: &State<'_>, most: Option<i64>) -> i64 {
    let over = most.map(|most| (state.moves() - most).max(0)).unwrap_or_default();
    state.value() - 10 * state.price * over
}

/// What every edge still loses: (gain units, one service, the other).
fn losses(state: &State<'_>) -> Vec<(i64, usize, usize)> {
    let mut losses = Vec::new();
    for service in 0..state.core.len() {
        for tie in state.core.ties_of(service).iter().filter(|tie| tie.other > service) {
            let rows = state.pods.row(service).iter().zip(state.pods.row(tie.other));
            let local: i64 = rows
                .map(|(a, b)| (tie.own * i64::from(*a)).min(tie.theirs * i64::from(*b)))
                .sum();
            let whole = tie.own * i64::from(at(&state.core.replicas, service));
            losses.push(((whole - local).max(0), service, tie.other));
        }
    }
    losses
}

/// Seats all pods of a service, each where it is worth most, and among equals where most is free. `None`: no room.
fn seat_greedily(state: &mut State<'_>, service: usize) -> Option<()> {
    let demand = at(&state.core.demand, service);
    for pod in 0..at(&state.core.replicas, service) {
        let fits = |node: &usize| {
            at(&state.load, *node).plus(demand).fits(state.capacity(*node)) && state.admits(service, *node, 1, None)
        };
        let worth = |node: &usize| {
            let free = state.capacity(*node).minus(at(&state.load, *node));
            (state.up.at(service, *node), free, std::cmp::Reverse(*node))
        };
        let node = (0..state.load.len()).filter(fits).max_by_key(worth)?;
        state.shift(Change { service, node, pods: 1 });
        let (seat, _) = state.seat(service, pod as usize);
        super::table::put(&mut state.seats, seat, node as u32);
    }
    Some(())
}
