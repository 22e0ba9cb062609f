//! A Companion comes into force in this order: a dry-run pod shows it, the binding is made, it is armed, a dry-run pod shows it again. So an
//! armed one without a binding was taken out of force, and nothing puts it back: a FailedCreate is not answered by trying again.

use super::super::binding::Binding;
use super::super::error::{ActError, Doing, or_gone};
use super::super::observe::Reader;
use super::super::trial::{BREAKS, pod_like};
use huddle_api as api;
use huddle_core::id::Namespace;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

/// How far a Companion is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It, its caller or its caller's ReplicaSet is gone.
    Gone,
    /// The API server does not show it yet: ask again.
    NotYet,
    /// A dry-run pod cannot be created with it, or lacks a part of it. It was not put in force.
    Refused(String),
    /// It was put in force just now, and no dry-run pod has shown it yet: ask again.
    Armed,
    /// A pod of the caller gets it.
    InForce,
    /// It, or another one, was in force and is no longer, by harm or by hand. Delete the armed ones before the next is tried.
    Unbound,
}

/// Takes a Companion one step further. Idempotent; killed after any write, the next call goes on from there.
///
/// # Errors
/// When the API server cannot be asked, or something changed meanwhile.
pub async fn advance(client: &Client, namespace: &str, name: &str) -> Result<Stage, ActError> {
    let companions: Api<api::Companion> = Api::namespaced(client.clone(), namespace);
    let Some(companion) = or_gone(companions.get(name).await).doing("reading a companion")? else {
        return Ok(Stage::Gone);
    };
    let state = companion.labels().get(api::LABEL_STATE).map(String::as_str);
    let bound = Binding::Companions.is_bound(client).await?;
    if state == Some(api::STATE_ARMED) {
        return if bound {
            prove(client, &companion).await
        } else {
            Ok(Stage::Unbound)
        };
    }
    if !bound && any_armed(client).await? {
        return Ok(Stage::Unbound);
    }
    match show(client, &companion, true).await? {
        Shown::Gone => return Ok(Stage::Gone),
        Shown::NotYet => return Ok(Stage::NotYet),
        Shown::Broken(why) => return Ok(Stage::Refused(why)),
        Shown::Whole => {}
    }
    if !bound {
        Binding::Companions.bind(client).await?;
    }
    let patch = json!({"metadata": {"uid": companion.uid(), "resourceVersion": companion.resource_version(),
        "labels": {(api::LABEL_STATE): api::STATE_ARMED}}});
    let patched = companions
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    patched.doing("arming a companion")?;
    Ok(Stage::Armed)
}

/// In force, and harmful after all: out of force at once.
async fn prove(client: &Client, companion: &api::Companion) -> Result<Stage, ActError> {
    match show(client, companion, false).await? {
        Shown::Gone => Ok(Stage::Gone),
        Shown::NotYet => Ok(Stage::Armed),
        Shown::Whole => Ok(Stage::InForce),
        Shown::Broken(why) => {
            let name = companion.name_any();
            tracing::warn!(
                companion = name,
                why,
                "an armed companion fails its dry run: companions are unbound"
            );
            Binding::Companions.unbind(client).await?;
            Ok(Stage::Unbound)
        }
    }
}

async fn any_armed(client: &Client) -> Result<bool, ActError> {
    let all: Api<api::Companion> = Api::all(client.clone());
    let armed = ListParams::default().labels(&format!("{}={}", api::LABEL_STATE, api::STATE_ARMED));
    let list = all.list_metadata(&armed).await.doing("listing companions")?;
    Ok(!list.items.is_empty())
}

/// What a dry-run pod shows of a companion.
enum Shown {
    Gone,
    NotYet,
    Whole,
    Broken(String),
}

async fn show(client: &Client, companion: &api::Companion, trial: bool) -> Result<Shown, ActError> {
    let namespace = companion.namespace().unwrap_or_default();
    let Some(pod) = caller_pod(client, &namespace, &companion.spec.caller, trial).await? else {
        return Ok(Shown::Gone);
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let dry = PostParams {
        dry_run: true,
        field_manager: Some(api::FIELD_MANAGER.to_owned()),
    };
    let mut broken = 0;
    loop {
        return match pods.create(&dry, &pod).await {
            Ok(made) => Ok(seen(&made, companion)),
            Err(kube::Error::Api(status)) if (400..500).contains(&status.code) && status.code != 429 => {
                Ok(Shown::Broken(status.message.clone()))
            }
            Err(kube::Error::Api(status)) if status.code == 429 => {
                Err(kube::Error::Api(status)).doing("trying a companion on a dry-run pod")
            }
            // A policy that panics the request shows as 500 or as a stream that breaks off, every time.
            Err(error) => {
                broken += 1;
                if broken < BREAKS {
                    continue;
                }
                Ok(Shown::Broken(format!("creating a pod fails: {error}")))
            }
        };
    }
}

/// A pod as the caller's ReplicaSet would create it, with the label by which the policy knows it.
async fn caller_pod(client: &Client, namespace: &str, caller: &str, trial: bool) -> Result<Option<Pod>, ActError> {
    let namespace = Namespace::from(namespace);
    let reader = Reader::new(client, &namespace);
    let Some(deployment) = reader.deployment(caller).await? else {
        return Ok(None);
    };
    let Some(set) = reader.current(&deployment).await? else {
        return Ok(None);
    };
    let Some(mut pod) = pod_like(&deployment, &set, !trial) else {
        return Ok(None);
    };
    if let Some(hash) = set.labels().get(HASH) {
        pod.labels_mut().insert(HASH.to_owned(), hash.clone());
    }
    Ok(Some(pod))
}

const HASH: &str = "pod-template-hash";

fn seen(pod: &Pod, companion: &api::Companion) -> Shown {
    if pod.labels().get(api::LABEL_COMPANION) != Some(&companion.name_any()) {
        return Shown::NotYet;
    }
    let containers = pod
        .spec
        .as_ref()
        .map(|spec| spec.containers.as_slice())
        .unwrap_or_default();
    for wanted in &companion.spec.containers {
        let Some(found) = containers.iter().find(|it| it.name == wanted.name) else {
            return Shown::Broken(format!("the pod lacks container {}", wanted.name));
        };
        let own = |name: &str| wanted.volume_mounts.iter().any(|mount| mount.name == name);
        if let Some(foreign) = found.volume_mounts.iter().flatten().find(|mount| !own(&mount.name)) {
            return Shown::Broken(format!(
                "container {} was given volume {}, which is not its own",
                wanted.name, foreign.name
            ));
        }
    }
    let named = |loopback: &api::Loopback| {
        let aliases = pod.spec.as_ref().and_then(|spec| spec.host_aliases.as_deref());
        let mut aliases = aliases.unwrap_or_default().iter();
        aliases.any(|it| it.ip == loopback.ip && it.hostnames.as_ref() == Some(&loopback.hostnames))
    };
    match &companion.spec.loopback {
        Some(loopback) if !named(loopback) => Shown::Broken("the pod does not know the callee's names".to_owned()),
        Some(_) | None => Shown::Whole,
    }
}
