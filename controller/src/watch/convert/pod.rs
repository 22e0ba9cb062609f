//! Pods: what they ask for as the scheduler computes it, who owns them, where they may run.

use super::at_start::at_start;
use super::constraints::constraints;
use super::quantity::{compute, resources};
use super::{Invalid, namespace_of, selector::labels};
use huddle_api as api;
use huddle_core::cluster::{self, Pod, Resources, Selector};
use huddle_core::id::{ContainerName, Namespace, NodeName, PodUid, WorkloadId, WorkloadKind};
use huddle_core::time::{Span, Timestamp};
use k8s_openapi::api::core::v1;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;

/// Label of a pod that Huddle released from its ReplicaSet; the value is the plan's name.
const ORPHAN: &str = "huddle.dev/orphan";

/// The controlling owner of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A pod as read alone: its ReplicaSet is not yet resolved to a Deployment, nor are namespace selectors to namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// The pod; its workload is what it would be without further knowledge.
    pub pod: Pod,
    /// Its owner.
    pub owner: Option<Owner>,
    /// Shares the node's address, so that the address does not name it.
    pub host_network: bool,
    /// Namespace selectors of its required affinity terms, by index.
    pub affinity_namespaces: Vec<(usize, Selector)>,
    /// The same of its anti-affinity terms.
    pub anti_affinity_namespaces: Vec<(usize, Selector)>,
    /// From its start to its last becoming ready; `None` while it is not.
    pub start_up: Option<Span>,
    /// The Deployment whose companion it holds.
    pub inside: Option<WorkloadId>,
}

/// Reads a pod; `None` for one that has ended (it holds no resources and no address).
///
/// # Errors
/// If a field that decisions need cannot be read.
pub fn pod(pod: &v1::Pod) -> Result<Option<PodFacts>, Invalid> {
    let spec = pod.spec.as_ref().ok_or_else(|| Invalid::missing("spec"))?;
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return Ok(None);
    }
    let namespace = namespace_of(pod)?;
    let name = pod.name_any();
    let uid = pod.uid().ok_or_else(|| Invalid::missing("metadata.uid"))?;
    let labels = labels(pod.metadata.labels.as_ref());
    let owner = owner(pod.metadata.owner_references.as_deref());
    let read = constraints(spec, &labels)?;
    let address = status
        .and_then(|status| status.pod_ip.as_deref())
        .filter(|address| !address.is_empty())
        .map(|address| {
            address
                .parse()
                .map_err(|_| Invalid::new("status.podIP", format!("{address:?} is no address")))
        })
        .transpose()?;
    let is_ready = |condition: &&v1::PodCondition| condition.type_ == "Ready" && condition.status == "True";
    let mut conditions = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten();
    let ready = conditions.find(is_ready);
    let millis = |time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time| Timestamp(time.0.as_millisecond());
    let created = pod.metadata.creation_timestamp.as_ref().map(millis);
    let began = ready.and_then(|condition| condition.last_transition_time.as_ref().map(millis));
    Ok(Some(PodFacts {
        inside: inside(pod, &namespace),
        pod: Pod {
            uid: PodUid::new(uid),
            workload: workload(&namespace, &name, owner.as_ref()),
            name,
            node: spec
                .node_name
                .as_deref()
                .filter(|node| !node.is_empty())
                .map(NodeName::from),
            address,
            requests: requests(spec)?,
            containers: running(pod, spec)?,
            constraints: read.constraints,
            ready: ready.is_some(),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            created: created.unwrap_or_default(),
            start_up: created.zip(began).map(|(created, began)| began.since(created)),
            orphan_of: labels.get(ORPHAN).filter(|plan| !plan.is_empty()).cloned(),
            meshed: containers(spec).any(|container| container.name == huddle_api::SIDECAR),
            labels,
        },
        owner,
        host_network: spec.host_network.unwrap_or(false),
        affinity_namespaces: read.affinity_namespaces,
        anti_affinity_namespaces: read.anti_affinity_namespaces,
        start_up: status.and_then(start_up),
    }))
}

/// Whose companion a pod holds, as admission noted it beside the label.
fn inside(pod: &v1::Pod, namespace: &Namespace) -> Option<WorkloadId> {
    pod.labels().get(api::LABEL_COMPANION)?;
    let callee = pod.annotations().get(api::ANNOTATION_CALLEE)?;
    Some(WorkloadId::deployment(namespace.as_str(), callee))
}

/// A pod that was unready for a while became ready late; who asks for a workload takes its quickest pod.
fn start_up(status: &v1::PodStatus) -> Option<Span> {
    let began = status.start_time.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions.find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    let became = ready.last_transition_time.as_ref()?;
    Some(Timestamp(became.0.as_millisecond()).since(Timestamp(began.0.as_millisecond())))
}

/// The containers that run as long as the pod: ordinary ones, then native sidecars.
fn running(pod: &v1::Pod, spec: &PodSpec) -> Result<Vec<cluster::Container>, Invalid> {
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ordinary = spec.containers.iter().map(|container| (container, false));
    let all = ordinary.chain(sidecars.map(|container| (container, true)));
    let resized = resized(pod);
    all.map(|(container, native_sidecar)| {
        let asked = container.resources.as_ref();
        let restarts = |resource: &str| {
            let mut policies = container.resize_policy.iter().flatten();
            policies.any(|policy| policy.resource_name == resource && policy.restart_policy == "RestartContainer")
        };
        Ok(cluster::Container {
            name: ContainerName::new(&*container.name),
            native_sidecar,
            requests: compute(asked.and_then(|asked| asked.requests.as_ref()), "requests")?,
            limits: compute(asked.and_then(|asked| asked.limits.as_ref()), "limits")?,
            restarts_for_cpu: restarts("cpu"),
            restarts_for_memory: restarts("memory"),
            at_start: at_start(pod, container),
            killed: killed(pod, &container.name),
            resized,
        })
    })
    .collect()
}

/// When the container was last killed for want of memory, as its status tells.
fn killed(pod: &v1::Pod, container: &str) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let lists = [&status.container_statuses, &status.init_container_statuses];
    let mut all = lists.into_iter().flatten().flatten();
    let own = all.find(|it| it.name == container)?;
    let states = [own.state.as_ref(), own.last_state.as_ref()];
    let ends = states
        .into_iter()
        .flatten()
        .filter_map(|state| state.terminated.as_ref());
    let kills = ends.filter(|end| end.reason.as_deref() == Some("OOMKilled"));
    kills
        .filter_map(|end| Some(Timestamp(end.finished_at.as_ref()?.0.as_millisecond())))
        .max()
}

/// When somebody last wrote the pod through its `resize`.
fn resized(pod: &v1::Pod) -> Option<Timestamp> {
    let writes = pod.metadata.managed_fields.iter().flatten();
    let resizes = writes.filter(|write| write.subresource.as_deref() == Some("resize"));
    resizes
        .filter_map(|write| Some(Timestamp(write.time.as_ref()?.0.as_millisecond())))
        .max()
}

/// The controlling owner, if any.
pub fn owner(references: Option<&[OwnerReference]>) -> Option<Owner> {
    references?
        .iter()
        .find(|reference| reference.controller == Some(true))
        .map(|reference| Owner {
            kind: reference.kind.clone(),
            name: reference.name.clone(),
        })
}

/// The workload as far as the pod alone tells.
fn workload(namespace: &Namespace, pod: &str, owner: Option<&Owner>) -> WorkloadId {
    let (kind, name) = match owner {
        Some(owner) => match owner.kind.as_str() {
            "ReplicaSet" => (WorkloadKind::ReplicaSet, owner.name.clone()),
            "StatefulSet" => (WorkloadKind::StatefulSet, owner.name.clone()),
            "DaemonSet" => (WorkloadKind::DaemonSet, owner.name.clone()),
            "Job" => (WorkloadKind::Job, cron(&owner.name).to_owned()),
            // A mirror pod (owner Node) is named after its manifest and the node; other owners are nobody's Deployment.
            _ => (WorkloadKind::Pod, pod.to_owned()),
        },
        None => (WorkloadKind::Pod, pod.to_owned()),
    };
    WorkloadId {
        namespace: namespace.clone(),
        kind,
        name,
    }
}

/// A CronJob names its Jobs by itself and the minute: all its Jobs are one workload, else each run were a new one.
fn cron(job: &str) -> &str {
    match job.rsplit_once('-') {
        Some((name, minute)) if minute.len() == 8 && minute.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => job,
    }
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.containers.iter().chain(spec.init_containers.iter().flatten())
}

fn request(container: &Container) -> Result<Resources, Invalid> {
    let list = container
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref());
    resources(list, &format!("spec.containers[{}].resources.requests", container.name))
}

/// What the scheduler reserves (component-helpers `PodRequests`): the larger of all containers together with the native sidecars,
/// and each init container together with the sidecars started before it; pod-level requests replace the sum; overhead comes on top.
pub(super) fn requests(spec: &PodSpec) -> Result<Resources, Invalid> {
    let mut sidecars = Resources::default();
    let mut start = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let own = request(container)?;
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = sum(sidecars, &own);
            start = largest(start, &sidecars);
        } else {
            start = largest(start, &sum(own, &sidecars));
        }
    }
    let mut running = sidecars;
    for container in &spec.containers {
        running = sum(running, &request(container)?);
    }
    let mut total = largest(start, &running);
    let pod_level = spec
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref());
    let whole = resources(pod_level, "spec.resources.requests")?;
    for name in pod_level.into_iter().flatten().map(|(name, _)| name.as_str()) {
        match name {
            "cpu" => total.cpu = whole.cpu,
            "memory" => total.memory = whole.memory,
            _ => {}
        }
    }
    let mut total = sum(total, &resources(spec.overhead.as_ref(), "spec.overhead")?);
    total.pods = 1;
    Ok(total)
}

fn sum(mut a: Resources, b: &Resources) -> Resources {
    a.cpu.0 = a.cpu.0.saturating_add(b.cpu.0);
    a.memory.0 = a.memory.0.saturating_add(b.memory.0);
    a.ephemeral.0 = a.ephemeral.0.saturating_add(b.ephemeral.0);
    for (name, count) in &b.extended {
        let slot = a.extended.entry(name.clone()).or_default();
        *slot = slot.saturating_add(*count);
    }
    a
}

fn largest(mut a: Resources, b: &Resources) -> Resources {
    a.cpu = a.cpu.max(b.cpu);
    a.memory = a.memory.max(b.memory);
    a.ephemeral = a.ephemeral.max(b.ephemeral);
    for (name, count) in &b.extended {
        let slot = a.extended.entry(name.clone()).or_default();
        *slot = (*slot).max(*count);
    }
    a
}

#[cfg(test)]
#[path = "pod_tests.rs"]
mod tests;
