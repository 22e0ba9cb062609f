//! Workloads, their disruption budgets and autoscalers.

use super::selector::{labels, selector};
use super::template::template;
use super::{Invalid, Owner, compute, count, namespace_of, owner};
use huddle_core::cluster::{Budget, Selector, Sizing, Template, Workload};
use huddle_core::id::{ContainerName, Namespace, WorkloadId, WorkloadKind};
use huddle_core::time::Span;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::core::DynamicObject;
use std::collections::BTreeMap;

/// Annotation by which an owner says for how many seconds a pod is slow after it is ready.
const WARM_UP: &str = "huddle.dev/warm-up-seconds";

fn warm_up(text: Option<&String>) -> Result<Option<Span>, Invalid> {
    let Some(text) = text else { return Ok(None) };
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Some(Span::seconds(u64::from(seconds)))),
        Err(_) => {
            let field = format!("metadata.annotations[{WARM_UP}]");
            Err(Invalid::new(field, format!("{text:?} is no whole number of seconds")))
        }
    }
}

/// What kinds of workloads have in common; `replicas` and the rest differ.
fn common<K: ResourceExt>(
    object: &K,
    kind: WorkloadKind,
    chosen: &k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector,
    template: &PodTemplateSpec,
) -> Result<Workload, Invalid> {
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
        opted_out: huddle_api::is_opted_out(object.annotations()),
        autoscaler: None,
        cpu_owner: None,
        warm_up: warm_up(object.annotations().get(WARM_UP))?,
        template: sizes(template)?,
    })
}

/// The figures that the template gives its containers.
fn sizes(template: &PodTemplateSpec) -> Result<BTreeMap<ContainerName, Sizing>, Invalid> {
    let spec = template.spec.as_ref();
    let sidecars = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ordinary = spec.into_iter().flat_map(|spec| &spec.containers);
    let sized = ordinary.chain(sidecars).map(|container| {
        let asked = container.resources.as_ref();
        let sizing = Sizing {
            requests: compute(asked.and_then(|asked| asked.requests.as_ref()), "requests")?,
            limits: compute(asked.and_then(|asked| asked.limits.as_ref()), "limits")?,
        };
        Ok((ContainerName::new(&*container.name), sizing))
    });
    sized.collect()
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

/// A Deployment, and its template as merging sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// The Deployment.
    pub workload: Workload,
    /// Its template, or why it could not be read: that costs nothing but the advice on merging.
    pub template: Result<Template, Invalid>,
}

/// Reads a Deployment with its template.
///
/// # Errors
/// As [`deployment`].
pub fn deployed(object: &Deployment) -> Result<Option<Deployed>, Invalid> {
    let read = |workload| Deployed {
        workload,
        template: template(object),
    };
    Ok(deployment(object)?.map(read))
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetFacts {
    /// Where it lives.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
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
        name: object.name_any(),
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
    /// It counts replicas by their cpu.
    pub by_cpu: bool,
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
        by_cpu: is_by_cpu(spec),
    }))
}

/// Without metrics of its own it goes by cpu: the API's default.
fn is_by_cpu(spec: &HorizontalPodAutoscalerSpec) -> bool {
    let metrics = spec.metrics.as_deref().unwrap_or_default();
    metrics.is_empty()
        || metrics.iter().any(|metric| {
            let of_pods = metric.resource.as_ref().map(|it| it.name.as_str());
            let of_one = metric.container_resource.as_ref().map(|it| it.name.as_str());
            of_pods == Some("cpu") || of_one == Some("cpu")
        })
}

/// A VerticalPodAutoscaler that sets figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerticalFacts {
    /// Where it lives.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// Whose pods it sizes.
    pub target: Owner,
}

/// Reads a VerticalPodAutoscaler; `None` for one that only recommends (mode Off). Every other mode sets figures, if only of new pods,
/// which is what a size rule does too; without a mode it is Auto or Recreate, by its version.
///
/// # Errors
/// If it has no namespace or no target.
pub fn vertical(object: &DynamicObject) -> Result<Option<VerticalFacts>, Invalid> {
    let text = |path: &str| {
        object
            .data
            .pointer(path)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    if text("/spec/updatePolicy/updateMode").as_deref() == Some("Off") {
        return Ok(None);
    }
    let target = |field: &str| {
        text(&format!("/spec/targetRef/{field}")).ok_or_else(|| Invalid::missing(&format!("spec.targetRef.{field}")))
    };
    Ok(Some(VerticalFacts {
        namespace: namespace_of(object)?,
        name: object.name_any(),
        target: Owner {
            kind: target("kind")?,
            name: target("name")?,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn by_cpu(metrics: Value) -> bool {
        let spec =
            json!({"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web"}, "metrics": metrics});
        let object = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": spec});
        let facts = autoscaler(&serde_json::from_value(object).unwrap()).unwrap();
        facts.unwrap().by_cpu
    }

    #[test]
    fn an_autoscaler_goes_by_cpu_unless_it_says_otherwise() {
        let target = json!({"type": "Utilization", "averageUtilization": 70});
        let of = |name: &str| json!({"type": "Resource", "resource": {"name": name, "target": target}});
        let one = json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "app", "target": target}});
        assert!(by_cpu(Value::Null) && by_cpu(json!([])));
        assert!(by_cpu(json!([of("memory"), of("cpu")])) && by_cpu(json!([one])));
        assert!(!by_cpu(json!([of("memory")])));
    }

    #[test]
    fn a_vertical_autoscaler_acts_in_every_mode_but_off() {
        let read = |policy: Value| {
            let object = json!({
                "apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler",
                "metadata": {"namespace": "shop", "name": "web"},
                "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "updatePolicy": policy},
            });
            vertical(&serde_json::from_value(object).unwrap())
                .unwrap()
                .map(|facts| facts.target.name)
        };
        assert_eq!(read(json!({"updateMode": "Off"})), None);
        for acting in [
            Value::Null,
            json!({}),
            json!({"updateMode": "Initial"}),
            json!({"updateMode": "InPlaceOrRecreate"}),
        ] {
            assert_eq!(read(acting).as_deref(), Some("web"));
        }
    }
}
