//! Large problems with a limit on moves: groups of services that talk with each other, each searched on the nodes where it is
//! today, which it shares with others, and each with a limit of its own.
//!
//! Who gets how many moves is found first: the price of a move, the same in all groups, falls until all together move as many as
//! allowed. So a move that one group gets gains no less there than it would in another. Then the groups are searched one after
//! the other, those that gain most per move first, each beside what the others have become.

use std::collections::{BTreeMap, BTreeSet};

use super::anneal::Annealer;
use super::cool::{Search, between, home};
use super::core::{Core, Ground};
use super::crew::{self, Crew};
use super::curve::Share;
use super::layout::Layout;
use super::parts::{Part, groups};
use super::problem::Problem;
use super::search::{Answer, Budget, go_home, seats, today};
use super::settle::settle;
use super::state::State;
use super::table::{at, put};

/// Pods of a group, about.
const PODS: (u64, u64) = (300, 1_000);
/// The share of the budget in which the moves are shared out, and that in which the groups are searched; the rest is for seating
/// the pods without traffic.
const SHARES: (f64, f64) = (0.35, 0.55);
/// The lowest price of a move, as a part of what a pod is worth on average; the highest is what the dearest pod is worth.
const LOWEST: f64 = 0.003;
/// The temperature while moves are shared out, in prices.
const HEAT: f64 = 0.1;
/// Single moves for each pod and price while moves are shared out.
const SINGLES_PER_POD: usize = 4;

/// A group and how many of its pods may leave their node.
#[derive(Clone, Debug)]
struct Limited {
    services: Vec<usize>,
    /// Nodes where they are today.
    nodes: Vec<usize>,
    moves: u64,
    /// Gain units found by so many moves, alone in the cluster.
    gain: i64,
    /// The price of a move at which it was so many.
    price: i64,
    /// Where its services were then.
    rows: Vec<(usize, BTreeMap<usize, u32>)>,
}

impl Limited {
    fn of(today: &Layout, part: Part) -> Self {
        let home = part.services.iter().flat_map(|service| today.of(*service));
        let nodes: BTreeSet<usize> = home.map(|(node, _)| node).collect();
        Self {
            services: part.services,
            nodes: nodes.into_iter().collect(),
            moves: 0,
            gain: 0,
            price: 1,
            rows: Vec::new(),
        }
    }

    /// The group as it was when the moves were shared out, where there is still room for that.
    fn as_shared_out<'a>(&self, core: &'a Core<'a>) -> Option<State<'a>> {
        let mut local = vec![usize::MAX; core.problem.nodes()];
        for (new, old) in core.node_ids.iter().enumerate() {
            put(&mut local, *old, new);
        }
        let numbers: BTreeMap<usize, usize> = core.ids.iter().copied().zip(0..).collect();
        let mut seats = core.home.clone();
        for (id, row) in &self.rows {
            let service = *numbers.get(id)?;
            for node in 0..core.nodes() {
                seats.put(service, node, 0);
            }
            for (node, pods) in row {
                seats.put(service, at(&local, *node), *pods as i32);
            }
        }
        let mut state = State::seated(core, self.price, |service, node| seats.at(service, node).max(0) as u32);
        state.evictions -= State::seated(core, 1, home(core)).evictions;
        let fits = |node: usize| {
            let caps = (0..core.len()).filter(|service| !core.caps_of(*service).is_empty());
            let mut admitted =
                caps.map(|service| state.pods.at(service, node) == 0 || state.admits(service, node, 0, None));
            at(&state.load, node).fits(state.capacity(node)) && admitted.all(|admitted| admitted)
        };
        (0..core.nodes()).all(fits).then_some(state)
    }
}

/// The best layouts found with at most so many moves: one for each limit, in their order, which is rising. The moves are shared out
/// once for all of them; the searches are pieces.
pub(super) fn in_groups(
    problem: &Problem,
    seed: u64,
    limits: &[u64],
    budget: &mut dyn Budget,
    crew: &dyn Crew,
) -> Vec<Answer> {
    let before = today(problem);
    let home = &before.layout;
    let mut part = Share::new(&mut *budget, 0, SHARES.0);
    let shared = share_out(problem, home, seed, limits, &mut part);
    let first = part.steps();
    let jobs = limits.iter().zip(&shared).map(|(most, groups)| {
        let mut budget = budget.part(SHARES.1 / limits.len() as f64);
        move || search(problem, home, seed, (*most, groups), budget.as_mut())
    });
    let found = crew::all(crew, jobs.collect());
    let answers = found.into_iter().zip(limits).map(|((layout, steps), most)| {
        let steps = first + steps;
        let answer = layout.map(|layout| Answer {
            gain: layout.gain(problem),
            moves: layout.moves_from(home),
            layout,
            steps,
        });
        let better = answer.filter(|answer| answer.gain > before.gain && answer.moves <= *most);
        better.unwrap_or(Answer {
            steps,
            ..before.clone()
        })
    });
    answers.collect()
}

/// Groups under one price, and what they have come to.
struct Sweep<'a> {
    states: Vec<(State<'a>, Annealer)>,
}

impl<'a> Sweep<'a> {
    fn new(cores: &'a [Core<'a>], seed: u64) -> Self {
        let seated = |(index, core): (usize, &'a Core<'a>)| {
            let mut state = State::seated(core, 1, home(core));
            state.evictions = 0;
            let annealer = Annealer::new(seed ^ ((index as u64) << 32), core);
            (state, annealer.with_singles(SINGLES_PER_POD, core))
        };
        Self {
            states: cores.iter().enumerate().map(seated).collect(),
        }
    }

    fn moves(&self) -> u64 {
        self.states.iter().map(|(state, _)| state.moves().max(0) as u64).sum()
    }
}

/// The groups with their limits, for each of several limits on all moves, in rising order.
fn share_out(
    problem: &Problem,
    today: &Layout,
    seed: u64,
    limits: &[u64],
    budget: &mut dyn Budget,
) -> Vec<Vec<Limited>> {
    budget.spent(0); // it begins here: to divide a large problem takes its time
    let ground = Ground::new(problem, today);
    let plain: Vec<Limited> = groups(problem, PODS)
        .into_iter()
        .map(|part| Limited::of(today, part))
        .collect();
    let region = |group: &Limited| Core::region(&ground, today, group.services.clone(), group.nodes.clone());
    let cores: Vec<Core<'_>> = plain.iter().map(region).collect();
    let mut sweep = Sweep::new(&cores, seed);
    let before: Vec<i64> = sweep.states.iter().map(|(state, _)| state.gain).collect();
    let prices = prices(problem);
    let (mut steps, mut shared) = (0, Vec::new());
    let mut limits = limits.iter().peekable();
    loop {
        let spent = budget.spent(steps);
        let price = between(prices, spent);
        let moves = sweep.moves();
        while limits.next_if(|limit| moves >= **limit || spent >= 1.0).is_some() {
            let of = |(group, ((state, _), before)): (&Limited, (&(State<'_>, Annealer), &i64))| Limited {
                moves: state.moves().max(0) as u64,
                gain: state.gain - before,
                price: state.price,
                rows: seats(state).collect(),
                ..group.clone()
            };
            shared.push(plain.iter().zip(sweep.states.iter().zip(&before)).map(of).collect());
        }
        if limits.peek().is_none() {
            return shared;
        }
        for (state, annealer) in &mut sweep.states {
            state.price = (price as i64).max(1);
            annealer.batch(state, price * HEAT);
            steps += 1;
        }
    }
}

/// From the highest to the lowest price of a move.
fn prices(problem: &Problem) -> (f64, f64) {
    let talking = (0..problem.services()).filter(|s| !problem.ties_of(*s).is_empty());
    let (mut most, mut whole, mut pods) = (1, 0.0, 0.0);
    for service in talking {
        let worth = problem.pod_worth(service);
        most = most.max(worth);
        whole += worth as f64 * f64::from(at(&problem.replicas, service));
        pods += f64::from(at(&problem.replicas, service));
    }
    (most as f64, (LOWEST * whole / f64::max(pods, 1.0)).max(1.0))
}

/// Searches the groups one after the other, each within its limit and what others before it have left of theirs.
fn search(
    problem: &Problem,
    today: &Layout,
    seed: u64,
    (most, groups): (u64, &[Limited]),
    budget: &mut dyn Budget,
) -> (Option<Layout>, u64) {
    let mut order: Vec<&Limited> = groups
        .iter()
        .filter(|group| group.moves > 0 && group.gain > 0)
        .collect();
    let per_move = |group: &Limited| group.gain as f64 / group.moves as f64;
    order.sort_by(|a, b| per_move(b).total_cmp(&per_move(a)).then(a.services.cmp(&b.services)));
    let asked: u64 = order.iter().map(|group| group.moves).sum();
    let fair = (most as f64 / asked.max(1) as f64).min(1.0);
    let mut ground = Ground::new(problem, today);
    let (mut steps, mut left) = (0, most);
    let (mut done, mut owed) = (Vec::new(), 0.0);
    for (index, group) in order.iter().enumerate() {
        owed += group.moves as f64 * fair;
        let limit = (owed as u64).min(left);
        let share = group.moves as f64 / asked.max(1) as f64;
        if limit == 0 {
            continue;
        }
        let core = Core::region(&ground, today, group.services.clone(), group.nodes.clone());
        let mut part = Share::new(&mut *budget, steps, share);
        let mut state = State::seated(&core, group.price, home(&core));
        state.evictions = 0;
        let before = state.gain;
        let mut search = Search::new(Annealer::new(seed ^ ((index as u64) << 32), &core), &mut part);
        let mut found = search.priced_from(state, limit);
        found.extend(group.as_shared_out(&core));
        found.iter_mut().for_each(|state| go_home(state, limit as i64));
        let found = found
            .into_iter()
            .filter(|state| state.gain > before && state.moves() <= limit as i64);
        if let Some(state) = found.max_by_key(|state| state.gain) {
            let moves = state.moves().max(0) as u64;
            (owed, left) = (owed - moves as f64, left.saturating_sub(moves));
            for (service, row) in seats(&state) {
                ground.seat(service, row);
            }
            done.push((*group, moves));
        }
        steps = part.steps();
    }
    (settled(&mut ground, today, most, done), steps)
}

/// The pods without traffic beside the others. Where that takes more moves than allowed, the groups searched last go home: what
/// was searched before them did not know of them.
fn settled(ground: &mut Ground<'_>, today: &Layout, most: u64, mut done: Vec<(&Limited, u64)>) -> Option<Layout> {
    loop {
        let layout = settle(ground.problem, today, &ground.layout);
        let moves = layout.as_ref().map(|layout| layout.moves_from(today));
        let mut excess = match moves {
            Some(moves) if moves <= most => return layout,
            Some(moves) => moves - most,
            None => done.iter().map(|(_, moves)| moves).sum::<u64>() / 10 + 1,
        };
        while excess > 0 {
            let (group, moves) = done.pop()?;
            for service in &group.services {
                ground.seat(*service, today.seats.get(*service).cloned().unwrap_or_default());
            }
            excess = excess.saturating_sub(moves);
        }
    }
}
