//! The task that acts: holds the Lease, takes every plan one round further, watches for harm.

use super::error::{ActError, Doing};
use super::evidence::Evidence;
use super::lease::Lease;
use super::round::Actor;
use super::{cell, guard, propose};
use huddle_api as api;
use huddle_core::act::{ActConfig, Phase, Progress, Receipt, RuleName, StepState, watched};
use huddle_core::time::Span;
use kube::api::ListParams;
use kube::{Client, Config, ResourceExt};
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// While another process holds the Lease, or the API server does not answer.
const PAUSE: Duration = Duration::from_secs(2);

/// How often labels are looked for that no cell accounts for.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// A client whose refused requests come back at once: kube's own retries of 429 can take minutes, and a write that is
/// refused must be decided anew, not sent again.
///
/// # Errors
/// When the configuration cannot be used.
pub fn client(mut config: Config) -> Result<Client, kube::Error> {
    config.default_retry = false;
    Client::try_from(config)
}

/// Acts until `shutdown`. With the image that holds what starts companions' programs, if there is one. A step that is under way is left as it stands: whoever comes next goes on from there.
pub async fn run(
    client: Client,
    identity: String,
    evidence: Arc<dyn Evidence>,
    (config, supervisor): (ActConfig, Option<String>),
    shutdown: impl Future<Output = ()>,
) {
    let mut lease = Lease::new(client.clone(), identity);
    let mut actor = Actor::new(client.clone(), evidence, config).supervised(supervisor);
    let guarding = tokio::spawn(guard::watch(client.clone()));
    let work = async {
        let mut swept: Option<Instant> = None;
        loop {
            let pause = match lease.hold().await {
                Ok(true) => {
                    if swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY) {
                        swept = Some(Instant::now());
                        if let Err(error) = cell::sweep(&client).await {
                            tracing::warn!(%error, "labels of cells that are gone cannot be looked for");
                        }
                    }
                    tend(&client, &mut actor, &mut lease).await
                }
                Ok(false) => PAUSE,
                Err(error) => {
                    tracing::warn!(%error, "the lease cannot be held");
                    PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown => {}
    }
    guarding.abort();
}

/// One round of every plan that is not at rest; how long to pause then.
async fn tend(client: &Client, actor: &mut Actor, lease: &mut Lease) -> Duration {
    let plans = match open_plans(client).await {
        Ok(plans) => plans,
        Err(error) => {
            tracing::warn!(%error, "plans cannot be read");
            return PAUSE;
        }
    };
    let mut active: Option<String> = plans.iter().find(|plan| plan.active).map(|plan| plan.name.clone());
    let mut wake = Span(1_000);
    for plan in plans {
        if !matches!(lease.hold().await, Ok(true)) {
            return PAUSE;
        }
        let other = active.as_deref().filter(|active| *active != plan.name);
        match actor.round(&plan.name, other).await {
            Ok(round) => {
                if round.active {
                    active = Some(plan.name);
                }
                wake = wake.min(round.wake);
            }
            Err(error) => {
                tracing::warn!(plan = plan.name, %error, "a round ended early");
                wake = wake.min(Span(500));
            }
        }
    }
    Duration::from_millis(wake.0)
}

struct Open {
    name: String,
    active: bool,
}

async fn open_plans(client: &Client) -> Result<Vec<Open>, ActError> {
    let mut list = propose::plans(client)
        .list(&ListParams::default())
        .await
        .doing("listing plans")?
        .items;
    list.sort_by_key(|plan| (plan.spec.at, plan.name_any()));
    let read = |plan| match super::progress_of(plan) {
        Ok(progress) => Some((plan, progress)),
        Err(error) => {
            tracing::warn!(%error, "a plan cannot be read");
            None
        }
    };
    let read: Vec<(&api::Plan, Progress)> = list.iter().filter_map(read).collect();
    let back: BTreeSet<&RuleName> = read.iter().flat_map(|(_, progress)| brought_back(progress)).collect();
    let open = read.iter().filter_map(|(plan, progress)| open(plan, progress, &back));
    Ok(open.collect())
}

/// Rules that a plan had withdrawn and that its undo brings back, so that their cells need their labels again.
fn brought_back(progress: &Progress) -> impl Iterator<Item = &RuleName> {
    progress
        .steps
        .iter()
        .filter_map(|step| match (step.state, &step.receipt) {
            (StepState::Undoing | StepState::Undone, Some(Receipt::Withdraw(receipt))) => Some(&receipt.rule),
            _ => None,
        })
}

fn open(plan: &api::Plan, progress: &Progress, back: &BTreeSet<&RuleName>) -> Option<Open> {
    let is_open = |index: usize| match progress.steps.get(index) {
        Some(step) => match (step.state, &step.receipt) {
            (StepState::Undone, Some(Receipt::Cell(receipt))) => back.contains(&receipt.rule),
            _ => true,
        },
        None => false,
    };
    let at_rest = match progress.phase {
        Phase::RolledBack | Phase::Superseded => true,
        Phase::Proved => {
            // What was given back is looked after as long as it stands.
            plan.spec.rollback.is_none()
                && plan.spec.given_back.is_empty()
                && !watched(progress).any(is_open)
                && progress.steps.iter().all(|step| step.state.is_over())
        }
        Phase::Proposed
        | Phase::Approved
        | Phase::Baseline
        | Phase::Acting
        | Phase::Settling
        | Phase::Proving
        | Phase::RollingBack => false,
    };
    (!at_rest).then_some(Open {
        name: plan.name_any(),
        active: progress.is_active(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use huddle_core::act::{CellName, CellReceipt, CellStage, Step, WithdrawReceipt};
    use serde_json::json;

    fn proved(state: StepState, receipt: Receipt) -> Progress {
        Progress {
            phase: Phase::Proved,
            steps: vec![Step {
                state,
                receipt: Some(receipt),
                ..Step::default()
            }],
            ..Progress::default()
        }
    }

    #[test]
    fn a_cell_that_is_gone_is_looked_after_once_its_rule_is_brought_back() {
        let plan = json!({"apiVersion": "huddle.dev/v1alpha1", "kind": "Plan", "metadata": {"name": "p"},
            "spec": {"at": 1, "actions": [], "podsRestarted": 0, "saved": 0.0, "digest": "0".repeat(64)}});
        let plan: api::Plan = serde_json::from_value(plan).unwrap();
        let rule = RuleName {
            namespace: "shop".into(),
            name: "p-0".to_owned(),
        };
        let cell = |stage| {
            Receipt::Cell(CellReceipt {
                cell: CellName::of(&rule),
                rule: rule.clone(),
                nodes: Vec::new(),
                stage,
            })
        };
        let withdrawal = |state| {
            proved(
                state,
                Receipt::Withdraw(WithdrawReceipt {
                    rule: rule.clone(),
                    uid: "uid".to_owned(),
                    object: String::new(),
                }),
            )
        };
        let stands = proved(StepState::Done, cell(CellStage::Rule));
        let gone = proved(StepState::Undone, cell(CellStage::Lapsed));
        let (withdrawn, undone) = (withdrawal(StepState::Done), withdrawal(StepState::Undone));
        let is_open = |progress, other| open(&plan, progress, &brought_back(other).collect()).is_some();
        assert!(is_open(&stands, &withdrawn) && is_open(&gone, &undone));
        assert!(!is_open(&gone, &withdrawn));
    }
}
