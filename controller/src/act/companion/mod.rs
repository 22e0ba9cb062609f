//! Companions: a callee's template as a Companion says it (`build.rs`), and how one comes into force (`force.rs`). Nobody plans one yet.

mod build;
mod force;

pub use build::companion_of;
pub use force::{Stage, advance};
