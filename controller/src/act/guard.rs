//! The switch that throws itself: a FailedCreate in a covered namespace takes all rules and companions out of force at once.

use super::binding::Binding;
use super::error::ActError;
use futures::StreamExt;
use huddle_api as api;
use k8s_openapi::api::core::v1::{Event, Namespace};
use kube::api::{Api, ListParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often the covered namespaces are looked up.
const REFRESH: Duration = Duration::from_secs(5);

/// Watches all covered namespaces, until the task is aborted.
pub(super) async fn watch(client: Client) {
    let mut watched: BTreeMap<String, JoinHandle<()>> = BTreeMap::new();
    loop {
        match covered(&client).await {
            Ok(names) => {
                watched.retain(|name, task| {
                    let keep = names.contains(name) && !task.is_finished();
                    if !keep {
                        task.abort();
                    }
                    keep
                });
                for name in names {
                    watched
                        .entry(name.clone())
                        .or_insert_with(|| tokio::spawn(watch_namespace(client.clone(), name)));
                }
            }
            Err(error) => tracing::warn!(%error, "covered namespaces cannot be listed"),
        }
        tokio::time::sleep(REFRESH).await;
    }
}

async fn covered(client: &Client) -> Result<Vec<String>, kube::Error> {
    let selector = format!("{}={}", api::LABEL_ACT, api::ACT_ALLOWED);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let list = namespaces
        .list_metadata(&ListParams::default().labels(&selector))
        .await?;
    Ok(list.items.iter().map(|namespace| namespace.name_any()).collect())
}

async fn watch_namespace(client: Client, namespace: String) {
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let failures = watcher(events, watcher::Config::default().fields("reason=FailedCreate"));
    let mut failures = std::pin::pin!(failures.default_backoff().applied_objects());
    while let Some(event) = failures.next().await {
        match event {
            Ok(event) if is_pod_creation(&event) => {
                if let Err(error) = react(&client, &namespace, &event).await {
                    tracing::error!(%error, namespace, "rules or companions could not be unbound after a FailedCreate");
                }
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, namespace, "watching for FailedCreate"),
        }
    }
}

fn is_pod_creation(event: &Event) -> bool {
    event.involved_object.kind.as_deref() == Some("ReplicaSet")
}

/// Unbinds rules and companions: nothing tells whose doing it is.
async fn react(client: &Client, namespace: &str, event: &Event) -> Result<(), ActError> {
    let mut last = Ok(());
    for binding in Binding::ALL {
        if let Err(error) = take_out(client, binding, namespace, event).await {
            last = Err(error);
        }
    }
    last
}

/// Unbinds, unless the failure is older than the binding. Tries until it is done: nothing is more urgent.
async fn take_out(client: &Client, binding: Binding, namespace: &str, event: &Event) -> Result<(), ActError> {
    let at = event
        .last_timestamp
        .as_ref()
        .map(|time| time.0)
        .or(event.event_time.as_ref().map(|time| time.0))
        .or(event.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let mut last = Ok(());
    for attempt in 0..10_u32 {
        last = match binding.since(client).await {
            Ok(Some(since)) if at.is_none_or(|at| at >= since) => {
                let why = event.message.as_deref().unwrap_or_default();
                tracing::warn!(
                    namespace,
                    why,
                    ?binding,
                    "a pod could not be created: what is bound is switched off"
                );
                binding.unbind(client).await
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if last.is_ok() {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(50 << attempt.min(6))).await;
    }
    last
}
