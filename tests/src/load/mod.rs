//! Load on the shop: fortio for the headline, the shop's own driver for counting by moment.
//!
//! **fortio** (Istio's own generator) runs as a server in a pod with a sidecar. A run is started and stopped over its
//! REST interface; runs back to back are the windows of a long load. It sends at a constant rate with `uniform`
//! spacing and with catching up (`nocatchup` off): after a stall it sends what it owes. Each connection sends the next
//! request only after the last answer, so [`fortio::Run`] takes enough connections for every one of them to have a
//! second per request: a stall shorter than that delays no start, and latency from the send is latency from the
//! intended start. Whether it kept up is in the result (`rps` against what was asked for).
//!
//! **The driver** (`shop drive`, [`crate::shop::Drive`]) is an open loop with intended starts; it books every request on
//! its second, so failed requests can be asked for from the first to the last second of a phase.

pub mod deploy;
pub mod fortio;

pub use deploy::Load;
