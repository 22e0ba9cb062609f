//! Pieces of a search at the same time.

use huddle_core::assign::{Crew, Piece};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

/// So many threads, this one included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threads(pub(super) NonZeroUsize);

impl Threads {
    /// As many as were asked for, or as the machine has processors for us.
    pub(super) fn of(asked: Option<NonZeroUsize>) -> Self {
        let all = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self(asked.unwrap_or_else(all))
    }
}

impl Crew for Threads {
    fn all(&self, pieces: Vec<Piece<'_>>) {
        let others = self.0.get().min(pieces.len()).saturating_sub(1);
        let queue = Mutex::new(pieces.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            while let Some(piece) = next() {
                piece();
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..others {
                scope.spawn(work);
            }
            work();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use huddle_core::assign::{Recipe, Steps, Wish, assign_with, curve};

    fn crew(threads: usize) -> Threads {
        Threads::of(NonZeroUsize::new(threads))
    }

    #[test]
    fn each_piece_is_done_once() {
        for threads in 1..5 {
            let mut done = vec![0; 7];
            let pieces = done
                .iter_mut()
                .map(|slot| -> Piece<'_> { Box::new(move || *slot += 1) });
            crew(threads).all(pieces.collect());
            assert_eq!(done, [1; 7], "{threads} threads");
            crew(threads).all(Vec::new());
        }
    }

    /// Large enough to be searched part by part.
    #[test]
    fn any_number_of_threads_gives_the_same_answer() {
        let recipe = Recipe {
            seed: 3,
            nodes: 800,
            pods: 8_000,
            services: 900,
        };
        let problem = recipe.generate().unwrap().cluster.problem().unwrap();
        let wish = Wish {
            seed: 5,
            ..Wish::default()
        };
        let free = |threads| assign_with(&problem, wish, &mut Steps(60), &crew(threads));
        let points = |threads| curve(&problem, &[50, 400, 1_500], wish, &mut Steps(60), &crew(threads));
        let (one, bent) = (free(1), points(1));
        assert!(one.moves > 0 && bent.last().is_some_and(|(_, answer)| answer.moves > 0));
        for threads in [2, 3] {
            let other = free(threads);
            assert_eq!(
                (&one.layout, one.steps),
                (&other.layout, other.steps),
                "{threads} threads"
            );
            let layouts = |points: &[(u64, huddle_core::assign::Answer)]| -> Vec<_> {
                points
                    .iter()
                    .map(|(limit, answer)| (*limit, answer.layout.clone()))
                    .collect()
            };
            assert_eq!(layouts(&bent), layouts(&points(threads)), "{threads} threads");
        }
    }
}
