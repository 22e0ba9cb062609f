//! API objects to core values, in pure functions. What cannot be read is an [`Invalid`] that names the field.

mod at_start;
mod attached_route;
mod constraints;
mod namespace;
mod node;
mod pod;
mod policy;
mod quantity;
mod selector;
mod service;
mod template;
mod trust;
mod virtual_service;
mod workload;

pub use attached_route::{AttachedFacts, grpc_route, http_route};
pub use namespace::{NamespaceFacts, namespace};
pub use node::{NodeFacts, node};
pub use pod::{Owner, PodFacts, owner, pod};
pub use policy::{RuleFacts, policy, rule};
pub use quantity::{bytes, compute, millicores};
pub use selector::{labels, matches, selector};
pub use service::{FOREIGN_SLICES, RouteFacts, SliceFacts, destination_rule, foreign_slice, service};
pub use template::template;
pub use trust::{
    authorization_policy, cluster_role_binding, opaque_policy, request_authentication, role_binding, service_account,
};
pub use virtual_service::{VirtualFacts, virtual_service};
pub use workload::{
    AutoscalerFacts, BudgetFacts, Deployed, VerticalFacts, autoscaler, budget, daemon_set, deployed, deployment,
    replica_set, stateful_set, vertical,
};

use huddle_core::id::Namespace;
use kube::ResourceExt;

/// Why an object was left out: the field at fault and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// The field's path.
    pub field: String,
    /// What is wrong.
    pub problem: String,
}

impl Invalid {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
    fn missing(field: &str) -> Self {
        Self::new(field, "missing")
    }
}

/// A namespaced object's namespace.
fn namespace_of<K: ResourceExt>(object: &K) -> Result<Namespace, Invalid> {
    object
        .namespace()
        .map(Namespace::new)
        .ok_or_else(|| Invalid::missing("metadata.namespace"))
}

/// A count of the API, which is never negative in a valid object.
fn count(value: Option<i32>) -> u64 {
    value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0)
}
