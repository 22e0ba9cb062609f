//! A merge's step: what it needs to know of the cluster, and its writes.

use super::super::binding::Binding;
use super::super::carry::by_huddle;
use super::super::error::{ActError, Doing, or_gone};
use super::super::evidence::Evidence;
use super::super::observe::{Reader, is_alive, pod_seen, selector_of};
use super::super::pods::{query, selects};
use super::super::trial::Tries;
use super::build::{DOMAIN, companion_of, template_hash};
use super::force::{Stage, advance};
use super::route::{self, Again, Check, Inside, Speaks};
use huddle_api as api;
use huddle_core::act::{
    CalleeSeen, CompanionSeen, FormerSeen, MergeReceipt, MergeSeen, MergeStage, Receipt, RoutePart, RuleName, Step,
    StepState,
};
use huddle_core::cluster::Budget;
use huddle_core::id::{EdgeId, Namespace, PlanId, PodUid, WorkloadId};
use huddle_core::plan::merge::{Unmergeable, Way};
use huddle_core::time::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Container, Pod, Probe, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Everything about a caller, a callee and what joins them.
pub(in crate::act) async fn observe(
    client: &Client,
    evidence: &dyn Evidence,
    tries: &Tries,
    own: &RuleName,
    (edge, way): (&EdgeId, Way),
    step: &Step,
) -> Result<MergeSeen, ActError> {
    let receipt = match &step.receipt {
        Some(Receipt::Merge(receipt)) => Some(&**receipt),
        _ => None,
    };
    let own = receipt.map_or(own, |receipt| &receipt.companion);
    let reader = Reader::new(client, &edge.source.namespace);
    let mut seen = MergeSeen {
        caller: None,
        callee: callee(&reader, &edge.destination).await?,
        against: None,
        unclear: false,
        companion: companion_seen(client, tries, own, receipt).await?,
        route: match way {
            Way::Proxied => told(client, own).await?,
            Way::Direct => BTreeSet::new(),
        },
        former: former(client, receipt).await?,
        undisturbed: false,
        pod: None,
        pods: Vec::new(),
        replica_set_exists: true,
        service_labels: Vec::new(),
        against_way: against_way(&reader, evidence, edge, way).await?,
        usual: None,
        inside: None,
        inside_newest: None,
        others: None,
        calls: match step.state {
            StepState::Pending | StepState::Done => evidence.calls(&edge.source),
            StepState::Running | StepState::Undoing | StepState::Undone | StepState::Skipped => BTreeSet::new(),
        },
        standing: (step.state == StepState::Done).then(|| evidence.standing(edge)),
    };
    let swap = receipt.and_then(|receipt| receipt.swap.as_ref());
    if let Some(swap) = swap {
        let old = reader.pod(&swap.pod_name).await?;
        seen.pod = old
            .filter(|pod| pod.metadata.uid.as_deref() == Some(swap.pod.as_str()))
            .map(|pod| pod_seen(&pod));
        seen.replica_set_exists = reader.has_replica_set(&swap.replica_set).await?;
    }
    if let Some((mut found, deployment)) = reader.workload(&edge.source.name).await? {
        let mut pods = reader.pods(&query(&selector_of(&deployment))).await?;
        pods.retain(|pod| {
            is_alive(pod) && swap.is_none_or(|swap| pod.metadata.uid.as_deref() != Some(swap.pod.as_str()))
        });
        found.budget = match pods.iter().find(|pod| pod.metadata.deletion_timestamp.is_none()) {
            Some(pod) => {
                seen.service_labels = reader.service_labels(pod).await?;
                reader.budget(pod, &pods, step).await?
            }
            None => Budget::None,
        };
        found.allowed &= reader.allows_merging().await?;
        seen.pods = pods.iter().map(pod_seen).collect();
        seen.caller = Some(found);
        let version = seen.callee.as_ref().map(|callee| &callee.template);
        let other_version = receipt.is_some_and(|receipt| version.is_some_and(|version| *version != receipt.template));
        if step.state == StepState::Pending || (step.state == StepState::Done && other_version) {
            let (known, unknown) = against(&reader, evidence, tries, (edge, way), &deployment).await?;
            seen.unclear = other_version && known.is_none() && unknown.is_some();
            // Before it begins, what cannot be told stands against it.
            let all = known.into_iter().chain(unknown.filter(|_| !other_version));
            seen.against = Some(all.collect::<Vec<_>>().join(" ")).filter(|words| !words.is_empty());
        }
        if step.state == StepState::Pending {
            seen.usual = evidence.usual(edge);
        }
        if let Some(receipt) = receipt.filter(|receipt| receipt.former.is_some())
            && let Some(newest) = newest(&pods, &receipt.companion)
        {
            let usual = receipt.usual.as_ref();
            seen.inside_newest = evidence.inside_of(edge, &newest, usual, receipt.stage_since);
        }
    }
    if let Some(receipt) = receipt {
        (seen.inside, seen.others) = evidence.merged(edge, receipt.usual.as_ref(), receipt.stage_since);
    }
    Ok(seen)
}

/// The pod that got the companion last.
fn newest(pods: &[Pod], companion: &RuleName) -> Option<PodUid> {
    let holds = |pod: &&Pod| pod.labels().get(api::LABEL_COMPANION) == Some(&companion.name);
    let living = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let newest = living.filter(holds).max_by_key(|pod| pod.creation_timestamp())?;
    newest.uid().map(|uid| PodUid::from(uid.as_str()))
}

/// What is left of the companion of an older version.
async fn former(client: &Client, receipt: Option<&MergeReceipt>) -> Result<FormerSeen, ActError> {
    let Some(name) = receipt.and_then(|receipt| receipt.former.as_ref()) else {
        return Ok(FormerSeen::default());
    };
    let found = companions(client, &name.namespace).get_metadata_opt(&name.name).await;
    let found = found.doing("reading the companion of before")?;
    Ok(FormerSeen {
        stands: found.is_some_and(|companion| companion.metadata.deletion_timestamp.is_none()),
        route: told(client, name).await?,
    })
}

async fn callee(reader: &Reader<'_>, callee: &WorkloadId) -> Result<Option<CalleeSeen>, ActError> {
    let Some((found, deployment)) = reader.workload(&callee.name).await? else {
        return Ok(None);
    };
    let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas);
    let scalers: Vec<HorizontalPodAutoscaler> = reader.autoscalers().await?;
    let scaled = scalers.iter().any(|scaler| {
        let target = &scaler.spec.scale_target_ref;
        target.kind == "Deployment" && target.name == callee.name
    });
    Ok(Some(CalleeSeen {
        uid: deployment.uid().unwrap_or_default(),
        resource_version: deployment.resource_version().unwrap_or_default(),
        replicas: found.replicas,
        whole: !found.rolling && u64::try_from(ready.unwrap_or(0)).unwrap_or(0) >= found.replicas,
        scaled,
        allowed: found.allowed,
        template: template_hash(&deployment),
        rolled_out: rolled_out(&deployment),
    }))
}

/// When the Deployment's controller last said how its roll-out goes: once it is whole, when that was.
fn rolled_out(deployment: &Deployment) -> Option<Timestamp> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let progressing = conditions.iter().find(|condition| condition.type_ == "Progressing")?;
    let at = progressing.last_update_time.as_ref()?;
    Some(Timestamp(at.0.as_millisecond()))
}

/// What stands against the way of the calls by now, in words: routes of the mesh, Services and templates do not allow it, or the Policy no
/// longer accepts calls over loopback.
async fn against_way(
    reader: &Reader<'_>,
    evidence: &dyn Evidence,
    edge: &EdgeId,
    way: Way,
) -> Result<Option<String>, ActError> {
    let mut words: Vec<String> = Vec::new();
    if way == Way::Direct && reader.merge_way().await? != Way::Direct {
        words.push("the namespace's Policy does not say mergeWay: Direct.".to_owned());
    }
    words.extend(evidence.against_way(edge, way).iter().map(Unmergeable::sentence));
    Ok((!words.is_empty()).then(|| words.join(" ")))
}

/// Every reason, in words: the graph's and the cluster's, then the templates' own; beside them those that are of what is not known.
async fn against(
    reader: &Reader<'_>,
    evidence: &dyn Evidence,
    tries: &Tries,
    (edge, way): (&EdgeId, Way),
    caller: &Deployment,
) -> Result<(Option<String>, Option<String>), ActError> {
    let Some(callee) = reader.deployment(&edge.destination.name).await? else {
        return Ok((None, None));
    };
    let mut reasons = evidence.against_merging(edge);
    let services = reader.services().await?;
    let (leading, image) = (leading(&services, &callee), tries.supervisor().unwrap_or_default());
    if let Err(more) = companion_of(caller, &callee, (way, &leading), image) {
        reasons.extend(more);
    }
    let (mut words, mut unknown): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for reason in reasons.iter().filter(|reason| reason.forbids(way)) {
        let list = if matches!(reason, Unmergeable::CannotTell { .. }) {
            &mut unknown
        } else {
            &mut words
        };
        let sentence = Unmergeable::sentence(reason);
        if !list.contains(&sentence) {
            list.push(sentence);
        }
    }
    if tries.supervisor().is_none() {
        words.push("the controller knows no image with a supervisor (HUDDLE_SUPERVISOR_IMAGE, which huddle install --allow merge sets).".to_owned());
    }
    if ways(&services, &callee, edge).is_empty() {
        words.push("no port of a Service leads to it.".to_owned());
    }
    let said = |words: Vec<String>| (!words.is_empty()).then(|| words.join(" "));
    Ok((said(words), said(unknown)))
}

/// How far a Companion is. Once the step has gone past it, it was seen in force; what counts then is that nobody took it out of force.
async fn companion_seen(
    client: &Client,
    tries: &Tries,
    name: &RuleName,
    receipt: Option<&MergeReceipt>,
) -> Result<CompanionSeen, ActError> {
    let found = or_gone(companions(client, &name.namespace).get(&name.name).await).doing("reading a companion")?;
    let Some(companion) = found else {
        return Ok(CompanionSeen::Absent);
    };
    if companion.metadata.deletion_timestamp.is_some() {
        return Ok(CompanionSeen::Deleting);
    }
    let armed = companion.labels().get(api::LABEL_STATE).map(String::as_str) == Some(api::STATE_ARMED);
    let past = receipt.is_some_and(|receipt| receipt.stage > MergeStage::Companion);
    Ok(match tries.companion(name) {
        Some(Stage::Refused(why)) => CompanionSeen::Refused { why },
        Some(Stage::Unbound) => CompanionSeen::Unbound,
        _ if armed && !Binding::Companions.is_bound(client).await? => CompanionSeen::Unbound,
        Some(Stage::InForce) => CompanionSeen::InForce,
        _ if armed && past => CompanionSeen::InForce,
        Some(Stage::Gone | Stage::NotYet | Stage::Armed) | None => CompanionSeen::Standing,
    })
}

async fn told(client: &Client, name: &RuleName) -> Result<BTreeSet<RoutePart>, ActError> {
    let mut told = BTreeSet::new();
    for part in [RoutePart::Clusters, RoutePart::Route] {
        match filters(client, &name.namespace)
            .get_metadata_opt(&part_name(name, part))
            .await
        {
            Ok(Some(found)) if found.metadata.deletion_timestamp.is_none() => {
                told.insert(part);
            }
            Ok(_) => {}
            // Without the mesh's kinds there is no mesh; the rules of refusal have said so.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error).doing("reading an EnvoyFilter"),
        }
    }
    Ok(told)
}

fn part_name(name: &RuleName, part: RoutePart) -> String {
    let [clusters, route] = route::names(&name.name);
    match part {
        RoutePart::Clusters => clusters,
        RoutePart::Route => route,
    }
}

fn companions(client: &Client, namespace: &Namespace) -> Api<api::Companion> {
    Api::namespaced(client.clone(), namespace.as_str())
}

fn filters(client: &Client, namespace: &Namespace) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1alpha3", "EnvoyFilter");
    Api::namespaced_with(client.clone(), namespace.as_str(), &ApiResource::from_gvk(&kind))
}

/// Creates the Companion in the trial state. What the templates forbid by now leaves nothing behind: the step gives up for want of it.
pub(in crate::act) async fn create(
    client: &Client,
    tries: &Tries,
    name: &RuleName,
    plan: &PlanId,
    (edge, way): (&EdgeId, Way),
) -> Result<(), ActError> {
    let reader = Reader::new(client, &name.namespace);
    let (caller, callee) = (
        reader.deployment(&edge.source.name).await?,
        reader.deployment(&edge.destination.name).await?,
    );
    let (Some(caller), Some(callee), Some(image)) = (caller, callee, tries.supervisor()) else {
        return Ok(()); // the next look sees what has gone
    };
    let services = leading(&reader.services().await?, &callee);
    let spec = match companion_of(&caller, &callee, (way, &services), image) {
        Ok(spec) => spec,
        Err(reasons) => {
            tracing::warn!(companion = %name.name, ?reasons, "the templates no longer allow a companion");
            return Ok(());
        }
    };
    let mut companion = api::Companion::new(&name.name, spec);
    companion.metadata.namespace = Some(name.namespace.as_str().to_owned());
    companion.labels_mut().extend([
        (api::LABEL_STATE.to_owned(), api::STATE_TRIAL.to_owned()),
        (api::LABEL_PLAN.to_owned(), plan.as_str().to_owned()),
    ]);
    let params = PostParams {
        field_manager: Some(api::FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    match companions(client, &name.namespace).create(&params, &companion).await {
        // A repeated creation meets the first: its answer was lost.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.doing("creating a companion").map(drop),
    }
}

/// One step further on its way into force, and how far it came.
pub(in crate::act) async fn into_force(client: &Client, tries: &mut Tries, name: &RuleName) -> Result<(), ActError> {
    let stage = advance(client, name.namespace.as_str(), &name.name).await?;
    tries.note_companion(name, stage);
    Ok(())
}

/// Deletes the Companion.
pub(in crate::act) async fn delete(client: &Client, tries: &mut Tries, name: &RuleName) -> Result<(), ActError> {
    let deleted = companions(client, &name.namespace)
        .delete(&name.name, &DeleteParams::default())
        .await;
    or_gone(deleted).doing("deleting a companion")?;
    tries.forget_companion(name);
    Ok(())
}

/// Tells the proxies one part of the way.
pub(in crate::act) async fn tell(
    client: &Client,
    name: &RuleName,
    callee: &WorkloadId,
    part: RoutePart,
) -> Result<(), ActError> {
    let reader = Reader::new(client, &name.namespace);
    let Some(deployment) = reader.deployment(&callee.name).await? else {
        return Ok(()); // the next look sees what has gone
    };
    let edge = EdgeId {
        source: callee.clone(),
        destination: callee.clone(),
    };
    let ways = ways(&reader.services().await?, &deployment, &edge);
    let [clusters, routes] = route::filters(name.namespace.as_str(), &name.name, &ways);
    let object = match part {
        RoutePart::Clusters => clusters,
        RoutePart::Route => routes,
    };
    let params = PatchParams::apply(api::FIELD_MANAGER).force();
    let applied = filters(client, &name.namespace)
        .patch(&part_name(name, part), &params, &Patch::Apply(object))
        .await;
    applied.doing("telling proxies of a companion").map(drop)
}

/// Takes it back.
pub(in crate::act) async fn forget(client: &Client, name: &RuleName, part: RoutePart) -> Result<(), ActError> {
    let deleted = filters(client, &name.namespace)
        .delete(&part_name(name, part), &DeleteParams::default())
        .await;
    or_gone(deleted).doing("taking a companion's route away").map(drop)
}

/// Sets how many replicas a Deployment has: through its scale, by which nothing else can be changed.
pub(in crate::act) async fn scale(
    client: &Client,
    workload: &WorkloadId,
    (uid, resource_version): (&str, &str),
    replicas: u64,
) -> Result<(), ActError> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), workload.namespace.as_str());
    let body = json!({"metadata": {"uid": uid, "resourceVersion": resource_version}, "spec": {"replicas": replicas}});
    let patched = deployments
        .patch_scale(&workload.name, &by_huddle(), &Patch::Merge(body))
        .await;
    patched.doing("setting a Deployment's replicas").map(drop)
}

/// The Services that lead to the callee, by name.
fn leading(services: &[Service], callee: &Deployment) -> Vec<String> {
    let labels = labels(callee);
    let leads = |service: &&Service| {
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        selector.is_some_and(|selector| !selector.is_empty() && selects(selector, &labels))
    };
    services.iter().filter(leads).map(ResourceExt::name_any).collect()
}

fn labels(callee: &Deployment) -> BTreeMap<String, String> {
    let template = callee.spec.as_ref().map(|spec| &spec.template);
    template
        .and_then(|template| template.metadata.as_ref()?.labels.clone())
        .unwrap_or_default()
}

/// The ports of Services that lead to the callee, as they are inside.
fn ways(services: &[Service], callee: &Deployment, edge: &EdgeId) -> Vec<Inside> {
    let template = callee.spec.as_ref().map(|spec| &spec.template);
    let labels = labels(callee);
    let none = Vec::new();
    let containers = template
        .and_then(|template| template.spec.as_ref())
        .map_or(&none, |spec| &spec.containers);
    let again = match callee.annotations().get(api::ANNOTATION_REPEATABLE).map(String::as_str) {
        Some("true") => Again::All,
        Some("false") => Again::Never,
        _ => Again::Safe,
    };
    let mut ways = Vec::new();
    for service in services {
        let spec = service.spec.clone().unwrap_or_default();
        if !selects(&spec.selector.unwrap_or_default(), &labels) {
            continue;
        }
        for port in spec.ports.iter().flatten() {
            let found = containers
                .iter()
                .find_map(|container| Some((target(port, container)?, container)));
            let (Some((target, container)), Ok(number)) = (found, u16::try_from(port.port)) else {
                continue;
            };
            ways.push(Inside {
                host: format!("{}.{}.{DOMAIN}", service.name_any(), edge.destination.namespace),
                port: number,
                target,
                speaks: speaks(port),
                check: check(container.readiness_probe.as_ref(), container, target),
                again,
            });
        }
    }
    ways
}

/// The container's port that a Service's port leads to.
fn target(port: &ServicePort, container: &Container) -> Option<u16> {
    if port.protocol.as_ref().is_some_and(|protocol| protocol != "TCP") {
        return None;
    }
    let mut declared = container.ports.iter().flatten();
    let number = match &port.target_port {
        Some(IntOrString::String(name)) => declared.find(|it| it.name.as_ref() == Some(name))?.container_port,
        Some(IntOrString::Int(number)) if *number != 0 => {
            declared.find(|it| it.container_port == *number)?.container_port
        }
        Some(IntOrString::Int(_)) | None => declared.find(|it| it.container_port == port.port)?.container_port,
    };
    u16::try_from(number).ok()
}

/// As Istio reads it: the port's appProtocol, else the beginning of its name.
fn speaks(port: &ServicePort) -> Speaks {
    let named = port
        .app_protocol
        .as_deref()
        .or(port.name.as_deref())
        .unwrap_or_default();
    let protocol = named
        .split('-')
        .next()
        .unwrap_or_default()
        .trim_start_matches("kubernetes.io/");
    match protocol {
        "http" => Speaks::Http1,
        "grpc" | "http2" | "h2c" => Speaks::Http2,
        _ => Speaks::AsCalled,
    }
}

/// What the kubelet asked of the callee, where a proxy can ask it as well.
fn check(probe: Option<&Probe>, container: &Container, target: u16) -> Check {
    let Some(probe) = probe else {
        return Check::Connects;
    };
    let number = |port: &IntOrString| match port {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => {
            let mut declared = container.ports.iter().flatten();
            let port = declared.find(|it| it.name.as_ref() == Some(name))?.container_port;
            u16::try_from(port).ok()
        }
    };
    if let Some(get) = &probe.http_get {
        let plain = get.scheme.as_deref().is_none_or(|scheme| scheme == "HTTP") && get.http_headers.is_none();
        if let (true, Some(port)) = (plain, number(&get.port)) {
            let path = get.path.clone().unwrap_or_else(|| "/".to_owned());
            return Check::Answers { path, port };
        }
    }
    match &probe.grpc {
        Some(grpc) => Check::Grpc {
            service: grpc.service.clone().unwrap_or_default(),
            port: u16::try_from(grpc.port).unwrap_or(target),
        },
        None => Check::Connects,
    }
}

/// What undoes a merge with kubectl alone, in this order. Pods that hold a companion keep it until they are replaced.
pub(in crate::act) fn inverse(receipt: &MergeReceipt) -> Vec<api::Inverse> {
    let name = &receipt.companion;
    let namespace = name.namespace.as_str();
    let delete = |says: String, api_version: &str, kind: &str, name: String| api::Inverse {
        says,
        delete: Some(api::ObjectName {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: Some(namespace.to_owned()),
            name,
        }),
        apply: None,
        field_manager: None,
        subresource: None,
        patch: false,
    };
    let raise = receipt.lowered.map(|lowered| api::Inverse {
        says: format!(
            "kubectl scale deployment {} --namespace {namespace} --replicas {}",
            receipt.callee.name, lowered.before
        ),
        delete: None,
        apply: Some(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": receipt.callee.name, "namespace": namespace, "uid": receipt.callee_uid},
            "spec": {"replicas": lowered.before}})),
        field_manager: None,
        subresource: None,
        patch: false,
    });
    let told: &[RoutePart] = match receipt.way {
        Way::Proxied => &[RoutePart::Route, RoutePart::Clusters],
        Way::Direct => &[],
    };
    // The one that new pods get goes before the one that is left of an older version.
    let names: Vec<&RuleName> = [name].into_iter().chain(&receipt.former).collect();
    let companions = names.iter().map(|name| {
        delete(
            format!(
                "delete Companion {namespace}/{}, then: kubectl rollout restart deployment {} --namespace {namespace}",
                name.name, receipt.caller.name
            ),
            &format!("{}/v1alpha1", api::GROUP),
            "Companion",
            name.name.clone(),
        )
    });
    let parts = told
        .iter()
        .flat_map(|part| names.iter().map(|name| part_name(name, *part)));
    let parts = parts.map(|filter| {
        delete(
            format!("delete EnvoyFilter {namespace}/{filter}"),
            "networking.istio.io/v1alpha3",
            "EnvoyFilter",
            filter,
        )
    });
    raise.into_iter().chain(companions).chain(parts).collect()
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
