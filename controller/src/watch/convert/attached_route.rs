//! What owners' HTTPRoutes and GRPCRoutes of the Gateway API do with calls inside the mesh, where they are attached to Services.

use super::virtual_service::sent;
use super::{Invalid, namespace_of};
use huddle_core::cluster::{Rerouting, Service};
use huddle_core::id::Namespace;
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::Value;
use std::collections::BTreeSet;

/// What a filter may do without calls being kept from the Service: the caller's proxy does it, wherever they go then.
const HARMLESS: [&str; 5] = [
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestMirror",
    "URLRewrite",
    "CORS",
];

/// A route that is attached to Services of its own namespace. One that is attached to a Service elsewhere is about its own namespace's calls to it
/// (a "consumer route"), none of which is ever merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedFacts {
    /// Its kind.
    pub kind: &'static str,
    /// Where it lives.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// The Services it is attached to.
    services: BTreeSet<String>,
    /// What its rules do, whatever the Service.
    does: BTreeSet<Rerouting>,
    /// Where they send calls.
    to: BTreeSet<Backend>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Backend {
    /// A port of a Service of the route's namespace.
    Own(String),
    /// Anything else, and what is not understood.
    Other,
}

impl AttachedFacts {
    /// What it does with calls to `service` by pods of the Service's own namespace; empty where it is not about them.
    pub fn does(&self, service: &Service) -> BTreeSet<Rerouting> {
        let id = &service.id;
        if self.namespace != id.namespace || !self.services.contains(&id.name) {
            return BTreeSet::new();
        }
        // A backend names its port; of several ports, calls to the others go elsewhere with it.
        let stays = |to: &Backend| *to == Backend::Own(id.name.clone()) && service.ports.len() == 1;
        let elsewhere = !self.to.iter().all(stays);
        let also = elsewhere.then_some(Rerouting::Elsewhere);
        self.does.iter().copied().chain(also).collect()
    }
}

/// Reads an HTTPRoute; `None` for one that is attached to no Service of its namespace. What is not understood in it counts as calls that go
/// elsewhere.
///
/// # Errors
/// If it has no namespace.
pub fn http_route(object: &DynamicObject) -> Result<Option<AttachedFacts>, Invalid> {
    attached("HTTPRoute", object)
}

/// Reads a GRPCRoute, as [`http_route`] does.
///
/// # Errors
/// If it has no namespace.
pub fn grpc_route(object: &DynamicObject) -> Result<Option<AttachedFacts>, Invalid> {
    attached("GRPCRoute", object)
}

fn attached(kind: &'static str, object: &DynamicObject) -> Result<Option<AttachedFacts>, Invalid> {
    let namespace = namespace_of(object)?;
    let spec = object.data.get("spec").unwrap_or(&Value::Null);
    let parents = items(spec, "parentRefs").filter(|parent| is_service(parent, "gateway.networking.k8s.io", "Gateway"));
    let services: BTreeSet<String> = parents.filter_map(|parent| own(parent, &namespace)).collect();
    let mut rules = items(spec, "rules").peekable();
    if services.is_empty() || rules.peek().is_none() {
        return Ok(None);
    }
    let mut facts = AttachedFacts {
        kind,
        name: object.name_any(),
        services,
        does: BTreeSet::from([Rerouting::Stands]),
        to: BTreeSet::new(),
        namespace,
    };
    for rule in rules {
        facts.does.extend(told(rule));
        facts.to.extend(taken(rule).map(|to| backend(to, &facts.namespace)));
    }
    Ok(Some(facts))
}

fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn word<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str)
}

/// Whether a reference is to a Service, given what it is to where it says nothing.
fn is_service(reference: &Value, group: &str, kind: &str) -> bool {
    word(reference, "group").unwrap_or(group).is_empty() && word(reference, "kind").unwrap_or(kind) == "Service"
}

/// The name of what is referred to, if it is in that namespace.
fn own(reference: &Value, namespace: &Namespace) -> Option<String> {
    let there = word(reference, "namespace").unwrap_or(namespace.as_str());
    (there == namespace.as_str()).then(|| word(reference, "name").map(str::to_owned))?
}

fn backend(reference: &Value, namespace: &Namespace) -> Backend {
    let service = is_service(reference, "", "Service").then(|| own(reference, namespace));
    service.flatten().map_or(Backend::Other, Backend::Own)
}

/// The backends of a rule that get calls: all that have a weight, which is one where none is said.
fn taken(rule: &Value) -> impl Iterator<Item = &Value> {
    items(rule, "backendRefs").filter(|to| to.get("weight").and_then(Value::as_i64) != Some(0))
}

fn told(rule: &Value) -> BTreeSet<Rerouting> {
    let mut does = BTreeSet::new();
    let filters = || items(rule, "filters").map(|filter| word(filter, "type").unwrap_or_default());
    let redirects = filters().any(|filter| filter == "RequestRedirect");
    // With nobody to send them to, calls are answered with an error.
    if redirects || taken(rule).next().is_none() {
        does.insert(Rerouting::Answers);
    }
    if filters().any(|filter| filter != "RequestRedirect" && !HARMLESS.contains(&filter)) {
        does.insert(Rerouting::Elsewhere);
    }
    if let Some(retry) = rule.get("retry").filter(|retry| !retry.is_null()) {
        // Left out, `attempts` is two to Istio.
        does.insert(sent(retry.get("attempts").and_then(Value::as_i64).unwrap_or(2)));
    }
    does
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::back;
    use serde_json::json;

    fn does_to(service: &Service, namespace: &str, spec: Value) -> Vec<Rerouting> {
        let object = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "r", "namespace": namespace}, "spec": spec});
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let facts = http_route(&object).unwrap();
        facts.map_or_else(Vec::new, |facts| facts.does(service).into_iter().collect())
    }

    fn parent(name: &str) -> Value {
        json!({"group": "", "kind": "Service", "name": name})
    }

    /// What is done with calls to shop/back by an HTTPRoute in shop that is attached to it.
    fn does(rule: Value) -> Vec<Rerouting> {
        does_to(
            &back(&[80]),
            "shop",
            json!({"parentRefs": [parent("back")], "rules": [rule]}),
        )
    }

    #[test]
    fn each_thing_a_rule_does_is_seen() {
        use Rerouting::{Answers, Elsewhere, SentAgain, SentOnce, Stands};
        let to = |name: &str| json!({"name": name, "port": 80});
        let with = |field: &str, value: Value| json!({"backendRefs": [to("back")], field: value});
        let filter = |kind: &str| with("filters", json!([{"type": kind}]));
        let rows = [
            (with("timeouts", json!({"request": "3s"})), vec![Stands]),
            (filter("RequestHeaderModifier"), vec![Stands]),
            (filter("RequestMirror"), vec![Stands]),
            (filter("ExtensionRef"), vec![Elsewhere, Stands]),
            (json!({"filters": [{"type": "RequestRedirect"}]}), vec![Answers, Stands]),
            (json!({"backendRefs": [to("other")]}), vec![Elsewhere, Stands]),
            (
                json!({"backendRefs": [{"name": "back", "namespace": "bank", "port": 80}]}),
                vec![Elsewhere, Stands],
            ),
            (
                json!({"backendRefs": [{"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "back"}]}),
                vec![Elsewhere, Stands],
            ),
            (
                json!({"backendRefs": [{"name": "back", "port": 80, "weight": 90}, {"name": "other", "port": 80, "weight": 10}]}),
                vec![Elsewhere, Stands],
            ),
            (
                json!({"backendRefs": [to("back"), {"name": "other", "port": 80, "weight": 0}]}),
                vec![Stands],
            ),
            (
                json!({"backendRefs": [{"name": "back", "port": 80, "weight": 0}]}),
                vec![Answers, Stands],
            ),
            (json!({}), vec![Answers, Stands]),
            (json!({"backendRefs": ["odd"]}), vec![Elsewhere, Stands]),
            (json!("odd"), vec![Answers, Stands]),
            (with("retry", json!({"attempts": 0})), vec![SentOnce, Stands]),
            (with("retry", json!({"codes": [503]})), vec![SentAgain, Stands]),
        ];
        for (rule, wanted) in rows {
            assert_eq!(does(rule.clone()), wanted, "{rule}");
        }
    }

    #[test]
    fn only_routes_attached_to_the_service_in_its_namespace_count() {
        let rules = || json!([{"backendRefs": [{"name": "other", "port": 80}]}]);
        let gateway = json!({"name": "back"});
        let elsewhere = json!({"group": "", "kind": "Service", "name": "back", "namespace": "shop"});
        for (namespace, spec) in [
            ("shop", json!({"parentRefs": [parent("front")], "rules": rules()})),
            ("shop", json!({"parentRefs": [gateway], "rules": rules()})),
            ("bank", json!({"parentRefs": [parent("back")], "rules": rules()})),
            ("bank", json!({"parentRefs": [elsewhere], "rules": rules()})),
            ("shop", json!({"parentRefs": [parent("back")], "rules": []})),
            ("shop", json!({})),
        ] {
            assert_eq!(does_to(&back(&[80]), namespace, spec.clone()), [], "{spec}");
        }
        let two = json!({"parentRefs": [gateway, elsewhere], "rules": rules()});
        assert_eq!(
            does_to(&back(&[80]), "shop", two),
            [Rerouting::Elsewhere, Rerouting::Stands]
        );
    }

    #[test]
    fn of_several_ports_calls_to_all_go_to_the_one_that_is_named() {
        let spec = json!({"parentRefs": [parent("back")], "rules": [{"backendRefs": [{"name": "back", "port": 80}]}]});
        assert_eq!(does_to(&back(&[80]), "shop", spec.clone()), [Rerouting::Stands]);
        assert_eq!(
            does_to(&back(&[80, 81]), "shop", spec),
            [Rerouting::Elsewhere, Rerouting::Stands]
        );
    }
}
