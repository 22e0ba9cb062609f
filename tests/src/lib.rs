//! Huddle's end-to-end crate: the bed, the shop that runs on it, the load, and the tests' tools.

pub mod bed;
pub mod demo;
pub mod envoy;
mod kubelet;
pub mod load;
pub mod pair;
pub mod pods;
pub mod shop;
pub mod soak;
pub mod wait;
