//! Policy Auto: the controller approves in its own name what may go ahead without a person.

use super::convert::{plan_of, progress_of};
use super::error::ActError;
use super::propose::approve;
use huddle_api as api;
use huddle_core::act::{AloneConfig, Hold, Past, Phase, may_go_alone};
use huddle_core::cluster::ClusterView;
use huddle_core::id::PlanId;
use huddle_core::time::Timestamp;
use kube::{Client, ResourceExt};

/// Whether the proposal may go ahead alone; `None` for a plan that is no open proposal, or cannot be read.
pub fn held(object: &api::Plan, view: &ClusterView, plans: &[api::Plan], now: Timestamp) -> Option<Result<(), Hold>> {
    let phase = object.status.as_ref().map(|status| status.phase).unwrap_or_default();
    if phase != api::PlanPhase::Proposed || object.spec.approval.is_some() || object.spec.rollback.is_some() {
        return None;
    }
    let plan = plan_of(object).ok()?;
    let past: Vec<Past> = plans.iter().filter_map(past).collect();
    // The object's own time: when people could first see it.
    let at = object.metadata.creation_timestamp.as_ref();
    let at = at.map_or(plan.at, |time| Timestamp(time.0.as_millisecond()));
    Some(may_go_alone(&plan, at, view, &past, &AloneConfig::default(), now))
}

fn past(object: &api::Plan) -> Option<Past> {
    Some(Past::of(&plan_of(object).ok()?, &progress_of(object).ok()?))
}

/// Approves the first proposal that may go ahead alone, unless another plan is under way; which.
///
/// # Errors
/// When the API server refuses the approval.
pub async fn take_up(
    client: &Client,
    view: &ClusterView,
    plans: &[api::Plan],
    now: Timestamp,
) -> Result<Option<PlanId>, ActError> {
    let under_way = |object: &api::Plan| {
        let phase = progress_of(object).map(|progress| progress.phase);
        phase.is_ok_and(|phase| phase == Phase::Approved || phase.is_active())
    };
    if plans.iter().any(under_way) {
        return Ok(None);
    }
    let Some(object) = plans
        .iter()
        .find(|object| held(object, view, plans, now) == Some(Ok(())))
    else {
        return Ok(None);
    };
    approve(client, object, now).await?;
    Ok(Some(PlanId::new(object.name_any())))
}
