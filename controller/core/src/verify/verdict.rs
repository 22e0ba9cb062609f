//! What verify can say. All sets are closed.

use crate::id::EdgeId;
use crate::units::{Micros, Ratio};
use serde::{Deserialize, Serialize};

/// What is still missing for a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "why", rename_all_fields = "camelCase")]
pub enum Waiting {
    /// More requests needed in the window.
    Requests {
        /// Seen.
        seen: u64,
        /// Wanted.
        wanted: u64,
    },
    /// New pods are still settling.
    Settling {
        /// Milliseconds left.
        left_ms: u64,
    },
    /// Enough requests, in a window too short to tell their rate.
    Window {
        /// Milliseconds left.
        left_ms: u64,
    },
    /// The after window's load differs too much from the before window's.
    Load {
        /// after ÷ before, in hundredths.
        percent: u64,
    },
}

/// The end of the proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "outcome", rename_all_fields = "camelCase")]
pub enum Verdict {
    /// Not yet.
    Waiting {
        /// For what.
        #[serde(flatten)]
        waiting: Waiting,
    },
    /// What the plan was to change is clearly lower (the network part; of resized pods the time they serve in; of a callee that joined its
    /// caller's pods the whole call), nothing else worse.
    Improved,
    /// No clear difference.
    Unchanged,
    /// Something is worse: rolled back.
    Regressed {
        /// What.
        harm: Harm,
    },
    /// What the plan gave memory to is no longer killed for want of it and does not stall, and nothing else is worse.
    Eased,
}

/// What happened to one edge acted on: to its network part, or where the callee was given more cpu, to its served time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeVerdict {
    /// Too few requests, then or now, to tell.
    Waiting,
    /// Surely lower.
    Improved,
    /// No clear difference.
    Unchanged,
    /// Surely and markedly higher.
    Regressed,
}

impl EdgeVerdict {
    /// For machines: the words of [`Verdict::label`].
    pub fn label(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Improved => "improved",
            Self::Unchanged => "unchanged",
            Self::Regressed => "regressed",
        }
    }
}

/// What got worse. A closed set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "harm", rename_all_fields = "camelCase")]
pub enum Harm {
    /// An edge acted on has a slower network part.
    Network {
        /// Which.
        edge: EdgeId,
        /// Mean before, the slowest 1 % capped.
        before: Micros,
        /// Mean after, capped alike.
        after: Micros,
    },
    /// An edge whose callee's figures were changed is served slower.
    Served {
        /// Which.
        edge: EdgeId,
        /// Mean before, the slowest 1 % capped.
        before: Micros,
        /// Mean after, capped alike.
        after: Micros,
    },
    /// Calls take longer, from the caller's proxy to the first byte back, of an edge whose callee joined its caller's pods.
    Calls {
        /// Which.
        edge: EdgeId,
        /// Mean before, the slowest 1 % capped.
        before: Micros,
        /// Mean after, capped alike.
        after: Micros,
    },
    /// An edge whose callee gave cpu or memory back is served slower at p99.
    ServedTail {
        /// Which.
        edge: EdgeId,
        /// p99 before.
        before: Micros,
        /// p99 after.
        after: Micros,
    },
    /// Errors rose on an edge.
    Errors {
        /// Which.
        edge: EdgeId,
        /// Share before.
        before: Ratio,
        /// Share after.
        after: Ratio,
    },
    /// One of the callee's pods serves clearly slower than before.
    CalleePod {
        /// Which edge.
        edge: EdgeId,
        /// The pod's name.
        pod: String,
        /// Mean served time before, all pods of the callee, the slowest 1 % capped.
        before: Micros,
        /// This pod's after, capped alike.
        after: Micros,
    },
    /// An entry point got slower.
    Entry {
        /// Which.
        edge: EdgeId,
        /// Mean before, the slowest 1 % capped.
        before: Micros,
        /// Mean after, capped alike.
        after: Micros,
    },
}
