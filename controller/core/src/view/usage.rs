//! What containers use and lack, as people see it.

use crate::cluster::{AtStart, ClusterView, Pod};
use crate::id::{ContainerName, PodUid, WorkloadId};
use crate::units::{Bytes, Millicores};
use crate::usage::{ContainerUse, Figures, Usage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One container of a workload over the window: counts of all its pods together, and the height of the pod that stands highest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerView {
    /// Its name.
    pub name: String,
    /// Pods whose figures are known.
    pub pods: u64,
    /// Cpu used in the pod that used most, as a mean, in thousandths.
    pub cpu_used_m: u64,
    /// Cpu used in the slot in which a pod used most, in thousandths.
    pub cpu_peak_m: u64,
    /// Cpu asked for per pod, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_request_m: Option<u64>,
    /// Cpu limit per pod, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_limit_m: Option<u64>,
    /// Throttled ÷ all periods.
    pub throttled: f64,
    /// Share of time in which it waited for a processor, where the kernel tells.
    pub waiting: f64,
    /// Share of time in which it stalled on memory, where the kernel tells.
    pub stalled: f64,
    /// The largest working set, in bytes.
    pub memory_peak_bytes: u64,
    /// Memory limit per pod, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// Processes killed for want of memory.
    pub kills: u64,
    /// Restarts.
    pub restarts: u64,
    /// What shows that it reads its limits only as it starts: one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_start: Option<String>,
}

/// A node of whose containers nothing is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlindView {
    /// Its name.
    pub node: String,
    /// `unreachable`, `untrusted`, `refused`, `odd`, `slow`, `nothing` of its kubelet; `prometheusUnreachable` and so on where Prometheus is
    /// asked instead.
    pub reason: String,
    /// One sentence with what to do.
    pub sentence: String,
}

/// The containers of all workloads whose figures are known, by name.
pub fn containers(usage: &Usage, cluster: &ClusterView) -> BTreeMap<WorkloadId, Vec<ContainerView>> {
    type Seen<'a> = BTreeMap<&'a ContainerName, Vec<(&'a Pod, &'a ContainerUse)>>;
    let mut seen: BTreeMap<&WorkloadId, Seen<'_>> = BTreeMap::new();
    let known = |(uid, uses): (&'_ PodUid, _)| Some((cluster.pods.get(uid)?, uses));
    for (pod, uses) in usage.pods.iter().filter_map(known) {
        let of = seen.entry(&pod.workload).or_default();
        for (name, used) in uses {
            of.entry(name).or_default().push((pod, used));
        }
    }
    let all = seen.into_iter().map(|(workload, containers)| {
        let views = containers.into_iter().map(|(name, pods)| container(name, &pods));
        (workload.clone(), views.collect())
    });
    all.collect()
}

fn container(name: &ContainerName, pods: &[(&Pod, &ContainerUse)]) -> ContainerView {
    let mut all = Figures::default();
    let mut used = Millicores(0);
    for (_, uses) in pods {
        let total = uses.total();
        used = used.max(total.cpu());
        all.merge(&total);
    }
    let peak = pods.iter().map(|(_, uses)| uses.highest()).max().unwrap_or_default();
    let specs = pods
        .iter()
        .flat_map(|(pod, _)| &pod.containers)
        .filter(|spec| &spec.name == name);
    let at_start = specs.clone().find_map(|spec| spec.at_start.as_ref());
    let (requests, limits) = specs.map(|spec| (spec.requests, spec.limits)).max().unwrap_or_default();
    let cpu = |cpu: Option<Millicores>| cpu.map(|cpu| cpu.0);
    ContainerView {
        name: name.to_string(),
        pods: pods.len() as u64,
        cpu_used_m: used.0,
        cpu_peak_m: peak.0,
        cpu_request_m: cpu(requests.cpu),
        cpu_limit_m: cpu(limits.cpu),
        throttled: all.throttled().get(),
        waiting: all.waiting().get(),
        stalled: all.stalled().get(),
        memory_peak_bytes: all.memory_peak.0,
        memory_limit_bytes: limits.memory.map(|Bytes(bytes)| bytes),
        kills: all.counted.kills.unwrap_or(0),
        restarts: all.restarts,
        at_start: at_start.map(AtStart::sentence),
    }
}
