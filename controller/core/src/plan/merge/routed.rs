//! What the owners' own routes do with the callee's calls, which inside the pod would not be done: the caller's proxy is told one way for all of
//! them, and over loopback there is no proxy.

use super::pair::Pair;
use super::{Unknown, Unmergeable};
use crate::cluster::{Reroute, Rerouting};

/// Routes about the callee's Services; `None` where Huddle may not read them.
pub(super) fn of<'a>(pair: &Pair<'a>) -> Option<impl Iterator<Item = &'a Reroute> + use<'a>> {
    let routes = pair.cluster.reroutes.as_ref()?;
    let services = pair.services(pair.callee);
    Some(
        routes
            .iter()
            .filter(move |route| services.iter().any(|service| service.id == route.service)),
    )
}

pub(super) fn rerouted(pair: &Pair<'_>) -> Vec<Unmergeable> {
    match of(pair) {
        None => vec![pair.callee.unknown(Unknown::Routes)],
        Some(routes) => routes
            .map(|route| Unmergeable::Rerouted {
                route: route.by.clone(),
                does: route.does,
            })
            .collect(),
    }
}

impl Rerouting {
    /// Whether the caller's proxy goes on doing it, or something as good, for calls that stay inside the pod.
    pub(super) fn is_kept(self) -> bool {
        match self {
            Self::Elsewhere | Self::Subset | Self::Answers | Self::SentOnce => false,
            Self::SentAgain | Self::Stands => true,
        }
    }
}
