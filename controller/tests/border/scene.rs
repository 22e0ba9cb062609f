//! A namespace with callers on node-1 and callees elsewhere, a Service, and a plan that brings them together.

use super::cluster::{Cluster, apply, apply_file, shared};
use super::faults::{Fault, Faults};
use super::kubelets::{hold, let_go};
use super::says::Says;
use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use huddle::act::{Actor, Evidence};
use huddle_api as api;
use huddle_core::act::ActConfig;
use huddle_core::cluster::{Compute, RoutingMode, Sizing};
use huddle_core::id::{NodeName, PlanId, PodUid, ServiceId, WorkloadId};
use huddle_core::plan::{Action, PlaceForm, Plan};
use huddle_core::time::{Span, Timestamp};
use huddle_core::units::{Bytes, Millicores};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Lives killed beside each other.
const TOGETHER: usize = 6;

/// Runs a story once for every write after which the controller can be killed, until one is reached that nothing dies at.
/// `killed_after` says whether the controller died at write `n`.
pub(crate) async fn after_every_write<F: Future<Output = Result<bool>>>(
    most: u64,
    killed_after: impl Fn(u64) -> F,
) -> Result<()> {
    let mut n = 0_u64;
    loop {
        let these: Vec<u64> = (n + 1..=n + TOGETHER as u64).collect();
        let lives = these.into_iter().map(|n| {
            let life = killed_after(n);
            async move { life.await.with_context(|| format!("killed after write {n}")) }
        });
        let died: Vec<bool> = futures::stream::iter(lives).buffered(TOGETHER).try_collect().await?;
        n += TOGETHER as u64;
        if died.contains(&false) {
            return Ok(());
        }
        ensure!(n < most, "a plan so short needs no {n} writes");
    }
}

/// Patient enough for a busy machine, quick where nothing is to be waited for.
pub(crate) fn config() -> ActConfig {
    ActConfig {
        drain: Span(100),
        ready: Span::seconds(20),
        schedule: Span::seconds(5),
        told: Span(0),
        settle: Span(0),
        ..ActConfig::default()
    }
}

/// A namespace of the test's own.
pub(crate) struct Scene {
    cluster: &'static Cluster,
    pub(crate) namespace: String,
    pub(crate) admin: Client,
    pub(crate) says: Arc<Says>,
}

impl Scene {
    /// `callers` on node-1 and three `callees` wherever the scheduler likes them, never on node-1, all ready.
    pub(crate) async fn set(namespace: &str) -> Result<Self> {
        Self::on(shared().await, namespace).await
    }

    /// The same on that control plane.
    pub(crate) async fn on(cluster: &'static Cluster, namespace: &str) -> Result<Self> {
        let admin = cluster.admin().await;
        apply(
            &admin,
            json!({"apiVersion": "v1", "kind": "Namespace",
                   "metadata": {"name": namespace, "labels": {"huddle.dev/act": "allowed"}}}),
        )
        .await?;
        let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/admission/rbac-act-namespace.yaml");
        apply_file(&admin, &role, &[("NAMESPACE", namespace)]).await?;
        let scene = Self {
            cluster,
            namespace: namespace.to_owned(),
            admin,
            says: Arc::default(),
        };
        scene.deploy("caller", 1, "In").await?;
        scene.deploy("callee", 3, "NotIn").await?;
        apply(
            &scene.admin,
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "callee", "namespace": namespace},
                   "spec": {"selector": {"app": "callee"}, "ports": [{"port": 80}]}}),
        )
        .await?;
        scene.whole("caller", 1).await?;
        scene.whole("callee", 3).await?;
        Ok(scene)
    }

    pub(crate) async fn deploy(&self, name: &str, replicas: u32, operator: &str) -> Result<()> {
        let term = json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": operator, "values": ["node-1"]}]});
        apply(
            &self.admin,
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                    "template": {"metadata": {"labels": {"app": name}}, "spec": {
                        "containers": [{"name": "app", "image": "x"}],
                        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                            {"weight": 100, "preference": term}]}}}}}}),
        )
        .await
    }

    /// Waits until the workload has so many pods, all ready and none on its way out.
    pub(crate) async fn whole(&self, app: &str, replicas: usize) -> Result<Vec<Pod>> {
        wait("all pods are ready", async || {
            let pods = self.pods(app).await?;
            let ready = pods
                .iter()
                .filter(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none())
                .count();
            ensure!(
                ready == replicas && pods.len() == replicas,
                "{ready} of {} pods of {app}",
                pods.len()
            );
            Ok(pods)
        })
        .await
    }

    pub(crate) async fn pods(&self, app: &str) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.admin.clone(), &self.namespace);
        let list = ListParams::default().labels(&format!("app={app}"));
        Ok(pods.list(&list).await?.items)
    }

    pub(crate) fn service_id(&self) -> ServiceId {
        ServiceId {
            namespace: self.namespace.as_str().into(),
            name: "callee".to_owned(),
        }
    }

    pub(crate) async fn service(&self) -> Result<Service> {
        let services: Api<Service> = Api::namespaced(self.admin.clone(), &self.namespace);
        Ok(services.get("callee").await?)
    }

    pub(crate) async fn rules(&self) -> Result<Vec<api::Rule>> {
        let rules: Api<api::Rule> = Api::namespaced(self.admin.clone(), &self.namespace);
        Ok(rules.list(&ListParams::default()).await?.items)
    }

    pub(crate) fn plans(&self) -> Api<api::Plan> {
        Api::namespaced(self.admin.clone(), api::SYSTEM_NAMESPACE)
    }

    /// Place, move one pod to node-1, route.
    pub(crate) async fn plan(&self) -> Result<Plan> {
        self.plan_to("node-1").await
    }

    /// The same to another node.
    pub(crate) async fn plan_to(&self, to: &str) -> Result<Plan> {
        let callee = WorkloadId::deployment(&self.namespace, "callee");
        let pods = self.pods("callee").await?;
        let pod = pods
            .iter()
            .find(|pod| node_of(pod) != to)
            .context("a callee elsewhere")?;
        let node = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.clone())
            .context("a node")?;
        Ok(Plan {
            at: Timestamp(1),
            actions: vec![
                Action::Place {
                    workload: callee.clone(),
                    with: WorkloadId::deployment(&self.namespace, "caller"),
                    form: PlaceForm::Admission,
                },
                Action::Move {
                    workload: callee.clone(),
                    pod: PodUid::new(pod.uid().context("a uid")?),
                    pod_name: pod.name_any(),
                    from: NodeName::new(node),
                    to: NodeName::from(to),
                },
                Action::Route {
                    service: self.service_id(),
                    workload: callee,
                    from: RoutingMode::Spread,
                    to: RoutingMode::PreferSameNode,
                },
            ],
            expected: Vec::new(),
            relief: Vec::new(),
            given_back: Vec::new(),
            merging: Vec::new(),
            spread: Vec::new(),
            refusals: Vec::new(),
            pods_restarted: 1,
            because: Vec::new(),
            saved: 0.1 + 0.2,
        })
    }

    /// Three `starved` pods of an app with this cpu limit and a native sidecar, and a plan that gives one of the two containers more.
    pub(crate) async fn starve(&self, limit: &str) -> Result<()> {
        let figures = |cpu: &str| json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": cpu, "memory": "128Mi"}});
        apply(
            &self.admin,
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "starved", "namespace": self.namespace},
                "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "starved"}},
                    "template": {"metadata": {"labels": {"app": "starved"}}, "spec": {
                        "containers": [{"name": "app", "image": "x", "resources": figures(limit)}],
                        "initContainers": [{"name": "proxy", "image": "x", "restartPolicy": "Always", "resources": figures("200m")}],
                    }}}}),
        )
        .await?;
        self.whole("starved", 3).await.map(drop)
    }

    /// The size rule, then every pod of `starved`: this container from 200m to `limit`.
    pub(crate) async fn relief(&self, container: &str, limit: u64) -> Result<Plan> {
        let workload = WorkloadId::deployment(&self.namespace, "starved");
        let figures = |limit: u64| Sizing {
            requests: Compute {
                cpu: Some(Millicores(100)),
                memory: Some(Bytes(64 << 20)),
            },
            limits: Compute {
                cpu: Some(Millicores(limit)),
                memory: Some(Bytes(128 << 20)),
            },
        };
        let mut actions = vec![Action::Size {
            workload: workload.clone(),
            container: container.into(),
            to: Sizing {
                requests: Compute::default(),
                limits: Compute {
                    cpu: Some(Millicores(limit)),
                    memory: None,
                },
            },
            instead: Sizing::default(),
            form: PlaceForm::Admission,
        }];
        let mut pods = self.pods("starved").await?;
        pods.sort_by_key(ResourceExt::name_any);
        for pod in pods {
            actions.push(Action::Resize {
                workload: workload.clone(),
                pod: PodUid::new(pod.uid().context("a uid")?),
                pod_name: pod.name_any(),
                container: container.into(),
                from: figures(200),
                to: figures(limit),
            });
        }
        Ok(Plan {
            at: Timestamp(1),
            actions,
            expected: Vec::new(),
            relief: Vec::new(),
            given_back: Vec::new(),
            merging: Vec::new(),
            spread: Vec::new(),
            refusals: Vec::new(),
            pods_restarted: 0,
            because: Vec::new(),
            saved: 1.5,
        })
    }

    /// The plan as the engine would make it, approved as a person would do it.
    pub(crate) async fn approved(&self, plan: &Plan) -> Result<PlanId> {
        self.approved_as(&format!("plan-{}", self.namespace), plan).await
    }

    /// A client of the controller, without faults.
    pub(crate) async fn controller(&self) -> Result<Client> {
        Ok(Client::try_from(self.cluster.controller_config().await)?)
    }

    /// The same under another name than the namespace's.
    pub(crate) async fn approved_as(&self, name: &str, plan: &Plan) -> Result<PlanId> {
        let made = self.proposed_as(name, plan).await?;
        huddle::act::approve(&self.admin, &made, self.says.now()).await?;
        Ok(PlanId::new(made.name_any()))
    }

    /// The plan as the engine would make it.
    pub(crate) async fn proposed_as(&self, name: &str, plan: &Plan) -> Result<api::Plan> {
        let controller = Faults::new(Fault::None).client(self.cluster.controller_config().await);
        let mut object = api::Plan::new(name, huddle::act::spec_of(plan)?);
        object.metadata.namespace = Some(api::SYSTEM_NAMESPACE.to_owned());
        let plans: Api<api::Plan> = Api::namespaced(controller, api::SYSTEM_NAMESPACE);
        Ok(plans.create(&kube::api::PostParams::default(), &object).await?)
    }

    /// One life of the controller: rounds until the plan is in one of these phases, or the process is gone.
    pub(crate) async fn live(&self, plan: &PlanId, fault: Fault, until: &[api::PlanPhase]) -> Result<Life> {
        self.live_within(PATIENCE, plan, fault, until).await
    }

    /// The same for plans that take their time.
    pub(crate) async fn live_within(
        &self,
        patience: Duration,
        plan: &PlanId,
        fault: Fault,
        until: &[api::PlanPhase],
    ) -> Result<Life> {
        let ended = async || {
            let phase = self.phase(plan).await?;
            ensure!(until.contains(&phase), "the plan is still {phase:?}");
            Ok(())
        };
        self.live_until(patience, plan, fault, ended).await
    }

    /// A controller lives until `done`, which must not wait itself: meanwhile nothing is carried out.
    pub(crate) async fn live_until(
        &self,
        patience: Duration,
        plan: &PlanId,
        fault: Fault,
        mut done: impl AsyncFnMut() -> Result<()>,
    ) -> Result<Life> {
        let faults = Faults::new(fault);
        let client = faults.client(self.cluster.controller_config().await);
        let mut actor = Actor::new(client, self.says.clone(), config()).supervised(Some("huddle:1".to_owned()));
        let start = std::time::Instant::now();
        loop {
            let round = actor.round(plan.as_str(), None).await;
            if faults.is_dead() {
                return Ok(Life::Died);
            }
            match done().await {
                Ok(()) => return Ok(Life::Lived),
                Err(why) if start.elapsed() > patience => bail!("{why:#}: {}", self.story(plan).await?),
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(round.map_or(100, |round| round.wake.0))).await;
        }
    }

    /// The controller lives until the old pod is released and its replacement stands there unready.
    pub(crate) async fn live_until_released(&self, plan: &PlanId) -> Result<()> {
        hold(&self.namespace);
        let released = wait("a pod is released", async || {
            let pods: Api<Pod> = Api::namespaced(self.admin.clone(), &self.namespace);
            let orphans = pods.list(&ListParams::default().labels(api::LABEL_ORPHAN)).await?.items;
            ensure!(!orphans.is_empty(), "none yet");
            let waiting = self.pods("callee").await?.iter().filter(|pod| !is_ready(pod)).count();
            ensure!(waiting > 0, "no replacement yet");
            Ok(())
        });
        tokio::select! {
            result = released => result,
            result = self.rounds(plan) => result,
        }
    }

    /// New pods become ready again.
    pub(crate) async fn let_go(&self) -> Result<()> {
        let_go(&self.admin, &self.namespace).await
    }

    /// The controller lives on and on.
    pub(crate) async fn rounds(&self, plan: &PlanId) -> Result<()> {
        let client = Faults::new(Fault::None).client(self.cluster.controller_config().await);
        let mut actor = Actor::new(client, self.says.clone(), config()).supervised(Some("huddle:1".to_owned()));
        loop {
            let pause = actor.round(plan.as_str(), None).await.map_or(100, |round| round.wake.0);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    pub(crate) async fn delete_pod(&self, name: &str) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.admin.clone(), &self.namespace);
        pods.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Takes the namespace away, so that its pods do not slow the others down.
    pub(crate) async fn remove(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.admin.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await?;
        Ok(())
    }

    /// The fewest addresses that the Service had at any moment from now on.
    pub(crate) async fn fewest_serving(&self) -> Result<Arc<AtomicUsize>> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.admin.clone(), &self.namespace);
        let config = watcher::Config::default().labels("kubernetes.io/service-name=callee");
        let ready = |slice: &EndpointSlice| {
            let is_ready = |it: &&Endpoint| it.conditions.as_ref().is_some_and(|it| it.ready == Some(true));
            slice.endpoints.iter().flatten().filter(is_ready).count()
        };
        wait("the Service has its addresses", async || {
            let list = slices
                .list(&ListParams::default().labels("kubernetes.io/service-name=callee"))
                .await?;
            let count: usize = list.items.iter().map(ready).sum();
            ensure!(count == 3, "{count} addresses");
            Ok(())
        })
        .await?;
        let fewest = Arc::new(AtomicUsize::new(usize::MAX));
        let seen = fewest.clone();
        tokio::spawn(async move {
            let mut changes = std::pin::pin!(watcher(slices, config).default_backoff().applied_objects());
            while let Some(change) = changes.next().await {
                if let Ok(slice) = change {
                    seen.fetch_min(ready(&slice), Ordering::SeqCst);
                }
            }
        });
        Ok(fewest)
    }

    pub(crate) async fn phase(&self, plan: &PlanId) -> Result<api::PlanPhase> {
        let plan = self.plans().get(plan.as_str()).await?;
        Ok(plan.status.map(|status| status.phase).unwrap_or_default())
    }

    /// The plan's status, for messages.
    pub(crate) async fn story(&self, plan: &PlanId) -> Result<String> {
        let plan = self.plans().get(plan.as_str()).await?;
        Ok(serde_json::to_string_pretty(&plan.status)?)
    }

    pub(crate) async fn ask_back(&self, plan: &PlanId) -> Result<()> {
        let object = self.plans().get(plan.as_str()).await?;
        huddle::act::request_rollback(&self.admin, &object, self.says.now()).await?;
        Ok(())
    }

    pub(crate) async fn annotate_template(&self, app: &str, key: &str) -> Result<()> {
        let body = json!({"spec": {"template": {"metadata": {"annotations": {key: "true"}}}}});
        let deployments: Api<Deployment> = Api::namespaced(self.admin.clone(), &self.namespace);
        deployments
            .patch(app, &PatchParams::default(), &Patch::Merge(body))
            .await?;
        Ok(())
    }

    /// No pod is left released, no step rule stands, the workload is whole.
    pub(crate) async fn nothing_stuck(&self, replicas: usize) -> Result<Vec<Pod>> {
        let pods = self.whole("callee", replicas).await?;
        let all: Api<Pod> = Api::namespaced(self.admin.clone(), &self.namespace);
        wait("no orphan is left", async || {
            let orphans = all.list(&ListParams::default().labels(api::LABEL_ORPHAN)).await?.items;
            ensure!(orphans.is_empty(), "{} orphans", orphans.len());
            Ok(())
        })
        .await?;
        for pod in &pods {
            ensure!(
                pod.owner_references().len() == 1,
                "{} belongs to nobody",
                pod.name_any()
            );
        }
        let steps = self
            .rules()
            .await?
            .into_iter()
            .filter(|rule| rule.spec.form == api::RuleForm::Step)
            .count();
        ensure!(steps == 0, "{steps} step rules stand");
        Ok(pods)
    }
}

/// How a life of the controller ended.
#[derive(Debug)]
pub(crate) enum Life {
    /// The plan got where it was to get.
    Lived,
    /// The process is gone.
    Died,
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|it| it.type_ == "Ready" && it.status == "True")
}

pub(crate) fn node_of(pod: &Pod) -> &str {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or_default()
}

/// Looks until it is so.
pub(crate) async fn wait<T>(what: &str, look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    Ok(huddle_tests::wait::until(what, PATIENCE, look).await?)
}
