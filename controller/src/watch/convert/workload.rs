//! Workloads, their disruption budgets and autoscalers.

use super::selector::{labels, selector};
use super::{Invalid, Owner, count, namespace_of, owner};
use huddle_core::cluster::{Budget, Selector, Workload};
use huddle_core::id::{Namespace, WorkloadId, WorkloadKind};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;

/// Annotation by which an owner keeps Huddle away.
const OPT_OUT: &str = "huddle.dev/opt-out";

/// What kinds of workloads have in common; `replicas` and the rest differ.
fn common<K: ResourceExt>(
    object: &K,
    kind: WorkloadKind,
    chosen: &k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector,
    template: &PodTemplateSpec,
) -> Result<Workload, Invalid> {
    let opted_out =
        |values: &std::collections::BTreeMap<String, String>| values.get(OPT_OUT).is_some_and(|value| value == "true");
    Ok(Workload {
        id: WorkloadId {
            namespace: namespace_of(object)?,
            kind,
            name: object.name_any(),
        },
        replicas: 0,
        ready: 0,
        selector: selector(chosen, "spec.selector")?,
        labels: labels(template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref())),
        budget: Budget::None,
        rolling: false,
        opted_out: opted_out(object.annotations()) || opted_out(object.labels()),
        autoscaler: None,
    })
}

/// Whether the controller of the object has not caught up with its spec.
fn behind(generation: Option<i64>, observed: Option<i64>) -> bool {
    observed.unwrap_or(0) < generation.unwrap_or(0)
}

/// Reads a Deployment.
///
/// # Errors
/// If its spec is missing or its selector cannot be read.
pub fn deployment(object: &Deployment) -> Result<Option<Workload>, Invalid> {
    let spec = object.spec.as_ref().ok_or_else(|| Invalid::missing("spec"))?;
    let mut workload = common(object, WorkloadKind::Deployment, &spec.selector, &spec.template)?;
    workload.replicas = count(Some(spec.replicas.unwrap_or(1)));
    let status = object.status.clone().unwrap_or_default();
    workload.ready = count(status.ready_replicas);
    let updated = count(status.updated_replicas);
    workload.rolling = behind(object.metadata.generation, status.observed_generation)
        || updated < workload.replicas
        || updated < count(status.replicas);
    Ok(Some(workload))
}

/// Reads a StatefulSet.
///
/// # Errors
/// If its spec is missing or its selector cannot be read.
pub fn stateful_set(object: &StatefulSet) -> Result<Option<Workload>, Invalid> {
    let spec = object.spec.as_ref().ok_or_else(|| Invalid::missing("spec"))?;
    let mut workload = common(object, WorkloadKind::StatefulSet, &spec.selector, &spec.template)?;
    workload.replicas = count(Some(spec.replicas.unwrap_or(1)));
    let status = object.status.clone().unwrap_or_default();
    workload.ready = count(status.ready_replicas);
    workload.rolling = behind(object.metadata.generation, status.observed_generation)
        || status.update_revision != status.current_revision;
    Ok(Some(workload))
}

/// Reads a DaemonSet.
///
/// # Errors
/// If its spec is missing or its selector cannot be read.
pub fn daemon_set(object: &DaemonSet) -> Result<Option<Workload>, Invalid> {
    let spec = object.spec.as_ref().ok_or_else(|| Invalid::missing("spec"))?;
    let mut workload = common(object, WorkloadKind::DaemonSet, &spec.selector, &spec.template)?;
    let status = object.status.clone().unwrap_or_default();
    workload.replicas = count(Some(status.desired_number_scheduled));
    workload.ready = count(Some(status.number_ready));
    workload.rolling = behind(object.metadata.generation, status.observed_generation)
        || count(status.updated_number_scheduled) < workload.replicas;
    Ok(Some(workload))
}

/// Reads a ReplicaSet's owner; `None` where it stands alone.
///
/// # Errors
/// Never; the signature is that of all kinds.
pub fn replica_set(object: &ReplicaSet) -> Result<Option<Owner>, Invalid> {
    Ok(owner(object.metadata.owner_references.as_deref()))
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetFacts {
    /// Where it lives.
    pub namespace: Namespace,
    /// Which pods it protects.
    pub selector: Selector,
    /// How many of them may be disrupted now, by its own count.
    pub allowed: u64,
}

/// Reads a PodDisruptionBudget; `None` for one without a selector, which protects nothing.
///
/// # Errors
/// If its selector cannot be read.
pub fn budget(object: &PodDisruptionBudget) -> Result<Option<BudgetFacts>, Invalid> {
    let Some(chosen) = object.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else {
        return Ok(None);
    };
    let status = object.status.as_ref();
    // A status that is behind its spec allows nothing: it may speak of other pods.
    let current = status.is_some_and(|status| !behind(object.metadata.generation, status.observed_generation));
    Ok(Some(BudgetFacts {
        namespace: namespace_of(object)?,
        selector: selector(chosen, "spec.selector")?,
        allowed: if current {
            count(status.and_then(|status| status.disruptions_allowed))
        } else {
            0
        },
    }))
}

/// A HorizontalPodAutoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoscalerFacts {
    /// Where it lives.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// Whom it scales.
    pub target: Owner,
}

/// Reads a HorizontalPodAutoscaler.
///
/// # Errors
/// If it has no namespace.
pub fn autoscaler(object: &HorizontalPodAutoscaler) -> Result<Option<AutoscalerFacts>, Invalid> {
    let spec = &object.spec;
    Ok(Some(AutoscalerFacts {
        namespace: namespace_of(object)?,
        name: object.name_any(),
        target: Owner {
            kind: spec.scale_target_ref.kind.clone(),
            name: spec.scale_target_ref.name.clone(),
        },
    }))
}
