//! The recorder behind Huddle's Envoy filter, without host calls: what happens between the end of a request in a proxy and a
//! [`Batch`](huddle_proto::Batch) on the wire.
//!
//! ```text
//! Exchange ──record──► Recorder (open window) ──cut──► Batch ──► Reporter: bytes in hand until answered
//! ```
//!
//! * [`Exchange`] is one finished request as the proxy saw it; it knows its class, whether it failed, and its four times.
//! * [`Recorder`] adds exchanges up per (upstream address, cluster, class), within a fixed amount of memory.
//! * [`Reporter`] decides when to send what, so that each recorded request is counted exactly once however often a send fails.
//!
//! # What is promised
//!
//! * No panic and no arithmetic overflow for any input: a panic would kill the proxy's VM. Lints hold it.
//! * Memory is bounded by [`Limits`], whatever the traffic and however long the controller is away. What does not fit is dropped
//!   and counted, coarse before fine: first new buckets of histograms, then new edges.
//! * Nothing here reads a clock or makes randomness: both are arguments.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects
    )
)]

mod backoff;
mod exchange;
mod histogram;
mod limits;
mod recorder;
mod reporter;

pub use exchange::{Exchange, Split, Times};
pub use limits::Limits;
pub use recorder::{Cut, Recorder};
pub use reporter::{Next, Reporter, VmId};
