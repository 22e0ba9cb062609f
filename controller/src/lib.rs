//! The I/O shell around huddle-core.

pub mod dashboard;
