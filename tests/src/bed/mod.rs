//! The bed: a real Kubernetes with kubelets and containerd, a real Istio with sidecars and mTLS, on one machine, without images
//! from outside and without a container engine; and a wire between its nodes whose delays are set while it runs.
//!
//! - [`mod@build`] makes every part once, into a cache outside the checkout; [`image`] writes image archives.
//! - [`up`] brings a bed up: network namespaces, the [`wire`], the [`control_plane`], nodes, DNS and the mesh.
//! - [`down`] ends it and leaves nothing, also after everything was killed: processes are found by their marks ([`process`]) and by the
//!   bed's own control groups ([`cgroup`]).
//! - [`state`] is what other processes find of a running bed; [`cli`] is the command `bed`.
//!
//! [`control_plane::ControlPlane`] is the rung below: a real API server for one test, without nodes and without root;
//! [`prometheus::Prometheus`] a real Prometheus beside it.

pub mod build;
pub mod cache;
pub mod cgroup;
pub mod cli;
pub mod control_plane;
pub mod down;
pub mod handle;
mod host;
pub mod image;
mod launch;
pub mod mesh;
mod network;
mod node;
mod parts;
mod pki;
pub mod process;
pub mod prometheus;
pub mod state;
pub mod up;
pub mod wait;
pub mod wire;

pub use cache::Cache;
pub use control_plane::{ControlPlane, Program};
pub use handle::Bed;
pub use image::Image;
pub use prometheus::Prometheus;
