//! The wire between the nodes: every packet waits here as long as the link between its two nodes says.
//!
//! The kernels the bed runs on often lack netem, so each node's `wire0` is a TUN device and one process holds the other ends of
//! all of them. A packet read from one is kept in a heap until it is due and written into another.
//!
//! **Order.** Packets of one flow (same addresses, protocol and ports) never overtake each other, neither through jitter nor when
//! the tail hits one of them: what comes behind it waits, as behind a full queue in a switch. Different flows do pass each
//! other. Otherwise every jittered link would look like loss to TCP, which takes reordering for it.

mod control;
mod device;
mod line;
mod queue;
mod run;
mod settings;

pub use control::{Counters, Request, ask};
pub use run::{Port, Wiring, run};
pub use settings::{Link, Links, Profile, Share, Tail, parse_duration};
