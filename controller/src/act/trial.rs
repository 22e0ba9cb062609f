//! Dry-run pods: what a rule does to a pod of its workload, before it may do it.

use super::companion::Stage;
use super::error::{ActError, Doing, or_gone};
use super::observe::Reader;
use crate::watch::convert::millicores;
use huddle_api as api;
use huddle_core::act::RuleName;
use huddle_core::id::WorkloadId;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Affinity, NodeSelectorTerm, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The API server may fail for reasons of its own; a policy that breaks pod creation fails every time.
pub(super) const BREAKS: u32 = 3;

/// A refusal of figures is believed for so long: quotas and policies change, and nobody tells.
const REFUSED: Duration = Duration::from_secs(10);

/// How the tries of rules went, by the rule's uid. Lost with the process: a new one tries again.
#[derive(Debug, Default)]
pub(super) struct Tries {
    trials: BTreeMap<String, Result<(), String>>,
    in_force: BTreeMap<String, ()>,
    broken: BTreeMap<String, u32>,
    sizes: BTreeMap<String, (Instant, Result<(), String>)>,
    companions: BTreeMap<RuleName, Stage>,
    supervisor: Option<String>,
}

impl Tries {
    /// None yet, in a process that knows Huddle's own image, or does not.
    pub(super) fn new(supervisor: Option<String>) -> Self {
        Self {
            supervisor,
            ..Self::default()
        }
    }
    /// The image that holds what starts companions' programs.
    pub(super) fn supervisor(&self) -> Option<&str> {
        self.supervisor.as_deref()
    }
    /// How the trial rule fared, once it was tried.
    pub(super) fn trial(&self, uid: &str) -> Option<Result<(), String>> {
        self.trials.get(uid).cloned()
    }
    /// Whether a dry-run pod has shown the armed rule in force.
    pub(super) fn is_in_force(&self, uid: &str) -> bool {
        self.in_force.contains_key(uid)
    }
    /// How the dry run of a resize, or of a change of a template's figures, went, by what it would have done.
    pub(super) fn size(&self, key: &str) -> Option<Result<(), String>> {
        let (at, verdict) = self.sizes.get(key)?;
        (verdict.is_ok() || at.elapsed() < REFUSED).then(|| verdict.clone())
    }
    /// Notes how such a dry run went.
    pub(super) fn note_size(&mut self, key: String, verdict: Result<(), String>) {
        self.sizes.insert(key, (Instant::now(), verdict));
    }
    /// How far a companion came on its way into force.
    pub(super) fn companion(&self, name: &RuleName) -> Option<Stage> {
        self.companions.get(name).cloned()
    }
    /// Notes how far a companion came.
    pub(super) fn note_companion(&mut self, name: &RuleName, stage: Stage) {
        self.companions.insert(name.clone(), stage);
    }
    /// It is deleted: the next of its name begins anew.
    pub(super) fn forget_companion(&mut self, name: &RuleName) {
        self.companions.remove(name);
    }
    /// The first break may be the network's or the API server's own.
    fn blame(&mut self, uid: &str) -> bool {
        let seen = self.broken.entry(uid.to_owned()).or_default();
        *seen += 1;
        *seen >= BREAKS
    }
}

/// Creates a dry-run pod of the workload and notes what the rule did to it. Not yet seen at work is no verdict: the API
/// server learns of a new rule with a little delay.
pub(super) async fn attempt(
    client: &Client,
    tries: &mut Tries,
    name: &RuleName,
    workload: &WorkloadId,
    armed: bool,
) -> Result<(), ActError> {
    let rules: Api<api::Rule> = Api::namespaced(client.clone(), name.namespace.as_str());
    let Some(rule) = or_gone(rules.get(&name.name).await).doing("reading a rule")? else {
        return Ok(());
    };
    let uid = rule.uid().unwrap_or_default();
    let Some(pod) = trial_pod(client, workload, armed).await? else {
        return Ok(());
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), name.namespace.as_str());
    let dry = PostParams {
        dry_run: true,
        field_manager: Some(api::FIELD_MANAGER.to_owned()),
    };
    let verdict = match pods.create(&dry, &pod).await {
        Ok(created) => {
            tries.broken.remove(&uid);
            match shows(&created, &rule) {
                Shown::NotYet => return Ok(()),
                Shown::Whole => Ok(()),
                Shown::Partly(what) => Err(format!("the pod lacks {what}")),
            }
        }
        Err(kube::Error::Api(status)) if (400..500).contains(&status.code) && status.code != 429 => {
            Err(status.message.clone())
        }
        Err(kube::Error::Api(status)) if status.code == 429 => {
            return Err(kube::Error::Api(status)).doing("trying a rule on a dry-run pod");
        }
        // A policy that panics the request shows as 500 or as a stream that breaks off: the API server answered a moment
        // ago, so the third such end in a row is the rule's doing.
        Err(error) if tries.blame(&uid) => Err(format!("creating a pod fails: {error}")),
        Err(error) => return Err(error).doing("trying a rule on a dry-run pod"),
    };
    match (armed, verdict) {
        (false, verdict) => {
            tries.trials.insert(uid, verdict);
        }
        (true, Ok(())) => {
            tries.in_force.insert(uid, ());
        }
        // In force but harmful after all: out of force at once; the step sees it unbound.
        (true, Err(why)) => {
            tracing::warn!(rule = %name.name, why, "an armed rule fails its dry run: rules are unbound");
            super::binding::unbind(client).await?;
        }
    }
    Ok(())
}

/// A pod as the workload's ReplicaSet would create it. A trial pod carries the label by which the trial binding knows it.
async fn trial_pod(client: &Client, workload: &WorkloadId, armed: bool) -> Result<Option<Pod>, ActError> {
    let reader = Reader::new(client, &workload.namespace);
    let Some(deployment) = reader.deployment(&workload.name).await? else {
        return Ok(None);
    };
    let Some(set) = reader.current(&deployment).await? else {
        return Ok(None);
    };
    Ok(pod_like(&deployment, &set, armed))
}

pub(super) fn pod_like(deployment: &Deployment, set: &ReplicaSet, armed: bool) -> Option<Pod> {
    let template = deployment.spec.as_ref()?.template.clone();
    let metadata = template.metadata.unwrap_or_default();
    let mut labels = metadata.labels.unwrap_or_default();
    if !armed {
        labels.insert(api::LABEL_TRIAL.to_owned(), "true".to_owned());
    }
    Some(Pod {
        metadata: ObjectMeta {
            generate_name: Some("huddle-trial-".to_owned()),
            namespace: deployment.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: metadata.annotations,
            owner_references: Some(vec![OwnerReference {
                api_version: "apps/v1".to_owned(),
                kind: "ReplicaSet".to_owned(),
                name: set.name_any(),
                uid: set.uid()?,
                controller: Some(true),
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    })
}

/// What a dry-run pod shows of a rule.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    /// No trace of it.
    NotYet,
    /// Its mark, but not all that it says.
    Partly(&'static str),
    /// All of it.
    Whole,
}

/// Whether every way that the pod's node affinity leaves it names the nodes considered.
fn is_held_to(affinity: Option<&Affinity>, wanted: &api::NodeRequirement) -> bool {
    let required = affinity.and_then(|it| {
        let nodes = it.node_affinity.as_ref()?;
        nodes.required_during_scheduling_ignored_during_execution.as_ref()
    });
    let names = |term: &NodeSelectorTerm| {
        let mut expressions = term.match_expressions.iter().flatten();
        expressions.any(|it| {
            let values = it.values.iter().flatten();
            it.key == wanted.key && values.eq(wanted.values.iter().map(|value| &value.0))
        })
    };
    required.is_some_and(|required| required.node_selector_terms.iter().all(names))
}

/// What a pod lacks of the figures that its container was to get, or has too much of those that were to be lowered: then its template no
/// longer says what it said. Figures that it does not have at all are not added.
fn lacks(pod: &Pod, wanted: &api::ContainerSize) -> Option<&'static str> {
    let spec = pod.spec.as_ref();
    let ordinary = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let initial = spec
        .and_then(|spec| spec.init_containers.as_deref())
        .unwrap_or_default();
    let Some(container) = ordinary.iter().chain(initial).find(|it| it.name == wanted.name) else {
        return Some("the container to be sized");
    };
    let resources = container.resources.as_ref();
    let requests = resources.and_then(|it| it.requests.as_ref());
    let limits = resources.and_then(|it| it.limits.as_ref());
    let said = wanted.instead_of.clone().unwrap_or_default();
    let is_off =
        |list: Option<&BTreeMap<String, Quantity>>, figures: Option<&api::Figures>, said: Option<&api::Figures>| {
            let lowered = said
                .map(|it| [it.cpu.is_some(), it.memory.is_some()])
                .unwrap_or_default();
            let wishes = figures.map(|it| [("cpu", it.cpu.as_ref()), ("memory", it.memory.as_ref())]);
            let mut wishes = wishes.into_iter().flatten().zip(lowered);
            wishes.any(|((name, wanted), lowered)| {
                let (Some(has), Some(wanted)) = (list.and_then(|list| list.get(name)), wanted) else {
                    return false;
                };
                let wanted = Quantity(wanted.clone());
                // What cannot be read is not what was wanted.
                match (millicores(has), millicores(&wanted)) {
                    (Ok(has), Ok(wanted)) => has < wanted || (lowered && has > wanted),
                    _ => true,
                }
            })
        };
    if is_off(limits, wanted.limits.as_ref(), said.limits.as_ref()) {
        Some("the limits")
    } else if is_off(requests, wanted.requests.as_ref(), said.requests.as_ref()) {
        Some("the requests")
    } else {
        None
    }
}

fn shows(pod: &Pod, rule: &api::Rule) -> Shown {
    let name = rule.name_any();
    let marked = pod.annotations().get(api::ANNOTATION_RULE);
    if !marked.is_some_and(|names| names.split(',').any(|it| it == name)) {
        return Shown::NotYet;
    }
    let beaten = |name: &str| rule.spec.outranks.iter().any(|older| older.rule == name);
    if marked.is_some_and(|names| names.split(',').any(beaten)) {
        return Shown::Partly("the place of the rule it outranks");
    }
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
    let nodes = affinity
        .and_then(|it| {
            it.node_affinity
                .as_ref()?
                .preferred_during_scheduling_ignored_during_execution
                .as_ref()
        })
        .map_or(0, Vec::len);
    let near = affinity
        .and_then(|it| {
            it.pod_affinity
                .as_ref()?
                .preferred_during_scheduling_ignored_during_execution
                .as_ref()
        })
        .map_or(0, Vec::len);
    if rule
        .spec
        .candidate_nodes
        .as_ref()
        .is_some_and(|wanted| !is_held_to(affinity, wanted))
    {
        return Shown::Partly("the nodes considered");
    }
    if nodes < rule.spec.preferred_node_affinity.len() {
        return Shown::Partly("the wishes about nodes");
    }
    if near < rule.spec.preferred_pod_affinity.len() {
        return Shown::Partly("the wishes to be near pods");
    }
    if let Some(what) = rule.spec.containers.iter().find_map(|wanted| lacks(pod, wanted)) {
        return Shown::Partly(what);
    }
    if rule
        .spec
        .labels
        .iter()
        .any(|(key, value)| pod.labels().get(key) != Some(&value.0))
    {
        return Shown::Partly("the labels");
    }
    Shown::Whole
}
