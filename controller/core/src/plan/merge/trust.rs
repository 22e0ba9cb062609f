//! What the callee's identity has that the caller's lacks, and what the mesh holds today that nobody would hold inside the pod.

use super::pair::Pair;
use super::{Privilege, Unknown, Unmergeable};
use crate::cluster::{AccountId, MeshAction, MeshPolicy, MeshRule, Source, VolumeKind};
use std::collections::BTreeSet;

/// Istio's root namespace, by its default: policies there are about all namespaces. A mesh that names another is not seen through.
const ROOT: &str = "istio-system";
/// Istio's default trust domain; principals of another one are neither surely the caller nor surely not.
const TRUST_DOMAIN: &str = "cluster.local";
/// The user that Istio's proxy runs as; its traffic is not captured.
const PROXY_USER: i64 = 1337;

fn account(pair: &Pair<'_>, of: super::pair::End<'_>) -> Option<AccountId> {
    Some(AccountId {
        namespace: of.id.namespace.clone(),
        name: pair.cluster.templates.get(of.id)?.account.clone(),
    })
}

/// Rights that the callee's own service account has.
pub(super) fn grants(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let Some(callee) = account(pair, pair.callee) else {
        return Vec::new();
    };
    let Some(grants) = &pair.cluster.trust.grants else {
        return vec![pair.callee.unknown(Unknown::Grants)];
    };
    let own = grants.iter().filter(|grant| grant.to.includes(&callee));
    own.map(|grant| Unmergeable::Granted {
        binding: grant.binding.clone(),
    })
    .collect()
}

/// Identities outside the cluster.
pub(super) fn cloud(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let Some(callee) = account(pair, pair.callee) else {
        return Vec::new();
    };
    let Some(known) = &pair.cluster.trust.cloud else {
        return vec![pair.callee.unknown(Unknown::Cloud)];
    };
    let own = known.iter().filter(|identity| identity.account == callee);
    own.map(|identity| Unmergeable::CloudIdentity {
        annotation: identity.annotation.clone(),
    })
    .collect()
}

/// Volumes that carry its identity.
pub(super) fn identity_volumes(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let volumes = pair.callee.template.into_iter().flat_map(|template| &template.volumes);
    let reason = |volume: &crate::cluster::Volume| match &volume.is {
        VolumeKind::Token => Some(Unmergeable::Token {
            volume: volume.name.clone(),
        }),
        VolumeKind::Csi { driver } => Some(Unmergeable::IdentityVolume {
            volume: volume.name.clone(),
            driver: driver.clone(),
        }),
        VolumeKind::Plain | VolumeKind::Claim | VolumeKind::HostPath | VolumeKind::Downward => None,
    };
    volumes.filter_map(reason).collect()
}

/// What it asks for beyond an ordinary process.
pub(super) fn privileges(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let Some(template) = pair.callee.template else {
        return Vec::new();
    };
    let security = template.containers.iter().flat_map(|container| {
        container.privileges.iter().map(|field| Privilege::Security {
            container: container.name.clone(),
            field: field.clone(),
        })
    });
    let paths = template
        .volumes
        .iter()
        .filter(|volume| volume.is == VolumeKind::HostPath);
    let paths = paths.map(|volume| Privilege::HostPath {
        volume: volume.name.clone(),
    });
    let users = template
        .containers
        .iter()
        .filter(|container| container.user == Some(PROXY_USER));
    let users = users.map(|container| Privilege::ProxyUser {
        container: container.name.clone(),
    });
    security
        .chain(paths)
        .chain(users)
        .map(|privilege| Unmergeable::Privileged { privilege })
        .collect()
}

/// Rules of the mesh about the callee's pods that the caller does not surely pass: of all that admit, one must admit it wholly; of those
/// that deny, none may be about it; the rest would no longer be carried out.
pub(super) fn mesh(pair: &Pair<'_>) -> Vec<Unmergeable> {
    let (Some(caller), Some(workload)) = (account(pair, pair.caller), pair.callee.workload) else {
        return Vec::new();
    };
    let Some(policies) = &pair.cluster.trust.mesh else {
        return vec![pair.callee.unknown(Unknown::MeshPolicies)];
    };
    let about = |policy: &&MeshPolicy| {
        let there = policy.namespace == workload.id.namespace || policy.namespace.as_str() == ROOT;
        let mut selector = policy.selector.iter();
        there && selector.all(|(key, value)| workload.labels.get(key) == Some(value))
    };
    let policies: Vec<&MeshPolicy> = policies.iter().filter(about).collect();
    let admits = |policy: &&MeshPolicy| {
        policy.action == MeshAction::Allow && policy.rules.iter().any(|rule| admits(rule, &caller, policy))
    };
    let admitted = policies.iter().copied().any(|policy| admits(&policy));
    let passes = |policy: &MeshPolicy| match policy.action {
        MeshAction::Allow => admitted,
        MeshAction::Deny => policy.rules.iter().all(|rule| spares(rule, &caller, policy)),
        MeshAction::Other | MeshAction::Tokens => false,
    };
    let kind = |action| match action {
        MeshAction::Allow | MeshAction::Deny | MeshAction::Other => "AuthorizationPolicy",
        MeshAction::Tokens => "RequestAuthentication",
    };
    policies
        .into_iter()
        .filter(|policy| !passes(policy))
        .map(|policy| Unmergeable::MeshPolicy {
            policy: format!("{} {}/{}", kind(policy.action), policy.namespace, policy.name),
        })
        .collect()
}

/// The rule surely admits all that the caller sends.
fn admits(rule: &MeshRule, caller: &AccountId, policy: &MeshPolicy) -> bool {
    let mut from = rule.from.iter();
    let named = from.any(|source| is_caller(source, caller, policy) == Some(true));
    !rule.partial && (rule.from.is_empty() || named)
}

/// The rule is surely not about the caller.
fn spares(rule: &MeshRule, caller: &AccountId, policy: &MeshPolicy) -> bool {
    let mut from = rule.from.iter();
    !rule.from.is_empty() && from.all(|source| is_caller(source, caller, policy) == Some(false))
}

/// Whether a source is the caller; `None` where that cannot be told.
fn is_caller(source: &Source, caller: &AccountId, policy: &MeshPolicy) -> Option<bool> {
    let AccountId { namespace, name } = caller;
    match source {
        Source::Principals(patterns) => {
            let tail = format!("/ns/{namespace}/sa/{name}");
            let principal = format!("{TRUST_DOMAIN}{tail}");
            let foreign = patterns.iter().any(|pattern| pattern.ends_with(&tail));
            match any(patterns, &principal) {
                true => Some(true),
                false if foreign => None,
                false => Some(false),
            }
        }
        Source::Namespaces(patterns) => Some(any(patterns, namespace.as_str())),
        Source::Accounts(names) => Some(names.iter().any(|wanted| match wanted.split_once('/') {
            Some((at, wanted)) => at == namespace.as_str() && wanted == name,
            None => policy.namespace == *namespace && wanted == name,
        })),
        Source::Other => None,
    }
}

/// Whether one of Istio's patterns matches: exact, `*` at one end, or `*` alone.
fn any(patterns: &BTreeSet<String>, text: &str) -> bool {
    let matches = |pattern: &String| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => text.ends_with(end) && !text.is_empty(),
        (None, Some(start)) => text.starts_with(start),
        (None, None) => pattern == text,
    };
    patterns.iter().any(matches)
}
