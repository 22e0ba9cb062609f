//! The rules of refusal, as a table to read: one row per rule, with what it asks and what it finds against a pair.
//!
//! Every row is asked, and every reason found is told: who mends one of them should not meet the next one only then.

use super::pair::Pair;
use super::{Same, Selecting, Unknown, Unmergeable, Way, direct, room, routed, trust};
use crate::cluster::{Automation, ClusterView, HostNamespace, Template, VolumeKind};
use crate::graph::Snapshot;
use crate::id::{ContainerName, EdgeId, WorkloadKind};
use crate::time::{Span, Timestamp, Window};
use std::collections::{BTreeMap, BTreeSet};

/// One rule.
#[derive(Clone, Copy)]
pub struct Rule {
    /// What it asks of the pair, for people; "yes" is no reason against it.
    pub asks: &'static str,
    /// The reasons that it finds.
    pub(super) check: fn(&Pair<'_>) -> Vec<Unmergeable>,
}

impl Rule {
    /// What the rule finds against running the edge's destination inside its source's pods.
    pub fn finds(&self, cluster: &ClusterView, snapshot: &Snapshot, edge: &EdgeId) -> Vec<Unmergeable> {
        (self.check)(&Pair::new(cluster, snapshot, edge))
    }
}

/// All rules, in the order in which their reasons are told: what no owner can change first.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    Rule { asks: "Are these two workloads of one namespace?",                               check: apart },
    Rule { asks: "Are both Deployments?",                                                   check: kinds },
    Rule { asks: "Do the owners and their Policies let Huddle propose it?",                 check: unwanted },
    Rule { asks: "Is the callee's template known, and the caller's?",                       check: templates },
    Rule { asks: "Does the callee hold no data of its own?",                                check: stateful },
    Rule { asks: "May there be a second copy of the callee?",                               check: singleton },
    Rule { asks: "Does the callee call nobody?",                                            check: outbound },
    Rule { asks: "Does most of its traffic come from this caller?",                         check: other_callers },
    Rule { asks: "Are all pods of both in the mesh?",                                       check: unmeshed },
    Rule { asks: "Does the caller pass every rule that the mesh holds for the callee?",     check: trust::mesh },
    Rule { asks: "Do the mesh's routes send all of its calls to all of its pods?",          check: routed::rerouted },
    Rule { asks: "Has the callee's service account no rights?",                             check: trust::grants },
    Rule { asks: "Is it unknown outside the cluster?",                                      check: trust::cloud },
    Rule { asks: "Does the callee mount neither a token nor an identity?",                  check: trust::identity_volumes },
    Rule { asks: "Is it an ordinary process, with no right on its node?",                   check: trust::privileges },
    Rule { asks: "Does neither share the network, processes or IPC of its node?",           check: host_namespaces },
    Rule { asks: "Do they listen on different ports, and none of the proxy's?",             check: ports },
    Rule { asks: "Do their containers and volumes differ in name?",                         check: names },
    Rule { asks: "Does the callee run as the same user as today?",                          check: users },
    Rule { asks: "Do they agree on what a pod has once?",                                   check: settings },
    Rule { asks: "Can the caller's pods pull the callee's image?",                          check: pull_secrets },
    Rule { asks: "Is the callee told nothing of its pod?",                                  check: downward },
    Rule { asks: "Does it stay below its memory limits?",                                   check: out_of_memory },
    Rule { asks: "Does the callee start without init containers?",                          check: init_containers },
    Rule { asks: "Does the callee's template name the programs that it runs?",              check: commands },
    Rule { asks: "May the callee run on every node that the caller may run on?",            check: room::node_needs },
    Rule { asks: "Does the callee run on all of these nodes' processors?",                  check: room::architectures },
    Rule { asks: "Has some node room for both together?",                                   check: room::no_room },
    Rule { asks: "Does nothing that selects pods select both?",                             check: selected_twice },
    Rule { asks: "Can the caller's autoscaler still count?",                                check: autoscaler },
    Rule { asks: "Does the callee start about as quickly as the caller?",                   check: slow_start },
    Rule { asks: "Is the callee's port the same behind its Service? (direct way only)",     check: direct::mapped },
    Rule { asks: "Do its Services have an address of their own? (direct way only)",         check: direct::headless },
    Rule { asks: "Do its Services lead to it alone? (direct way only)",                     check: direct::shared },
    Rule { asks: "Are they few enough to be named? (direct way only)",                      check: direct::many },
    Rule { asks: "Do the caller's pods look names up as others do? (direct way only)",      check: direct::own_names },
    Rule { asks: "Do the caller's pods start without init containers? (direct way only)",   check: direct::caller_waits },
    Rule { asks: "Are calls to the caller measured? (direct way only)",                     check: direct::unseen },
];

/// Those that two templates alone answer; what a companion is made from passes them once more.
const OF_TEMPLATES: &[fn(&Pair<'_>) -> Vec<Unmergeable>] = &[
    apart,
    kinds,
    stateful,
    trust::identity_volumes,
    trust::privileges,
    host_namespaces,
    ports,
    users,
    settings,
    pull_secrets,
    downward,
    init_containers,
    commands,
    direct::own_names,
    direct::caller_waits,
];

/// What may come to stand against a merge that stands, by any way: rules of the mesh and of the cluster, …
const OF_STANDING: &[fn(&Pair<'_>) -> Vec<Unmergeable>] = &[
    trust::mesh,
    routed::rerouted,
    trust::grants,
    trust::cloud,
    out_of_memory,
    selected_twice,
];

/// … and what the caller's owner rolls out. Another version of the callee has its turn when its own roll-out is whole.
const OF_CALLERS: &[fn(&Pair<'_>) -> Vec<Unmergeable>] = &[host_namespaces, ports, users, settings, pull_secrets];

/// What the direct way asks of the cluster, not of what was measured.
const OF_DIRECT: &[fn(&Pair<'_>) -> Vec<Unmergeable>] = &[
    direct::mapped,
    direct::headless,
    direct::shared,
    direct::many,
    direct::own_names,
    direct::caller_waits,
];

/// What in the cluster stands by now against a merge of the edge that goes this way: it is asked as long as the merge stands. What cannot be told is no
/// reason to split it.
pub fn against_standing(cluster: &ClusterView, edge: &EdgeId, way: Way) -> Vec<Unmergeable> {
    let snapshot = nothing_measured();
    let pair = Pair::new(cluster, &snapshot, edge);
    let callee_rolls = pair.callee.workload.is_some_and(|workload| workload.rolling);
    let of_callers = OF_CALLERS.iter().filter(|_| !callee_rolls);
    let checks = OF_STANDING.iter().chain(of_callers).chain(OF_DIRECT);
    checks
        .flat_map(|check| check(&pair))
        .filter(|reason| reason.forbids(way) && !matches!(reason, Unmergeable::CannotTell { .. }))
        .collect()
}

fn nothing_measured() -> Snapshot {
    let at = Timestamp(0);
    Snapshot {
        at,
        window: Window { from: at, to: at },
        edges: BTreeMap::new(),
    }
}

/// What two templates say against running the edge's destination inside its source's pods. Of the cluster and the graph it knows nothing: all
/// of [`RULES`] were asked before. Names are left out, since a companion's are its own; ports that nobody declares, too.
pub fn by_templates(edge: &EdgeId, caller: &Template, callee: &Template) -> Vec<Unmergeable> {
    let mut cluster = ClusterView::default();
    cluster.templates.insert(edge.source.clone(), caller.clone());
    cluster.templates.insert(edge.destination.clone(), callee.clone());
    let snapshot = nothing_measured();
    let pair = Pair::new(&cluster, &snapshot, edge);
    let reasons = OF_TEMPLATES.iter().flat_map(|check| check(&pair));
    reasons
        .filter(|reason| !matches!(reason, Unmergeable::CannotTell { .. }))
        .collect()
}

/// How the containers that a companion brings are named: this, the callee, and their own names (`huddle_api::COMPANION_PREFIX`).
const COMPANION_CONTAINERS: &str = "huddle-";
/// Ports that Istio's proxy and agent use, or reserve.
const PROXY_PORTS: std::ops::RangeInclusive<u16> = 15_000..=15_099;
/// A start-up is much slower from twice the caller's and this on: probes and pulls waver by seconds.
const SLOWER: Span = Span::seconds(10);

pub(super) fn when(holds: bool, reason: Unmergeable) -> Vec<Unmergeable> {
    if holds { vec![reason] } else { Vec::new() }
}

fn apart(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let (caller, callee) = (pair.caller.id, pair.callee.id);
    let mut reasons = when(caller == callee, Unmergeable::Itself);
    reasons.extend(when(caller.namespace != callee.namespace, Unmergeable::OtherNamespace));
    reasons
}

fn kinds(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let others = pair
        .ends()
        .into_iter()
        .filter(|end| end.id.kind != WorkloadKind::Deployment);
    others
        .map(|end| Unmergeable::NotDeployment {
            whose: end.side,
            kind: end.id.kind,
        })
        .collect()
}

fn unwanted(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let observed =
        |end: &super::pair::End<'_>| pair.cluster.policy(&end.id.namespace).automation == Automation::Observe;
    let mut reasons = when(pair.ends().iter().any(observed), Unmergeable::ObserveOnly);
    for end in pair.ends() {
        let out = end.workload.is_some_and(|workload| workload.opted_out);
        reasons.extend(when(out, Unmergeable::OptedOut { whose: end.side }));
    }
    reasons
}

fn templates(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let known = |end: &super::pair::End<'_>| end.template.is_some() || end.id.kind != WorkloadKind::Deployment;
    let missing = pair.ends().into_iter().filter(|end| !known(end));
    missing.map(|end| end.unknown(Unknown::Template)).collect()
}

fn stateful(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let volumes = pair.callee.template.into_iter().flat_map(|template| &template.volumes);
    volumes
        .filter(|volume| volume.is == VolumeKind::Claim)
        .map(|volume| Unmergeable::Stateful {
            volume: volume.name.clone(),
        })
        .collect()
}

fn singleton(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let sign = pair.callee.template.and_then(|template| template.one_at_a_time);
    sign.map(|sign| Unmergeable::Singleton { sign }).into_iter().collect()
}

fn outbound(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let calls = pair.snapshot.edges_out_of(pair.callee.id);
    calls
        .filter(|stats| stats.edge.destination != *pair.callee.id)
        .map(|stats| Unmergeable::Outbound {
            to: stats.edge.destination.clone(),
        })
        .collect()
}

fn other_callers(pair: &Pair<'_>) -> Vec<Unmergeable> {
    match pair.caller_share() {
        None => vec![pair.callee.unknown(Unknown::Callers)],
        // As for chatter: most is more than half.
        Some(share) => when(share.get() < 0.5, Unmergeable::OtherCallers { share }),
    }
}

fn unmeshed(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let bare = pair
        .ends()
        .into_iter()
        .filter(|end| pair.pods(*end).any(|pod| !pod.meshed));
    bare.map(|end| Unmergeable::Unmeshed { whose: end.side }).collect()
}

fn host_namespaces(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let of = |end: super::pair::End<'_>| {
        let shared = end.template.into_iter().flat_map(|template| &template.host);
        let reason = |namespace: &HostNamespace| Unmergeable::HostNamespace {
            whose: end.side,
            namespace: *namespace,
        };
        shared.map(reason).collect::<Vec<_>>()
    };
    pair.ends().into_iter().flat_map(of).collect()
}

fn ports(pair: &Pair<'_>) -> Vec<Unmergeable> {
    if pair.templates().is_none() {
        return Vec::new();
    }
    let (caller, callee) = (pair.ports(pair.caller), pair.ports(pair.callee));
    let mut reasons = Vec::new();
    for (end, ports) in pair.ends().into_iter().zip([&caller, &callee]) {
        reasons.extend(when(ports.is_empty(), end.unknown(Unknown::Ports)));
    }
    for (port, protocol) in &callee {
        let taken = caller.contains(&(*port, protocol.clone()));
        reasons.extend(when(
            taken,
            Unmergeable::Port {
                port: *port,
                protocol: protocol.clone(),
            },
        ));
        let proxy = PROXY_PORTS.contains(port);
        reasons.extend(when(proxy, Unmergeable::ProxyPort { port: *port }));
    }
    reasons
}

fn names(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let Some((caller, callee)) = pair.templates() else {
        return Vec::new();
    };
    let containers = |template: &Template| -> BTreeSet<String> {
        let names = template.containers.iter().map(|container| container.name.to_string());
        names.collect()
    };
    let volumes = |template: &Template| -> BTreeSet<String> {
        let names = template.volumes.iter().map(|volume| volume.name.clone());
        names.collect()
    };
    let both = |what, of: &dyn Fn(&Template) -> BTreeSet<String>| {
        let shared: Vec<String> = of(caller).intersection(&of(callee)).cloned().collect();
        shared.into_iter().map(move |name| Unmergeable::Name { what, name })
    };
    both(Same::Container, &containers)
        .chain(both(Same::Volume, &volumes))
        .collect()
}

fn users(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let Some((caller, callee)) = pair.templates() else {
        return Vec::new();
    };
    let mut reasons = Vec::new();
    for container in callee.running() {
        let inherits = [
            (
                "spec.securityContext.runAsUser",
                caller.user.is_some() && container.user.is_none(),
            ),
            (
                "spec.securityContext.runAsGroup",
                caller.group.is_some() && container.group.is_none(),
            ),
        ];
        let inherits = inherits.into_iter().filter(|(_, inherits)| *inherits);
        let fields = inherits.map(|(field, _)| field.to_owned());
        let confined = caller.confined.difference(&container.confined).cloned();
        reasons.extend(fields.chain(confined).map(|field| Unmergeable::User {
            container: container.name.clone(),
            field,
        }));
    }
    reasons
}

fn settings(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let Some((caller, callee)) = pair.templates() else {
        return Vec::new();
    };
    let fields: BTreeSet<&String> = caller.settings.keys().chain(callee.settings.keys()).collect();
    let differ = fields
        .into_iter()
        .filter(|field| caller.settings.get(*field) != callee.settings.get(*field));
    differ
        .map(|field| Unmergeable::PodSetting {
            field: field.clone(),
            caller: caller.settings.get(field).cloned(),
            callee: callee.settings.get(field).cloned(),
        })
        .collect()
}

fn pull_secrets(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let Some((caller, callee)) = pair.templates() else {
        return Vec::new();
    };
    let missing = callee.pull_secrets.difference(&caller.pull_secrets);
    missing
        .map(|name| Unmergeable::PullSecret { name: name.clone() })
        .collect()
}

fn downward(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let Some(template) = pair.callee.template else {
        return Vec::new();
    };
    let by_env = template.containers.iter().flat_map(|container| {
        container.pod_fields.iter().map(|field| Unmergeable::DownwardApi {
            by: container.name.to_string(),
            field: field.clone(),
        })
    });
    let files = template
        .volumes
        .iter()
        .filter(|volume| volume.is == VolumeKind::Downward);
    let by_file = files.map(|volume| Unmergeable::DownwardApi {
        by: volume.name.clone(),
        field: "downwardAPI".to_owned(),
    });
    by_env.chain(by_file).collect()
}

fn init_containers(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let containers = pair.callee.template.into_iter().flat_map(Template::initial);
    containers
        .map(|container| Unmergeable::InitContainer {
            container: container.name.clone(),
        })
        .collect()
}

/// A container that meets its memory limit may lose all its processes at once (control groups, version 2), its supervisor among them: then the caller's pod is
/// unready until it is back. Seen of the callee's own pods, and of companions.
fn out_of_memory(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let Some(template) = pair.callee.template else {
        return Vec::new();
    };
    let own = |name: &ContainerName| template.containers.iter().any(|container| container.name == *name);
    let companions = format!("{COMPANION_CONTAINERS}{}-", pair.callee.id.name);
    let killed = |end, is: &dyn Fn(&ContainerName) -> bool| {
        let containers = pair.pods(end).flat_map(|pod| &pod.containers);
        let killed = containers.filter(|container| container.killed.is_some() && is(&container.name));
        killed.map(|container| container.name.clone()).collect::<BTreeSet<_>>()
    };
    let mut names = killed(pair.callee, &own);
    names.extend(killed(pair.caller, &|name| name.as_str().starts_with(&companions)));
    let reasons = names.into_iter();
    reasons
        .map(|container| Unmergeable::OutOfMemory { container })
        .collect()
}

/// What starts a companion's program again after its end must know it: a container that ends makes its pod unready.
fn commands(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let template = pair.callee.template.into_iter();
    let containers = template.flat_map(|template| template.running());
    containers
        .filter(|container| !container.names_command)
        .map(|container| Unmergeable::NoCommand {
            container: container.name.clone(),
        })
        .collect()
}

/// The merged pod keeps the caller's labels, so what selects it is what selects the caller's pods.
fn selected_twice(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let (Some(caller), Some(callee)) = (pair.caller.workload, pair.callee.workload) else {
        return Vec::new();
    };
    if caller.id.namespace != callee.id.namespace {
        return Vec::new();
    }
    let mut reasons = Vec::new();
    let mut twice = |by, name: &str| {
        let name = name.to_owned();
        reasons.push(Unmergeable::SelectedTwice { by, name });
    };
    if let Some((one, other)) = pair.templates() {
        for name in one.budgets.intersection(&other.budgets) {
            twice(Selecting::PodDisruptionBudget, name);
        }
    }
    for (scaled, other) in [(callee, caller), (caller, callee)] {
        if let Some(name) = scaled
            .autoscaler
            .as_ref()
            .filter(|_| scaled.selector.matches(&other.labels))
        {
            twice(Selecting::HorizontalPodAutoscaler, name);
        }
    }
    for service in pair.services(pair.callee) {
        if service.selects(&caller.labels) {
            twice(Selecting::Service, &service.id.name);
        }
    }
    reasons
}

fn autoscaler(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let by_cpu = pair.caller.workload.and_then(|workload| match &workload.cpu_owner {
        Some(crate::cluster::CpuOwner::Horizontal(name)) => Some(name),
        Some(crate::cluster::CpuOwner::Vertical(_)) | None => None,
    });
    let (Some(name), Some(callee)) = (by_cpu, pair.callee.template) else {
        return Vec::new();
    };
    let silent = callee.running().filter(|container| container.requests.cpu.is_none());
    silent
        .map(|container| Unmergeable::AutoscalerBlind {
            autoscaler: name.clone(),
            container: container.name.clone(),
        })
        .collect()
}

fn slow_start(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let Some((one, other)) = pair.templates() else {
        return Vec::new();
    };
    let (Some(caller), Some(callee)) = (one.start_up, other.start_up) else {
        let silent = pair.ends().into_iter();
        let silent = silent.filter(|end| end.template.is_some_and(|template| template.start_up.is_none()));
        return silent.map(|end| end.unknown(Unknown::StartUp)).collect();
    };
    let least = caller.0.saturating_mul(2).max(caller.0.saturating_add(SLOWER.0));
    when(callee.0 > least, Unmergeable::SlowStart { caller, callee })
}
