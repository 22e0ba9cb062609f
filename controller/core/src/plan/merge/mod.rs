//! Whether a callee could run inside its caller's pods, and what that would bring: advice, which nothing here carries out.
//!
//! ```text
//! caller, callee, graph, cluster ─► pair ─► rules: all reasons against it   (a table to read: rules.rs)
//!                                    │  └─► trust: what the callee's identity has, what the mesh would no longer hold
//!                                    ├────► gain:  what a call would take, by the edge's own same-node requests
//!                                    └────► advice: gain, cost per pod, what changes, every reason against it
//! ```

mod advice;
mod gain;
mod pair;
mod refusal;
mod room;
mod rules;
mod trust;
mod words;
pub use advice::{Advice, Adviser, Effect, Extra, Use, Uses, uses};
pub use gain::{Gain, Way, gain};
pub use refusal::{Privilege, Same, Selecting, Side, Unknown, Unmergeable};
pub use rules::{RULES, Rule, by_templates};
