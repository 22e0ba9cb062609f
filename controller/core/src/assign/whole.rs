//! Whole workloads only: who moves one pod restarts them all, and nobody else moves, idle pods included.

use super::cool::{FIRST_PRICE, STEERING, Search, between, home};
use super::core::Core;
use super::problem::WHOLE;
use super::state::State;
use super::table::{at, put};

/// What one pod counts while moves are counted in parts.
const UNIT: i64 = 1000;
/// The share of the budget in which the counting goes over from pods to workloads; the rest tries other workloads.
const CONTINUED: f64 = 0.6;
/// A workload of which the share s is away counts as its pods times s to the power p; p falls from 1 by the first number,
/// within the second's share of that time.
const BENT: (f64, f64) = (0.7, 0.5);
/// Temperatures, as parts of what a pod is worth on average.
const HEAT: (f64, f64) = (0.8, 0.008);
/// Steps of a cooling with only the chosen workloads.
const SHORT_STEPS: u64 = 100;

impl Search<'_> {
    /// Moves are counted by pods at first and by workloads in the end: the second pod of a workload gets cheaper beside the
    /// first, step by step, so that the search is never asked to pay for a whole workload at once.
    pub(super) fn whole<'a>(&mut self, core: &'a Core<'a>, most: u64) -> State<'a> {
        let price = (FIRST_PRICE * WHOLE / (most.max(1) as f64 * UNIT as f64)) as i64;
        let mut state = State::seated(core, price.max(1), home(core));
        let target = (most * UNIT as u64) as f64;
        let mut last = 0.0;
        loop {
            let share = self.budget.spent(self.steps) / CONTINUED;
            if share >= 1.0 {
                break;
            }
            if self.steps.is_multiple_of(16) {
                let power = 1.0 - BENT.0 * (share / BENT.1).min(1.0);
                state.recharge(|replicas, away| charge(replicas, away, power));
            }
            self.step(&mut state, between(HEAT, share));
            let off = ((state.moves() as f64 - target) / target).clamp(-1.0, 1.0);
            let turn = STEERING * (share - last) * off;
            state.price = ((state.price as f64 * turn.exp()) as i64).clamp(1, WHOLE as i64 / UNIT);
            last = share;
        }
        let mut chosen: Vec<bool> = state.away.iter().map(|away| *away > 0).collect();
        self.choose(core, &mut chosen, most)
    }

    /// The best layout in which the chosen workloads move, and others that may take their place.
    fn choose<'a>(&mut self, core: &'a Core<'a>, chosen: &mut Vec<bool>, most: u64) -> State<'a> {
        let count = |chosen: &[bool]| -> u64 {
            let each = core.replicas.iter().zip(chosen).filter(|(_, chosen)| **chosen);
            each.map(|(replicas, _)| u64::from(*replicas)).sum()
        };
        let mut best = self.move_only(core, chosen);
        while count(chosen) > most {
            // The one that is worth least per pod, by what its pods gain where they are now.
            let worth = |service: usize| -> f64 {
                let rows = best.pods.row(service).iter().zip(best.down.row(service));
                let sum: i64 = rows.map(|(pods, down)| -i64::from(*pods) * down).sum();
                sum as f64 / f64::from(at(&core.replicas, service).max(1))
            };
            let movers = (0..core.len()).filter(|service| at(chosen, *service));
            let Some(least) = movers.min_by(|a, b| worth(*a).total_cmp(&worth(*b))) else {
                break;
            };
            put(chosen, least, false);
            best = self.move_only(core, chosen);
        }
        while self.budget.spent(self.steps) < 1.0 {
            let mut trial = chosen.clone();
            self.vary(core, &mut trial);
            while count(&trial) > most {
                let movers: Vec<usize> = (0..core.len()).filter(|service| at(&trial, *service)).collect();
                put(&mut trial, at(&movers, self.annealer.dice.below(movers.len())), false);
            }
            let state = self.move_only(core, &trial);
            if state.gain > best.gain {
                (best, *chosen) = (state, trial);
            }
        }
        best
    }

    /// Adds a few workloads that talk with chosen ones, or any.
    fn vary(&mut self, core: &Core<'_>, chosen: &mut [bool]) {
        for _ in 0..=self.annealer.dice.below(3) {
            let dice = &mut self.annealer.dice;
            let service = dice.below(core.len());
            let ties = core.ties_of(service);
            let tied = ties.get(dice.below(ties.len())).map(|tie| tie.other).unwrap_or(service);
            let next = if at(chosen, service) { tied } else { service };
            put(chosen, next, true);
        }
    }

    /// Cools from home with only some workloads movable, at no price.
    fn move_only<'a>(&mut self, core: &'a Core<'a>, chosen: &[bool]) -> State<'a> {
        let mut state = State::seated(core, 0, home(core));
        self.annealer.free.clear();
        self.annealer.free.extend_from_slice(chosen);
        self.annealer.strict = true;
        self.annealer.refresh();
        let mut best = State::empty(core);
        best.copy_from(&state);
        for step in 0..SHORT_STEPS {
            self.step(&mut state, between(HEAT, step as f64 / SHORT_STEPS as f64));
        }
        self.annealer.free.fill(true);
        self.annealer.strict = false;
        self.annealer.refresh();
        if state.gain > best.gain { state } else { best }
    }
}

fn charge(replicas: u32, away: u32, power: f64) -> i64 {
    if away == 0 {
        return 0;
    }
    let share = f64::from(away) / f64::from(replicas.max(1));
    (UNIT as f64 * f64::from(replicas) * share.powf(power)) as i64
}
