//! What more moves would bring: the best layouts for several limits on moves.

use super::problem::Problem;
use super::search::{Answer, Budget, Wish, assign};

/// A part of a budget, for one of several searches that share it.
#[derive(Debug)]
pub struct Share<'b, B: Budget + ?Sized> {
    budget: &'b mut B,
    steps: u64,
    begin: Option<f64>,
    share: f64,
    taken: u64,
}

impl<'b, B: Budget + ?Sized> Share<'b, B> {
    /// So large a share of the whole budget, beginning after the steps that were taken of it.
    pub fn new(budget: &'b mut B, steps: u64, share: f64) -> Self {
        Self {
            budget,
            steps,
            begin: None,
            share,
            taken: 0,
        }
    }

    /// Steps taken of the whole budget, those before this share included.
    pub fn steps(&self) -> u64 {
        self.steps + self.taken
    }
}

impl<B: Budget + ?Sized> Budget for Share<'_, B> {
    fn spent(&mut self, steps: u64) -> f64 {
        self.taken = steps;
        let spent = self.budget.spent(self.steps + steps);
        let begin = *self.begin.get_or_insert(spent);
        if self.share > 0.0 {
            (spent - begin) / self.share
        } else {
            1.0
        }
    }
}

/// The best layout for each limit on moves, in rising order of limits; the budget is shared evenly. More moves never gain
/// less: where a search with more moves found nothing better, the answer with fewer stands.
pub fn curve(problem: &Problem, limits: &[u64], seed: u64, budget: &mut dyn Budget) -> Vec<(u64, Answer)> {
    let mut limits = limits.to_vec();
    limits.sort_unstable();
    limits.dedup();
    let share = 1.0 / limits.len().max(1) as f64;
    let mut steps = 0;
    let mut points: Vec<(u64, Answer)> = Vec::new();
    for limit in limits {
        let mut part = Share::new(budget, steps, share);
        let mut answer = assign(
            problem,
            Wish {
                seed,
                most_moves: Some(limit),
                ..Wish::default()
            },
            &mut part,
        );
        steps = part.steps();
        if let Some((_, before)) = points.last().filter(|(_, before)| before.gain >= answer.gain) {
            answer = before.clone();
        }
        points.push((limit, answer));
    }
    points
}
