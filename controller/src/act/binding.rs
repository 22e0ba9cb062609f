//! The binding that puts armed rules in force. It is made when the first rule has passed its trial, and deleted at the
//! first FailedCreate, or by anybody who wants all rules off.

use super::error::{ActError, Doing, or_gone};
use huddle_api::{FIELD_MANAGER, RULES_POLICY};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};

/// The binding as it is applied; the same file that people read.
const BINDING: &str = include_str!("../../../manifests/admission/binding.yaml");

fn bindings(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicyBinding");
    Api::all_with(client.clone(), &ApiResource::from_gvk(&kind))
}

/// Whether armed rules are in force.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn is_bound(client: &Client) -> Result<bool, ActError> {
    let found = or_gone(bindings(client).get_metadata(RULES_POLICY).await).doing("reading the rules' binding")?;
    Ok(found.is_some_and(|binding| binding.metadata.deletion_timestamp.is_none()))
}

/// Puts armed rules in force.
///
/// # Errors
/// When the API server does not take the binding.
pub async fn bind(client: &Client) -> Result<(), ActError> {
    let body: serde_json::Value = serde_saphyr::from_str(BINDING).map_err(|error| ActError::Malformed {
        object: "manifests/admission/binding.yaml".to_owned(),
        field: "the file",
        why: error.to_string(),
    })?;
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let applied = bindings(client).patch(RULES_POLICY, &params, &Patch::Apply(body)).await;
    applied.doing("binding the rules").map(drop)
}

/// Takes all rules out of force at once.
///
/// # Errors
/// When the API server does not delete the binding.
pub async fn unbind(client: &Client) -> Result<(), ActError> {
    let deleted = bindings(client).delete(RULES_POLICY, &DeleteParams::default()).await;
    or_gone(deleted).doing("unbinding the rules").map(drop)
}
