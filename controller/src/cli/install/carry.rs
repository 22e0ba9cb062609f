//! Carrying an installation out. Every step can be repeated: objects are applied, not created.

use super::objects::{self, Filter};
use super::preflight::Found;
use super::surplus::Surplus;
use super::{Args, Rules, rolling, wave};
use crate::args::Connection;
use crate::cli::connect::{self, NAMESPACE, PUBLIC};
use crate::cli::wait::until;
use crate::cli::{Outcome, Style};
use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::time::Duration;

const ESTABLISHED: Duration = Duration::from_secs(60);

pub(super) async fn out(
    client: &Client,
    connection: &Connection,
    args: &Args,
    found: &Found,
    surplus: &Surplus,
) -> anyhow::Result<Outcome> {
    // First of all, so that a right does not outlast an installation that gets stuck.
    surplus.take(client).await?;
    step("Kinds and the policies that protect them");
    let mut definitions = objects::definitions()?;
    if args.merge() {
        definitions.extend(objects::merge_definition()?);
    }
    apply(client, &definitions).await?;
    established(client, &definitions).await?;
    apply(client, &objects::privilege()?).await?;
    step("Controller");
    let injection = found.targets.first().map_or(("istio-injection", "enabled"), |target| {
        (&target.injection.0, &target.injection.1)
    });
    apply(client, &objects::controller(injection, args.prometheus.url.is_none())?).await?;
    let deployment = objects::deployment(args)?;
    apply(client, &[deployment]).await?;
    running(client, Duration::from_secs(args.patience)).await?;
    for namespace in &found.gateways {
        apply(client, &objects::gateway(namespace)?).await?;
    }
    if args.act() {
        allow_act(client, args, found).await?;
    }
    let sha256 = connect::fetch(client, PUBLIC, "/filter.wasm.sha256").await?;
    let sha256 = String::from_utf8_lossy(&sha256).trim().to_owned();
    let filter = Filter {
        sha256: &sha256,
        interval_ms: args.report_interval * 1000,
        rolling: args.rolling,
    };
    for target in &found.targets {
        step(&format!("Filter in namespace {} ({} pods)", target.name, target.meshed));
        let before = wave::errors(connection, &target.name).await?;
        apply(client, &objects::filter(&target.name, &filter)?).await?;
        let settled = async {
            if args.rolling {
                rolling::restart(client, &target.name, true).await?;
            }
            wave::settle(client, connection, args, &target.name, before).await
        };
        if let Err(error) = settled.await {
            println!("  taken back");
            if args.rolling {
                rolling::restart(client, &target.name, false).await?;
            }
            for object in objects::filter(&target.name, &filter)?.iter().rev() {
                delete(client, object).await?;
            }
            return Err(error.context(format!(
                "the filter was taken back from namespace {}; namespaces after it were not touched",
                target.name
            )));
        }
    }
    println!("{}", Style::detect().good("Installed."));
    if found.targets.is_empty() {
        println!("No namespace is measured yet: `huddle install --namespace NAMESPACE` adds one.");
    } else {
        println!("`huddle graph` shows the edges, `huddle dashboard` the page.");
    }
    Ok(Outcome::Done)
}

pub(in crate::cli) fn step(text: &str) {
    println!("{}", Style::detect().bold(text));
}

/// Applies objects in order, by server-side apply.
pub(in crate::cli) async fn apply(client: &Client, objects: &[DynamicObject]) -> anyhow::Result<()> {
    for object in objects {
        let api = objects::api(client, object)?;
        let params = PatchParams::apply(huddle_api::FIELD_MANAGER).force();
        // A namespace or a kind that was made a moment ago may not be known to every API server yet.
        until("the API server to take it", Duration::from_secs(20), async || match api
            .patch(&object.name_any(), &params, &Patch::Apply(object))
            .await
        {
            Ok(_) => Ok(Ok(())),
            Err(error) if is_passing(&error) => Err(error.to_string()),
            Err(error) => Ok(Err(error)),
        })
        .await?
        .with_context(|| format!("cannot apply {}", objects::title(object)))?;
        println!("  {}", objects::title(object));
    }
    Ok(())
}

/// Worth repeating: the kind is not served yet, a conflict, a busy or failing server, or policies not yet in force.
fn is_passing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 404 | 409 | 429 | 500..))
}

/// Deletes an object; one that is gone already is as good.
pub(in crate::cli) async fn delete(client: &Client, object: &DynamicObject) -> anyhow::Result<bool> {
    let api = objects::api(client, object)?;
    match api
        .delete(&object.name_any(), &kube::api::DeleteParams::foreground())
        .await
    {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot delete {}", objects::title(object))),
    }
}

async fn established(client: &Client, definitions: &[DynamicObject]) -> anyhow::Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    until("the kinds to be served", ESTABLISHED, async || {
        for definition in definitions {
            let name = definition.name_any();
            let found = api.get_opt(&name).await.map_err(|error| error.to_string())?;
            let conditions = found.and_then(|found| found.status?.conditions).unwrap_or_default();
            if !conditions
                .iter()
                .any(|condition| condition.type_ == "Established" && condition.status == "True")
            {
                return Err(format!("{name} is not established"));
            }
        }
        Ok(())
    })
    .await
}

/// Waits until the new controller, and only it, runs.
async fn running(client: &Client, patience: Duration) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    until("the controller to be ready", patience, async || {
        let found = deployments
            .get("huddle-controller")
            .await
            .map_err(|error| error.to_string())?;
        let status = found.status.clone().unwrap_or_default();
        let current = status.observed_generation == found.metadata.generation;
        if current && status.updated_replicas == Some(1) && status.ready_replicas == Some(1) {
            return Ok(());
        }
        let list = pods.list(&ListParams::default().labels(connect::CONTROLLER)).await;
        let pods = list.map(|list| list.items).unwrap_or_default();
        let why: Vec<String> = pods.iter().flat_map(trouble).collect();
        Err(if why.is_empty() {
            "its pod is not ready".to_owned()
        } else {
            why.join("; ")
        })
    })
    .await
}

/// Why a pod does not run, in the kubelet's words.
fn trouble(pod: &Pod) -> Vec<String> {
    let Some(status) = &pod.status else { return Vec::new() };
    let containers = status.container_statuses.iter().flatten();
    let waiting = containers.filter_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        Some(format!(
            "{}: {} {}",
            container.name,
            waiting.reason.as_deref().unwrap_or_default(),
            waiting.message.as_deref().unwrap_or_default()
        ))
    });
    let conditions = status.conditions.iter().flatten();
    let unscheduled = conditions.filter_map(|condition| {
        let failed = condition.type_ == "PodScheduled" && condition.status == "False";
        failed.then(|| condition.message.clone().unwrap_or_default())
    });
    waiting.chain(unscheduled).collect()
}

async fn allow_act(client: &Client, args: &Args, found: &Found) -> anyhow::Result<()> {
    step("Rights to act");
    let template = args.rules(found) == Rules::Template;
    apply(client, &objects::act_cluster(!template)?).await?;
    if args.cells() {
        apply(client, &objects::cells()?).await?;
    }
    if args.merge() {
        apply(client, &objects::merge_cluster()?).await?;
    }
    let merging = args.merging();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in args.acting() {
        apply(client, &objects::act_namespace(name)?).await?;
        let merged = merging.contains(&name);
        if merged {
            apply(client, &objects::merge_namespace(name)?).await?;
        }
        let form = if template {
            apply(client, &objects::act_template(name)?).await?;
            json!(huddle_api::RULES_TEMPLATE)
        } else {
            json!(null)
        };
        let cells = args.cells().then_some(huddle_api::CELLS_ALLOWED);
        let label = json!({"metadata": {"labels": {
            (huddle_api::LABEL_ACT): huddle_api::ACT_ALLOWED, (huddle_api::LABEL_RULES): form,
            (huddle_api::LABEL_CELLS): cells,
            (huddle_api::LABEL_MERGE): merged.then_some(huddle_api::MERGE_ALLOWED)}}});
        namespaces
            .patch(name, &PatchParams::default(), &Patch::Merge(label))
            .await
            .with_context(|| format!("cannot label namespace {name}"))?;
        println!("  Namespace {name}: label {}", huddle_api::LABEL_ACT);
        if args.cells() {
            println!("  Namespace {name}: label {}", huddle_api::LABEL_CELLS);
        }
        if merged {
            println!("  Namespace {name}: label {}", huddle_api::LABEL_MERGE);
        }
    }
    Ok(())
}
