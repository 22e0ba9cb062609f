//! What routes of the mesh do with calls to a Service, beside sending them to its pods.

use crate::id::ServiceId;
use serde::{Deserialize, Serialize};

/// One thing that a route does. A closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rerouting {
    /// Sends calls, some or all, to another host or port.
    Elsewhere,
    /// Sends them to a part of the Service's pods only.
    Subset,
    /// Answers them itself, or sends the caller away.
    Answers,
    /// Says that no call is sent twice.
    SentOnce,
    /// Says by itself which calls are sent again.
    SentAgain,
    /// Stands there: time-outs, headers, faults, mirrors, which are its caller's proxy's to carry out.
    Stands,
}

/// A route of the mesh that is about calls to a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reroute {
    /// Calls to it.
    pub service: ServiceId,
    /// The route's kind and name.
    pub by: String,
    /// What it does.
    pub does: Rerouting,
}
