//! What owners' VirtualServices do with calls inside the mesh.

use super::service::is_host_of;
use super::{Invalid, namespace_of};
use huddle_core::cluster::{Rerouting, Service};
use huddle_core::id::Namespace;
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::Value;
use std::collections::BTreeSet;

/// The gateway that stands for all sidecars.
const MESH: &str = "mesh";

/// A VirtualService with routes for HTTP in the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualFacts {
    /// Where it lives.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// `spec.hosts` as written.
    hosts: Vec<String>,
    /// `spec.exportTo` as written; none = everybody sees it.
    exported: Vec<String>,
    /// What its routes do, whatever the Service.
    does: BTreeSet<Rerouting>,
    /// Where they send calls.
    to: BTreeSet<Destination>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Destination {
    host: String,
    names_port: bool,
}

impl VirtualFacts {
    /// What it does with calls to `service` by pods of the Service's own namespace; empty where it is not about them.
    pub fn does(&self, service: &Service) -> BTreeSet<Rerouting> {
        let id = &service.id;
        let own = self.namespace == id.namespace;
        let sees = |to: &String| to == "*" || to == id.namespace.as_str() || (own && to == ".");
        let seen = self.exported.is_empty() || self.exported.iter().any(sees);
        let about = self.hosts.iter().any(|host| is_host_of(host, &self.namespace, id));
        if !(seen && about) {
            return BTreeSet::new();
        }
        // Of several ports, which one a route names is a question of its own.
        let stays =
            |to: &Destination| is_host_of(&to.host, &self.namespace, id) && !(to.names_port && service.ports.len() > 1);
        let elsewhere = !self.to.iter().all(stays);
        let also = elsewhere.then_some(Rerouting::Elsewhere);
        self.does.iter().copied().chain(also).collect()
    }
}

/// Reads a VirtualService; `None` for one that is about gateways only, or about no HTTP. What is not understood in a route counts as calls that
/// go elsewhere.
///
/// # Errors
/// If it has no namespace.
pub fn virtual_service(object: &DynamicObject) -> Result<Option<VirtualFacts>, Invalid> {
    let spec = object.data.get("spec");
    let words = |field: &str| -> Vec<String> {
        let items = spec.and_then(|spec| spec.get(field)).and_then(Value::as_array);
        let items = items.into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let gateways = words("gateways");
    let routes = spec.and_then(|spec| spec.get("http")).and_then(Value::as_array);
    let routes = routes.map(Vec::as_slice).unwrap_or_default();
    if routes.is_empty() || !(gateways.is_empty() || gateways.iter().any(|name| name == MESH)) {
        return Ok(None);
    }
    let mut facts = VirtualFacts {
        namespace: namespace_of(object)?,
        name: object.name_any(),
        hosts: words("hosts"),
        exported: words("exportTo"),
        does: BTreeSet::from([Rerouting::Stands]),
        to: BTreeSet::new(),
    };
    for route in routes {
        facts.does.extend(told(route));
        facts.to.extend(destinations(route));
    }
    Ok(Some(facts))
}

fn destinations(route: &Value) -> impl Iterator<Item = Destination> + '_ {
    taken(route).map(|to| Destination {
        host: to.get("host").and_then(Value::as_str).unwrap_or_default().to_owned(),
        names_port: to.get("port").is_some(),
    })
}

/// The destinations of a route that get calls; one that cannot be read is one with no host, which is nobody's.
fn taken(route: &Value) -> impl Iterator<Item = &Value> {
    let to = route.get("route").and_then(Value::as_array).into_iter().flatten();
    let several = route.get("route").and_then(Value::as_array).map_or(0, Vec::len) > 1;
    // A sole destination gets all, whatever its weight; of several, one without a weight gets none.
    to.filter(move |to| !several || to.get("weight").and_then(Value::as_u64) != Some(0) && to.get("weight").is_some())
        .map(|to| to.get("destination").unwrap_or(&Value::Null))
}

fn told(route: &Value) -> BTreeSet<Rerouting> {
    let has = |field: &str| route.get(field).is_some_and(|value| !value.is_null());
    let mut does = BTreeSet::new();
    if has("redirect") || has("directResponse") {
        does.insert(Rerouting::Answers);
    } else if !has("route") {
        // Another VirtualService says it (`delegate`), or something newer than this.
        does.insert(Rerouting::Elsewhere);
    }
    if taken(route).any(|to| to.get("subset").is_some_and(|subset| !subset.is_null())) {
        does.insert(Rerouting::Subset);
    }
    if let Some(retries) = route.get("retries").filter(|retries| !retries.is_null()) {
        // Left out, `attempts` is nought.
        does.insert(sent(retries.get("attempts").and_then(Value::as_i64).unwrap_or(0)));
    }
    does
}

/// What a route does that says how often a call is sent again.
pub(super) fn sent(again: i64) -> Rerouting {
    if again == 0 {
        Rerouting::SentOnce
    } else {
        Rerouting::SentAgain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::back;
    use serde_json::json;

    /// What is done with calls to shop/back by a VirtualService in shop.
    fn does(spec: Value) -> Vec<Rerouting> {
        does_to(&back(&[80]), "shop", spec)
    }

    fn does_to(service: &Service, namespace: &str, spec: Value) -> Vec<Rerouting> {
        let object = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "v", "namespace": namespace}, "spec": spec});
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let facts = virtual_service(&object).unwrap();
        facts.map_or_else(Vec::new, |facts| facts.does(service).into_iter().collect())
    }

    fn http(route: Value) -> Value {
        json!({"hosts": ["back"], "http": [route]})
    }

    #[test]
    fn each_thing_a_route_does_is_seen() {
        use Rerouting::{Answers, Elsewhere, SentAgain, SentOnce, Stands, Subset};
        let to = |host: &str| json!({"destination": {"host": host}});
        let rows = [
            (json!({"route": [to("back")], "timeout": "3s"}), vec![Stands]),
            (json!({"route": [to("back.shop.svc.cluster.local")]}), vec![Stands]),
            (json!({"route": [to("other")]}), vec![Elsewhere, Stands]),
            (json!({"route": [to("back.bank")]}), vec![Elsewhere, Stands]),
            (
                json!({"route": [{"destination": {"host": "back", "subset": "v1"}}]}),
                vec![Subset, Stands],
            ),
            (
                json!({"route": [{"destination": {"host": "back"}, "weight": 90}, {"destination": {"host": "other"}, "weight": 10}]}),
                vec![Elsewhere, Stands],
            ),
            (
                json!({"route": [{"destination": {"host": "back"}, "weight": 100}, {"destination": {"host": "other"}, "weight": 0}]}),
                vec![Stands],
            ),
            (json!({"redirect": {"uri": "/"}}), vec![Answers, Stands]),
            (json!({"directResponse": {"status": 503}}), vec![Answers, Stands]),
            (json!({"delegate": {"name": "other"}}), vec![Elsewhere, Stands]),
            (json!({"route": ["odd"]}), vec![Elsewhere, Stands]),
            (
                json!({"route": [to("back")], "retries": {"attempts": 0}}),
                vec![SentOnce, Stands],
            ),
            (
                json!({"route": [to("back")], "retries": {"attempts": 2, "retryOn": "5xx"}}),
                vec![SentAgain, Stands],
            ),
        ];
        for (route, wanted) in rows {
            assert_eq!(does(http(route.clone())), wanted, "{route}");
        }
    }

    #[test]
    fn what_is_not_about_calls_in_the_mesh_to_it_does_nothing() {
        let route = || json!([{"route": [{"destination": {"host": "other"}}]}]);
        for spec in [
            json!({"hosts": ["front"], "http": route()}),
            json!({"hosts": ["back"], "gateways": ["shop/public"], "http": route()}),
            json!({"hosts": ["back"], "exportTo": ["bank"], "http": route()}),
            json!({"hosts": ["back"], "tcp": route()}),
            json!({"hosts": ["back"], "http": []}),
            json!({}),
        ] {
            assert_eq!(does(spec.clone()), [], "{spec}");
        }
        for spec in [
            json!({"hosts": ["back"], "gateways": ["shop/public", "mesh"], "http": route()}),
            json!({"hosts": ["*.shop.svc.cluster.local"], "exportTo": ["."], "http": route()}),
        ] {
            assert_eq!(does(spec.clone()).first(), Some(&Rerouting::Elsewhere), "{spec}");
        }
    }

    #[test]
    fn names_are_resolved_where_they_are_written_and_ports_where_there_are_several() {
        let spec = |host: &str| json!({"hosts": [host], "http": [{"route": [{"destination": {"host": host}}]}]});
        assert_eq!(does_to(&back(&[80]), "bank", spec("back")), []);
        assert_eq!(does_to(&back(&[80]), "bank", spec("back.shop")), [Rerouting::Stands]);
        let port = http(json!({"route": [{"destination": {"host": "back", "port": {"number": 80}}}]}));
        assert_eq!(does(port.clone()), [Rerouting::Stands]);
        assert_eq!(
            does_to(&back(&[80, 81]), "shop", port).first(),
            Some(&Rerouting::Elsewhere)
        );
    }
}
