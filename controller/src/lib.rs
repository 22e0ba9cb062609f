//! Huddle's I/O shell: everything around the pure decisions of huddle-core.
//!
//! ```text
//! proxies ──gRPC──► ingest ──Delivery──► engine ──Published──► http ──► dashboard, cli
//! API server ──────► watch ──Cluster──────┤
//!                      └────AddressBook─────► ingest
//! kubelets ────────► usage ──Looked───────┘      (or one Prometheus instead of the kubelets)
//! ```
//!
//! [`run`] builds the parts and connects them; [`cli`] is what people type.

pub mod act;
pub mod args;
pub mod cli;
pub mod clock;
pub mod dashboard;
pub mod dump;
pub mod engine;
pub mod http;
pub mod ingest;
pub mod run;
pub mod shutdown;
#[cfg(test)]
pub(crate) mod testing;
pub mod usage;
pub mod watch;
