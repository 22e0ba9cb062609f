//! What may be touched at all: rights, wishes of owners, states that forbid acting.

use super::RefusalReason;
use super::board::constraint;
use crate::cluster::{Automation, Budget, ClusterView, Labels, Pod, Service, Workload};
use crate::id::{EdgeId, Namespace, WorkloadId, WorkloadKind};

/// Why Huddle may propose nothing in a namespace. Recommend needs no right; Approve and Auto would act, so they do.
fn forbidden(cluster: &ClusterView, namespace: &Namespace) -> Option<RefusalReason> {
    let policy = cluster.policy(namespace);
    match policy.automation {
        Automation::Observe => Some(RefusalReason::ObserveOnly),
        Automation::Recommend => None,
        Automation::Approve | Automation::Auto if !policy.may_act => Some(RefusalReason::NoRight),
        Automation::Approve | Automation::Auto => None,
    }
}

pub(crate) fn untouchable(cluster: &ClusterView, id: &WorkloadId) -> Option<RefusalReason> {
    let workload = cluster.workloads.get(id);
    forbidden(cluster, &id.namespace)
        .or_else(|| {
            workload
                .filter(|workload| workload.opted_out)
                .map(|_| RefusalReason::OptedOut)
        })
        .or_else(|| {
            let rule = cluster.ruled.get(id).filter(|rule| rule.open)?;
            Some(RefusalReason::RuleInForce {
                plan: rule.plan.clone(),
            })
        })
}

/// Why a workload's pods may not be moved.
pub(crate) fn immovable(
    cluster: &ClusterView,
    id: &WorkloadId,
    workload: Option<&Workload>,
    pods: &[&Pod],
) -> Option<RefusalReason> {
    let Some(workload) = workload.filter(|_| id.kind == WorkloadKind::Deployment) else {
        return Some(RefusalReason::NotMovable);
    };
    if let Some(reason) = untouchable(cluster, id) {
        return Some(reason);
    }
    let settled = pods.len() as u64 == workload.replicas && pods.iter().all(|pod| pod.ready && pod.node.is_some());
    if workload.rolling || !settled {
        return Some(RefusalReason::Rolling);
    }
    if pods.iter().any(|pod| pod.constraints.pinned_volumes) {
        return Some(constraint("spec.volumes"));
    }
    if let Some(field) = pods.iter().find_map(|pod| pod.constraints.unpredictable.as_deref()) {
        return Some(constraint(field));
    }
    match workload.budget {
        Budget::None => None,
        Budget::Allows(0) | Budget::Ambiguous => Some(RefusalReason::Budget),
        Budget::Allows(_) => None,
    }
}

/// Who else than the Service's `trafficDistribution` says which pods of the workload get its calls; `None` where nobody does.
///
/// The load bound is judged over the workload's ready pods. So these must be the Service's endpoints, all of them and no others.
/// `pods` are the workload's.
pub fn overriding<'a>(
    cluster: &ClusterView,
    id: &WorkloadId,
    service: &Service,
    mut pods: impl Iterator<Item = &'a Pod>,
) -> Option<String> {
    let of = &service.id;
    let selects = |labels: &Labels| {
        let mut selector = service.selector.iter();
        selector.all(|(key, value)| labels.get(key) == Some(value))
    };
    if service.headless {
        return Some(format!("Service {of} is headless, so the caller"));
    }
    if let Some(by) = &service.overridden_by {
        return Some(by.clone());
    }
    let own = cluster.workloads.get(id);
    if id.namespace != of.namespace || own.is_some_and(|own| !selects(&own.labels)) {
        return Some(format!("Service {of}, which does not select it,"));
    }
    let mut others = cluster.workloads.values().filter(|other| other.id != *id);
    if let Some(shared) = others.find(|other| other.id.namespace == of.namespace && selects(&other.labels)) {
        return Some(format!("Service {of}, which also selects {},", shared.id));
    }
    let outside = pods.find(|pod| !selects(&pod.labels))?;
    Some(format!("Service {of}, which does not select pod {},", outside.name))
}

/// Why calls to a workload may not be routed to the same node first.
pub(crate) fn unroutable(
    cluster: &ClusterView,
    id: &WorkloadId,
    services: &[&Service],
    pods: &[&Pod],
    (ready, min_ready): (u64, u64),
) -> Option<RefusalReason> {
    let overridden = |by: String| Some(RefusalReason::RoutingOverridden { by });
    if let Some(reason) = untouchable(cluster, id) {
        return Some(reason);
    }
    if services.is_empty() {
        return overridden("no Service, so nothing,".to_owned());
    }
    for service in services {
        if let Some(by) = overriding(cluster, id, service, pods.iter().copied()) {
            return overridden(by);
        }
    }
    if cluster.workloads.get(id).is_some_and(|workload| workload.rolling) {
        return Some(RefusalReason::Rolling);
    }
    (ready < min_ready).then_some(RefusalReason::TooFewPods)
}

/// Whether the two ends may be placed together: one namespace, or both policies name the other.
pub(crate) fn consent(cluster: &ClusterView, edge: &EdgeId) -> bool {
    let (a, b) = (&edge.source.namespace, &edge.destination.namespace);
    a == b || (cluster.policy(a).consents_to.contains(b) && cluster.policy(b).consents_to.contains(a))
}
