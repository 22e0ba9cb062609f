//! The service graph: absorbs samples, forgets with time, gives snapshots.

mod snapshot;
pub use snapshot::*;
