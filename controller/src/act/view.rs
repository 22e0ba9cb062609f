//! A Plan object as people see it, on the dashboard and at the command line.

use super::convert::{plan_of, progress_of};
use super::error::ActError;
use huddle_api as api;
use huddle_core::act::{Progress, Step};
use huddle_core::plan::merge::Advice;
use huddle_core::plan::{Action, Plan, Trigger, extent};
use huddle_core::verify::Verdict;
use huddle_core::view::{
    ExpectedView, GivenBackView, MergeView, PlanView, ProofView, ReliefView, SpreadView, StageView, StepView,
    TogetherView, VerdictView,
};
use kube::ResourceExt;
use serde_json::Value;

/// The plan for people.
///
/// # Errors
/// The field of the object that cannot be read.
pub fn view(object: &api::Plan) -> Result<PlanView, ActError> {
    let plan = plan_of(object)?;
    let progress = progress_of(object)?;
    let status = object.status.as_ref();
    let proof = status.and_then(|status| status.proof.as_ref());
    let measured: Vec<SpreadView> = part(proof, "spread").unwrap_or_default();
    let verdict: Option<Verdict> = status
        .and_then(|status| status.verdict.as_ref())
        .and_then(|verdict| serde_json::to_value(verdict).ok())
        .and_then(|verdict| serde_json::from_value(verdict).ok());
    Ok(PlanView {
        id: object.name_any(),
        phase: progress.phase.label().to_owned(),
        summary: format!("{}{}", summary(object, &progress), because(&plan)),
        created_at: plan.at.0,
        actions: plan
            .actions
            .iter()
            .enumerate()
            .map(|(index, action)| step_view(action, progress.steps.get(index)))
            .collect(),
        refusals: plan.refusals.iter().map(StepView::from).collect(),
        expected: plan.expected.iter().map(ExpectedView::from).collect(),
        relief: plan.relief.iter().map(ReliefView::from).collect(),
        given_back: plan.given_back.iter().map(GivenBackView::from).collect(),
        merging: plan.merging.iter().map(one_way).collect(),
        proof: part::<Vec<ProofView>>(proof, "edges").unwrap_or_default(),
        together: part::<TogetherView>(proof, "together"),
        spread: if measured.is_empty() {
            plan.spread.iter().map(SpreadView::from).collect()
        } else {
            measured
        },
        verdict: verdict.as_ref().map(VerdictView::from),
    })
}

/// What a plan says of a merge: it takes one way.
fn one_way(advice: &Advice) -> MergeView {
    let mut view = MergeView::from(advice);
    view.ways.retain(|way| way.way == advice.way.label());
    view
}

fn part<T: serde::de::DeserializeOwned>(proof: Option<&Value>, name: &str) -> Option<T> {
    serde_json::from_value(proof?.get(name)?.clone()).ok()
}

fn step_view(action: &Action, step: Option<&Step>) -> StepView {
    let mut view = StepView {
        stages: StageView::all(action, step),
        ..StepView::from(action)
    };
    if let Some(step) = step {
        view.state = Some(step.state.label().to_owned());
        if let Some(trouble) = &step.trouble {
            view.sentence = format!("{} ({}: {})", view.sentence, step.state.label(), trouble.sentence());
        }
    }
    view
}

/// `; proposed because node-3 joined`: why it comes now.
pub(crate) fn because(plan: &Plan) -> String {
    let whys: Vec<String> = plan.because.iter().map(Trigger::sentence).collect();
    match whys.as_slice() {
        [] => String::new(),
        whys => format!("; proposed because {}", whys.join(", and ")),
    }
}

fn summary(object: &api::Plan, progress: &Progress) -> String {
    let said = object
        .status
        .as_ref()
        .map(|status| status.message.as_str())
        .unwrap_or_default();
    if said.is_empty() {
        let restarted = u64::try_from(object.spec.pods_restarted).unwrap_or(0);
        format!("{}; waiting for approval", extent(progress.steps.len(), restarted))
    } else {
        said.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A plan with one merge that is under way, at this stage.
    fn merging(stage: &str) -> api::Plan {
        let workload = |name: &str| json!({"namespace": "shop", "kind": "Deployment", "name": name});
        let receipt = json!({"kind": "merge", "companion": {"namespace": "shop", "name": "p-0"}, "caller": workload("web"),
            "callee": workload("db"), "calleeUid": "u", "template": "t", "stage": stage, "stageSince": 2});
        serde_json::from_value(json!({
            "apiVersion": "huddle.dev/v1alpha1", "kind": "Plan", "metadata": {"name": "p"},
            "spec": {"at": 1, "podsRestarted": 1, "saved": 1.0, "digest": "d",
                "actions": [{"kind": "merge", "workload": workload("web"), "with": workload("db")}]},
            "status": {"phase": "acting", "since": 1, "steps": [{"state": "running", "since": 1, "receipt": receipt}]},
        }))
        .unwrap()
    }

    #[test]
    fn a_merge_under_way_says_its_stage() {
        let seen = view(&merging("prove")).unwrap();
        let stages = seen.actions.iter().flat_map(|step| &step.stages);
        let told: Vec<(&str, &str)> = stages.map(|it| (it.stage.as_str(), it.state.as_str())).collect();
        let wanted = [
            ("companion", "done"),
            ("clusters", "done"),
            ("route", "done"),
            ("pods", "done"),
            ("prove", "running"),
            ("lower", "pending"),
        ];
        assert_eq!(told, wanted);
    }
}
