//! Nodes.

use super::{Invalid, quantity::resources, selector::labels};
use huddle_core::cluster::{Node, Taint, TaintEffect};
use huddle_core::id::{NodeName, ZoneName};
use k8s_openapi::api::core::v1;
use kube::ResourceExt;
use std::net::{IpAddr, SocketAddr};

const ZONE: &str = "topology.kubernetes.io/zone";

/// A node, and where its kubelet listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// The node.
    pub node: Node,
    /// Its internal address and its kubelet's port; `None` while it has no address.
    pub kubelet: Option<SocketAddr>,
}

/// The kubelet's port where the node does not tell.
const KUBELET: u16 = 10250;

/// Reads a node.
///
/// # Errors
/// If an allocatable quantity or a taint cannot be read.
pub fn node(node: &v1::Node) -> Result<Option<NodeFacts>, Invalid> {
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
    let read = Node {
        name: NodeName::new(node.name_any()),
        zone: ZoneName::new(labels.get(ZONE).cloned().unwrap_or_default()),
        allocatable: resources(
            status.and_then(|status| status.allocatable.as_ref()),
            "status.allocatable",
        )?,
        labels,
        taints,
        // One that is being deleted is drained: what went there would have to go again.
        schedulable: ready && !cordoned && node.metadata.deletion_timestamp.is_none(),
    };
    Ok(Some(NodeFacts {
        node: read,
        kubelet: status.and_then(kubelet),
    }))
}

fn kubelet(status: &v1::NodeStatus) -> Option<SocketAddr> {
    let mut internal = status
        .addresses
        .iter()
        .flatten()
        .filter(|address| address.type_ == "InternalIP");
    let address: IpAddr = internal.find_map(|address| address.address.parse().ok())?;
    let told = status
        .daemon_endpoints
        .as_ref()
        .and_then(|all| all.kubelet_endpoint.as_ref());
    let port = told.and_then(|endpoint| u16::try_from(endpoint.port).ok());
    Some(SocketAddr::new(
        address,
        port.filter(|port| *port > 0).unwrap_or(KUBELET),
    ))
}

pub(super) fn effect(effect: &str, field: &str) -> Result<TaintEffect, Invalid> {
    match effect {
        "NoSchedule" => Ok(TaintEffect::NoSchedule),
        "PreferNoSchedule" => Ok(TaintEffect::PreferNoSchedule),
        "NoExecute" => Ok(TaintEffect::NoExecute),
        other => Err(Invalid::new(field, format!("unknown effect {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kubelet_of(status: serde_json::Value) -> Option<SocketAddr> {
        let object = json!({"metadata": {"name": "node-1"}, "status": status});
        node(&serde_json::from_value(object).unwrap()).unwrap().unwrap().kubelet
    }

    #[test]
    fn a_kubelet_listens_at_the_internal_address() {
        let addresses =
            json!([{"type": "Hostname", "address": "node-1"}, {"type": "InternalIP", "address": "10.0.0.7"}]);
        let status = json!({"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": 10255}}});
        assert_eq!(kubelet_of(status), Some("10.0.0.7:10255".parse().unwrap()));
        assert_eq!(
            kubelet_of(json!({"addresses": addresses})),
            Some("10.0.0.7:10250".parse().unwrap())
        );
        let six = json!({"addresses": [{"type": "InternalIP", "address": "fd00::7"}]});
        assert_eq!(kubelet_of(six), Some("[fd00::7]:10250".parse().unwrap()));
        assert_eq!(kubelet_of(json!({})), None);
    }
}
