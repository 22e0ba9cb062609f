//! Huddle's wire contract.
