//! Everything the watches have read, and its assembly into one [`ClusterView`].

use super::book::Tenant;
use super::convert::{
    AttachedFacts, AutoscalerFacts, BudgetFacts, Deployed, NamespaceFacts, NodeFacts, Owner, PodFacts, RouteFacts,
    RuleFacts, SliceFacts, VerticalFacts, VirtualFacts, matches,
};
use super::history::{merged, missed, templated};
use super::merging::templates;
use super::table::{Change, Table};
use huddle_api::{ActionKind, Plan, PlanAction};
use huddle_core::cluster::{
    Budget, CloudIdentity, ClusterView, CpuOwner, Grant, Labels, MeshPolicy, NamespacePolicy, Pod, PodTerm, Reroute,
    Rerouting, Ruled, Selector, Service, SteadyRule, Trust, Workload,
};
use huddle_core::id::{Namespace, NodeName, WorkloadId, WorkloadKind};
use huddle_core::sample::Endpoint;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// One change from one watch.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "an update is consumed at once; a box would be one allocation per pod more"
)]
pub enum Update {
    /// Nodes.
    Node(Change<NodeFacts>),
    /// Pods.
    Pod(Change<PodFacts>),
    /// ReplicaSets, as far as they are owned.
    ReplicaSet(Change<Owner>),
    /// Deployments.
    Deployment(Change<Deployed>),
    /// StatefulSets and DaemonSets, each kind a table of its own.
    Workload(WorkloadKind, Change<Workload>),
    /// Services.
    Service(Change<Service>),
    /// PodDisruptionBudgets.
    Budget(Change<BudgetFacts>),
    /// HorizontalPodAutoscalers.
    Autoscaler(Change<AutoscalerFacts>),
    /// VerticalPodAutoscalers that set figures.
    Vertical(Change<VerticalFacts>),
    /// Namespaces.
    Namespace(Change<NamespaceFacts>),
    /// DestinationRules.
    Route(Change<RouteFacts>),
    /// VirtualServices.
    Virtual(Change<VirtualFacts>),
    /// HTTPRoutes that are attached to Services.
    HttpRoute(Change<AttachedFacts>),
    /// GRPCRoutes that are attached to Services.
    GrpcRoute(Change<AttachedFacts>),
    /// Huddle's policies.
    Policy(Change<(Namespace, NamespacePolicy)>),
    /// Huddle's rules.
    Rule(Change<RuleFacts>),
    /// Huddle's plans.
    Plan(Change<Plan>),
    /// Namespaces with Huddle's filter.
    Filter(Change<Namespace>),
    /// EndpointSlices that no selector made.
    Slice(Change<SliceFacts>),
    /// RoleBindings.
    RoleBinding(Change<BTreeSet<Grant>>),
    /// ClusterRoleBindings.
    ClusterRoleBinding(Change<BTreeSet<Grant>>),
    /// Service accounts that a cloud knows.
    Account(Change<BTreeSet<CloudIdentity>>),
    /// AuthorizationPolicies.
    Authorization(Change<MeshPolicy>),
    /// RequestAuthentications.
    Authentication(Change<MeshPolicy>),
}

/// All tables.
#[derive(Debug, Default)]
pub struct Store {
    nodes: Table<NodeFacts>,
    pub(super) pods: Table<PodFacts>,
    replica_sets: Table<Owner>,
    pub(super) deployments: Table<Deployed>,
    stateful_sets: Table<Workload>,
    daemon_sets: Table<Workload>,
    services: Table<Service>,
    pub(super) budgets: Table<BudgetFacts>,
    autoscalers: Table<AutoscalerFacts>,
    verticals: Table<VerticalFacts>,
    namespaces: Table<NamespaceFacts>,
    routes: Table<RouteFacts>,
    virtuals: Table<VirtualFacts>,
    http_routes: Table<AttachedFacts>,
    grpc_routes: Table<AttachedFacts>,
    policies: Table<(Namespace, NamespacePolicy)>,
    rules: Table<RuleFacts>,
    plans: Table<Plan>,
    filters: Table<Namespace>,
    slices: Table<SliceFacts>,
    role_bindings: Table<BTreeSet<Grant>>,
    cluster_role_bindings: Table<BTreeSet<Grant>>,
    accounts: Table<BTreeSet<CloudIdentity>>,
    authorizations: Table<MeshPolicy>,
    authentications: Table<MeshPolicy>,
}

impl Store {
    /// Takes in one change; says whether anything is different now.
    pub fn apply(&mut self, update: Update) -> bool {
        match update {
            Update::Node(change) => self.nodes.apply(change),
            Update::Pod(change) => self.pods.apply(change),
            Update::ReplicaSet(change) => self.replica_sets.apply(change),
            Update::Deployment(change) => self.deployments.apply(change),
            Update::Workload(WorkloadKind::DaemonSet, change) => self.daemon_sets.apply(change),
            Update::Workload(_, change) => self.stateful_sets.apply(change),
            Update::Service(change) => self.services.apply(change),
            Update::Budget(change) => self.budgets.apply(change),
            Update::Autoscaler(change) => self.autoscalers.apply(change),
            Update::Vertical(change) => self.verticals.apply(change),
            Update::Namespace(change) => self.namespaces.apply(change),
            Update::Route(change) => self.routes.apply(change),
            Update::Virtual(change) => self.virtuals.apply(change),
            Update::HttpRoute(change) => self.http_routes.apply(change),
            Update::GrpcRoute(change) => self.grpc_routes.apply(change),
            Update::Policy(change) => self.policies.apply(change),
            Update::Rule(change) => self.rules.apply(change),
            Update::Plan(change) => self.plans.apply(change),
            Update::Filter(change) => self.filters.apply(change),
            Update::Slice(change) => self.slices.apply(change),
            Update::RoleBinding(change) => self.role_bindings.apply(change),
            Update::ClusterRoleBinding(change) => self.cluster_role_bindings.apply(change),
            Update::Account(change) => self.accounts.apply(change),
            Update::Authorization(change) => self.authorizations.apply(change),
            Update::Authentication(change) => self.authentications.apply(change),
        }
    }
    /// Tables that were not read completely yet, by name.
    pub fn waiting_for(&self) -> Vec<&'static str> {
        [
            ("nodes", self.nodes.is_complete()),
            ("pods", self.pods.is_complete()),
            ("replicasets", self.replica_sets.is_complete()),
            ("deployments", self.deployments.is_complete()),
            ("statefulsets", self.stateful_sets.is_complete()),
            ("daemonsets", self.daemon_sets.is_complete()),
            ("services", self.services.is_complete()),
            ("poddisruptionbudgets", self.budgets.is_complete()),
            ("horizontalpodautoscalers", self.autoscalers.is_complete()),
            ("verticalpodautoscalers", self.verticals.is_complete()),
            ("namespaces", self.namespaces.is_complete()),
            ("destinationrules", self.routes.is_complete()),
            ("virtualservices", self.virtuals.is_complete()),
            ("httproutes", self.http_routes.is_complete()),
            ("grpcroutes", self.grpc_routes.is_complete()),
            ("policies", self.policies.is_complete()),
            ("rules", self.rules.is_complete()),
            ("plans", self.plans.is_complete()),
            ("wasmplugins", self.filters.is_complete()),
            ("endpointslices", self.slices.is_complete()),
            ("rolebindings", self.role_bindings.is_complete()),
            ("clusterrolebindings", self.cluster_role_bindings.is_complete()),
            ("serviceaccounts", self.accounts.is_complete()),
            ("authorizationpolicies", self.authorizations.is_complete()),
            ("requestauthentications", self.authentications.is_complete()),
        ]
        .into_iter()
        .filter_map(|(name, complete)| (!complete).then_some(name))
        .collect()
    }
    /// Facts of all namespaces, and whether each holds Huddle's filter.
    pub fn namespaces(&self) -> BTreeMap<Namespace, (NamespaceFacts, bool)> {
        self.namespaces
            .rows()
            .map(|facts| {
                let filtered = self.filters.rows().any(|namespace| namespace == &facts.name);
                (facts.name.clone(), (facts.clone(), filtered))
            })
            .collect()
    }
    /// Where the nodes' kubelets listen.
    pub fn kubelets(&self) -> BTreeMap<NodeName, SocketAddr> {
        let known = self
            .nodes
            .rows()
            .filter_map(|facts| Some((facts.node.name.clone(), facts.kubelet?)));
        known.collect()
    }
    /// Huddle's plans, newest first.
    pub fn plans(&self) -> Vec<Plan> {
        let mut plans: Vec<Plan> = self.plans.rows().cloned().collect();
        plans.sort_by(|a, b| b.metadata.creation_timestamp.cmp(&a.metadata.creation_timestamp));
        plans
    }
    /// The cluster as planning sees it. Linear in the number of objects, times the budgets of a namespace.
    pub fn assemble(&self) -> ClusterView {
        let mut view = ClusterView {
            nodes: self
                .nodes
                .rows()
                .map(|facts| (facts.node.name.clone(), facts.node.clone()))
                .collect(),
            services: self
                .services
                .rows()
                .map(|service| (service.id.clone(), self.routed(service)))
                .collect(),
            policies: self.policies(),
            ruled: self.ruled(),
            missed: missed(self.plans.rows()),
            merged: merged(self.plans.rows()),
            trust: self.trust(),
            reroutes: self.reroutes(),
            ..ClusterView::default()
        };
        for workload in self.workloads() {
            view.workloads.insert(workload.id.clone(), workload.clone());
        }
        for facts in self.pods.rows() {
            let pod = self.resolved(facts);
            if !view.workloads.contains_key(&pod.workload) {
                view.workloads.insert(pod.workload.clone(), implied(&pod));
            } else if implied_kind(pod.workload.kind)
                && let Some(workload) = view.workloads.get_mut(&pod.workload)
            {
                workload.replicas = workload.replicas.saturating_add(1);
                workload.ready = workload.ready.saturating_add(u64::from(pod.ready));
            }
            view.pods.insert(pod.uid.clone(), pod);
        }
        self.protect(&mut view);
        view.steady = self.steady(&view);
        view.templates = templates(self, &view);
        view
    }
    /// Who holds which address.
    pub fn tenants<'a>(&'a self, view: &'a ClusterView) -> impl Iterator<Item = Tenant> + 'a {
        self.pods
            .rows()
            .filter(|facts| !facts.host_network)
            .filter_map(|facts| {
                let pod = view.pods.get(&facts.pod.uid)?;
                let endpoint: Endpoint = view.endpoint(&pod.uid)?;
                Some(Tenant {
                    address: pod.address?,
                    endpoint,
                    since: pod.created,
                    inside: facts.inside.clone(),
                })
            })
    }

    /// Of several rules of one workload that of a plan under way counts. A rule of sizes whose plan has ended stands in nobody's way.
    fn ruled(&self) -> BTreeMap<WorkloadId, Ruled> {
        let mut ruled: BTreeMap<WorkloadId, Ruled> = BTreeMap::new();
        for rule in self.rules.rows() {
            let open = |plan: &Plan| plan.metadata.name.as_ref() == Some(&rule.plan) && !plan.has_ended();
            let rules = Ruled {
                plan: rule.plan.clone(),
                open: self.plans.rows().any(open),
                settled: false,
            };
            if !rule.places && !rules.open {
                continue;
            }
            let known = ruled.entry(rule.workload.clone()).or_insert_with(|| rules.clone());
            if rules.open {
                *known = rules;
            }
        }
        for plan in self.plans.rows() {
            let settled = plan.has_ended();
            for (workload, places) in templated(plan) {
                let under_way = ruled.get(&workload).is_some_and(|known| known.open && !known.settled);
                // Figures of a plan that has ended are the template's own by then.
                if settled && (!places || under_way) {
                    continue;
                }
                let plan = plan.metadata.name.clone().unwrap_or_default();
                // What a template says of places is not outranked: it stands until its plan is rolled back.
                let open = true;
                ruled.insert(workload, Ruled { plan, open, settled });
            }
        }
        ruled
    }
    /// The placement rules that stand, and beside whose pods they place.
    fn steady(&self, view: &ClusterView) -> Vec<SteadyRule> {
        let named = |(namespace, labels): &(Namespace, Labels)| {
            let mut there = view.workloads.values().filter(|it| &it.id.namespace == namespace);
            there.find(|it| &it.selector.labels == labels).map(|it| it.id.clone())
        };
        let mut steady: Vec<SteadyRule> = self
            .rules
            .rows()
            .filter(|rule| rule.places)
            .filter_map(|rule| {
                let beside = match &rule.beside {
                    Some(near) => named(near),
                    // A cell's rule names nodes; for whose sake is its plan's to say, and without it nothing can be judged.
                    None => neighbour_in(self.plans.rows().find(|plan| is_named(plan, &rule.plan))?, rule, view)?,
                };
                Some(SteadyRule {
                    name: rule.name.clone(),
                    uid: rule.uid.clone(),
                    plan: rule.plan.clone(),
                    workload: rule.workload.clone(),
                    beside,
                    outranks: rule.outranks.clone(),
                    fade: rule.fade.clone(),
                })
            })
            .collect();
        steady.sort_by(|a, b| (&a.workload, &a.name).cmp(&(&b.workload, &b.name)));
        steady
    }
    fn workloads(&self) -> impl Iterator<Item = &Workload> {
        self.deployments
            .rows()
            .map(|deployed| &deployed.workload)
            .chain(self.stateful_sets.rows())
            .chain(self.daemon_sets.rows())
    }
    fn policies(&self) -> BTreeMap<Namespace, NamespacePolicy> {
        let mut policies: BTreeMap<Namespace, NamespacePolicy> = self.policies.rows().cloned().collect();
        for facts in self.namespaces.rows().filter(|facts| facts.may_act) {
            let policy = policies.entry(facts.name.clone()).or_default();
            (policy.may_act, policy.form, policy.cells) = (true, facts.form, facts.cells);
            policy.may_merge = facts.may_merge;
        }
        for (namespace, policy) in &mut policies {
            policy.may_act = self
                .namespaces
                .rows()
                .any(|facts| &facts.name == namespace && facts.may_act);
        }
        policies
    }
    /// What identities are trusted with, as far as it may be read.
    fn trust(&self) -> Trust {
        let bindings = self.role_bindings.known().zip(self.cluster_role_bindings.known());
        let mesh = self.authorizations.known().zip(self.authentications.known());
        Trust {
            grants: bindings.map(|(one, other)| one.chain(other).flatten().cloned().collect()),
            cloud: self.accounts.known().map(|rows| rows.flatten().cloned().collect()),
            mesh: mesh.map(|(one, other)| one.chain(other).cloned().collect()),
        }
    }
    /// What routes of the mesh do with calls to Services, if all kinds of them may be read.
    fn reroutes(&self) -> Option<BTreeSet<Reroute>> {
        let attached = self.http_routes.known()?.chain(self.grpc_routes.known()?);
        let mut found = BTreeSet::new();
        for route in self.virtuals.known()? {
            let by = format!("VirtualService {}/{}", route.namespace, route.name);
            found.extend(self.rerouted(&by, |service| route.does(service)));
        }
        for route in attached {
            let by = format!("{} {}/{}", route.kind, route.namespace, route.name);
            found.extend(self.rerouted(&by, |service| route.does(service)));
        }
        Some(found)
    }
    fn rerouted(&self, by: &str, does: impl Fn(&Service) -> BTreeSet<Rerouting>) -> Vec<Reroute> {
        let one = |service: &Service, does| Reroute {
            service: service.id.clone(),
            by: by.to_owned(),
            does,
        };
        let services = self.services.rows();
        services
            .flat_map(|service| {
                does(service)
                    .into_iter()
                    .map(|does| one(service, does))
                    .collect::<Vec<_>>()
            })
            .collect()
    }
    fn routed(&self, service: &Service) -> Service {
        let mut service = service.clone();
        if service.overridden_by.is_none()
            && let Some(route) = self.routes.rows().find(|route| route.is_about(&service.id))
        {
            service.overridden_by = Some(format!("DestinationRule {}/{}", route.namespace, route.name));
        }
        if service.overridden_by.is_none()
            && let Some(slice) = self.slices.rows().find(|slice| slice.service == service.id)
        {
            let (namespace, name) = (&slice.service.namespace, &slice.name);
            service.overridden_by = Some(format!("EndpointSlice {namespace}/{name}, which no selector made,"));
        }
        service
    }
    /// The pod with its ReplicaSet's Deployment as workload, and its namespace selectors as namespaces.
    fn resolved(&self, facts: &PodFacts) -> Pod {
        let mut pod = facts.pod.clone();
        if let Some(owner) = facts.owner.as_ref().filter(|owner| owner.kind == "ReplicaSet") {
            let key = format!("{}/{}", pod.workload.namespace, owner.name);
            if let Some(above) = self.replica_sets.get(&key) {
                pod.workload.name.clone_from(&above.name);
                if above.kind == "Deployment" {
                    pod.workload.kind = WorkloadKind::Deployment;
                }
            }
        } else if facts.owner.is_none() && pod.orphan_of.is_some() {
            // Released by an orphan move: it still answers for the Deployment whose labels it carries.
            let from = self
                .deployments
                .rows()
                .map(|deployed| &deployed.workload)
                .filter(|workload| workload.id.namespace == pod.workload.namespace)
                .find(|workload| within(&workload.labels, &pod.labels));
            if let Some(from) = from {
                pod.workload = from.id.clone();
            } else if let Some(above) = self.maker(&pod) {
                pod.workload = WorkloadId::deployment(pod.workload.namespace.as_str(), &above.name);
            }
        }
        self.name_namespaces(&mut pod.constraints.affinity, &facts.affinity_namespaces);
        self.name_namespaces(&mut pod.constraints.anti_affinity, &facts.anti_affinity_namespaces);
        pod
    }
    /// Whose ReplicaSet a released pod came from, by its name: where its Services' labels were taken away as well, nothing else tells.
    fn maker(&self, pod: &Pod) -> Option<&Owner> {
        let (replica_set, _) = pod.name.rsplit_once('-')?;
        let above = self
            .replica_sets
            .get(&format!("{}/{replica_set}", pod.workload.namespace))?;
        (above.kind == "Deployment").then_some(above)
    }
    fn name_namespaces(&self, terms: &mut [PodTerm], selectors: &[(usize, Selector)]) {
        for (index, selector) in selectors {
            if let Some(term) = terms.get_mut(*index) {
                let chosen = self.namespaces.rows().filter(|facts| matches(selector, &facts.labels));
                term.namespaces
                    .get_or_insert_default()
                    .extend(chosen.map(|facts| facts.name.clone()));
            }
        }
    }
    /// Fills in disruption budgets and autoscalers.
    fn protect(&self, view: &mut ClusterView) {
        let mut by_namespace: BTreeMap<&Namespace, Vec<&BudgetFacts>> = BTreeMap::new();
        for budget in self.budgets.rows() {
            by_namespace.entry(&budget.namespace).or_default().push(budget);
        }
        for workload in view.workloads.values_mut() {
            let budgets: Vec<_> = by_namespace
                .get(&workload.id.namespace)
                .into_iter()
                .flatten()
                .filter(|budget| matches(&budget.selector, &workload.labels))
                .collect();
            workload.budget = match budgets.as_slice() {
                [] => Budget::None,
                [budget] => Budget::Allows(self.without_orphans(budget)),
                _ => Budget::Ambiguous,
            };
        }
        for scaler in self.autoscalers.rows() {
            if let Some(workload) = targeted(view, &scaler.namespace, &scaler.target) {
                workload.autoscaler = Some(scaler.name.clone());
                if scaler.by_cpu {
                    workload.cpu_owner = Some(CpuOwner::Horizontal(scaler.name.clone()));
                }
            }
        }
        for scaler in self.verticals.rows() {
            if let Some(workload) = targeted(view, &scaler.namespace, &scaler.target) {
                workload.cpu_owner = Some(CpuOwner::Vertical(scaler.name.clone()));
            }
        }
    }
    /// An orphan is counted by the budget as one healthy pod more than will stay (facts/moves.md 1).
    fn without_orphans(&self, budget: &BudgetFacts) -> u64 {
        let orphans = self.pods.rows().filter(|facts| {
            facts.pod.orphan_of.is_some()
                && facts.pod.ready
                && facts.pod.workload.namespace == budget.namespace
                && matches(&budget.selector, &facts.pod.labels)
        });
        budget.allowed.saturating_sub(orphans.count() as u64)
    }
}

fn within(part: &Labels, whole: &Labels) -> bool {
    !part.is_empty() && part.iter().all(|(key, value)| whole.get(key) == Some(value))
}

/// Kinds of workloads that are known through their pods only.
fn implied_kind(kind: WorkloadKind) -> bool {
    matches!(kind, WorkloadKind::Job | WorkloadKind::ReplicaSet | WorkloadKind::Pod)
}

/// The workload of a pod whose owner is not watched.
fn implied(pod: &Pod) -> Workload {
    Workload {
        id: pod.workload.clone(),
        replicas: 1,
        ready: u64::from(pod.ready),
        selector: Selector::default(),
        labels: pod.labels.clone(),
        budget: Budget::None,
        rolling: false,
        opted_out: false,
        autoscaler: None,
        cpu_owner: None,
        warm_up: None,
        template: BTreeMap::new(),
    }
}

fn is_named(plan: &Plan, name: &str) -> bool {
    plan.metadata.name.as_deref() == Some(name)
}

/// For whose sake the plan gave the rule's workload a cell: a workload that may be gone by now; nothing where it gave none.
fn neighbour_in(plan: &Plan, rule: &RuleFacts, view: &ClusterView) -> Option<Option<WorkloadId>> {
    let own = |action: &&PlanAction| {
        let workload = &action.workload;
        action.kind == ActionKind::Cell
            && workload.name == rule.workload.name
            && workload.namespace == rule.workload.namespace.as_str()
    };
    let with = plan.spec.actions.iter().find(own)?.with.as_ref()?;
    let named = |id: &&WorkloadId| {
        id.namespace.as_str() == with.namespace && id.name == with.name && id.kind.as_str() == with.kind
    };
    Some(view.workloads.keys().find(named).cloned())
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

/// The workload that an autoscaler names.
fn targeted<'a>(view: &'a mut ClusterView, namespace: &Namespace, target: &Owner) -> Option<&'a mut Workload> {
    let mut workloads = view.workloads.values_mut();
    workloads.find(|workload| {
        let id = &workload.id;
        id.namespace == *namespace && id.name == target.name && id.kind.as_str() == target.kind
    })
}
