//! The words of verify.

use super::{Harm, Verdict, Waiting};

impl Waiting {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Requests { .. } => "requests",
            Self::Settling { .. } => "settling",
            Self::Window { .. } => "window",
            Self::Load { .. } => "load",
        }
    }
    /// For people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Requests { seen, wanted } => format!(
                "Waiting for requests: {seen} of {wanted} measured, {} still to come.",
                wanted.saturating_sub(*seen)
            ),
            Self::Settling { left_ms } => format!("Waiting {} s for new pods to settle.", left_ms.div_ceil(1000)),
            Self::Window { left_ms } => format!(
                "Waiting {} s until the window is long enough to tell the load.",
                left_ms.div_ceil(1000)
            ),
            Self::Load { percent } => format!(
                "Waiting for comparable load: it is {}.{:02} × that of the window before.",
                percent / 100,
                percent % 100
            ),
        }
    }
}

impl Harm {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Network { .. } => "network",
            Self::Served { .. } => "served",
            Self::Calls { .. } => "calls",
            Self::ServedTail { .. } => "servedTail",
            Self::Errors { .. } => "errors",
            Self::CalleePod { .. } => "calleePod",
            Self::Entry { .. } => "entry",
        }
    }
    /// For people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Network { edge, before, after } => {
                format!("the network part of {edge} rose from {before} to {after} on average")
            }
            Self::Served { edge, before, after } => {
                format!("calls of {edge} are served in {after} on average; it was {before} before")
            }
            Self::Calls { edge, before, after } => {
                format!("calls of {edge} take {after} on average; they took {before} before")
            }
            Self::ServedTail { edge, before, after } => {
                format!("calls of {edge} are served in {after} at p99; it was {before} before")
            }
            Self::Errors { edge, before, after } => format!(
                "errors on {edge} rose from {:.2} % to {:.2} %",
                before.get() * 100.0,
                after.get() * 100.0
            ),
            Self::CalleePod {
                edge,
                pod,
                before,
                after,
            } => format!("pod {pod} behind {edge} takes {after} on average; the callee's pods took {before} before"),
            Self::Entry { edge, before, after } => {
                format!("the entry {edge} went from {before} to {after} on average")
            }
        }
    }
}

impl Verdict {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Improved => "improved",
            Self::Unchanged => "unchanged",
            Self::Regressed { .. } => "regressed",
            Self::Eased => "eased",
        }
    }
    /// For people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Waiting { waiting } => waiting.sentence(),
            Self::Improved => {
                "Improved: what the plan was to make faster clearly is, and nothing else is worse.".to_owned()
            }
            Self::Unchanged => "Unchanged: no clear difference in what the plan is judged by.".to_owned(),
            Self::Regressed { harm } => format!("Regressed: {}; it is rolled back.", harm.sentence()),
            Self::Eased => {
                "Eased: what was given memory is no longer killed for want of it and does not stall, and nothing is worse.".to_owned()
            }
        }
    }
}
