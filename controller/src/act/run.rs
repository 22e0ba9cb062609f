//! The task that acts: holds the Lease, takes every plan one round further, watches for harm.

use super::error::{ActError, Doing};
use super::evidence::Evidence;
use super::lease::Lease;
use super::round::Actor;
use super::{cell, guard, propose};
use huddle_api as api;
use huddle_core::act::{ActConfig, Phase, watched};
use huddle_core::time::Span;
use kube::api::ListParams;
use kube::{Client, Config, ResourceExt};
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

/// Acts until `shutdown`. A step that is under way is left as it stands: whoever comes next goes on from there.
pub async fn run(
    client: Client,
    identity: String,
    evidence: Arc<dyn Evidence>,
    config: ActConfig,
    shutdown: impl Future<Output = ()>,
) {
    let mut lease = Lease::new(client.clone(), identity);
    let mut actor = Actor::new(client.clone(), evidence, config);
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
    Ok(list.iter().filter_map(open).collect())
}

fn open(plan: &api::Plan) -> Option<Open> {
    let name = plan.name_any();
    let progress = match super::progress_of(plan) {
        Ok(progress) => progress,
        Err(error) => {
            tracing::warn!(%error, "a plan cannot be read");
            return None;
        }
    };
    let at_rest = match progress.phase {
        Phase::RolledBack | Phase::Superseded => true,
        Phase::Proved => {
            // What was given back is looked after as long as it stands.
            plan.spec.rollback.is_none()
                && plan.spec.given_back.is_empty()
                && watched(&progress).next().is_none()
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
        name,
        active: progress.phase.is_active(),
    })
}
