//! How bold the planner is.

use super::Percent;
use crate::bounds::Confidence;
use crate::units::Ratio;

/// The planner's settings. Defaults are chosen; the source is named where there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlannerConfig {
    /// Most load of one ready callee pod under local routing, in shares (total ÷ ready pods). DESIGN, "Decisions": 1.3 ×.
    pub load_bound: Percent,
    /// Most load of one pod under routing that is yet to be set. Less than [`Self::load_bound`], at which what is in force is
    /// withdrawn: measured loads waver, and a route planned just inside the bound was withdrawn as soon as its pods had settled
    /// (docs/results/demo.md, fourth run).
    pub planned_load: Percent,
    /// Least ready pods behind a Service that is routed locally (issue 3, Step 3).
    pub min_ready: u64,
    /// Least requests of an edge for its calls and bytes to count: its rate is then known to a tenth (1 ÷ √100).
    pub min_requests: u64,
    /// Least gain of one pod move, as a share of what all edges with distance would gain: below it a move is not worth a restart.
    /// facts/loop.md B5 drops candidates below 1 %; a workload of 2–4 pods and its follower are about five moves.
    pub min_gain_per_move: Ratio,
    /// Least rise of an edge's same-node share that counts as acted on.
    pub min_share_gained: Ratio,
    /// By how much the predicted same-node share may fall short in the cautious end of the expectation.
    pub share_slack: Ratio,
    /// Most of a node's cpu or memory that its pods may use, as measured, after a move to it (facts/loop.md A7).
    pub most_use: Percent,
    /// Bounds of the expectation.
    pub confidence: Confidence,
    /// Most rounds of the search: a guard, not a tuning knob; each round takes the best of all candidates.
    pub max_rounds: usize,
}

impl Default for PlannerConfig {
    fn default() -> Self {
        Self {
            load_bound: Percent(130),
            planned_load: Percent(120),
            min_ready: 2,
            min_requests: 100,
            min_gain_per_move: Ratio::clamped(0.002),
            min_share_gained: Ratio::clamped(0.02),
            share_slack: Ratio::clamped(0.05),
            most_use: Percent(80),
            confidence: Confidence::default(),
            max_rounds: 200,
        }
    }
}
