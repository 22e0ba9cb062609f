//! The cluster as planning sees it: nodes, pods, workloads, services, budgets. Filled by the controller's watches.

mod at_start;
mod container;
mod known;
mod reroute;
mod rules;
mod template;
mod view;
pub use at_start::*;
pub use container::*;
pub use known::*;
pub use reroute::*;
pub use template::*;
pub use view::*;
