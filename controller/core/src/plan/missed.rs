//! What was tried in vain is not tried again at once: the scheduler would put the pod back, again and again (kubernetes-sigs/descheduler
//! issues 1695 and 1707).

use super::RefusalReason;
use crate::cluster::{ClusterView, Missed};
use crate::id::{NodeName, WorkloadId};
use crate::time::{Span, Timestamp};

/// How long the first miss keeps others from the same node. Chosen: longer than a roll-out or a node's coming and going.
const FIRST: Span = Span::seconds(30 * 60);
/// The longest a miss lasts, however often it happened.
const LONGEST: Span = Span::seconds(24 * 3600);

impl Missed {
    /// When it may be tried again: half an hour after the first miss, twice as long after each further one in a row, a day at most.
    pub fn until(&self) -> Timestamp {
        let doublings = u32::try_from(self.times.saturating_sub(1)).unwrap_or(u32::MAX);
        let longer = FIRST.0.saturating_mul(2_u64.saturating_pow(doublings));
        self.last.plus(Span(longer.min(LONGEST.0)))
    }
}

/// Whether the workload's pods are kept from the node by what was tried before.
pub(crate) fn kept_from(
    cluster: &ClusterView,
    workload: &WorkloadId,
    node: &NodeName,
    at: Timestamp,
) -> Result<(), RefusalReason> {
    let mut missed = cluster.missed.get(workload).into_iter().flatten();
    match missed.find(|missed| &missed.node == node && at < missed.until()) {
        None => Ok(()),
        Some(missed) => Err(RefusalReason::TriedInVain {
            node: node.clone(),
            times: missed.times,
            plan: missed.plan.clone(),
            until: missed.until(),
        }),
    }
}
