//! Namespaces.

use super::{Invalid, selector::labels};
use huddle_api::{CELLS_ALLOWED, LABEL_CELLS, LABEL_MERGE, LABEL_RULES, MERGE_ALLOWED, RULES_TEMPLATE};
use huddle_core::cluster::Labels;
use huddle_core::id::Namespace;
use huddle_core::plan::PlaceForm;
use k8s_openapi::api::core::v1;
use kube::ResourceExt;

/// Label that `huddle install --allow act` puts on a namespace.
const ACT: (&str, &str) = ("huddle.dev/act", "allowed");

/// What is used of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Which.
    pub name: Namespace,
    /// Its labels.
    pub labels: Labels,
    /// Istio injects sidecars into its pods unless a pod says otherwise.
    pub injected: bool,
    /// Huddle may act on its workloads.
    pub may_act: bool,
    /// How placement rules are written there.
    pub form: PlaceForm,
    /// Nodes may be labelled for its workloads.
    pub cells: bool,
    /// Companions may join pods of its Deployments.
    pub may_merge: bool,
}

/// Reads a namespace.
///
/// # Errors
/// Never; the signature is that of all kinds.
pub fn namespace(namespace: &v1::Namespace) -> Result<Option<NamespaceFacts>, Invalid> {
    let labels = labels(namespace.metadata.labels.as_ref());
    let is = |key: &str, value: &str| labels.get(key).is_some_and(|found| found == value);
    let revision = labels.get("istio.io/rev").is_some_and(|revision| !revision.is_empty());
    Ok(Some(NamespaceFacts {
        name: Namespace::new(namespace.name_any()),
        injected: is("istio-injection", "enabled") || (revision && !is("istio-injection", "disabled")),
        may_act: is(ACT.0, ACT.1),
        form: if is(LABEL_RULES, RULES_TEMPLATE) {
            PlaceForm::Template
        } else {
            PlaceForm::Admission
        },
        cells: is(LABEL_CELLS, CELLS_ALLOWED),
        may_merge: is(LABEL_MERGE, MERGE_ALLOWED),
        labels,
    }))
}
