//! The pair on a cluster: brought, asked, looked at, taken away.

use super::{ASKER, CALLEE_ADMIN_PORT, LABEL, NAMESPACE, Pair};
use crate::pods::{FIELD_MANAGER, PodPort, rolled_out, running};
use crate::shop::{ADMIN_PORT, EntryReport, Window};
use crate::wait::until;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a roll-out, or the going of pods, may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// The pair, running.
#[derive(Clone)]
pub struct Deployed {
    /// The cluster.
    pub client: Client,
    /// What runs there.
    pub pair: Pair,
}

/// How a pod has fared: whatever changes in it was an end of a container, or a time in which nobody was sent to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Restarts of all its containers.
    pub restarts: i32,
    /// When it last became ready, or unready.
    pub ready_since: String,
}

/// Seconds since the epoch.
pub(crate) fn since_epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn api(client: &Client, object: &Value) -> Result<Api<DynamicObject>> {
    let text = |field: &str| {
        object[field]
            .as_str()
            .with_context(|| format!("an object without {field}"))
    };
    let (version, kind) = (text("apiVersion")?, text("kind")?);
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Ok(Api::namespaced_with(client.clone(), NAMESPACE, &kind))
}

fn name_of(object: &Value) -> Result<&str> {
    object["metadata"]["name"].as_str().context("an object without a name")
}

/// Applies an object of the shop's namespace server-side as this field manager; the fields of others are overridden.
///
/// # Errors
/// Whatever the API server says.
pub async fn apply_as(client: &Client, manager: &str, object: &Value) -> Result<()> {
    let name = name_of(object)?;
    let params = PatchParams::apply(manager).force();
    let applied = api(client, object)?.patch(name, &params, &Patch::Apply(object)).await;
    applied
        .map(drop)
        .with_context(|| format!("apply {} {name}", object["kind"]))
}

/// Deletes an object of the shop's namespace, if it is there.
///
/// # Errors
/// Whatever the API server says.
pub(crate) async fn delete(client: &Client, object: &Value) -> Result<()> {
    let name = name_of(object)?;
    match api(client, object)?.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other
            .map(drop)
            .with_context(|| format!("delete {} {name}", object["kind"])),
    }
}

impl Deployed {
    /// Applies its objects and waits until all its pods are ready, and pages are answered: proxies hear of new pods a moment after these are.
    ///
    /// # Errors
    /// Whatever the API server says, and when pods do not become ready or nobody is answered.
    pub async fn deploy(client: &Client, pair: &Pair) -> Result<Self> {
        for object in pair.objects() {
            apply_as(client, FIELD_MANAGER, &object).await?;
        }
        for name in pair.names() {
            rolled_out(client, NAMESPACE, &name, None, PATIENCE).await?;
        }
        let deployed = Self {
            client: client.clone(),
            pair: pair.clone(),
        };
        until("pages to be answered", PATIENCE, async || {
            let now = since_epoch();
            let window = Window {
                from: Some(now.saturating_sub(3)),
                to: Some(now.saturating_sub(1)),
            };
            match deployed.asked(window).await.map_err(|error| format!("{error:#}"))? {
                (asker, _) if asker.requests > 0 && asker.failed == 0 => Ok(()),
                (asker, _) => Err(format!("{} of {} failed", asker.failed, asker.requests)),
            }
        })
        .await?;
        Ok(deployed)
    }

    /// Deletes its objects; its pods go meanwhile.
    ///
    /// # Errors
    /// Whatever the API server says.
    pub async fn delete(&self) -> Result<()> {
        for object in self.pair.objects() {
            delete(&self.client, &object).await?;
        }
        Ok(())
    }

    /// Deletes its objects and waits until its pods are gone.
    ///
    /// # Errors
    /// Whatever the API server says, and when pods do not go.
    pub async fn remove(&self) -> Result<()> {
        self.delete().await?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let own = kube::api::ListParams::default().labels(LABEL);
        until("the pair's pods to be gone", PATIENCE, async || {
            let left = pods.list(&own).await.map_err(|error| error.to_string())?.items;
            match left.len() {
                0 => Ok(()),
                some => Err(format!("{some} pods")),
            }
        })
        .await?;
        Ok(())
    }

    /// Its owner restarts a Deployment, as `kubectl rollout restart` does, and waits for the end of it.
    ///
    /// # Errors
    /// Whatever the API server says, and when the roll-out does not end.
    pub async fn restart(&self, name: &str) -> Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), NAMESPACE);
        let annotation = json!({"kubectl.kubernetes.io/restartedAt": since_epoch().to_string()});
        let body = json!({"spec": {"template": {"metadata": {"annotations": annotation}}}});
        let patched = deployments
            .patch(name, &PatchParams::default(), &Patch::Merge(body))
            .await;
        let generation = patched.with_context(|| format!("restart {name}"))?.metadata.generation;
        rolled_out(&self.client, NAMESPACE, name, generation, PATIENCE).await?;
        Ok(())
    }

    async fn pods(&self, app: &str) -> Result<Vec<Pod>> {
        let pods = running(&self.client, NAMESPACE, &format!("app={app}")).await?;
        ensure!(!pods.is_empty(), "no pod of {app} runs");
        Ok(pods)
    }

    async fn ports(&self, app: &str, port: u16) -> Result<Vec<PodPort>> {
        let pods = self.pods(app).await?;
        let port = |pod: &Pod| PodPort::new(&self.client, NAMESPACE, &pod.name_any(), port);
        Ok(pods.iter().map(port).collect())
    }

    /// The witnesses of the caller's pods.
    ///
    /// # Errors
    /// When none runs.
    pub(crate) async fn callers(&self) -> Result<Vec<PodPort>> {
        self.ports(self.pair.ends.caller, ADMIN_PORT).await
    }

    /// The witnesses of the callee's own pods.
    ///
    /// # Errors
    /// When none runs.
    pub(crate) async fn callees(&self) -> Result<Vec<PodPort>> {
        self.ports(self.pair.ends.callee, CALLEE_ADMIN_PORT).await
    }

    /// The witnesses of the companions, in the caller's pods.
    ///
    /// # Errors
    /// When none runs.
    pub(crate) async fn companions(&self) -> Result<Vec<PodPort>> {
        self.ports(self.pair.ends.caller, CALLEE_ADMIN_PORT).await
    }

    /// Pods of caller and callee.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) async fn both(&self) -> Result<Vec<Pod>> {
        let ends = self.pair.ends;
        Ok([self.pods(ends.caller).await?, self.pods(ends.callee).await?].concat())
    }

    /// What the asker saw in a window, and what the other callers did, together: `(asker, others)`.
    ///
    /// # Errors
    /// When one of them does not answer.
    pub(crate) async fn asked(&self, window: Window) -> Result<(EntryReport, Vec<EntryReport>)> {
        let bound = |name, second: Option<u64>| second.map(|second| format!("{name}={second}"));
        let query: Vec<String> = [bound("from", window.from), bound("to", window.to)]
            .into_iter()
            .flatten()
            .collect();
        let path = format!("/report?{}", query.join("&"));
        let mut reports = Vec::new();
        for name in [ASKER.to_owned()].into_iter().chain(self.pair.other_callers()) {
            let ports = self.ports(&name, ADMIN_PORT).await?;
            let port = ports.first().with_context(|| format!("no pod of {name} runs"))?;
            let [report]: [EntryReport; 1] = port.get(&path).await?;
            reports.push(report);
        }
        let others = reports.split_off(1);
        let asker = reports.pop().context("nobody asks")?;
        Ok((asker, others))
    }

    /// In how many of the caller's pods the companion is, of how many.
    ///
    /// # Errors
    /// When none runs.
    pub async fn merged(&self) -> Result<(usize, usize)> {
        let pods = self.pods(self.pair.ends.caller).await?;
        let companion = self.pair.ends.companion();
        let holds = |pod: &&Pod| {
            let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            containers.any(|container| container.name == companion)
        };
        Ok((pods.iter().filter(holds).count(), pods.len()))
    }

    /// The companions that the caller's pods hold, by name; nothing stands for a pod that holds none.
    ///
    /// # Errors
    /// When none runs.
    pub async fn held(&self) -> Result<BTreeSet<Option<String>>> {
        let pods = self.pods(self.pair.ends.caller).await?;
        let held = pods.iter().map(|pod| pod.labels().get(huddle_api::LABEL_COMPANION));
        Ok(held.map(Option::<&String>::cloned).collect())
    }

    /// How the caller's pods have fared, by name.
    ///
    /// # Errors
    /// When none runs.
    pub(crate) async fn health(&self) -> Result<BTreeMap<String, Health>> {
        let pods = self.pods(self.pair.ends.caller).await?;
        Ok(pods.iter().map(|pod| (pod.name_any(), health(pod))).collect())
    }
}

fn health(pod: &Pod) -> Health {
    let status = pod.status.clone().unwrap_or_default();
    let containers = [status.container_statuses, status.init_container_statuses];
    let containers = containers.into_iter().flatten().flatten();
    let mut conditions = status.conditions.into_iter().flatten();
    let ready = conditions.find(|condition| condition.type_ == "Ready");
    let since = ready.and_then(|ready| ready.last_transition_time);
    Health {
        restarts: containers.map(|container| container.restart_count).sum(),
        ready_since: since.map_or_else(String::new, |since| json!(since).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_health_is_its_restarts_and_since_when_it_is_ready() {
        let pod = |restarts: i32, since: &str| -> Pod {
            let status = json!({
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}],
                "containerStatuses": [{"name": "front", "image": "i", "imageID": "", "ready": true, "restartCount": restarts}],
                "initContainerStatuses": [{"name": "istio-proxy", "image": "i", "imageID": "", "ready": true, "restartCount": 1}],
            });
            serde_json::from_value(json!({"status": status})).expect("a pod")
        };
        let was = health(&pod(0, "2026-11-29T20:00:00Z"));
        assert_eq!(was.restarts, 1);
        assert_ne!(was, health(&pod(0, "2026-11-29T20:00:09Z")));
        assert_eq!(was, health(&pod(0, "2026-11-29T20:00:00Z")));
    }
}
