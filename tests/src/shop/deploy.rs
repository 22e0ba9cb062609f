//! The shop on a cluster: created service by service, waited for, read out, told to fail.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use thiserror::Error;

use super::{
    admin::ADMIN_PORT,
    app::Fault,
    graph::ServiceName,
    manifests::{self, ManifestError, Manifests, ServiceManifests},
    witness::Report,
};
use crate::{
    pods::{FIELD_MANAGER, PodError, PodPort, apply, running},
    wait::{Late, until},
};

/// Why the shop could not be deployed or read.
#[derive(Debug, Error)]
pub enum DeployError {
    /// The graph or its manifests.
    #[error(transparent)]
    Manifests(#[from] ManifestError),
    /// The API server.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// Something did not become ready in time.
    #[error(transparent)]
    Late(#[from] Late),
    /// A pod.
    #[error(transparent)]
    Pod(#[from] PodError),
}

/// The deployed shop.
#[derive(Clone)]
pub struct Shop {
    client: Client,
    namespace: String,
}

/// Creates everything a graph file asks for, each service once the pods of the one before are scheduled (so that the
/// scheduler sees them in the file's order), and waits until all are ready.
///
/// # Errors
/// [`DeployError`]; a [`Late`] one says which pods are missing and why.
pub async fn deploy(client: &Client, graph: &str, limit: Duration) -> Result<Shop, DeployError> {
    let manifests = manifests::of(graph)?;
    let namespace = manifests.graph.namespace().to_owned();
    create_namespace(client, &manifests.namespace).await?;
    apply(client, &namespace, &manifests.config).await?;
    for service in &manifests.services {
        create_service(client, &namespace, service).await?;
        let name = service.deployment.name_any();
        until(format!("the pods of {name} to be scheduled"), limit, async || {
            scheduled(client, &namespace, &service.deployment).await
        })
        .await?;
    }
    let shop = Shop {
        client: client.clone(),
        namespace,
    };
    shop.ready(&manifests, limit).await?;
    Ok(shop)
}

/// Applies a namespace.
///
/// # Errors
/// Whatever the API server says.
pub async fn create_namespace(client: &Client, namespace: &Namespace) -> kube::Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    let apply = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&namespace.name_any(), &apply, &Patch::Apply(namespace))
        .await
        .map(drop)
}

async fn create_service(client: &Client, namespace: &str, of: &ServiceManifests) -> kube::Result<()> {
    apply(client, namespace, &of.account).await?;
    apply(client, namespace, &of.service).await?;
    apply(client, namespace, &of.deployment).await.map(drop)
}

fn wanted(deployment: &Deployment) -> usize {
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    usize::try_from(replicas).unwrap_or_default()
}

async fn scheduled(client: &Client, namespace: &str, deployment: &Deployment) -> Result<(), String> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let of = ListParams::default().labels(&format!("app={}", deployment.name_any()));
    let pods = pods.list(&of).await.map_err(|error| error.to_string())?.items;
    let on_node = |pod: &&Pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    let placed = pods.iter().filter(on_node).count();
    let wanted = wanted(deployment);
    if placed >= wanted {
        Ok(())
    } else {
        Err(format!("{placed} of {wanted}: {}", troubles(&pods)))
    }
}

/// Conditions that are not met, by pod: what a person would look for first.
fn troubles(pods: &[Pod]) -> String {
    let trouble = |pod: &Pod| {
        let conditions = pod
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_deref())
            .unwrap_or_default();
        let unmet = conditions.iter().filter(|condition| condition.status != "True");
        let unmet: Vec<String> = unmet
            .map(|condition| {
                format!(
                    "{} {}",
                    condition.type_,
                    condition.message.as_deref().unwrap_or("not met")
                )
            })
            .collect();
        (!unmet.is_empty()).then(|| format!("{} ({})", pod.name_any(), unmet.join(", ")))
    };
    let troubles: Vec<String> = pods.iter().filter_map(trouble).collect();
    if troubles.is_empty() {
        format!("{} pods, none with a complaint", pods.len())
    } else {
        troubles.join("; ")
    }
}

impl Shop {
    /// A shop that is already there.
    pub fn found(client: &Client, namespace: &str) -> Self {
        Self {
            client: client.clone(),
            namespace: namespace.to_owned(),
        }
    }

    /// Waits until every Deployment has all its replicas ready.
    ///
    /// # Errors
    /// [`Late`], naming the Deployments and pods that are not.
    pub async fn ready(&self, manifests: &Manifests, limit: Duration) -> Result<(), Late> {
        until("all pods of the shop to be ready", limit, async || {
            self.look_ready(manifests).await
        })
        .await
    }

    async fn look_ready(&self, manifests: &Manifests) -> Result<(), String> {
        let deployments = Api::<Deployment>::namespaced(self.client.clone(), &self.namespace);
        let list = deployments
            .list(&ListParams::default())
            .await
            .map_err(|error| error.to_string())?;
        let ready = |deployment: &Deployment| deployment.status.as_ref().and_then(|status| status.ready_replicas);
        let ready: BTreeMap<String, i32> = list
            .items
            .iter()
            .map(|found| (found.name_any(), ready(found).unwrap_or_default()))
            .collect();
        let missing = |of: &ServiceManifests| {
            let (name, wanted) = (of.deployment.name_any(), wanted(&of.deployment));
            let ready = usize::try_from(ready.get(&name).copied().unwrap_or_default()).unwrap_or_default();
            (ready < wanted).then(|| format!("{name} {ready} of {wanted}"))
        };
        let missing: Vec<String> = manifests.services.iter().filter_map(missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let pods = Api::<Pod>::namespaced(self.client.clone(), &self.namespace)
            .list(&ListParams::default())
            .await;
        let pods = pods.map_err(|error| error.to_string())?.items;
        Err(format!("{}; {}", missing.join(", "), troubles(&pods)))
    }

    /// The node of every running pod, by service.
    ///
    /// # Errors
    /// Whatever the API server says.
    pub async fn placement(&self) -> kube::Result<BTreeMap<String, Vec<String>>> {
        let mut placement: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pod in running(&self.client, &self.namespace, "app").await? {
            let service = pod.labels().get("app").cloned().unwrap_or_default();
            let node = pod.spec.and_then(|spec| spec.node_name).unwrap_or_default();
            placement.entry(service).or_default().push(node);
        }
        placement.values_mut().for_each(|nodes| nodes.sort());
        Ok(placement)
    }

    /// The admin ports of the running pods of one service, or of all.
    ///
    /// # Errors
    /// Whatever the API server says.
    pub async fn admins(&self, service: Option<&ServiceName>) -> kube::Result<Vec<PodPort>> {
        let selector = service.map_or_else(|| "app".to_owned(), |service| format!("app={service}"));
        let pods = running(&self.client, &self.namespace, &selector).await?;
        let admin = |pod: &Pod| PodPort::new(&self.client, &self.namespace, &pod.name_any(), ADMIN_PORT);
        Ok(pods.iter().map(admin).collect())
    }

    /// What every pod's witness saw.
    ///
    /// # Errors
    /// If any running pod does not answer: a sum without it would be wrong.
    pub async fn witnesses(&self) -> Result<Vec<Report>, DeployError> {
        let admins = self.admins(None).await?;
        let reports = admins.iter().map(|admin| admin.get("/witness"));
        Ok(futures::future::try_join_all(reports).await?)
    }

    /// Makes every witness forget.
    ///
    /// # Errors
    /// If any running pod does not answer.
    pub async fn reset_witnesses(&self) -> Result<(), DeployError> {
        let admins = self.admins(None).await?;
        let resets = admins
            .iter()
            .map(|admin| admin.send(Method::POST, "/witness/reset", &()));
        futures::future::try_join_all(resets).await?;
        Ok(())
    }

    /// Tells one pod to fail, or, with the default, to stop failing.
    ///
    /// # Errors
    /// If the pod does not answer.
    pub async fn fault(&self, pod: &str, fault: Fault) -> Result<(), DeployError> {
        let admin = PodPort::new(&self.client, &self.namespace, pod, ADMIN_PORT);
        admin.send(Method::POST, "/fault", &fault).await?;
        Ok(())
    }
}
