//! Findings to a plan: which workloads to bring together, in which steps, what it gains and costs.

mod action;
mod words;
pub use action::*;
