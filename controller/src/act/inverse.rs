//! A step's receipt as objects to apply or names to delete, so that kubectl alone can undo it.

use super::companion::step as merge;
use super::{cell, resize, template, template_size, withdraw};
use huddle_api::{FIELD_MANAGER, GROUP, Inverse, LABEL_ORPHAN, ObjectName};
use huddle_core::act::{MoveReceipt, Receipt, RuleName, Stage, Step, StepState};
use serde_json::{Map, Value, json};

/// What undoes the step as it stands; empty where nothing is to be undone.
pub(super) fn of(step: &Step) -> Vec<Inverse> {
    match (step.state, &step.receipt) {
        (StepState::Pending | StepState::Undone | StepState::Skipped, _) | (_, None) => Vec::new(),
        (_, Some(Receipt::Place { rule })) => vec![delete_rule(rule)],
        // The rule first, as it was made last.
        (_, Some(Receipt::Cell(receipt))) => {
            let labels = receipt.nodes.iter().map(|node| cell::inverse(&receipt.cell, node));
            std::iter::once(delete_rule(&receipt.rule)).chain(labels).collect()
        }
        (_, Some(Receipt::Merge(receipt))) => merge::inverse(receipt),
        (_, Some(Receipt::Resize(receipt))) => vec![resize::inverse(receipt)],
        (_, Some(Receipt::Withdraw(receipt))) => withdraw::inverse(receipt).into_iter().collect(),
        (_, Some(receipt @ Receipt::Template(_))) => template::inverse(receipt).into_iter().collect(),
        (_, Some(Receipt::TemplateSize(receipt))) => vec![template_size::inverse(receipt)],
        // The pod has moved and its step rule is deleted: nothing of it is left in the cluster.
        (StepState::Done, Some(Receipt::Move(_))) => Vec::new(),
        (StepState::Running | StepState::Undoing, Some(Receipt::Move(receipt))) => undo_move(receipt),
        (
            _,
            Some(Receipt::Route {
                service, uid, before, ..
            }),
        ) => {
            let mut object = json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"namespace": service.namespace, "name": service.name, "uid": uid},
            });
            if let (Some(before), Some(object)) = (before, object.as_object_mut()) {
                object.insert("spec".to_owned(), json!({"trafficDistribution": before}));
            }
            vec![Inverse {
                says: match before {
                    Some(before) => format!("set trafficDistribution of Service {service} to {before} again"),
                    None => format!(
                        "apply as field manager {FIELD_MANAGER}: Service {service} loses trafficDistribution again"
                    ),
                },
                delete: None,
                apply: Some(object),
                field_manager: None,
                subresource: None,
                patch: false,
            }]
        }
    }
}

fn delete_rule(rule: &RuleName) -> Inverse {
    Inverse {
        says: format!("delete Rule {}/{}", rule.namespace, rule.name),
        delete: Some(ObjectName {
            api_version: format!("{GROUP}/v1alpha1"),
            kind: "Rule".to_owned(),
            namespace: Some(rule.namespace.as_str().to_owned()),
            name: rule.name.clone(),
        }),
        apply: None,
        field_manager: None,
        subresource: None,
        patch: false,
    }
}

fn undo_move(receipt: &MoveReceipt) -> Vec<Inverse> {
    let mut inverse = Vec::new();
    if receipt.stage >= Stage::Release && receipt.stage < Stage::Drained {
        let mut labels: Map<String, Value> = receipt
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        // An applied object cannot remove a label that its manager does not own; an empty one marks no orphan.
        labels.insert(LABEL_ORPHAN.to_owned(), json!(""));
        inverse.push(Inverse {
            says: format!(
                "give pod {}/{} its labels back: its ReplicaSet takes it back and removes the newcomer",
                receipt.namespace, receipt.pod_name
            ),
            delete: None,
            apply: Some(json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "namespace": receipt.namespace,
                    "name": receipt.pod_name,
                    "uid": receipt.pod,
                    "labels": labels,
                },
            })),
            field_manager: None,
            subresource: None,
            patch: false,
        });
    }
    inverse.push(delete_rule(&receipt.rule));
    inverse
}
