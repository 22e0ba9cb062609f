//! Values that many tests need.

use huddle_core::id::{Namespace, NodeName, PodUid, WorkloadId, WorkloadKind, ZoneName};
use huddle_core::sample::Endpoint;

/// A Deployment of namespace `shop`.
pub(crate) fn deployment(name: &str) -> WorkloadId {
    WorkloadId {
        namespace: Namespace::from("shop"),
        kind: WorkloadKind::Deployment,
        name: name.to_owned(),
    }
}

/// A pod of the Deployment that is called like the pod up to its last dash.
pub(crate) fn endpoint(pod: &str, node: &str, zone: &str) -> Endpoint {
    Endpoint {
        pod: PodUid::from(pod),
        workload: deployment(pod.rsplit_once('-').map_or(pod, |(name, _)| name)),
        node: NodeName::from(node),
        zone: ZoneName::from(zone),
    }
}
