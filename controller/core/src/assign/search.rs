//! The way through a budget: one slow cooling of everything, then many short ones of small neighbourhoods, of which only
//! those stay that helped.

use super::anneal::Annealer;
use super::layout::Layout;
use super::problem::{Problem, WHOLE};
use super::settle::settle;
use super::state::{Change, Core, State};
use super::table::at;

/// How long to search. The search has no clock: it asks after every step (about a millisecond of work).
pub trait Budget {
    /// The share of the budget that is spent after so many steps; at 1 the search ends.
    fn spent(&mut self, steps: u64) -> f64;
}

/// A budget in steps: equal input, seed and steps give an equal layout.
#[derive(Clone, Copy, Debug)]
pub struct Steps(pub u64);

impl Budget for Steps {
    fn spent(&mut self, steps: u64) -> f64 {
        steps as f64 / self.0.max(1) as f64
    }
}

/// What the search is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Where its random choices begin.
    pub seed: u64,
    /// At most so many pods leave their node; `None`: moves are free.
    pub most_moves: Option<u64>,
}

/// The best layout found.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Who sits where.
    pub layout: Layout,
    /// Its [`Layout::gain`].
    pub gain: f64,
    /// Pods that leave their node for it.
    pub moves: u64,
    /// Steps the search took.
    pub steps: u64,
}

/// Temperatures, as shares of the problem's whole weight: from where nearly every edge is loose to where nearly none is.
/// Found by trial on M3 (docs/results/planner.md).
const FREE_HEAT: (f64, f64) = (3e-3, 5e-6);
const PRICED_HEAT: (f64, f64) = (1e-3, 1e-5);
/// The coolest and the hottest start of a short cooling.
const SHORT_HEAT: (f64, f64) = (1e-4, 3e-3);
/// Steps of a short cooling.
const SHORT_STEPS: u64 = 170;
/// Services in a neighbourhood, at least and at most.
const NEIGHBOURS: (usize, usize) = (4, 25);

/// Searches for the layout with the most gain, from today's, within a budget. Never worse than today's, and never more moves
/// than wished for; a layout that breaks no constraint that today's does not break.
pub fn assign(problem: &Problem, wish: Wish, budget: &mut dyn Budget) -> Answer {
    let home = Layout::home(problem);
    let core = Core::new(problem);
    let mut best = Answer {
        gain: home.gain(problem),
        layout: home,
        moves: 0,
        steps: 0,
    };
    if core.len() == 0 || wish.most_moves == Some(0) {
        return best;
    }
    let mut search = Search {
        annealer: Annealer::new(wish.seed, core.len()),
        budget,
        steps: 0,
    };
    let state = match wish.most_moves {
        None => search.free(&core),
        Some(most) => Some(search.priced(&core, most)),
    };
    if let Some(state) = state {
        best = finish(state, wish.most_moves, best);
    }
    best.steps = search.steps;
    best
}

/// Seats the idle pods. Where that takes more moves than allowed, seated ones go home until it does not.
fn finish(mut state: State<'_>, most: Option<u64>, best: Answer) -> Answer {
    let problem = state.core.problem;
    let home = Layout::home(problem);
    let mut limit = most.map(|most| most as i64);
    for _ in 0..64 {
        if let Some(limit) = limit {
            go_home(&mut state, limit);
        }
        let settled = settle(problem, &seated(&state));
        let moves = settled.as_ref().map(|layout| layout.moves_from(&home));
        if let (Some(layout), Some(moves)) = (settled, moves) {
            if most.is_none_or(|most| moves <= most) {
                let gain = layout.gain(problem);
                return if gain > best.gain {
                    Answer {
                        layout,
                        gain,
                        moves,
                        steps: 0,
                    }
                } else {
                    best
                };
            }
            let excess = moves as i64 - most.unwrap_or_default() as i64;
            limit = Some(state.moves().min(limit.unwrap_or(i64::MAX)) - excess.max(1));
        } else {
            // No room for the idle pods: fewer of the others move, and the next attempt finds more as it was.
            state.price = state.price.max(1);
            limit = Some(state.moves() * 9 / 10 - 1);
        }
        if limit.is_some_and(|limit| limit <= 0) {
            break;
        }
    }
    best
}

fn seated(state: &State<'_>) -> Layout {
    let mut layout = Layout {
        seats: vec![Default::default(); state.core.problem.services()],
    };
    for (service, id) in state.core.ids.iter().enumerate() {
        for (node, pods) in state
            .pods
            .row(service)
            .iter()
            .enumerate()
            .filter(|(_, pods)| **pods > 0)
        {
            layout.put(*id, node, *pods as u32);
        }
    }
    layout
}

/// Sends pods back where they were, the least loss first, until no more than `limit` moves are left or none can go.
fn go_home(state: &mut State<'_>, limit: i64) {
    let problem = state.core.problem;
    while state.moves() > limit {
        let mut best: Option<(i64, usize, usize, usize)> = None;
        for (service, id) in state.core.ids.iter().enumerate() {
            let Some(data) = problem.services.get(*id) else {
                continue;
            };
            let home = |node: usize| data.home.get(&node).copied().unwrap_or_default() as i32;
            let demand = at(&state.core.demand, service);
            for to in data
                .home
                .keys()
                .copied()
                .filter(|node| state.pods.at(service, *node) < home(*node))
            {
                if !at(&state.load, to).plus(demand).fits(state.capacity(to)) || !state.admits(service, to, 1, None) {
                    continue;
                }
                for from in (0..problem.nodes()).filter(|node| state.pods.at(service, *node) > home(*node)) {
                    let value = state.down.at(service, from) + state.up.at(service, to);
                    if best.is_none_or(|(most, ..)| value > most) {
                        best = Some((value, service, from, to));
                    }
                }
            }
        }
        let Some((_, service, from, to)) = best else { return };
        state.carry(service, from, to, 1);
        state.reseat(service, from, to, 1);
        state.renew_evicted(from);
        state.renew_evicted(to);
    }
}

struct Search<'b> {
    annealer: Annealer,
    budget: &'b mut dyn Budget,
    steps: u64,
}

fn between((from, to): (f64, f64), share: f64) -> f64 {
    from * (to / from).powf(share.clamp(0.0, 1.0)) * WHOLE
}

impl Search<'_> {
    fn step(&mut self, state: &mut State<'_>, temperature: f64) {
        self.annealer.batch(state, temperature);
        self.steps += 1;
    }

    /// Moves are free: begins with nobody seated, and lets services in as the temperature falls to what a pod of theirs is
    /// worth, so that the small ones do not stand in the way of the coarse shape.
    fn free<'a>(&mut self, core: &'a Core<'a>) -> Option<State<'a>> {
        let mut state = State::empty(core);
        self.annealer.present.fill(false);
        let mut seated = 0;
        loop {
            let share = self.budget.spent(self.steps) / 0.2;
            let temperature = between(FREE_HEAT, share);
            while seated < core.len()
                && (share >= 0.97 || seated < 4 || at(&core.worth, seated) as f64 * 3.0 > temperature)
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
        self.refine(state, None).into()
    }

    /// Each move has a price, which is steered until the wished number of moves comes out.
    fn priced<'a>(&mut self, core: &'a Core<'a>, most: u64) -> State<'a> {
        let price = (0.2 * WHOLE / most.max(1) as f64) as i64;
        let home = |service, node| {
            let data = core.problem.services.get(at(&core.ids, service));
            data.and_then(|s| s.home.get(&node)).copied().unwrap_or_default()
        };
        let mut state = State::seated(core, price.max(1), home);
        let mut last = 0.0;
        loop {
            let share = self.budget.spent(self.steps) / 0.4;
            if share >= 1.0 {
                break;
            }
            self.step(&mut state, between(PRICED_HEAT, share));
            let off = ((state.moves() as f64 - most as f64) / most as f64).clamp(-1.0, 1.0);
            let turn = 20.0 * (share - last) * (1.0 - share) * off;
            state.price = ((state.price as f64 * turn.exp()) as i64).max(1);
            last = share;
        }
        self.refine(state, Some(most as i64))
    }

    /// Short coolings of neighbourhoods until the budget is spent.
    fn refine<'a>(&mut self, state: State<'a>, most: Option<i64>) -> State<'a> {
        let mut state = state;
        let mut kept = State::empty(state.core);
        kept.copy_from(&state);
        let coolest = if most.is_some() { PRICED_HEAT.1 } else { FREE_HEAT.1 };
        while self.budget.spent(self.steps) < 1.0 {
            self.choose_neighbourhood(&state);
            let hottest = between(SHORT_HEAT, self.annealer.dice.unit()) / WHOLE;
            for step in 0..SHORT_STEPS {
                if self.budget.spent(self.steps) >= 1.0 {
                    break;
                }
                self.step(
                    &mut state,
                    between((hottest, coolest), step as f64 / SHORT_STEPS as f64),
                );
            }
            if score(&state, most) >= score(&kept, most) {
                kept.copy_from(&state);
            } else {
                state.copy_from(&kept);
            }
            if let Some(most) = most {
                let turn = if state.moves() > most { 1.02 } else { 0.98 };
                state.price = ((state.price as f64 * turn) as i64).max(1);
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
