//! From a free layout to rules that the stock scheduler follows, and what it does under them.
//!
//! ```text
//! near: layout for same-node-first routing ─► derive: one rule per service ─► scheduler: every pod created anew ─► layout
//!                                                          choose: the layout of which most is left then ◄─┘
//! ```

mod choose;
mod derive;
mod near;
mod scheduler;

pub use choose::{RuledAnswer, assign_by_rules};
pub use derive::{Means, rules};
pub use near::{NearAnswer, NearWish, assign_near};
pub use scheduler::recreate;

use std::collections::BTreeMap;

/// The steady rule of one service: what its new pods wish for, beside being spread over nodes (ScheduleAnyway). The skew of that spread
/// decides how much it counts: kube-scheduler adds skew − 1 to each node's count (times ln(nodes + 2)) before it compares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// Nothing: kube-scheduler's defaults.
    #[default]
    None,
    /// To come onto nodes with pods of another service, the more the better (preferred pod affinity, weight 100).
    Beside {
        /// The other service.
        with: usize,
        /// The spread's skew, at least 1.
        skew: u32,
    },
    /// To come onto the nodes of a cell (preferred node affinity), each with its weight from 1 to 100.
    Cell {
        /// The cell's nodes, and what each weighs.
        weights: BTreeMap<usize, u32>,
        /// The spread's skew, at least 1.
        skew: u32,
    },
}
