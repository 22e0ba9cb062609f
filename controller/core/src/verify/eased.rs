//! Memory is judged by itself: what is no longer killed need not be served sooner.

use super::Verdict;
use crate::cluster::ClusterView;
use crate::diagnose::{Lack, PressureConfig};
use crate::plan::Plan;
use crate::time::{Timestamp, Window};
use crate::usage::Usage;

/// A verdict in which the containers that were given memory count: *unchanged* is *eased* where since `from` nothing was killed in any of
/// them and none stalled. Other verdicts, of other plans too, stay as they are.
pub fn eased(
    verdict: Verdict,
    plan: &Plan,
    usage: &Usage,
    cluster: &ClusterView,
    from: Timestamp,
    config: &PressureConfig,
) -> Verdict {
    match verdict {
        Verdict::Unchanged if is_eased(plan, usage, cluster, from, config) => Verdict::Eased,
        Verdict::Waiting { .. }
        | Verdict::Improved
        | Verdict::Unchanged
        | Verdict::Regressed { .. }
        | Verdict::Eased => verdict,
    }
}

/// Every container given memory was read since then, and lacks none.
fn is_eased(plan: &Plan, usage: &Usage, cluster: &ClusterView, from: Timestamp, config: &PressureConfig) -> bool {
    let since = Window {
        from,
        to: Timestamp(i64::MAX),
    };
    let mut given = plan
        .relief
        .iter()
        .filter(|relief| relief.lack == Lack::Memory)
        .peekable();
    let lacks_none = |relief: &crate::plan::Relief| {
        let mut pods = cluster.pods_of(&relief.edge.destination);
        pods.all(|pod| {
            let used = usage.pods.get(&pod.uid).and_then(|all| all.get(&relief.container));
            used.is_some_and(|used| {
                let figures = used.within(since);
                let killed = figures.counted.kills.unwrap_or(0) > 0;
                let spec = pod
                    .containers
                    .iter()
                    .find(|container| container.name == relief.container);
                let died = spec.and_then(|spec| spec.killed).is_some_and(|at| at >= from);
                figures.seen.0 > 0 && !killed && !died && figures.stalled() < config.stalled
            })
        })
    };
    given.peek().is_some() && given.all(lacks_none)
}
