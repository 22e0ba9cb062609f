//! Whether a callee could run inside its caller's pods, what that would bring, and when a plan proposes it.
//!
//! ```text
//! caller, callee, graph, cluster ─► pair ─► rules: all reasons against it   (a table to read: rules.rs)
//!                                    │  └─► trust: what the callee's identity has, what the mesh would no longer hold
//!                                    │  └─► routed: what owners' routes do with its calls, and nobody would do inside the pod
//!                                    ├────► gain:  what a call would take, by the edge's own same-node requests
//!                                    └────► advice: gain, cost per pod, what changes, every reason against it ─► propose
//! ```

mod advice;
mod advice_words;
mod direct;
mod gain;
mod of_use;
mod pair;
mod propose;
mod refusal;
mod room;
mod routed;
mod rules;
mod trust;
mod unseen;
mod words;
pub use advice::{Advice, Adviser, Effect, Extra, Use, Uses, uses};
pub use direct::MOST_SERVICES;
pub use gain::{Gain, Way, gain};
pub use of_use::{Standing, standing};
pub(crate) use propose::saved_now;
pub use propose::{Unmerged, asked_for, merge_beside};
pub use refusal::{Privilege, Same, Selecting, Side, Unknown, Unmergeable};
pub use rules::{RULES, Rule, against_standing, by_templates};
pub use unseen::{TELLING, Usual};
