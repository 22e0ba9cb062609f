//! Huddle's wire contract: what the filter sends and what the controller answers.
//!
//! The contract itself is `proto/huddle/telemetry/v1/ingest.proto`, written for somebody who implements another producer or
//! consumer. This crate holds the code generated from it ([`telemetry::v1`]), the histogram mapping both ends share
//! ([`buckets`]), and the names they share ([`names`]).
//!
//! Without the `grpc` feature there are messages only: that is what the Wasm filter links. With it there are a tonic client
//! (`ingest_client`) and server (`ingest_server`).
//!
//! # Versions
//!
//! Fields are only ever added. [`CONTRACT`] is raised when the meaning of a field changes, and a controller accepts
//! [`is_accepted`] versions: the current one and the one before, so that filters and controller can be updated one after the
//! other, in any order of waves.

pub mod buckets;
pub mod names;

/// Version of the contract that this crate speaks; goes into `Batch.contract`.
pub const CONTRACT: u32 = 1;

/// The oldest version a controller of this build accepts: the one before [`CONTRACT`], and never 0.
pub const OLDEST_CONTRACT: u32 = if CONTRACT > 1 { CONTRACT - 1 } else { 1 };

/// May a controller of this build accept a batch of this contract version? The current and the previous one, never 0.
pub const fn is_accepted(contract: u32) -> bool {
    OLDEST_CONTRACT <= contract && contract <= CONTRACT
}

/// Length of `Batch.vm_id` in bytes.
pub const VM_ID_BYTES: usize = 16;

/// The telemetry contract.
pub mod telemetry {
    /// Version 1 of the telemetry contract: generated code.
    #[allow(
        clippy::all,
        clippy::allow_attributes_without_reason,
        missing_docs,
        unreachable_pub,
        reason = "generated code"
    )]
    pub mod v1 {
        include!("gen/huddle.telemetry.v1.rs");
    }
}

pub use telemetry::v1::{Batch, Drops, Edge, Histogram, Reason, Refusal, Rejection, Reply, RequestClass, Window};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn current_and_previous_are_accepted() {
        assert!(is_accepted(CONTRACT));
        assert!(is_accepted(OLDEST_CONTRACT));
        assert!(!is_accepted(0));
        assert!(!is_accepted(CONTRACT + 1));
    }
}
