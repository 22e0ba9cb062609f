//! The shop: one small program that plays any call graph from a file.
//!
//! ```text
//!  graph file ──read──► Graph ──manifests──► Deployments, Services … ──deploy──► the bed
//!                         │
//!                         └─► serve: compute, call (by Service DNS name, through the sidecar), answer
//!                                │
//!                                └─► witness: the caller's own clock per edge, read as JSON on the admin port
//! ```
//!
//! The witness shares no code with Huddle: tests hold Huddle's figures against it.

mod admin;
mod app;
pub mod cli;
mod clients;
mod codec;
mod deploy;
mod drive;
mod file;
mod graph;
pub mod manifests;
pub mod placement;
mod read;
mod serve;
mod timer;
mod units;
pub mod witness;

pub use admin::ADMIN_PORT;
pub use app::Fault;
pub use clients::{Addresses, CallError};
pub use deploy::{DeployError, Shop, create_namespace, deploy};
pub use drive::{Drive, EntryReport, Window};
pub use graph::{
    Call, Compute, Edge, Endpoint, EndpointName, Entry, Graph, Limits, Protocol, Resources, Service, ServiceName, Step,
    Target,
};
pub use read::{InvalidField, InvalidGraph, Problem};
pub use serve::{Local, ServeError, serve};
pub use units::{Bytes, InvalidQuantity, Mebibytes, Micros, MilliCpu};
