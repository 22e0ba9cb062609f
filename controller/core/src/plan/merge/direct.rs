//! What the direct way asks beside all that any way asks: the callee's names mean 127.0.0.1 in the caller's pods, for every port, and no proxy
//! is there to map, to fall back or to count.

use super::Unmergeable;
use super::pair::Pair;
use super::rules::when;
use super::unseen::TELLING;
use crate::cluster::{Service, Target, Template};
use crate::id::WorkloadId;

/// Most Services whose names a companion makes known in its pod; each has four names.
pub const MOST_SERVICES: usize = 16;

/// Settings of the caller's pods by which names mean something of their own there, or search domains are not the namespace's.
const NAMING: [&str; 5] = [
    "spec.hostAliases",
    "spec.hostname",
    "spec.subdomain",
    "spec.dnsPolicy",
    "spec.dnsConfig",
];

pub(super) fn mapped(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let named = |name: &String| {
        let containers = pair.callee.template.into_iter().flat_map(Template::running);
        let mut ports = containers.flat_map(|container| &container.ports);
        ports
            .find(|port| port.name.as_ref() == Some(name))
            .map(|port| port.port)
    };
    let services = pair
        .services(pair.callee)
        .into_iter()
        .flat_map(|service| &service.ports);
    services
        .filter_map(|port| match &port.target {
            Target::Port(target) => Some((port.port, *target)),
            Target::Named(name) => Some((port.port, named(name)?)),
        })
        .filter(|(port, target)| port != target)
        .map(|(port, target)| Unmergeable::PortMapped { port, target })
        .collect()
}

pub(super) fn headless(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let services = pair.services(pair.callee).into_iter();
    let headless = services.filter(|service| service.headless);
    headless
        .map(|service| Unmergeable::Headless {
            service: service.id.name.clone(),
        })
        .collect()
}

pub(super) fn shared(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let ends = [pair.caller.id, pair.callee.id];
    let other = |service: &Service| -> Option<WorkloadId> {
        let there = |id: &WorkloadId| id.namespace == service.id.namespace && !ends.contains(&id);
        let mut workloads = pair.cluster.workloads.values().filter(|it| there(&it.id));
        workloads.find(|it| service.selects(&it.labels)).map(|it| it.id.clone())
    };
    let services = pair.services(pair.callee).into_iter();
    let shared = services.filter_map(|service| {
        Some(Unmergeable::SharedService {
            with: other(service)?,
            service: service.id.name.clone(),
        })
    });
    shared.collect()
}

pub(super) fn many(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let services = pair.services(pair.callee).len();
    when(
        services > MOST_SERVICES,
        Unmergeable::ManyServices {
            services: services as u64,
            most: MOST_SERVICES as u64,
        },
    )
}

pub(super) fn own_names(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let settings = pair.caller.template.map(|template| &template.settings);
    let set = |field: &&str| settings.is_some_and(|settings| settings.contains_key(*field));
    let own = NAMING.into_iter().filter(set);
    own.map(|field| Unmergeable::OwnNames {
        field: field.to_owned(),
    })
    .collect()
}

/// The callee's names mean 127.0.0.1 for the caller's init containers too, which run before any companion does: one that waits for the callee never ends.
pub(super) fn caller_waits(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let containers = pair.caller.template.into_iter().flat_map(Template::initial);
    containers
        .map(|container| Unmergeable::CallerWaits {
            container: container.name.clone(),
        })
        .collect()
}

pub(super) fn unseen(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let into = pair.snapshot.edges_from_others(pair.caller.id);
    let calls = into.fold(0_u64, |sum, stats| sum.saturating_add(stats.total.requests));
    when(calls < TELLING, Unmergeable::Unseen)
}
