//! The way through a budget: one slow cooling of everything, then many short ones of small neighbourhoods, of which only
//! those stay that helped.

use std::collections::BTreeMap;

use super::anneal::Annealer;
use super::cool::Search;
use super::core::Core;
use super::crew::{self, Alone, Crew};
use super::layout::Layout;
use super::limited;
use super::parts;
use super::problem::Problem;
use super::settle::settle;
use super::state::State;
use super::table::at;

/// How long to search. The search has no clock: it asks after every step (about a millisecond of work).
pub trait Budget {
    /// The share of the budget that is spent after so many steps; at 1 the search ends.
    fn spent(&mut self, steps: u64) -> f64;
    /// A budget of so large a share of the whole of this one, for a piece of work that may be done beside others: it begins when it is
    /// first asked.
    fn part(&self, share: f64) -> Box<dyn Budget + Send>;
}

/// A budget in steps: equal input, seed and steps give an equal layout.
#[derive(Clone, Copy, Debug)]
pub struct Steps(pub u64);

impl Budget for Steps {
    fn spent(&mut self, steps: u64) -> f64 {
        steps as f64 / self.0.max(1) as f64
    }

    fn part(&self, share: f64) -> Box<dyn Budget + Send> {
        Box::new(Self((self.0 as f64 * share.max(0.0)).ceil() as u64))
    }
}

/// What the search is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Where its random choices begin.
    pub seed: u64,
    /// At most so many pods leave their node; `None`: moves are free.
    pub most_moves: Option<u64>,
    /// What moves, and so what counts.
    pub unit: Unit,
}

/// What can be moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Single pods; each that leaves its node counts.
    #[default]
    Pod,
    /// Whole workloads; all pods of each of which any pod leaves its node count, and services without traffic stay.
    Workload,
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

/// A search with more services with traffic × nodes than this goes part by part.
const ONE_TABLE: usize = 200_000;
/// The share of the budget that goes to the parts; the rest is for seating the pods without traffic.
const FOR_PARTS: f64 = 0.9;

/// Searches for the layout with the most gain, from today's, within a budget. Never worse than today's, and never more moves
/// than wished for; a layout that breaks no constraint that today's does not break.
pub fn assign(problem: &Problem, wish: Wish, budget: &mut dyn Budget) -> Answer {
    assign_with(problem, wish, budget, &Alone)
}

/// The same by a crew: where the problem falls into parts that do not see each other, these are its pieces. Where the budget is in steps
/// the answer is the same whoever the crew is.
pub fn assign_with(problem: &Problem, wish: Wish, budget: &mut dyn Budget, crew: &dyn Crew) -> Answer {
    let best = today(problem);
    if talking(problem) == 0 || wish.most_moves == Some(0) {
        return best;
    }
    let many = is_large(problem);
    match (wish.unit, wish.most_moves) {
        (Unit::Workload, most) => by_workloads(problem, wish, most.unwrap_or(problem.pods()), budget, best),
        (Unit::Pod, None) if many => in_parts(problem, wish.seed, budget, crew, best),
        (Unit::Pod, Some(most)) if many => {
            let found = limited::in_groups(problem, wish.seed, &[most], budget, crew);
            found.into_iter().next().unwrap_or(best)
        }
        (Unit::Pod, most) => by_pods(problem, wish.seed, most, budget, best),
    }
}

/// Today's layout as an answer.
pub(super) fn today(problem: &Problem) -> Answer {
    let home = Layout::home(problem);
    Answer {
        gain: home.gain(problem),
        layout: home,
        moves: 0,
        steps: 0,
    }
}

/// Whether one table would be too large.
pub(super) fn is_large(problem: &Problem) -> bool {
    talking(problem).saturating_mul(problem.nodes()) > ONE_TABLE
}

/// Services with traffic.
fn talking(problem: &Problem) -> usize {
    problem.ties.iter().filter(|ties| !ties.is_empty()).count()
}

fn by_pods(problem: &Problem, seed: u64, most: Option<u64>, budget: &mut dyn Budget, best: Answer) -> Answer {
    let core = Core::new(problem, &best.layout);
    let mut search = Search::new(Annealer::new(seed, &core), budget);
    let found = match most {
        None => search.free(&core).into_iter().collect(),
        Some(most) => search.priced(&core, most),
    };
    let steps = search.steps;
    let answer = found.into_iter().fold(best, |best, state| finish(state, most, best));
    Answer { steps, ..answer }
}

fn by_workloads(problem: &Problem, wish: Wish, most: u64, budget: &mut dyn Budget, best: Answer) -> Answer {
    let core = Core::beside_idle(problem, &best.layout);
    let mut search = Search::new(Annealer::new(wish.seed, &core), budget);
    let state = search.whole(&core, most);
    let layout = beside_idle(&state, &best.layout);
    let (gain, moves, steps) = (layout.gain(problem), restarts(problem, &layout), search.steps);
    if gain > best.gain && moves <= most {
        Answer {
            layout,
            gain,
            moves,
            steps,
        }
    } else {
        Answer { steps, ..best }
    }
}

/// Moves are free and one table would be too large: part by part.
fn in_parts(problem: &Problem, seed: u64, budget: &mut dyn Budget, crew: &dyn Crew, best: Answer) -> Answer {
    let parts = parts::split(problem);
    let pods: u64 = parts.iter().map(|part| part.pods).sum();
    let home = &best.layout;
    let jobs = parts.into_iter().enumerate().map(|(index, part)| {
        let mut budget = budget.part(FOR_PARTS * part.pods as f64 / pods.max(1) as f64);
        move || {
            let core = Core::part(problem, home, part.services, part.nodes);
            let annealer = Annealer::new(seed ^ ((index as u64) << 32), &core);
            let mut search = Search::new(annealer, budget.as_mut());
            let rows = search.free(&core).map(|state| seats(&state).collect::<Vec<_>>());
            (rows.unwrap_or_default(), search.steps)
        }
    });
    let mut seated = Layout {
        seats: vec![Default::default(); problem.services()],
    };
    let mut steps = 0;
    for (rows, taken) in crew::all(crew, jobs.collect()) {
        steps += taken;
        for (service, row) in rows {
            if let Some(slot) = seated.seats.get_mut(service) {
                *slot = row;
            }
        }
    }
    let answer = settle(problem, &best.layout, &seated).map(|layout| Answer {
        gain: layout.gain(problem),
        moves: layout.moves_from(&best.layout),
        layout,
        steps,
    });
    answer
        .filter(|answer| answer.gain > best.gain)
        .unwrap_or(Answer { steps, ..best })
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
        let settled = if state.core.complete {
            Some(seated(&state))
        } else {
            settle(problem, &home, &seated(&state))
        };
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

/// The seated ones where they are, and the idle ones at home.
fn beside_idle(state: &State<'_>, home: &Layout) -> Layout {
    let mut layout = seated(state);
    let problem = state.core.problem;
    for (service, (slot, row)) in layout.seats.iter_mut().zip(&home.seats).enumerate() {
        if problem.ties_of(service).is_empty() {
            slot.clone_from(row);
        }
    }
    layout
}

/// All pods of the services of which any leaves its node.
fn restarts(problem: &Problem, layout: &Layout) -> u64 {
    let rows = problem.services.iter().zip(&layout.seats).zip(&problem.replicas);
    rows.filter(|((service, row), _)| service.home != **row)
        .map(|(_, replicas)| u64::from(*replicas))
        .sum()
}

fn seated(state: &State<'_>) -> Layout {
    let mut layout = Layout {
        seats: vec![Default::default(); state.core.problem.services()],
    };
    for (service, row) in seats(state) {
        if let Some(slot) = layout.seats.get_mut(service) {
            *slot = row;
        }
    }
    layout
}

/// Where the movable ones of a state sit: by service, pods per node, both in the problem's numbers.
pub(super) fn seats(state: &State<'_>) -> impl Iterator<Item = (usize, BTreeMap<usize, u32>)> {
    let services = state.core.ids.iter().enumerate();
    let movable = services.filter(|(service, _)| !at(&state.core.fixed, *service));
    movable.map(|(service, id)| {
        let pods = state
            .pods
            .row(service)
            .iter()
            .enumerate()
            .filter(|(_, pods)| **pods > 0);
        let row = pods.map(|(node, pods)| (at(&state.core.node_ids, node), *pods as u32));
        (*id, row.collect())
    })
}

/// Sends pods back where they were, the least loss first, until no more than `limit` moves are left or none can go.
pub(super) fn go_home(state: &mut State<'_>, limit: i64) {
    let core = state.core;
    while state.moves() > limit {
        let mut best: Option<(i64, usize, usize, usize)> = None;
        for service in 0..core.len() {
            if at(&state.away, service) == 0 {
                continue;
            }
            let extra = |node: usize| state.pods.at(service, node) - core.home.at(service, node);
            let demand = at(&core.demand, service);
            let from = (0..core.nodes()).filter(|node| extra(*node) > 0);
            let Some(from) = from.max_by_key(|node| state.down.at(service, *node)) else {
                continue;
            };
            for to in (0..core.nodes()).filter(|node| extra(*node) < 0) {
                if at(&state.load, to).plus(demand).fits(state.capacity(to)) && state.admits(service, to, 1, None) {
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
