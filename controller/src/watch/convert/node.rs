//! Nodes.

use super::{Invalid, quantity::resources, selector::labels};
use huddle_core::cluster::{Node, Taint, TaintEffect};
use huddle_core::id::{NodeName, ZoneName};
use k8s_openapi::api::core::v1;
use kube::ResourceExt;

const ZONE: &str = "topology.kubernetes.io/zone";

/// Reads a node.
///
/// # Errors
/// If an allocatable quantity or a taint cannot be read.
pub fn node(node: &v1::Node) -> Result<Option<Node>, Invalid> {
    let labels = labels(node.metadata.labels.as_ref());
    let spec = node.spec.as_ref();
    let status = node.status.as_ref();
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let cordoned = spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
    let taints = spec
        .and_then(|spec| spec.taints.as_ref())
        .into_iter()
        .flatten()
        .map(|taint| {
            Ok(Taint {
                key: taint.key.clone(),
                value: taint.value.clone().unwrap_or_default(),
                effect: effect(&taint.effect, "spec.taints.effect")?,
            })
        })
        .collect::<Result<_, Invalid>>()?;
    Ok(Some(Node {
        name: NodeName::new(node.name_any()),
        zone: ZoneName::new(labels.get(ZONE).cloned().unwrap_or_default()),
        allocatable: resources(
            status.and_then(|status| status.allocatable.as_ref()),
            "status.allocatable",
        )?,
        labels,
        taints,
        schedulable: ready && !cordoned,
    }))
}

pub(super) fn effect(effect: &str, field: &str) -> Result<TaintEffect, Invalid> {
    match effect {
        "NoSchedule" => Ok(TaintEffect::NoSchedule),
        "PreferNoSchedule" => Ok(TaintEffect::PreferNoSchedule),
        "NoExecute" => Ok(TaintEffect::NoExecute),
        other => Err(Invalid::new(field, format!("unknown effect {other:?}"))),
    }
}
