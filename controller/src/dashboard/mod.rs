//! What people open in a browser: the page, embedded in the binary.

pub mod guard;
pub mod page;
