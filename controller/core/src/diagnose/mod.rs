//! Snapshot to findings: one cause per slow edge, with its evidence.

mod finding;
pub use finding::*;
