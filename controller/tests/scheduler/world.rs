//! A control plane and the cluster as Huddle's own watches see it.

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use futures::stream::BoxStream;
use huddle::watch::{Skipped, Store, Update, streams};
use huddle_core::cluster::ClusterView;
use huddle_tests::bed::ControlPlane;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::await_condition;
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) client: Client,
    store: Store,
    updates: BoxStream<'static, Update>,
    _plane: ControlPlane,
}

/// What the scheduler made of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Bound to this node.
    Bound(String),
    /// Nowhere, with the scheduler's message.
    Nowhere(String),
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let plane = tokio::task::spawn_blocking(ControlPlane::start).await??;
        let file = Kubeconfig::read_from(plane.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let updates = streams(&client, &Skipped::default()).await;
        Ok(Self {
            client,
            store: Store::default(),
            updates,
            _plane: plane,
        })
    }

    /// A namespace in which pods can be made: its default service account is there.
    pub(crate) async fn namespace(&self, name: &str) -> Result<()> {
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.client.clone());
        let object = serde_json::from_value(json!({"metadata": {"name": name, "labels": {"team": name}}}))?;
        namespaces.create(&PostParams::default(), &object).await?;
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(self.client.clone(), name);
        let there = await_condition(accounts, "default", |account: Option<&_>| account.is_some());
        timeout(PATIENCE, there)
            .await
            .context("the default service account")??;
        Ok(())
    }

    /// A RuntimeClass.
    pub(crate) async fn runtime(&self, class: Value) -> Result<()> {
        let classes: Api<k8s_openapi::api::node::v1::RuntimeClass> = Api::all(self.client.clone());
        classes
            .create(&PostParams::default(), &serde_json::from_value(class)?)
            .await?;
        Ok(())
    }

    pub(crate) async fn node(&self, node: Value) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let object: Node = serde_json::from_value(node.clone())?;
        let name = object.name_any();
        nodes.create(&PostParams::default(), &object).await?;
        let status = json!({"status": node["status"]});
        nodes
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
            .await?;
        // Admission taints a node that is not ready yet; nobody else takes it off here.
        let taints = json!({"spec": {"taints": node["spec"]["taints"]}});
        nodes
            .patch(&name, &PatchParams::default(), &Patch::Merge(taints))
            .await?;
        Ok(())
    }

    pub(crate) fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Creates a pod and waits for what the scheduler makes of it.
    pub(crate) async fn schedule(&self, pod: &Value) -> Result<(Pod, Outcome)> {
        let object: Pod = serde_json::from_value(pod.clone())?;
        let pods = self.pods(&object.namespace().context("a namespace")?);
        pods.create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("create {pod}"))?;
        let name = object.name_any();
        let decided = await_condition(pods, &name, |pod: Option<&Pod>| {
            pod.is_some_and(|pod| outcome(pod).is_some())
        });
        let pod = timeout(PATIENCE, decided)
            .await
            .context("the scheduler")??
            .context("the pod is gone")?;
        let outcome = outcome(&pod).context("decided")?;
        Ok((pod, outcome))
    }

    pub(crate) async fn delete(&self, pod: &Pod) -> Result<()> {
        let pods = self.pods(&pod.namespace().context("a namespace")?);
        let at_once = DeleteParams::default().grace_period(0);
        pods.delete(&pod.name_any(), &at_once).await?;
        Ok(())
    }

    /// The cluster as the watches have it once the condition holds.
    pub(crate) async fn view(&mut self, what: &str, holds: impl Fn(&ClusterView) -> bool) -> Result<ClusterView> {
        let wait = async {
            loop {
                let view = self.store.assemble();
                if self.store.waiting_for().is_empty() && holds(&view) {
                    return Ok(view);
                }
                match self.updates.next().await {
                    Some(update) => self.store.apply(update),
                    None => bail!("the watches ended"),
                };
            }
        };
        timeout(PATIENCE, wait)
            .await
            .with_context(|| format!("waited for {what}"))?
    }
}

fn outcome(pod: &Pod) -> Option<Outcome> {
    if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) {
        return Some(Outcome::Bound(node));
    }
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let refused = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable"))?;
    Some(Outcome::Nowhere(refused.message.clone().unwrap_or_default()))
}
