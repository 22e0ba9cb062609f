//! Receipt plus before and after snapshots to a verdict.
//!
//! *Before* is a window after the decision, on data the decision did not see: edges are picked because they looked slow, and
//! what looked slowest by chance looks better afterwards by itself (regression to the mean). The network part is judged
//! first, because it is what moving can change (of a plan that gives pods more cpu: the time in which they serve, mean and p99); entry
//! points, errors and the callee's pods are guard rails.

mod eased;
mod gap;
mod judge;
mod sign;
mod verdict;
mod words;
pub use eased::eased;
pub use gap::*;
pub use judge::*;
pub use sign::{Sign, sign};
pub use verdict::*;
