//! Who of two workloads calls, and who is called.

use super::{CALLEE, CALLER, NAMESPACE};

/// A caller and its callee, by the names of their Deployments. The callee's container is called as the callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Whose pods hold both.
    pub caller: &'static str,
    /// Whose container joins them.
    pub callee: &'static str,
}

impl Ends {
    /// The two that are brought beside the shop.
    pub const BROUGHT: Self = Self {
        caller: CALLER,
        callee: CALLEE,
    };
    /// The two ends of the shop's chattiest edge into a leaf: ten of the thirteen calls of a home page.
    pub const LEAF: Self = Self {
        caller: "frontend",
        callee: "currency",
    };

    /// Caller and callee, as Huddle calls them.
    pub fn workloads(&self) -> [String; 2] {
        [self.caller, self.callee].map(|name| format!("{NAMESPACE}/{name}"))
    }

    /// The container that joins the caller's pods, as Huddle calls it there.
    pub fn companion(&self) -> String {
        format!("huddle-{0}-{0}", self.callee)
    }
}
