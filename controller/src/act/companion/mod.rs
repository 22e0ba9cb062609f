//! Companions: a callee's template as a Companion says it (`build.rs`), how one comes into force (`force.rs`), and how calls come to it
//! through the caller's proxy (`route.rs`); a merge's step reads and writes all of it (`step.rs`).

mod build;
mod force;
mod route;
pub(super) mod step;

pub use build::companion_of;
pub use force::{Stage, advance};
pub use route::{Again, Check, Inside, Speaks, filters, names};
