//! Snapshot to findings: one cause per slow edge, with its evidence.

mod distance;
mod finding;
mod words;
pub use distance::*;
pub use finding::*;
