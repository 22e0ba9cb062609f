//! Who does work that falls into pieces. Core knows no threads: whoever calls it may do the pieces at the same time, and the answer
//! is the same, because no piece sees another and results are put together in the order of the pieces.

/// One piece of work.
pub type Piece<'p> = Box<dyn FnOnce() + Send + 'p>;

/// Does pieces of work.
pub trait Crew: Sync {
    /// Does each piece once, in any order, perhaps several at the same time, and returns when all are done.
    fn all(&self, pieces: Vec<Piece<'_>>);
}

/// One piece after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Crew for Alone {
    fn all(&self, pieces: Vec<Piece<'_>>) {
        for piece in pieces {
            piece();
        }
    }
}

/// The results of all jobs, in their order.
pub(super) fn all<T: Send, J: FnOnce() -> T + Send>(crew: &dyn Crew, jobs: Vec<J>) -> Vec<T> {
    let mut results: Vec<Option<T>> = jobs.iter().map(|_| None).collect();
    let pieces = jobs
        .into_iter()
        .zip(&mut results)
        .map(|(job, slot)| -> Piece<'_> { Box::new(move || *slot = Some(job())) });
    crew.all(pieces.collect());
    results.into_iter().flatten().collect()
}
