//! What the plans of the past say about the cluster of today.

use huddle_api::{ActionKind, PlaceForm, Plan, PlanAction, PlanPhase, PlanStatus, PlanStep, StepPhase, WorkloadRef};
use huddle_core::act::Trouble;
use huddle_core::cluster::{Merged, Missed, Parted};
use huddle_core::id::{Namespace, NodeName, WorkloadId, WorkloadKind};
use huddle_core::time::Timestamp;
use std::collections::BTreeMap;

/// What the plans tried in vain and did not manage since.
pub(super) fn missed<'a>(plans: impl Iterator<Item = &'a Plan>) -> BTreeMap<WorkloadId, Vec<Missed>> {
    let mut tries: Vec<(i64, &Plan, &PlanAction, bool)> = Vec::new();
    for plan in plans {
        let steps = plan.status.iter().flat_map(|status| &status.steps);
        for (action, step) in plan.spec.actions.iter().zip(steps) {
            let trouble = step.trouble.clone().map(serde_json::from_value::<Trouble>);
            let of_the_place = matches!(trouble, Some(Ok(trouble)) if trouble.is_of_the_place());
            let in_vain = step.state == StepPhase::Undone && of_the_place;
            if action.kind == ActionKind::Move && (in_vain || step.state == StepPhase::Done) {
                tries.push((step.since, plan, action, in_vain));
            }
        }
    }
    tries.sort_by_key(|(at, ..)| *at);
    let mut missed: BTreeMap<WorkloadId, Vec<Missed>> = BTreeMap::new();
    for (at, plan, action, in_vain) in tries {
        let Some(node) = action.to.as_deref().map(NodeName::from) else {
            continue;
        };
        let known = missed.entry(workload_of(&action.workload)).or_default();
        let times = known.iter().find(|one| one.node == node).map_or(0, |one| one.times);
        known.retain(|one| one.node != node);
        if in_vain {
            known.push(Missed {
                node,
                times: times + 1,
                last: Timestamp(at),
                plan: plan.metadata.name.clone().unwrap_or_default(),
            });
        }
    }
    missed.retain(|_, known| !known.is_empty());
    missed
}

/// What became of merges, by caller and callee: the newest plan of each pair that was to carry one out.
pub(super) fn merged<'a>(plans: impl Iterator<Item = &'a Plan>) -> Vec<Merged> {
    let mut tries: Vec<(i64, Merged)> = Vec::new();
    for plan in plans {
        let Some(status) = &plan.status else { continue };
        for (action, step) in plan.spec.actions.iter().zip(&status.steps) {
            let Some(with) = action.with.as_ref().filter(|_| action.kind == ActionKind::Merge) else {
                continue;
            };
            let Some(parted) = parted(plan, status, step) else {
                continue;
            };
            let merged = Merged {
                caller: workload_of(&action.workload),
                callee: workload_of(with),
                plan: plan.metadata.name.clone().unwrap_or_default(),
                parted,
            };
            tries.push((step.since, merged));
        }
    }
    // Two are never under way at once; what stands is the newest, whenever it was last written.
    tries.sort_by_key(|(at, merged)| (merged.parted.is_none(), *at));
    let mut known: BTreeMap<(WorkloadId, WorkloadId), Merged> = BTreeMap::new();
    for (_, mut merged) in tries {
        let pair = (merged.caller.clone(), merged.callee.clone());
        let before = known.get(&pair).and_then(|known| known.parted.as_ref());
        if let (Some(parted), Some(before)) = (&mut merged.parted, before)
            && parted.times > 0
        {
            parted.times = before.times + 1;
        }
        known.insert(pair, merged);
    }
    let mut merged: Vec<Merged> = known.into_values().collect();
    for parted in merged.iter_mut().filter_map(|it| it.parted.as_mut()) {
        parted.times = parted.times.max(1);
    }
    merged
}

/// How a merge ended: `Some(None)` while it stands or is under way, `None` where it was never to be carried out. One that was proved before it
/// was taken apart counts as none in a row.
fn parted(plan: &Plan, status: &PlanStatus, step: &PlanStep) -> Option<Option<Parted>> {
    let approved = plan.spec.approval.is_some();
    match step.state {
        StepPhase::Running | StepPhase::Done | StepPhase::Undoing => Some(None),
        StepPhase::Pending => (approved && !plan.has_ended()).then_some(None),
        StepPhase::Undone | StepPhase::Skipped => {
            let trouble = |value: &Option<serde_json::Value>| {
                let value = value.clone()?;
                serde_json::from_value::<Trouble>(value).ok()
            };
            let of_plan = trouble(&status.trouble);
            let wanted = matches!(of_plan, Some(Trouble::Wanted { .. }));
            let overtaken = trouble(&step.trouble).is_some_and(|trouble| trouble.overtakes_a_merge());
            Some(Some(Parted {
                unwanted: wanted || !overtaken,
                times: u64::from(status.phase != PlanPhase::Proved),
                last: Timestamp(step.since),
            }))
        }
    }
}

fn workload_of(workload: &WorkloadRef) -> WorkloadId {
    WorkloadId {
        namespace: Namespace::new(&workload.namespace),
        kind: WorkloadKind::Deployment,
        name: workload.name.clone(),
    }
}

/// Workloads whose templates a plan has changed, and whether it has placed their pods; else it has sized them.
pub(super) fn templated(plan: &Plan) -> impl Iterator<Item = (WorkloadId, bool)> + '_ {
    let steps = plan.status.iter().flat_map(|status| &status.steps);
    plan.spec
        .actions
        .iter()
        .zip(steps)
        .filter(|(action, step)| {
            let stands = matches!(step.state, StepPhase::Running | StepPhase::Done | StepPhase::Undoing);
            action.form == Some(PlaceForm::Template) && stands
        })
        .map(|(action, _)| (workload_of(&action.workload), action.kind == ActionKind::Place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn plan(name: &str, steps: &[(&str, &str, i64, Value)]) -> Plan {
        let workload = json!({"namespace": "shop", "kind": "Deployment", "name": "web"});
        let actions: Vec<Value> = steps
            .iter()
            .map(|(to, ..)| json!({"kind": "move", "workload": workload, "pod": "u", "podName": "web-1", "from": "node-1", "to": to}))
            .collect();
        let steps: Vec<Value> = steps
            .iter()
            .map(|(_, state, since, trouble)| {
                if trouble.is_null() {
                    json!({"state": state, "since": since})
                } else {
                    json!({"state": state, "since": since, "trouble": trouble})
                }
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "huddle.dev/v1alpha1", "kind": "Plan", "metadata": {"name": name},
            "spec": {"at": 1, "actions": actions, "podsRestarted": 1, "saved": 1.0, "digest": "d"},
            "status": {"phase": "rolledBack", "since": 1, "steps": steps},
        }))
        .unwrap()
    }

    #[test]
    fn what_was_written_into_templates_is_told_by_kind() {
        let workload = |name: &str| json!({"namespace": "shop", "kind": "Deployment", "name": name});
        let size = json!({"requests": {}, "limits": {"cpu": 400}});
        let plan: Plan = serde_json::from_value(json!({
            "apiVersion": "huddle.dev/v1alpha1", "kind": "Plan", "metadata": {"name": "p"},
            "spec": {"at": 1, "podsRestarted": 1, "saved": 1.0, "digest": "d", "actions": [
                {"kind": "place", "workload": workload("web"), "with": workload("db"), "form": "template"},
                {"kind": "size", "workload": workload("db"), "container": "app", "sizeTo": size, "form": "template"},
                {"kind": "size", "workload": workload("undone"), "container": "app", "sizeTo": size, "form": "template"},
                {"kind": "size", "workload": workload("ruled"), "container": "app", "sizeTo": size},
            ]},
            "status": {"phase": "proved", "since": 1, "steps": [
                {"state": "done", "since": 1}, {"state": "done", "since": 1}, {"state": "undone", "since": 1},
                {"state": "done", "since": 1},
            ]},
        }))
        .unwrap();
        let told: Vec<(String, bool)> = templated(&plan).map(|(id, places)| (id.name, places)).collect();
        assert_eq!(told, [("web".to_owned(), true), ("db".to_owned(), false)]);
    }

    #[test]
    fn misses_count_in_a_row_by_node_and_end_with_a_success() {
        let elsewhere = || json!({"reason": "elsewhere", "node": "node-3", "sentence": "elsewhere"});
        let plans = [
            plan(
                "second",
                &[
                    ("node-2", "undone", 20, elsewhere()),
                    ("node-3", "done", 21, Value::Null),
                ],
            ),
            plan(
                "first",
                &[
                    ("node-2", "undone", 10, elsewhere()),
                    ("node-3", "undone", 11, json!({"reason": "unschedulable"})),
                    ("node-4", "undone", 12, json!({"reason": "rolledOut"})),
                    ("node-5", "skipped", 13, json!({"reason": "podGone"})),
                ],
            ),
        ];
        let missed = missed(plans.iter());
        let web = missed.values().next().unwrap();
        let expected = Missed {
            node: NodeName::from("node-2"),
            times: 2,
            last: Timestamp(20),
            plan: "second".to_owned(),
        };
        assert_eq!((missed.len(), web.as_slice()), (1, [expected].as_slice()));
    }

    /// A plan with one merge, in this phase, its step in this state.
    fn merging(name: &str, phase: &str, state: &str, since: i64, trouble: Value) -> Plan {
        let workload = |name: &str| json!({"namespace": "shop", "kind": "Deployment", "name": name});
        let mut step = json!({"state": state, "since": since});
        if !trouble.is_null() {
            step["trouble"] = trouble;
        }
        serde_json::from_value(json!({
            "apiVersion": "huddle.dev/v1alpha1", "kind": "Plan", "metadata": {"name": name},
            "spec": {"at": 1, "podsRestarted": 1, "saved": 1.0, "digest": "d",
                "actions": [{"kind": "merge", "workload": workload("web"), "with": workload("db")}]},
            "status": {"phase": phase, "since": since, "steps": [step]},
        }))
        .unwrap()
    }

    #[test]
    fn what_became_of_merges_is_told_by_the_newest_plan() {
        let wanted = || json!({"reason": "wanted", "by": "ann", "sentence": "ann asked for it"});
        let changed = || json!({"reason": "calleeChanged", "sentence": "changed"});
        let of = |plans: &[Plan]| {
            let merged = merged(plans.iter());
            assert!(merged.len() <= 1);
            let known = merged.into_iter().next();
            known.map(|it| (it.plan, it.parted.map(|it| (it.unwanted, it.times, it.last.0))))
        };
        let told = |plan: &str, parted: Option<(bool, u64, i64)>| Some((plan.to_owned(), parted));
        let nothing = Value::Null;
        assert_eq!(of(&[merging("a", "proposed", "pending", 1, nothing.clone())]), None);
        assert_eq!(of(&[merging("a", "superseded", "pending", 1, nothing.clone())]), None);
        let undone = merging("a", "rolledBack", "undone", 5, wanted());
        assert_eq!(of(std::slice::from_ref(&undone)), told("a", Some((true, 1, 5))));
        let again = merging(
            "b",
            "rolledBack",
            "undone",
            9,
            json!({"reason": "notInside", "percent": 4, "sentence": "s"}),
        );
        assert_eq!(of(&[again.clone(), undone.clone()]), told("b", Some((true, 2, 9))));
        // One that was proved, and then overtaken by a new version, is the first in a row.
        let overtaken = merging("c", "proved", "undone", 12, changed());
        assert_eq!(
            of(&[again.clone(), overtaken.clone(), undone.clone()]),
            told("c", Some((false, 1, 12)))
        );
        let stands = merging("d", "proved", "done", 3, nothing);
        assert_eq!(of(&[again, overtaken, stands, undone]), told("d", None));
    }
}
