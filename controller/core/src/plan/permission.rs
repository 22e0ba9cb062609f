//! What may be touched at all: rights, wishes of owners, states that forbid acting.

use super::RefusalReason;
use super::board::constraint;
use crate::cluster::{Automation, Budget, ClusterView, Labels, Pod, Ruled, Service, Workload};
use crate::id::{EdgeId, Namespace, WorkloadId, WorkloadKind};
use std::collections::{BTreeMap, BTreeSet};

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
    unowned(cluster, id).or_else(|| ruled(cluster, id, |rule| rule.open))
}

/// The same for figures: a placement that stands in the template has nothing to do with them once its plan has ended.
pub(crate) fn unsizable(cluster: &ClusterView, id: &WorkloadId) -> Option<RefusalReason> {
    unowned(cluster, id).or_else(|| ruled(cluster, id, |rule| rule.open && !rule.settled))
}

/// Neither the namespace nor the workload's owner lets it be touched.
fn unowned(cluster: &ClusterView, id: &WorkloadId) -> Option<RefusalReason> {
    let opted_out = cluster.workloads.get(id).is_some_and(|workload| workload.opted_out);
    forbidden(cluster, &id.namespace).or_else(|| opted_out.then_some(RefusalReason::OptedOut))
}

fn ruled(cluster: &ClusterView, id: &WorkloadId, counts: impl Fn(&Ruled) -> bool) -> Option<RefusalReason> {
    let rule = cluster.ruled.get(id).filter(|rule| counts(rule))?;
    Some(RefusalReason::RuleInForce {
        plan: rule.plan.clone(),
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

/// The cluster's workloads by namespace and label value: to ask all of them for each Service takes long where there are ten thousand of both.
#[derive(Debug)]
pub(crate) struct Peers<'a> {
    all: &'a ClusterView,
    by_value: BTreeMap<(&'a Namespace, &'a str), Vec<&'a Workload>>,
}

impl<'a> Peers<'a> {
    pub(crate) fn of(cluster: &'a ClusterView) -> Self {
        let mut by_value: BTreeMap<(&Namespace, &str), Vec<&Workload>> = BTreeMap::new();
        for workload in cluster.workloads.values() {
            let values: BTreeSet<&String> = workload.labels.values().collect();
            for value in values {
                by_value
                    .entry((&workload.id.namespace, value))
                    .or_default()
                    .push(workload);
            }
        }
        Self { all: cluster, by_value }
    }

    /// All workloads that a Service may select, and maybe others, in their order.
    fn selectable(&self, service: &'a Service) -> impl Iterator<Item = &'a Workload> {
        let value = service.selector.values().next();
        let of = |value: &'a String| self.by_value.get(&(&service.id.namespace, value.as_str()));
        let some = value.map(|value| of(value).map(Vec::as_slice).unwrap_or_default());
        let all = value.is_none().then(|| self.all.workloads.values());
        all.into_iter()
            .flatten()
            .chain(some.unwrap_or_default().iter().copied())
    }
}

/// Who else than the Service's `trafficDistribution` says which pods of the workload get its calls; `None` where nobody does.
///
/// The load bound is judged over the workload's ready pods. So these must be the Service's endpoints, all of them and no others.
/// `pods` are the workload's.
pub fn overriding<'a>(
    cluster: &'a ClusterView,
    id: &WorkloadId,
    service: &Service,
    pods: impl Iterator<Item = &'a Pod>,
) -> Option<String> {
    overriding_among(cluster.workloads.values(), cluster, id, service, pods)
}

/// The same, where of all workloads only these may be selected by the Service.
fn overriding_among<'a>(
    mut workloads: impl Iterator<Item = &'a Workload>,
    cluster: &ClusterView,
    id: &WorkloadId,
    service: &Service,
    mut pods: impl Iterator<Item = &'a Pod>,
) -> Option<String> {
    let of = &service.id;
    let selects = |labels: &Labels| service.selects(labels);
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
    let shares = |other: &&'a Workload| other.id != *id && other.id.namespace == of.namespace && selects(&other.labels);
    if let Some(shared) = workloads.find(shares) {
        return Some(format!("Service {of}, which also selects {},", shared.id));
    }
    let outside = pods.find(|pod| !selects(&pod.labels))?;
    Some(format!("Service {of}, which does not select pod {},", outside.name))
}

/// Why calls to a workload may not be routed to the same node first.
pub(crate) fn unroutable(
    cluster: &ClusterView,
    peers: &Peers<'_>,
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
        let peers = peers.selectable(service);
        if let Some(by) = overriding_among(peers, cluster, id, service, pods.iter().copied()) {
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
