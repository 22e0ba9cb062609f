//! The first sign that what was given back is missed. It is looked for from the first resize on, and as long as the plan stands, proved or
//! not; at the first sign the plan is undone.

use crate::cluster::{ClusterView, Pod, Sizing};
use crate::plan::{GivenBack, Plan};
use crate::time::{Span, Timestamp};
use crate::units::{Bytes, Ratio};
use crate::usage::{Figures, Usage};
use serde::{Deserialize, Serialize};

/// How far back is looked: three readings (10 s each) and a slot, of which the newest may not be told yet.
const RECENT: Span = Span::seconds(40);
/// Periods that a share of them needs: a second's.
const PERIODS: u64 = 10;
/// What the throttled share may be above what it was before. A hundredth: what is served is judged at p99. It is a tenth of what counts as
/// pressure (`diagnose::PressureConfig`), so that it is undone before anybody would call it pressure.
const MORE: f64 = 0.01;
/// Throttled periods that make a sign: of a few periods in all, one or two are chance.
const SEVERAL: u64 = 3;
/// Part of its memory limit from which on a working set is near it. The kubelet's default for a node's own memory is to evict below 100 MiB
/// free; of a container's limit a tenth is left.
const NEAR: f64 = 0.90;

/// What was seen. A closed set: label, JSON and sentence come from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "sign", rename_all_fields = "camelCase")]
pub enum Sign {
    /// A limit stops a pod more often than before.
    Throttled {
        /// Which pod, by name.
        pod: String,
        /// In how many of a hundred periods.
        percent: u64,
        /// In how many of a hundred before.
        before: u64,
    },
    /// Something was killed for want of memory.
    Killed {
        /// In which pod.
        pod: String,
    },
    /// A pod's memory comes near its limit.
    NearLimit {
        /// Which pod.
        pod: String,
        /// Its working set.
        used: Bytes,
        /// Its limit.
        limit: Bytes,
    },
}

impl Sign {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Killed { .. } => "killed",
            Self::NearLimit { .. } => "nearLimit",
        }
    }
    /// For people, without a full stop.
    pub fn sentence(&self) -> String {
        match self {
            Self::Throttled { pod, percent, before } => {
                format!("the cpu limit stops pod {pod} in {percent} % of its periods; it was {before} % before")
            }
            Self::Killed { pod } => format!("something in pod {pod} was killed for want of memory"),
            Self::NearLimit { pod, used, limit } => format!("pod {pod} uses {used} of the {limit} of memory it may"),
        }
    }
}

/// The first sign that what the plan gives back is missed, by the figures since `since`, of the last 40 s at most. None where no pod has the plan's figures: then
/// somebody else has changed them, and it is not this plan that is missed.
pub fn sign(plan: &Plan, usage: &Usage, cluster: &ClusterView, since: Timestamp, now: Timestamp) -> Option<Sign> {
    let from = since.max(now.minus(RECENT));
    plan.given_back
        .iter()
        .find_map(|given| missed(given, usage, cluster, from))
}

fn missed(given: &GivenBack, usage: &Usage, cluster: &ClusterView, from: Timestamp) -> Option<Sign> {
    let sizing = |pod: &Pod| -> Option<Sizing> {
        let mut containers = pod.containers.iter();
        containers.find(|it| it.name == given.container).map(|it| it.sizing())
    };
    let lessened = |pod: &&Pod| sizing(pod).is_some_and(|has| given.after.is_met_by(&has, &given.before));
    if !cluster.pods_of(&given.workload).any(|pod| lessened(&pod)) {
        return None;
    }
    cluster.pods_of(&given.workload).find_map(|pod| {
        let used = usage.pods.get(&pod.uid)?.get(&given.container)?;
        let mut recent = Figures::default();
        let slots = used.slots.iter().filter(|(start, _)| **start >= from);
        slots.for_each(|(_, figures)| recent.merge(figures));
        let mut containers = pod.containers.iter();
        let killed = containers
            .find(|it| it.name == given.container)
            .and_then(|it| it.killed);
        if killed.is_some_and(|killed| killed >= from) {
            return Some(Sign::Killed { pod: pod.name.clone() });
        }
        of(given, &pod.name, &recent, sizing(pod)?.limits.memory)
    })
}

fn of(given: &GivenBack, pod: &str, recent: &Figures, limit: Option<Bytes>) -> Option<Sign> {
    let pod = || pod.to_owned();
    if recent.counted.kills.unwrap_or(0) > 0 {
        return Some(Sign::Killed { pod: pod() });
    }
    let percent = |share: Ratio| (share.get() * 100.0).round() as u64;
    let stopped = recent.throttled();
    let counted = recent.counted;
    let several = counted.periods.unwrap_or(0) >= PERIODS && counted.throttled_periods.unwrap_or(0) >= SEVERAL;
    if several && stopped.get() >= given.throttled.get() + MORE {
        return Some(Sign::Throttled {
            pod: pod(),
            percent: percent(stopped),
            before: percent(given.throttled),
        });
    }
    let (limit, used) = (
        limit.filter(|_| given.after.limits.memory.is_some())?,
        recent.memory_peak,
    );
    (used.0 as f64 >= limit.0 as f64 * NEAR).then(|| Sign::NearLimit {
        pod: pod(),
        used,
        limit,
    })
}
