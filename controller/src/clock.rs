//! The one place that reads the wall clock.

use huddle_core::time::Timestamp;

/// Now, as the machine's clock says; never before the epoch.
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond().max(0))
}
