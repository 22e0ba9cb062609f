//! The I/O shell around huddle-core.
