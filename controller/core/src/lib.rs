//! Huddle's decisions, pure: no async, clock, randomness, environment or I/O. Time is an argument, randomness a seed.
//!
//! The folder order is the way of the data:
//!
//! ```text
//! sample ─► graph ─► diagnose ─► plan ─► act ─► verify
//!              ▲        ▲         ▲
//!           cluster ────│─────────┘          view: what people see of it
//!                     usage
//! ```
//!
//! The `huddle` crate feeds events in and carries effects out; nothing here knows of Kubernetes clients or sockets.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable
    )
)]

pub mod act;
pub mod assign;
pub mod bounds;
pub mod cluster;
pub mod diagnose;
pub mod distribution;
pub mod graph;
pub mod id;
pub mod plan;
pub mod sample;
pub mod time;
pub mod units;
pub mod usage;
pub mod verify;
pub mod view;
