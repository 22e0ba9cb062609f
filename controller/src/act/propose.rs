//! Plan objects: made by the engine, approved and rolled back by people.

use super::convert::{plan_of, spec_of};
use super::error::{ActError, Doing};
use huddle_api as api;
use huddle_core::act::Phase;
use huddle_core::id::PlanId;
use huddle_core::plan::Plan;
use huddle_core::time::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

/// So many ended plans are kept.
const KEPT: usize = 20;

pub(super) fn plans(client: &Client) -> Api<api::Plan> {
    Api::namespaced(client.clone(), api::SYSTEM_NAMESPACE)
}

/// Makes a Plan object of the plan and lets older proposals rest that it is not beside. A proposal with the same actions stays as it is, so
/// that nobody's screen changes under an approval. A plan without actions is no proposal.
///
/// # Errors
/// When the API server refuses it.
pub async fn propose(client: &Client, plan: &Plan, now: Timestamp) -> Result<Option<PlanId>, ActError> {
    if plan.actions.is_empty() {
        return Ok(None);
    }
    let plans = plans(client);
    let list = plans.list(&ListParams::default()).await.doing("listing plans")?.items;
    let phase = |plan: &api::Plan| plan.status.as_ref().map(|status| status.phase).unwrap_or_default();
    let open = |it: &&api::Plan| phase(it) == api::PlanPhase::Proposed && it.spec.approval.is_none();
    for proposal in list.iter().filter(open) {
        if plan_of(proposal).is_ok_and(|it| it.actions == plan.actions) {
            return Ok(Some(PlanId::new(proposal.name_any())));
        }
    }
    let spec = spec_of(plan)?;
    let name = format!("plan-{}", spec.digest.get(..8).unwrap_or("0"));
    let object = api::Plan::new(&name, spec);
    match plans.create(&by_huddle(), &object).await {
        Ok(_) => {}
        // The same plan, made before: its answer was lost.
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(error).doing("creating a plan"),
    }
    for proposal in list.iter().filter(open) {
        let is_beside = plan_of(proposal).is_ok_and(|old| old.kind().is_beside(plan.kind()));
        if !is_beside {
            supersede(&plans, proposal, now).await?;
        }
    }
    prune(&plans, &list).await?;
    Ok(Some(PlanId::new(name)))
}

fn by_huddle() -> PostParams {
    PostParams {
        field_manager: Some(api::FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

async fn supersede(plans: &Api<api::Plan>, plan: &api::Plan, now: Timestamp) -> Result<(), ActError> {
    let body = json!({
        "metadata": {"resourceVersion": plan.resource_version()},
        "status": {
            "phase": Phase::Superseded.label(), "since": now,
            "message": "a newer plan took its place before anybody approved it", "steps": [],
        },
    });
    match plans
        .patch_status(&plan.name_any(), &PatchParams::default(), &Patch::Merge(body))
        .await
    {
        // Approved meanwhile, or gone: then it is not superseded.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other.doing("superseding a plan").map(drop),
    }
}

/// Ended plans beyond [`KEPT`] go, the oldest first. A plan whose rules or routes stand is not ended.
async fn prune(plans: &Api<api::Plan>, list: &[api::Plan]) -> Result<(), ActError> {
    let ended = |plan: &&api::Plan| {
        let phase = plan.status.as_ref().map(|status| status.phase);
        matches!(phase, Some(api::PlanPhase::Superseded | api::PlanPhase::RolledBack))
    };
    let mut ended: Vec<&api::Plan> = list.iter().filter(ended).collect();
    ended.sort_by_key(|plan| plan.spec.at);
    for plan in ended.iter().take(ended.len().saturating_sub(KEPT)) {
        let deleted = plans.delete(&plan.name_any(), &DeleteParams::default()).await;
        super::error::or_gone(deleted).doing("deleting an old plan")?;
    }
    Ok(())
}

/// The user's name as the API server knows it.
async fn whoami(client: &Client) -> Result<String, ActError> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await;
    let user = review
        .doing("asking who you are")?
        .status
        .and_then(|status| status.user_info);
    Ok(user.and_then(|user| user.username).unwrap_or_default())
}

/// Approves exactly the plan that was looked at, in the caller's own name; who that is.
///
/// # Errors
/// When the API server refuses it: no right, no such plan, or another digest.
pub async fn approve(client: &Client, plan: &api::Plan, now: Timestamp) -> Result<String, ActError> {
    let by = whoami(client).await?;
    let approval = json!({"by": by, "at": now, "digest": plan.spec.digest});
    amend(client, plan, json!({"approval": approval})).await.map(|()| by)
}

/// Asks for the plan to be undone, in the caller's own name; who that is.
///
/// # Errors
/// When the API server refuses it: no right, or no such plan.
pub async fn request_rollback(client: &Client, plan: &api::Plan, now: Timestamp) -> Result<String, ActError> {
    let by = whoami(client).await?;
    amend(client, plan, json!({"rollback": {"by": by, "at": now}}))
        .await
        .map(|()| by)
}

async fn amend(client: &Client, plan: &api::Plan, spec: serde_json::Value) -> Result<(), ActError> {
    let body = json!({"metadata": {"uid": plan.uid()}, "spec": spec});
    let patched = plans(client)
        .patch(&plan.name_any(), &PatchParams::default(), &Patch::Merge(body))
        .await;
    patched.doing("changing a plan").map(drop)
}
