//! What identities are trusted with: bindings, service accounts that a cloud knows, the mesh's rules.

use super::{Invalid, namespace_of};
use huddle_core::cluster::{AccountId, CloudIdentity, Grant, Grantee, MeshAction, MeshPolicy, MeshRule, Source};
use huddle_core::id::Namespace;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, RoleRef, Subject};
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::Value;
use std::collections::BTreeSet;

/// Annotations by which clouds know a service account: EKS, GKE, Azure. What a cloud keeps to itself (EKS Pod Identity, principals of GKE)
/// is not in the cluster.
const CLOUDS: [&str; 3] = [
    "eks.amazonaws.com/role-arn",
    "iam.gke.io/gcp-service-account",
    "azure.workload.identity/client-id",
];

/// The group of all service accounts; those of one namespace come after a colon.
const ACCOUNTS: &str = "system:serviceaccounts";
/// Roles that a cluster comes with. What their bindings to groups give is every account's anywhere, such as to see the issuer's keys.
const OF_THE_CLUSTER: &str = "system:";

/// Reads a RoleBinding: the service accounts that it names. `None` where it names none.
///
/// # Errors
/// If it has no namespace.
pub fn role_binding(binding: &RoleBinding) -> Result<Option<BTreeSet<Grant>>, Invalid> {
    let namespace = namespace_of(binding)?;
    let name = format!("RoleBinding {namespace}/{}", binding.name_any());
    Ok(grants(
        binding.subjects.as_deref(),
        &binding.role_ref,
        Some(&namespace),
        &name,
    ))
}

/// Reads a ClusterRoleBinding, the same way.
///
/// # Errors
/// Never; the signature is that of all kinds.
pub fn cluster_role_binding(binding: &ClusterRoleBinding) -> Result<Option<BTreeSet<Grant>>, Invalid> {
    let name = format!("ClusterRoleBinding {}", binding.name_any());
    Ok(grants(binding.subjects.as_deref(), &binding.role_ref, None, &name))
}

fn grants(
    subjects: Option<&[Subject]>,
    role: &RoleRef,
    own: Option<&Namespace>,
    binding: &str,
) -> Option<BTreeSet<Grant>> {
    let grantee = |subject: &Subject| match subject.kind.as_str() {
        "ServiceAccount" => {
            let named = subject.namespace.as_deref().filter(|name| !name.is_empty());
            Some(Grantee::Account(AccountId {
                namespace: named.map(Namespace::from).or_else(|| own.cloned())?,
                name: subject.name.clone(),
            }))
        }
        // The user that a service account is.
        "User" => {
            let (namespace, name) = subject.name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
            Some(Grantee::Account(AccountId {
                namespace: Namespace::from(namespace),
                name: name.to_owned(),
            }))
        }
        "Group" if role.name.starts_with(OF_THE_CLUSTER) => None,
        "Group" => match subject.name.strip_prefix(ACCOUNTS)? {
            "" => Some(Grantee::All),
            of => of
                .strip_prefix(':')
                .map(|namespace| Grantee::AllOf(Namespace::from(namespace))),
        },
        _ => None,
    };
    let grants: BTreeSet<Grant> = subjects?
        .iter()
        .filter_map(grantee)
        .map(|to| Grant {
            to,
            binding: binding.to_owned(),
        })
        .collect();
    (!grants.is_empty()).then_some(grants)
}

/// Reads a service account: by which annotations a cloud knows it. `None` where none does.
///
/// # Errors
/// If it has no namespace.
pub fn service_account(account: &ServiceAccount) -> Result<Option<BTreeSet<CloudIdentity>>, Invalid> {
    let id = AccountId {
        namespace: namespace_of(account)?,
        name: account.name_any(),
    };
    let known = CLOUDS
        .into_iter()
        .filter(|annotation| account.annotations().contains_key(*annotation));
    let known: BTreeSet<CloudIdentity> = known
        .map(|annotation| CloudIdentity {
            account: id.clone(),
            annotation: annotation.to_owned(),
        })
        .collect();
    Ok((!known.is_empty()).then_some(known))
}

/// Reads an AuthorizationPolicy; `None` for one that waypoints and gateways carry out, not sidecars.
///
/// # Errors
/// If it has no namespace, or a selector or a rule cannot be read.
pub fn authorization_policy(policy: &DynamicObject) -> Result<Option<MeshPolicy>, Invalid> {
    let action = match policy.data.pointer("/spec/action").and_then(Value::as_str) {
        None | Some("ALLOW") => MeshAction::Allow,
        Some("DENY") => MeshAction::Deny,
        Some(_) => MeshAction::Other,
    };
    let rules = match policy.data.pointer("/spec/rules") {
        None | Some(Value::Null) => Vec::new(),
        Some(rules) => list(rules, "spec.rules")?.iter().map(rule).collect::<Result<_, _>>()?,
    };
    mesh_policy(policy, action, rules)
}

/// Reads a RequestAuthentication, the same way.
///
/// # Errors
/// If it has no namespace, or its selector cannot be read.
pub fn request_authentication(policy: &DynamicObject) -> Result<Option<MeshPolicy>, Invalid> {
    mesh_policy(policy, MeshAction::Tokens, Vec::new())
}

/// What stands for a policy that cannot be read: one that nobody surely passes, over its whole namespace. Left out, it would pass for
/// none.
///
/// # Errors
/// If it has no namespace.
pub fn opaque_policy(policy: &DynamicObject) -> Result<Option<MeshPolicy>, Invalid> {
    Ok(Some(MeshPolicy {
        namespace: namespace_of(policy)?,
        name: policy.name_any(),
        action: MeshAction::Other,
        selector: huddle_core::cluster::Labels::new(),
        rules: Vec::new(),
    }))
}

fn mesh_policy(
    policy: &DynamicObject,
    action: MeshAction,
    rules: Vec<MeshRule>,
) -> Result<Option<MeshPolicy>, Invalid> {
    let of = |path: &str| policy.data.pointer(path).filter(|value| !value.is_null());
    if of("/spec/targetRef").is_some() || of("/spec/targetRefs").is_some() {
        return Ok(None);
    }
    const SELECTOR: &str = "spec.selector.matchLabels";
    let selector = match of("/spec/selector/matchLabels") {
        None => Ok(huddle_core::cluster::Labels::new()),
        Some(labels) => {
            serde_json::from_value(labels.clone()).map_err(|error| Invalid::new(SELECTOR, error.to_string()))
        }
    };
    Ok(Some(MeshPolicy {
        namespace: namespace_of(policy)?,
        name: policy.name_any(),
        action,
        selector: selector?,
        rules,
    }))
}

fn list<'a>(value: &'a Value, field: &str) -> Result<&'a Vec<Value>, Invalid> {
    value.as_array().ok_or_else(|| Invalid::new(field, "not a list"))
}

fn rule(rule: &Value) -> Result<MeshRule, Invalid> {
    let some = |field: &str| {
        let items = rule.get(field).and_then(Value::as_array);
        items.is_some_and(|items| !items.is_empty())
    };
    let from = match rule.get("from") {
        None | Some(Value::Null) => Vec::new(),
        Some(from) => list(from, "spec.rules[].from")?
            .iter()
            .map(source)
            .collect::<Result<_, _>>()?,
    };
    Ok(MeshRule {
        from,
        partial: some("to") || some("when"),
    })
}

fn source(from: &Value) -> Result<Source, Invalid> {
    const FIELD: &str = "spec.rules[].from[].source";
    let source = from.get("source").and_then(Value::as_object);
    let source = source.ok_or_else(|| Invalid::missing(FIELD))?;
    let mut set = source
        .iter()
        .filter(|(_, value)| value.as_array().is_some_and(|items| !items.is_empty()));
    let (Some((key, value)), None) = (set.next(), set.next()) else {
        return Ok(Source::Other);
    };
    let names = || -> Result<BTreeSet<String>, Invalid> {
        let names = serde_json::from_value(value.clone());
        names.map_err(|error| Invalid::new(format!("{FIELD}.{key}"), error.to_string()))
    };
    Ok(match key.as_str() {
        "principals" => Source::Principals(names()?),
        "namespaces" => Source::Namespaces(names()?),
        "serviceAccounts" => Source::Accounts(names()?),
        _ => Source::Other,
    })
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
