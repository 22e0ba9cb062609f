//! Reads, fresh, what the step under way needs to know.

use super::binding::is_bound;
use super::companion::step as merge;
use super::error::{ActError, Doing, or_gone};
use super::evidence::Evidence;
use super::lingering::lingers;
use super::outrank;
use super::pods::{matches, query, selects};
use super::trial::Tries;
use super::{cell, resize, template, template_size, withdraw};
use huddle_api as api;
use huddle_core::act::{
    CellName, CellSeen, MoveSeen, PlaceSeen, PodSeen, Receipt, RouteSeen, RuleName, RuleSeen, Seen, ServiceSeen, Step,
    WorkloadSeen,
};
use huddle_core::cluster::{Budget, Labels};
use huddle_core::id::{EdgeId, Namespace, NodeName, PlanId, PodUid, ServiceId, WorkloadId};
use huddle_core::plan::merge::Way;
use huddle_core::plan::{Action, PlaceForm, Plan};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{self as core, Node, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Everything about the step that carries out `action`.
pub(super) async fn observe(
    client: &Client,
    evidence: &dyn Evidence,
    tries: &Tries,
    plan: &PlanId,
    index: usize,
    step: &Step,
    action: &Action,
) -> Result<Seen, ActError> {
    match action {
        Action::Place {
            workload,
            with,
            form: PlaceForm::Template,
        } => {
            let own = RuleName::of(plan, index, &workload.namespace);
            let seen = template::observe(client, &own, workload, with, step).await?;
            Ok(Seen::Template(Box::new(seen)))
        }
        Action::Place { workload, with, .. } => {
            let rule = RuleName::of(plan, index, &workload.namespace);
            Ok(Seen::Place(PlaceSeen {
                workload: Reader::new(client, &workload.namespace)
                    .workload(&workload.name)
                    .await?
                    .map(|it| it.0),
                hub_exists: Reader::new(client, &with.namespace).selector(with).await?.is_some(),
                other_rule: outrank::under_way(client, plan, workload).await?,
                rule: rule_seen(client, tries, &rule).await?,
                bound: is_bound(client).await?,
            }))
        }
        Action::Size {
            workload,
            container,
            to,
            instead,
            form: PlaceForm::Template,
        } => {
            let size = template_size::Size {
                plan,
                workload,
                container,
                to,
                instead,
            };
            let seen = template_size::observe(client, tries, &size, step).await?;
            Ok(Seen::TemplateSize(Box::new(seen)))
        }
        Action::Size { workload, .. } => {
            let rule = RuleName::of(plan, index, &workload.namespace);
            Ok(Seen::Place(PlaceSeen {
                workload: Reader::new(client, &workload.namespace)
                    .workload(&workload.name)
                    .await?
                    .map(|it| it.0),
                hub_exists: true,
                other_rule: outrank::under_way(client, plan, workload).await?,
                rule: rule_seen(client, tries, &rule).await?,
                bound: is_bound(client).await?,
            }))
        }
        Action::Withdraw { workload, rule, .. } => {
            let seen = withdraw::observe(client, tries, plan, workload, (rule, step)).await?;
            Ok(Seen::Withdraw(Box::new(seen)))
        }
        Action::Cell { workload, seats, .. } => {
            let rule = RuleName::of(plan, index, &workload.namespace);
            Ok(Seen::Cell(Box::new(CellSeen {
                rule: rule_seen(client, tries, &rule).await?,
                ..cell::observe(client, plan, workload, (&CellName::of(&rule), seats), step).await?
            })))
        }
        Action::Merge { workload, with, way } => {
            let own = RuleName::of(plan, index, &workload.namespace);
            let edge = EdgeId {
                source: workload.clone(),
                destination: with.clone(),
            };
            let seen = merge::observe(client, evidence, tries, &own, (&edge, *way), step).await?;
            Ok(Seen::Merge(Box::new(seen)))
        }
        Action::Resize {
            workload,
            pod,
            pod_name,
            container,
            from,
            to,
        } => {
            let change = to.beyond(from);
            let seen = resize::observe(client, tries, workload, (pod, pod_name), container, &change).await?;
            Ok(Seen::Resize(Box::new(seen)))
        }
        Action::Move {
            workload,
            pod,
            pod_name,
            to,
            ..
        } => {
            let rule = RuleName::of(plan, index, &workload.namespace);
            let rule = rule_seen(client, tries, &rule).await?;
            let bound = is_bound(client).await?;
            let reader = Reader::new(client, &workload.namespace);
            let mut seen = reader.a_move(&workload.name, pod, pod_name, to, step).await?;
            seen.rule = rule;
            seen.bound = bound;
            Ok(Seen::Move(Box::new(seen)))
        }
        Action::Route {
            service, workload, to, ..
        } => {
            let reader = Reader::new(client, &service.namespace);
            Ok(Seen::Route(RouteSeen {
                service: reader.service(service).await?,
                allowed: reader.is_covered().await?,
                guard: evidence.routing(service, workload, *to),
            }))
        }
    }
}

/// Whether a rule is there and in force; what was tried in this process counts.
pub(super) async fn rule_seen(client: &Client, tries: &Tries, name: &RuleName) -> Result<RuleSeen, ActError> {
    let rules: Api<api::Rule> = Api::namespaced(client.clone(), name.namespace.as_str());
    let Some(rule) = or_gone(rules.get(&name.name).await).doing("reading a rule")? else {
        return Ok(RuleSeen::Absent);
    };
    if rule.metadata.deletion_timestamp.is_some() {
        return Ok(RuleSeen::Deleting);
    }
    let uid = rule.uid().unwrap_or_default();
    Ok(match rule.labels().get(api::LABEL_STATE).map(String::as_str) {
        Some(api::STATE_ARMED) => RuleSeen::Armed {
            in_force: tries.is_in_force(&uid),
        },
        _ => RuleSeen::Trial {
            tried: tries.trial(&uid),
        },
    })
}

/// Whether a plan merges by another way than its namespace's Policy names by now. A plan keeps its way.
///
/// # Errors
/// Whatever the API server says.
pub async fn goes_another_way(client: &Client, plan: &Plan) -> Result<bool, ActError> {
    for action in &plan.actions {
        if let Action::Merge { workload, way, .. } = action
            && Reader::new(client, &workload.namespace).merge_way().await? != *way
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads one namespace.
pub(super) struct Reader<'a> {
    client: &'a Client,
    namespace: &'a str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(client: &'a Client, namespace: &'a Namespace) -> Self {
        Self {
            client,
            namespace: namespace.as_str(),
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    /// Whether the namespace carries the label that allows acting there.
    /// The namespace gives the right, and its policy wants more than advice.
    async fn is_covered(&self) -> Result<bool, ActError> {
        let policies: Api<api::Policy> = self.api();
        let policy = or_gone(policies.get(api::POLICY).await).doing("reading a namespace's Policy")?;
        let automation = policy.and_then(|policy| policy.spec.automation).unwrap_or_default();
        if matches!(automation, api::Automation::Observe | api::Automation::Recommend) {
            return Ok(false);
        }
        let namespaces: Api<core::Namespace> = Api::all(self.client.clone());
        let namespace = or_gone(namespaces.get_metadata(self.namespace).await).doing("reading a namespace")?;
        Ok(namespace.is_some_and(|it| it.labels().get(api::LABEL_ACT).map(String::as_str) == Some(api::ACT_ALLOWED)))
    }

    /// The namespace lets nodes be labelled for its workloads.
    pub(super) async fn allows_cells(&self) -> Result<bool, ActError> {
        let namespaces: Api<core::Namespace> = Api::all(self.client.clone());
        let namespace = or_gone(namespaces.get_metadata(self.namespace).await).doing("reading a namespace")?;
        Ok(namespace
            .is_some_and(|it| it.labels().get(api::LABEL_CELLS).map(String::as_str) == Some(api::CELLS_ALLOWED)))
    }

    /// The namespace lets companions join its pods.
    pub(super) async fn allows_merging(&self) -> Result<bool, ActError> {
        let namespaces: Api<core::Namespace> = Api::all(self.client.clone());
        let namespace = or_gone(namespaces.get_metadata(self.namespace).await).doing("reading a namespace")?;
        Ok(namespace
            .is_some_and(|it| it.labels().get(api::LABEL_MERGE).map(String::as_str) == Some(api::MERGE_ALLOWED)))
    }

    /// By which way its Policy lets calls come to a companion.
    pub(super) async fn merge_way(&self) -> Result<Way, ActError> {
        let policies: Api<api::Policy> = self.api();
        let policy = or_gone(policies.get(api::POLICY).await).doing("reading a namespace's Policy")?;
        Ok(match policy.and_then(|policy| policy.spec.merge_way) {
            Some(api::CompanionWay::Direct) => Way::Direct,
            Some(api::CompanionWay::Proxied) | None => Way::Proxied,
        })
    }

    pub(super) async fn pod(&self, name: &str) -> Result<Option<Pod>, ActError> {
        or_gone(self.api::<Pod>().get(name).await).doing("reading a pod")
    }

    /// Pods with these labels, in the API's list syntax.
    pub(super) async fn pods(&self, labels: &str) -> Result<Vec<Pod>, ActError> {
        let list = self.api::<Pod>().list(&ListParams::default().labels(labels)).await;
        Ok(list.doing("listing pods")?.items)
    }

    pub(super) async fn services(&self) -> Result<Vec<Service>, ActError> {
        let list = self.api::<Service>().list(&ListParams::default()).await;
        Ok(list.doing("listing Services")?.items)
    }

    pub(super) async fn autoscalers(&self) -> Result<Vec<HorizontalPodAutoscaler>, ActError> {
        let list = self.api::<HorizontalPodAutoscaler>().list(&ListParams::default()).await;
        Ok(list.doing("listing autoscalers")?.items)
    }

    pub(super) async fn deployment(&self, name: &str) -> Result<Option<Deployment>, ActError> {
        or_gone(self.api::<Deployment>().get(name).await).doing("reading a Deployment")
    }

    /// The ReplicaSet of the Deployment's current template.
    pub(super) async fn current(&self, deployment: &Deployment) -> Result<Option<ReplicaSet>, ActError> {
        let list = ListParams::default().labels(&query(&selector_of(deployment)));
        let sets = self
            .api::<ReplicaSet>()
            .list(&list)
            .await
            .doing("listing ReplicaSets")?;
        let revision = deployment.annotations().get(REVISION);
        Ok(sets.items.into_iter().find(|set| {
            let owned = set
                .owner_references()
                .iter()
                .any(|owner| Some(&owner.uid) == deployment.metadata.uid.as_ref());
            owned && set.annotations().get(REVISION) == revision && revision.is_some()
        }))
    }

    /// The labels by which a workload's pods are known; `None` when it is gone.
    pub(super) async fn selector(&self, workload: &WorkloadId) -> Result<Option<Labels>, ActError> {
        use huddle_core::id::WorkloadKind as Kind;
        let name = workload.name.as_str();
        Ok(match workload.kind {
            Kind::Deployment => self.deployment(name).await?.map(|it| selector_of(&it)),
            Kind::StatefulSet => or_gone(self.api::<StatefulSet>().get(name).await)
                .doing("reading a StatefulSet")?
                .and_then(|it| it.spec)
                .map(|spec| spec.selector.match_labels.unwrap_or_default()),
            Kind::ReplicaSet => or_gone(self.api::<ReplicaSet>().get(name).await)
                .doing("reading a ReplicaSet")?
                .and_then(|it| it.spec)
                .map(|spec| spec.selector.match_labels.unwrap_or_default()),
            Kind::Pod => or_gone(self.api::<Pod>().get(name).await)
                .doing("reading a pod")?
                .map(|it| it.labels().clone()),
            Kind::DaemonSet | Kind::Job => None,
        })
    }

    pub(super) async fn workload(&self, name: &str) -> Result<Option<(WorkloadSeen, Deployment)>, ActError> {
        let Some(deployment) = self.deployment(name).await? else {
            return Ok(None);
        };
        if deployment.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        let current = self.current(&deployment).await?;
        let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let opted_out = api::is_opted_out(deployment.annotations());
        let seen = WorkloadSeen {
            replica_set: current.and_then(|set| set.metadata.uid),
            replicas: u64::try_from(replicas).unwrap_or(0),
            rolling: is_rolling(&deployment, replicas),
            budget: Budget::None,
            allowed: self.is_covered().await? && !opted_out,
            selectable: !selector_of(&deployment).is_empty(),
        };
        Ok(Some((seen, deployment)))
    }

    async fn a_move(
        &self,
        workload: &str,
        uid: &PodUid,
        name: &str,
        to: &NodeName,
        step: &Step,
    ) -> Result<MoveSeen, ActError> {
        let old = or_gone(self.api::<Pod>().get(name).await)
            .doing("reading a pod")?
            .filter(|pod| pod.metadata.uid.as_deref() == Some(uid.as_str()));
        let mut pods = Vec::new();
        let mut workload = match self.workload(workload).await? {
            Some((seen, deployment)) => {
                let list = ListParams::default().labels(&query(&selector_of(&deployment)));
                pods = self.api::<Pod>().list(&list).await.doing("listing pods")?.items;
                Some(seen)
            }
            None => None,
        };
        pods.retain(|pod| pod.metadata.uid.as_deref() != Some(uid.as_str()) && is_alive(pod));
        if let (Some(workload), Some(old)) = (&mut workload, &old) {
            workload.budget = self.budget(old, &pods, step).await?;
        }
        let service_labels = match (&step.receipt, &old) {
            (None, Some(old)) => self.service_labels(old).await?,
            _ => Vec::new(),
        };
        Ok(MoveSeen {
            workload,
            replica_set_exists: self.replica_set_exists(step).await?,
            service_labels,
            target_ready: self.is_node_ready(to).await?,
            pod: old.as_ref().map(pod_seen),
            pods: pods.iter().map(pod_seen).collect(),
            rule: RuleSeen::Absent,
            bound: false,
        })
    }

    async fn replica_set_exists(&self, step: &Step) -> Result<bool, ActError> {
        match &step.receipt {
            Some(Receipt::Move(receipt)) => self.has_replica_set(&receipt.replica_set).await,
            _ => Ok(true),
        }
    }

    /// Whether the ReplicaSet of this uid is there, and not on its way out.
    pub(super) async fn has_replica_set(&self, uid: &str) -> Result<bool, ActError> {
        let sets = self
            .api::<ReplicaSet>()
            .list_metadata(&ListParams::default())
            .await
            .doing("listing ReplicaSets")?;
        Ok(sets
            .items
            .iter()
            .any(|set| set.metadata.uid.as_deref() == Some(uid) && set.metadata.deletion_timestamp.is_none()))
    }

    /// The disruption budget of the pod. An orphan that is ready counts as healthy for its budget although it is about
    /// to go, so it is taken off what the budget allows.
    pub(super) async fn budget(&self, old: &Pod, pods: &[Pod], step: &Step) -> Result<Budget, ActError> {
        let mut labels = old.labels().clone();
        if let Some(Receipt::Move(receipt)) = &step.receipt {
            labels.extend(receipt.labels.clone());
        }
        let budgets = self.api::<PodDisruptionBudget>().list(&ListParams::default()).await;
        let budgets = budgets.doing("listing disruption budgets")?.items;
        let selector = |budget: &PodDisruptionBudget| budget.spec.as_ref().and_then(|spec| spec.selector.clone());
        let mut ours = budgets
            .iter()
            .filter(|budget| selector(budget).is_some_and(|selector| matches(&selector, &labels)));
        let (Some(budget), None) = (ours.next(), ours.next()) else {
            let several = budgets
                .iter()
                .filter(|it| selector(it).is_some_and(|it| matches(&it, &labels)))
                .count()
                > 1;
            return Ok(if several { Budget::Ambiguous } else { Budget::None });
        };
        let orphans = pods
            .iter()
            .filter(|pod| is_orphan(pod) && is_ready(pod))
            .filter(|pod| selector(budget).is_some_and(|selector| matches(&selector, pod.labels())))
            .count() as u64;
        let current = budget
            .status
            .as_ref()
            .filter(|status| status.observed_generation >= budget.metadata.generation);
        let allowed = current.map_or(0, |status| {
            u64::try_from(status.disruptions_allowed.unwrap_or(0)).unwrap_or(0)
        });
        Ok(Budget::Allows(allowed.saturating_sub(orphans)))
    }

    /// One label key for each Service that selects the pod: without them it is in none of their endpoints.
    pub(super) async fn service_labels(&self, pod: &Pod) -> Result<Vec<String>, ActError> {
        let services = self.services().await?;
        let mut keys: Vec<String> = Vec::new();
        for service in services {
            let selector: Labels = service.spec.and_then(|spec| spec.selector).unwrap_or_default();
            if selects(&selector, pod.labels()) && !selector.keys().any(|key| keys.contains(key)) {
                keys.extend(selector.into_keys().next());
            }
        }
        Ok(keys)
    }

    async fn is_node_ready(&self, name: &NodeName) -> Result<bool, ActError> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let Some(node) = or_gone(nodes.get(name.as_str()).await).doing("reading a node")? else {
            return Ok(false);
        };
        let cordoned = node.spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        Ok(!cordoned && conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True"))
    }

    async fn service(&self, id: &ServiceId) -> Result<Option<ServiceSeen>, ActError> {
        let service = or_gone(self.api::<Service>().get(&id.name).await).doing("reading a Service")?;
        Ok(service
            .filter(|service| service.metadata.deletion_timestamp.is_none())
            .map(|service| ServiceSeen {
                uid: service.uid().unwrap_or_default(),
                resource_version: service.resource_version().unwrap_or_default(),
                distribution: service.spec.and_then(|spec| spec.traffic_distribution),
            }))
    }
}

/// The Deployment's pod selector, its equalities.
pub(super) fn selector_of(deployment: &Deployment) -> Labels {
    let spec = deployment.spec.as_ref();
    spec.and_then(|spec| spec.selector.match_labels.clone())
        .unwrap_or_default()
}

fn is_rolling(deployment: &Deployment, replicas: i32) -> bool {
    let Some(status) = &deployment.status else {
        return true;
    };
    let updated = status.updated_replicas.unwrap_or(0);
    status.observed_generation < deployment.metadata.generation
        || updated < replicas
        || status.replicas.unwrap_or(0) > updated
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a core::PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

fn is_orphan(pod: &Pod) -> bool {
    pod.labels().get(api::LABEL_ORPHAN).is_some_and(|plan| !plan.is_empty())
}

pub(super) fn is_alive(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

pub(super) fn pod_seen(pod: &Pod) -> PodSeen {
    let unschedulable = condition(pod, "PodScheduled")
        .is_some_and(|it| it.status == "False" && it.reason.as_deref() == Some("Unschedulable"));
    PodSeen {
        uid: PodUid::new(pod.uid().unwrap_or_default()),
        name: pod.name_any(),
        resource_version: pod.resource_version().unwrap_or_default(),
        labels: pod.labels().clone(),
        node: pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.as_deref())
            .map(NodeName::from),
        ready: is_ready(pod),
        unschedulable,
        deleting: pod.metadata.deletion_timestamp.is_some(),
        owner: pod
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true))
            .map(|owner| owner.uid.clone()),
        orphan: is_orphan(pod),
        expendable: pod.annotations().contains_key(DELETION_COST),
        lingers: lingers(pod),
    }
}
