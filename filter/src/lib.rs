//! Huddle's Envoy filter: records, in every sidecar, how long the calls of its pod take and where the time goes.
//!
//! A thin shell around [`huddle_filter_core`]: it reads what Envoy knows about a finished request ([`attributes`]), hands it to
//! the recorder, and carries the recorder's batches to the controller. It is a proxy-wasm module with one reporter per VM, that
//! is per worker thread of Envoy.
//!
//! ```text
//! on_configure ─ config ─► Reporter        on_log ─ attributes ─► Exchange ─► Reporter.record
//! on_tick ─ Reporter.poll ─► gRPC call ─► on_grpc_call_response ─► Reporter.on_reply / on_failure
//! ```
//!
//! # What is promised
//!
//! * It never pauses, changes or fails a request: all its work is in `on_log`, after the request has ended.
//! * It does not panic. A panic would kill the worker's VM; lints deny it, and only host calls that give a `Result` are used
//!   (the SDK's trait getters unwrap).
//! * It must run with `failStrategy: FAIL_OPEN` all the same.

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

pub mod attributes;
pub mod config;
mod host;
mod root;
pub mod service;
mod stream;

/// What Envoy runs when it loads the module.
pub fn start() {
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|context_id| Box::new(root::Root::new(context_id)));
}

// The macro exports a C symbol, which Rust counts as unsafe code.
#[cfg(target_arch = "wasm32")]
#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    reason = "the SDK's macro exports the module's entry point"
)]
mod entry {
    proxy_wasm::main! {{ crate::start(); }}
}
