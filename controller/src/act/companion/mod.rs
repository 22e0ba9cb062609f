//! Companions: a callee's template as a Companion says it (`build.rs`), how one comes into force (`force.rs`), and how calls come to it
//! through the caller's proxy (`route.rs`). Nobody plans one yet.

mod build;
mod force;
mod route;

pub use build::companion_of;
pub use force::{Stage, advance};
pub use route::{Check, Inside, Speaks, filters, names};
