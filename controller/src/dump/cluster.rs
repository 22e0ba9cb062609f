//! The cluster view as lists, and back with every name checked.

use huddle_core::cluster::{
    ClusterView, Merged, Missed, NamespacePolicy, Node, Pod, Reroute, Ruled, Service, SteadyRule, Template, Trust,
    Used, Workload,
};
use huddle_core::id::{Namespace, PodUid, WorkloadId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most that Kubernetes counts (int32) of replicas, and of a spread's skew.
const MOST: u64 = i32::MAX as u64;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ClusterFile {
    nodes: Vec<Node>,
    workloads: Vec<Workload>,
    pods: Vec<Pod>,
    services: Vec<Service>,
    #[serde(default)]
    policies: Vec<PolicyRow>,
    #[serde(default)]
    rules: Vec<RuleRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    missed: Vec<MissedRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    merged: Vec<Merged>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    steady: Vec<SteadyRule>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    used: BTreeMap<PodUid, Used>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    templates: Vec<TemplateRow>,
    #[serde(default)]
    trust: Trust,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reroutes: Option<BTreeSet<Reroute>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyRow {
    namespace: Namespace,
    policy: NamespacePolicy,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleRow {
    workload: WorkloadId,
    rule: Ruled,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MissedRow {
    workload: WorkloadId,
    nodes: Vec<Missed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateRow {
    workload: WorkloadId,
    template: Template,
}

/// Why a list of objects is no cluster.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCluster {
    /// Two rows of a list have one name.
    #[error("{list}: {name} is there twice")]
    Twice {
        /// Which list.
        list: &'static str,
        /// The name.
        name: String,
    },
    /// A row has an empty name.
    #[error("{list}: a name is empty")]
    Nameless {
        /// Which list.
        list: &'static str,
    },
    /// A number is more than Kubernetes counts.
    #[error("{list}: {name}: {field} is {value}; {MOST} is the most")]
    TooMany {
        /// Which list.
        list: &'static str,
        /// Whose.
        name: String,
        /// Which field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

impl From<&ClusterView> for ClusterFile {
    fn from(view: &ClusterView) -> Self {
        Self {
            nodes: view.nodes.values().cloned().collect(),
            workloads: view.workloads.values().cloned().collect(),
            pods: view.pods.values().cloned().collect(),
            services: view.services.values().cloned().collect(),
            policies: view
                .policies
                .iter()
                .map(|(namespace, policy)| PolicyRow {
                    namespace: namespace.clone(),
                    policy: policy.clone(),
                })
                .collect(),
            rules: view
                .ruled
                .iter()
                .map(|(workload, rule)| RuleRow {
                    workload: workload.clone(),
                    rule: rule.clone(),
                })
                .collect(),
            missed: view
                .missed
                .iter()
                .map(|(workload, nodes)| MissedRow {
                    workload: workload.clone(),
                    nodes: nodes.clone(),
                })
                .collect(),
            merged: view.merged.clone(),
            steady: view.steady.clone(),
            used: view.used.clone(),
            templates: view
                .templates
                .iter()
                .map(|(workload, template)| TemplateRow {
                    workload: workload.clone(),
                    template: template.clone(),
                })
                .collect(),
            trust: view.trust.clone(),
            reroutes: view.reroutes.clone(),
        }
    }
}

/// Rows by name, each once, none nameless.
fn by<K: Ord + Clone + ToString, T>(
    list: &'static str,
    rows: Vec<T>,
    key: impl Fn(&T) -> (K, &str),
) -> Result<BTreeMap<K, T>, InvalidCluster> {
    let mut map = BTreeMap::new();
    for row in rows {
        let (id, name) = key(&row);
        if name.is_empty() {
            return Err(InvalidCluster::Nameless { list });
        }
        if map.insert(id.clone(), row).is_some() {
            let name = id.to_string();
            return Err(InvalidCluster::Twice { list, name });
        }
    }
    Ok(map)
}

fn counted(list: &'static str, name: &str, field: &'static str, value: u64) -> Result<(), InvalidCluster> {
    if value <= MOST {
        return Ok(());
    }
    Err(InvalidCluster::TooMany {
        list,
        name: name.to_owned(),
        field,
        value,
    })
}

impl TryFrom<ClusterFile> for ClusterView {
    type Error = InvalidCluster;

    fn try_from(file: ClusterFile) -> Result<Self, InvalidCluster> {
        for workload in &file.workloads {
            let name = workload.id.to_string();
            counted("workloads", &name, "replicas", workload.replicas)?;
            counted("workloads", &name, "ready", workload.ready)?;
        }
        for pod in &file.pods {
            for spread in &pod.constraints.spread {
                counted("pods", &pod.name, "constraints.spread.maxSkew", spread.max_skew)?;
            }
        }
        let policies = by("policies", file.policies, |row| {
            (row.namespace.clone(), row.namespace.as_str())
        })?;
        let missed = by("missed", file.missed, |row| (row.workload.clone(), &row.workload.name))?;
        let templates = by("templates", file.templates, |row| {
            (row.workload.clone(), &row.workload.name)
        })?;
        let rules = by("rules", file.rules, |row| (row.workload.clone(), &row.workload.name))?;
        Ok(Self {
            nodes: by("nodes", file.nodes, |node| (node.name.clone(), node.name.as_str()))?,
            pods: by("pods", file.pods, |pod| (pod.uid.clone(), pod.uid.as_str()))?,
            workloads: by("workloads", file.workloads, |workload| {
                (workload.id.clone(), &workload.id.name)
            })?,
            services: by("services", file.services, |service| {
                (service.id.clone(), &service.id.name)
            })?,
            policies: policies.into_iter().map(|(name, row)| (name, row.policy)).collect(),
            ruled: rules.into_iter().map(|(id, row)| (id, row.rule)).collect(),
            missed: missed.into_iter().map(|(id, row)| (id, row.nodes)).collect(),
            merged: file.merged,
            steady: file.steady,
            used: file.used,
            templates: templates.into_iter().map(|(id, row)| (id, row.template)).collect(),
            trust: file.trust,
            reroutes: file.reroutes,
        })
    }
}
