//! Huddle's I/O shell: everything around the pure decisions of huddle-core.

pub mod clock;
pub mod dashboard;
pub mod ingest;
#[cfg(test)]
pub(crate) mod testing;
pub mod watch;
