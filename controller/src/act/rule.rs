//! A placement, or a size, as a Rule object.

use super::error::{ActError, Doing};
use super::observe::Reader;
use super::outrank;
use huddle_api as api;
use huddle_core::act::{CellName, Placement, RuleName, Sizes};
use huddle_core::cluster::{Compute, Labels, Sizing};
use huddle_core::id::{ContainerName, NodeName, PlanId, WorkloadId};
use huddle_core::plan::{ALL_SCORED, CellWeight};
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, ObjectMeta};
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeMap;

/// The label by which a Deployment's pods tell their template.
const TEMPLATE_HASH: &str = "pod-template-hash";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// Nodes considered for a pod that is moved in a larger cluster: the schema's bound.
const CANDIDATES: usize = 32;

/// New pods sleep as long before they stop, where they have no preStop hook: their endpoints are gone by then.
const PRE_STOP_SECONDS: i64 = 2;

/// The rule, in the trial state, over other plans' steady rules that stand: also a step rule's pod would else be pulled
/// elsewhere. `None` when the workload or the one to be near has gone or cannot be named by labels.
pub(super) async fn build(
    client: &Client,
    name: &RuleName,
    plan: &PlanId,
    workload: &WorkloadId,
    placement: &Placement,
) -> Result<Option<api::Rule>, ActError> {
    let Some(selector) = labels_of(client, workload).await? else {
        return Ok(None);
    };
    let beaten = outrank::beaten(client, plan, workload, placement).await?;
    let mut spec = api::RuleSpec {
        workload: workload.name.clone(),
        form: api::RuleForm::Step,
        selector: pod_labels(&selector),
        outranks: beaten.iter().map(outrank::outranked).collect(),
        containers: Vec::new(),
        candidate_nodes: None,
        preferred_node_affinity: Vec::new(),
        preferred_pod_affinity: Vec::new(),
        topology_spread_constraints: Vec::new(),
        labels: BTreeMap::from([(
            api::LABEL_GENERATION.to_owned(),
            api::LabelValue(plan.as_str().to_owned()),
        )]),
        annotations: BTreeMap::new(),
        pre_stop_sleep_seconds: Some(PRE_STOP_SECONDS),
    };
    match placement {
        Placement::On(node) => {
            let hostnames = hostnames(client).await?;
            spec.candidate_nodes = candidates(&hostnames, node);
            let hostname = hostnames.get(node.as_str()).map_or(node.as_str(), String::as_str);
            spec.preferred_node_affinity.push(on(hostname));
            spec.topology_spread_constraints.push(unspread());
        }
        Placement::NextTo(hub) => {
            let Some(labels) = labels_of(client, hub).await? else {
                return Ok(None);
            };
            spec.form = api::RuleForm::Steady;
            spec.preferred_pod_affinity.push(near(&labels, hub, workload));
        }
        Placement::InCell { cell, nodes } => {
            spec.form = api::RuleForm::Steady;
            spec.preferred_node_affinity = in_cell(cell, nodes);
            spec.topology_spread_constraints.push(spread_in(cell, &selector));
        }
        Placement::Sized(container, sizes) => {
            spec.form = api::RuleForm::Steady;
            spec.containers.push(size(container, sizes, &beaten));
            // It places nothing, and what a pod says of the plan that placed it stays.
            spec.labels.clear();
            spec.pre_stop_sleep_seconds = None;
        }
    }
    Ok(Some(api::Rule {
        metadata: ObjectMeta {
            name: Some(name.name.clone()),
            namespace: Some(name.namespace.as_str().to_owned()),
            labels: Some(object_labels(plan, workload, &spec)),
            ..ObjectMeta::default()
        },
        spec,
    }))
}

fn on(hostname: &str) -> api::NodeTerm {
    api::NodeTerm {
        weight: 100,
        preference: api::NodePreference {
            match_expressions: vec![among(std::iter::once(hostname.to_owned()))],
        },
    }
}

/// The nodes that take pods, by name, with the label by which rules know them: it may differ from the name.
async fn hostnames(client: &Client) -> Result<BTreeMap<String, String>, ActError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let open = ListParams::default().fields("spec.unschedulable=false");
    let nodes = nodes.list_metadata(&open).await.doing("listing nodes")?.items;
    let labelled = nodes.iter().filter_map(|node| {
        let hostname = node.labels().get(HOSTNAME)?;
        Some((node.name_any(), hostname.clone()))
    });
    Ok(labelled.collect())
}

/// The wished node and those after it by name, where the scheduler may else not score it: neighbours by name are mostly of one pool, so
/// that they can stand in for it and no pod waits if it fills up. `None` where all nodes are scored.
fn candidates(hostnames: &BTreeMap<String, String>, node: &NodeName) -> Option<api::NodeRequirement> {
    if hostnames.len() <= ALL_SCORED || !hostnames.contains_key(node.as_str()) {
        return None;
    }
    let from = hostnames.range(node.as_str().to_owned()..);
    let around = from.chain(hostnames.range(..node.as_str().to_owned()));
    Some(among(around.take(CANDIDATES).map(|(_, hostname)| hostname.clone())))
}

fn among(hostnames: impl Iterator<Item = String>) -> api::NodeRequirement {
    api::NodeRequirement {
        key: HOSTNAME.to_owned(),
        operator: api::NodeOperator::In,
        values: hostnames.map(api::LabelValue).collect(),
    }
}

/// A constraint that counts no pods and so prefers no node: having one of its own, the pod is spared the scheduler's
/// default spread, which weighs as much as the wish for the node and would outvote it where a sibling runs already. The
/// plan has judged the spread; a constraint in the workload's own template stays in force.
fn unspread() -> api::SpreadTerm {
    api::SpreadTerm {
        max_skew: 1,
        topology_key: HOSTNAME.to_owned(),
        when_unsatisfiable: api::Unsatisfiable::ScheduleAnyway,
        label_selector: api::PodLabels {
            match_labels: BTreeMap::from([("huddle.dev/nobody".to_owned(), api::LabelValue("true".to_owned()))]),
        },
        match_label_keys: Vec::new(),
    }
}

/// On the nodes of a cell, each as much as it weighs. Where they weigh the same, the label says it all.
fn in_cell(cell: &CellName, nodes: &[(String, CellWeight)]) -> Vec<api::NodeTerm> {
    let mut by_weight: BTreeMap<CellWeight, Vec<api::LabelValue>> = BTreeMap::new();
    for (value, weight) in nodes {
        by_weight
            .entry(*weight)
            .or_default()
            .push(api::LabelValue(value.clone()));
    }
    let all_alike = by_weight.len() == 1;
    let term = |(weight, values): (CellWeight, Vec<api::LabelValue>)| api::NodeTerm {
        weight: i32::try_from(if all_alike { CellWeight::MOST } else { weight }.get()).unwrap_or(1),
        preference: api::NodePreference {
            match_expressions: vec![api::NodeRequirement {
                key: cell.label(),
                operator: if all_alike {
                    api::NodeOperator::Exists
                } else {
                    api::NodeOperator::In
                },
                values: if all_alike { Vec::new() } else { values },
            }],
        },
    };
    by_weight.into_iter().rev().map(term).collect()
}

/// Spread over the nodes of the cell alone: by its label, which has a value of its own on each of them. Nodes without the label count
/// neither as places to fill nor as good ones: the scheduler gives them nothing. Pods of older templates are not counted.
fn spread_in(cell: &CellName, selector: &Labels) -> api::SpreadTerm {
    api::SpreadTerm {
        max_skew: 1,
        topology_key: cell.label(),
        when_unsatisfiable: api::Unsatisfiable::ScheduleAnyway,
        label_selector: pod_labels(selector),
        match_label_keys: vec![TEMPLATE_HASH.to_owned()],
    }
}

/// Near the hub's pods, over hosts. No spread constraint beside it: one over hosts counts empty nodes as places to fill,
/// and the scheduler's own default spread, which any constraint would switch off, does not.
pub(super) fn near(labels: &Labels, hub: &WorkloadId, workload: &WorkloadId) -> api::PodTerm {
    api::PodTerm {
        weight: 100,
        pod_affinity_term: api::PodAffinityTerm {
            label_selector: pod_labels(labels),
            match_label_keys: Vec::new(),
            namespaces: if hub.namespace == workload.namespace {
                Vec::new()
            } else {
                vec![hub.namespace.as_str().to_owned()]
            },
            topology_key: HOSTNAME.to_owned(),
        },
    }
}

/// The figures that the container gets. What an outranked rule raises beyond them is raised as before: of two rules that work on a pod
/// in any order the newer one must say it all.
fn size(container: &ContainerName, sizes: &Sizes, beaten: &[api::Rule]) -> api::ContainerSize {
    let Sizes { to, instead } = sizes;
    let older = beaten.first().into_iter().flat_map(|rule| &rule.spec.containers);
    let older: Option<&api::ContainerSize> = older.into_iter().find(|it| it.name == container.as_str());
    let figures = |to: &Compute, older: Option<&api::Figures>| {
        let cpu = to.cpu.map(|it| it.to_string());
        let memory = to.memory.map(|it| it.0.to_string());
        let figures = api::Figures {
            cpu: cpu.or_else(|| older.and_then(|it| it.cpu.clone())),
            memory: memory.or_else(|| older.and_then(|it| it.memory.clone())),
        };
        (figures != api::Figures::default()).then_some(figures)
    };
    api::ContainerSize {
        name: container.as_str().to_owned(),
        requests: figures(&to.requests, older.and_then(|it| it.requests.as_ref())),
        limits: figures(&to.limits, older.and_then(|it| it.limits.as_ref())),
        instead_of: instead_of(to, instead, older),
    }
}

/// What the template says of figures that are lowered; of those that this rule says nothing of, what the older one says.
fn instead_of(to: &Sizing, instead: &Sizing, older: Option<&api::ContainerSize>) -> Option<api::Said> {
    let older = older.and_then(|it| it.instead_of.as_ref());
    let figures = |to: &Compute, instead: &Compute, older: Option<&api::Figures>| {
        let kept = |of: fn(&api::Figures) -> Option<String>, said: bool| older.filter(|_| !said).and_then(of);
        let cpu = instead.cpu.map(|it| it.to_string());
        let memory = instead.memory.map(|it| it.0.to_string());
        let figures = api::Figures {
            cpu: cpu.or_else(|| kept(|it| it.cpu.clone(), to.cpu.is_some())),
            memory: memory.or_else(|| kept(|it| it.memory.clone(), to.memory.is_some())),
        };
        (figures != api::Figures::default()).then_some(figures)
    };
    let said = api::Said {
        requests: figures(
            &to.requests,
            &instead.requests,
            older.and_then(|it| it.requests.as_ref()),
        ),
        limits: figures(&to.limits, &instead.limits, older.and_then(|it| it.limits.as_ref())),
    };
    (said != api::Said::default()).then_some(said)
}

fn object_labels(plan: &PlanId, workload: &WorkloadId, spec: &api::RuleSpec) -> BTreeMap<String, String> {
    let form = match spec.form {
        api::RuleForm::Step => "step",
        api::RuleForm::Steady => "steady",
    };
    let mut labels = BTreeMap::from([
        (api::LABEL_PLAN.to_owned(), plan.as_str().to_owned()),
        (api::LABEL_FORM.to_owned(), form.to_owned()),
        (api::LABEL_STATE.to_owned(), api::STATE_TRIAL.to_owned()),
    ]);
    // A label's value is shorter than a name may be; the full name is in the spec.
    if workload.name.len() <= 63 {
        labels.insert(api::LABEL_WORKLOAD.to_owned(), workload.name.clone());
    }
    let sized = spec.containers.first();
    labels.extend(sized.map(|it| (api::LABEL_CONTAINER.to_owned(), it.name.clone())));
    let lowers = spec.containers.iter().any(|it| it.instead_of.is_some());
    labels.extend(lowers.then(|| (api::LABEL_LOWERS.to_owned(), "true".to_owned())));
    labels
}

fn pod_labels(labels: &Labels) -> api::PodLabels {
    api::PodLabels {
        match_labels: labels
            .iter()
            .map(|(key, value)| (key.clone(), api::LabelValue(value.clone())))
            .collect(),
    }
}

/// The labels by which the workload's pods are known; `None` where it has none or is gone.
async fn labels_of(client: &Client, workload: &WorkloadId) -> Result<Option<Labels>, ActError> {
    let reader = Reader::new(client, &workload.namespace);
    Ok(reader.selector(workload).await?.filter(|labels| !labels.is_empty()))
}
