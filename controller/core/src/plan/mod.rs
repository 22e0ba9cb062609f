//! Findings to a plan: which workloads to bring together, in which steps, what it gains and costs; before that, which pods to give more
//! cpu (`resize`, `sizing`), and what is given back (`giveback`): a plan does one of these, and only what is given back
//! may be proposed beside another.
//!
//! ```text
//! snapshot, findings, cluster ─► model ─► search ─► plan
//!                                          │  targets: candidate layouts of one workload
//!                                          │  routing: where calls go, what each pod gets
//!                                          │  gain:    what that is worth
//!                                          │  sequence: one move at a time, on the board (the scheduler's filters)
//!                                          └─ steady:  what the scheduler does later under the rules that remain
//! ```

mod action;
mod alike;
mod board;
mod candidates;
mod cell;
mod config;
mod cost;
mod curve;
mod faded;
mod figures;
mod filter;
mod gain;
mod giveback;
mod giveback_words;
mod headroom;
mod hysteresis;
mod in_template;
mod lasting;
pub mod merge;
mod missed;
mod model;
mod more;
mod objective;
mod outcome;
mod patched;
mod permission;
mod propose;
mod relief;
mod resize;
mod routing;
mod search;
mod sequence;
mod sizing;
mod steady;
mod suppose;
mod targets;
mod trigger;
mod why;
mod words;
pub use action::*;
pub use board::fits;
pub use cell::*;
pub use config::*;
pub use cost::{Cost, MoveCost, move_costs};
pub use curve::curve;
pub use faded::{Faded, Use, is_outranked, use_of, watched};
pub use giveback::{GivenBack, Kept};
pub use headroom::judged_by_requests;
pub use hysteresis::{CLEARLY, replaces, saved_now, stands};
pub use objective::{Brings, Objective, ZonePrice};
pub use permission::overriding;
pub use propose::{give_back_beside, plan, plan_with};
pub use relief::*;
pub use routing::{RoutingLoad, load_after_routing};
pub use steady::ALL_SCORED;
pub use suppose::{Change, InvalidChange, Landing, Supposed, limited, suppose, valued};
pub use trigger::{Trigger, Watch};
pub use why::{Beside, Term, Why, explain};
pub use words::extent;
