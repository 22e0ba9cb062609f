//! The service graph: absorbs samples, forgets with time, gives snapshots.
//!
//! [`TrafficGraph`] keeps what came in, in slots of time, bounded in memory; a [`Snapshot`] is the ordered picture of one
//! window that all later stages read; [`WorkloadGraph`] is the shape of a snapshot: entry points, layers, cycles.

mod shape;
mod snapshot;
mod traffic;
pub use shape::*;
pub use snapshot::*;
pub use traffic::*;
