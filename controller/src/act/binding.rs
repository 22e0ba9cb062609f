//! The bindings that put armed rules, and armed companions, in force. One is made when the first has passed its trial, and deleted at the
//! first FailedCreate, or by anybody who wants all of them off.

use super::error::{ActError, Doing, or_gone};
use huddle_api::{COMPANIONS_POLICY, FIELD_MANAGER, RULES_POLICY};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Of rules.
    Rules,
    /// Of companions.
    Companions,
}

impl Binding {
    /// Both, in the order in which they are taken out of force: what others rely on first.
    pub const ALL: [Self; 2] = [Self::Rules, Self::Companions];

    fn name(self) -> &'static str {
        match self {
            Self::Rules => RULES_POLICY,
            Self::Companions => COMPANIONS_POLICY,
        }
    }

    /// The binding as it is applied; the same file that people read.
    fn manifest(self) -> (&'static str, &'static str) {
        match self {
            Self::Rules => (
                "manifests/admission/binding.yaml",
                include_str!("../../../manifests/admission/binding.yaml"),
            ),
            Self::Companions => (
                "manifests/admission/companion-binding.yaml",
                include_str!("../../../manifests/admission/companion-binding.yaml"),
            ),
        }
    }

    /// Whether what is armed is in force.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn is_bound(self, client: &Client) -> Result<bool, ActError> {
        let found = or_gone(bindings(client).get_metadata(self.name()).await).doing("reading a binding")?;
        Ok(found.is_some_and(|binding| binding.metadata.deletion_timestamp.is_none()))
    }

    /// Since when it is in force; `None` where it is not, or where there is no right to a binding, and so none to be deleted.
    pub(super) async fn since(self, client: &Client) -> Result<Option<Timestamp>, ActError> {
        let found = match bindings(client).get_metadata(self.name()).await {
            Err(kube::Error::Api(status)) if status.code == 403 => None,
            other => or_gone(other).doing("reading a binding")?,
        };
        Ok(found.and_then(|it| it.metadata.creation_timestamp).map(|time| time.0))
    }

    /// Puts what is armed in force.
    ///
    /// # Errors
    /// When the API server does not take the binding.
    pub async fn bind(self, client: &Client) -> Result<(), ActError> {
        let (file, text) = self.manifest();
        let body: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| ActError::Malformed {
            object: file.to_owned(),
            field: "the file",
            why: error.to_string(),
        })?;
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let applied = bindings(client).patch(self.name(), &params, &Patch::Apply(body)).await;
        applied.doing("binding").map(drop)
    }

    /// Takes all of it out of force at once.
    ///
    /// # Errors
    /// When the API server does not delete the binding.
    pub async fn unbind(self, client: &Client) -> Result<(), ActError> {
        let deleted = bindings(client).delete(self.name(), &DeleteParams::default()).await;
        or_gone(deleted).doing("unbinding").map(drop)
    }
}

fn bindings(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicyBinding");
    Api::all_with(client.clone(), &ApiResource::from_gvk(&kind))
}

/// Whether armed rules are in force.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn is_bound(client: &Client) -> Result<bool, ActError> {
    Binding::Rules.is_bound(client).await
}

/// Puts armed rules in force.
///
/// # Errors
/// When the API server does not take the binding.
pub async fn bind(client: &Client) -> Result<(), ActError> {
    Binding::Rules.bind(client).await
}

/// Takes all rules out of force at once.
///
/// # Errors
/// When the API server does not delete the binding.
pub async fn unbind(client: &Client) -> Result<(), ActError> {
    Binding::Rules.unbind(client).await
}
