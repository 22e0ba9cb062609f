//! When a plan goes ahead without a person: where every namespace it touches says Auto, and nothing speaks against it.

use super::{Phase, Progress, Step, Trouble};
use crate::cluster::{Automation, ClusterView};
use crate::id::{Namespace, WorkloadId};
use crate::plan::{Plan, PlanKind};
use crate::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How patient Huddle is with itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AloneConfig {
    /// A proposal stands so long before Huddle takes it up: time for people to look, and for a better one to replace it.
    pub stand: Span,
    /// After a plan that touched a workload was undone for harm, twice as long after each further one in a row. 24 h: facts/loop.md A6.
    pub setback: Span,
    /// After so many in a row Huddle leaves the workload to people. 3: facts/loop.md A6.
    pub setbacks: u64,
}

impl Default for AloneConfig {
    fn default() -> Self {
        Self {
            stand: Span::seconds(120),
            setback: Span::seconds(24 * 3600),
            setbacks: 3,
        }
    }
}

/// What became of an earlier plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Whose pods or calls it changed.
    pub workloads: BTreeSet<WorkloadId>,
    /// Where it is.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// Huddle took it back by itself: for harm, or because its steps failed.
    pub setback: bool,
}

impl Past {
    /// What became of that plan.
    pub fn of(plan: &Plan, progress: &Progress) -> Self {
        let wanted = matches!(
            progress.trouble,
            None | Some(Trouble::Wanted { .. } | Trouble::Tampered)
        );
        let nothing = progress.trouble == Some(Trouble::NothingDone);
        let failed = progress.steps.iter().any(Step::has_failed);
        // A step without a receipt has written nothing.
        let begun = plan
            .actions
            .iter()
            .zip(&progress.steps)
            .filter(|(_, step)| step.receipt.is_some());
        Self {
            workloads: begun.flat_map(|(action, _)| action.touches()).cloned().collect(),
            phase: progress.phase,
            since: progress.since,
            setback: progress.phase == Phase::RolledBack && !wanted && (!nothing || failed),
        }
    }
}

/// Why Huddle does not go ahead by itself. A closed set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "hold", rename_all_fields = "camelCase")]
pub enum Hold {
    /// A namespace wants a person's approval.
    NotAuto {
        /// Which.
        namespace: Namespace,
    },
    /// The proposal has not stood for long.
    Young {
        /// When it has.
        until: Timestamp,
    },
    /// A workload was changed a short while ago.
    Cooling {
        /// Which.
        workload: WorkloadId,
        /// When it may be changed again.
        until: Timestamp,
    },
    /// What was done to a workload had to be undone too often in a row.
    LeftToPeople {
        /// Which.
        workload: WorkloadId,
        /// How often.
        setbacks: u64,
    },
}

impl Hold {
    /// The JSON name.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotAuto { .. } => "notAuto",
            Self::Young { .. } => "young",
            Self::Cooling { .. } => "cooling",
            Self::LeftToPeople { .. } => "leftToPeople",
        }
    }
    /// One sentence for people, without a full stop.
    pub fn sentence(&self) -> String {
        match self {
            Self::NotAuto { namespace } => format!("the policy of {namespace} wants a person's approval"),
            Self::Young { until } => format!("Huddle takes it up by itself from {} on", until.time_of_day()),
            Self::Cooling { workload, until } => format!(
                "{workload} was changed a short while ago: Huddle takes it up by itself from {} on",
                until.time_of_day()
            ),
            Self::LeftToPeople { workload, setbacks } => format!(
                "what was done to {workload} had to be undone {setbacks} times in a row: a person has to approve"
            ),
        }
    }
}

/// Whether a plan proposed at `at` may go ahead without a person.
///
/// # Errors
/// What speaks against it; the longest wait where several do.
pub fn may_go_alone(
    plan: &Plan,
    at: Timestamp,
    cluster: &ClusterView,
    past: &[Past],
    config: &AloneConfig,
    now: Timestamp,
) -> Result<(), Hold> {
    let workloads: BTreeSet<&WorkloadId> = plan.actions.iter().flat_map(crate::plan::Action::touches).collect();
    let namespaces: BTreeSet<&Namespace> = workloads.iter().map(|id| &id.namespace).collect();
    // Who asks for a merge where the policy proposes none has no say over the namespace.
    let merges = plan.kind() == PlanKind::Merge;
    let asks = |namespace: &&&Namespace| {
        let policy = cluster.policy(namespace);
        policy.automation != Automation::Auto || (merges && !policy.merges)
    };
    if let Some(namespace) = namespaces.iter().find(asks) {
        return Err(Hold::NotAuto {
            namespace: (*namespace).clone(),
        });
    }
    let mut until = at.plus(config.stand);
    let mut hold = Hold::Young { until };
    for workload in workloads {
        let after = cooled(workload, cluster.policy(&workload.namespace).cooldown, past, config)?;
        if after > until {
            until = after;
            hold = Hold::Cooling {
                workload: workload.clone(),
                until,
            };
        }
    }
    if now >= until { Ok(()) } else { Err(hold) }
}

/// From when on the workload may be changed again.
fn cooled(workload: &WorkloadId, cooldown: Span, past: &[Past], config: &AloneConfig) -> Result<Timestamp, Hold> {
    let mut own: Vec<&Past> = past.iter().filter(|past| past.workloads.contains(workload)).collect();
    own.sort_by_key(|past| past.since);
    let mut setbacks = 0_u64;
    let mut until = Timestamp(i64::MIN);
    for past in own {
        let wait = match past.phase {
            Phase::Proved => {
                setbacks = 0;
                cooldown
            }
            Phase::RolledBack if past.setback => {
                setbacks += 1;
                let doublings = u32::try_from(setbacks - 1).unwrap_or(u32::MAX);
                Span(config.setback.0.saturating_mul(2_u64.saturating_pow(doublings)))
            }
            Phase::RolledBack => cooldown,
            Phase::Proposed
            | Phase::Approved
            | Phase::Baseline
            | Phase::Acting
            | Phase::Settling
            | Phase::Proving
            | Phase::RollingBack
            | Phase::Superseded => continue,
        };
        until = until.max(past.since.plus(wait));
    }
    if setbacks >= config.setbacks {
        return Err(Hold::LeftToPeople {
            workload: workload.clone(),
            setbacks,
        });
    }
    Ok(until)
}
