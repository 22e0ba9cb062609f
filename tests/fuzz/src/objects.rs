//! Objects of the Kubernetes API, as JSON. Whoever may create pods in some namespace writes them.

use huddle::watch::convert::{self, Invalid};
use serde::de::DeserializeOwned;

/// An object is read, is none of ours, or the field at fault is named.
pub(crate) fn objects(bytes: &[u8]) {
    each(bytes, convert::pod);
    each(bytes, convert::node);
    each(bytes, convert::namespace);
    each(bytes, convert::service);
    each(bytes, convert::deployment);
    each(bytes, convert::replica_set);
    each(bytes, convert::stateful_set);
    each(bytes, convert::daemon_set);
    each(bytes, convert::budget);
    each(bytes, convert::autoscaler);
    each(bytes, convert::policy);
    each(bytes, convert::rule);
    each(bytes, convert::vertical);
    each(bytes, convert::destination_rule);
    each(bytes, convert::virtual_service);
    each(bytes, convert::http_route);
    each(bytes, convert::grpc_route);
    each(bytes, convert::deployed);
    each(bytes, |deployment| convert::template(deployment).map(Some));
    each(bytes, convert::role_binding);
    each(bytes, convert::cluster_role_binding);
    each(bytes, convert::service_account);
    each(bytes, convert::authorization_policy);
    each(bytes, convert::request_authentication);
}

fn each<K: DeserializeOwned, T>(bytes: &[u8], read: impl Fn(&K) -> Result<Option<T>, Invalid>) {
    if let Ok(object) = serde_json::from_slice::<K>(bytes)
        && let Err(wrong) = read(&object)
    {
        assert!(!wrong.field.is_empty() && !wrong.problem.is_empty());
    }
}
