//! What more moves would bring: the best layouts for several limits on moves.

use super::crew::{self, Crew};
use super::limited::in_groups;
use super::problem::Problem;
use super::search::{Answer, Budget, Unit, Wish, assign, is_large};

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

    fn part(&self, share: f64) -> Box<dyn Budget + Send> {
        self.budget.part(self.share * share)
    }
}

/// The best layout for each limit on moves, in rising order of limits; the budget is shared evenly, and each limit is a piece of the
/// crew's work. More moves never gain less: where a search with more moves found nothing better, the answer with fewer stands.
/// The wish's own limit is left aside.
pub fn curve(
    problem: &Problem,
    limits: &[u64],
    wish: Wish,
    budget: &mut dyn Budget,
    crew: &dyn Crew,
) -> Vec<(u64, Answer)> {
    let mut limits = limits.to_vec();
    limits.sort_unstable();
    limits.dedup();
    let found = if wish.unit == Unit::Pod && is_large(problem) {
        in_groups(problem, wish.seed, &limits, budget, crew)
    } else {
        let share = 1.0 / limits.len().max(1) as f64;
        let jobs = limits.iter().map(|limit| {
            let (most_moves, mut part) = (Some(*limit), budget.part(share));
            move || assign(problem, Wish { most_moves, ..wish }, part.as_mut())
        });
        crew::all(crew, jobs.collect())
    };
    let mut points: Vec<(u64, Answer)> = Vec::new();
    for (limit, mut answer) in limits.into_iter().zip(found) {
        if let Some((_, before)) = points.last().filter(|(_, before)| before.gain >= answer.gain) {
            answer = before.clone();
        }
        points.push((limit, answer));
    }
    points
}
