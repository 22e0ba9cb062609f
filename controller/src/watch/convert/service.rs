//! Services and what overrides their routing.

use super::{Invalid, namespace_of};
use huddle_core::cluster::{RoutingMode, Service, ServicePort, Target};
use huddle_core::id::{Namespace, ServiceId};
use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use kube::core::DynamicObject;

/// Istio's own annotation; it wins over `spec.trafficDistribution`, which Huddle sets.
const ANNOTATION: &str = "networking.istio.io/traffic-distribution";

/// Reads a Service; `None` for one without a selector (it has no pods that Huddle could know).
///
/// # Errors
/// If it has no namespace, or a port is none.
pub fn service(service: &v1::Service) -> Result<Option<Service>, Invalid> {
    let Some(spec) = &service.spec else { return Ok(None) };
    let selector = spec.selector.clone().unwrap_or_default();
    if selector.is_empty() || spec.type_.as_deref() == Some("ExternalName") {
        return Ok(None);
    }
    let annotation = service.annotations().get(ANNOTATION).map(String::as_str);
    let overridden_by = if let Some(value) = annotation {
        Some(format!("annotation {ANNOTATION}: {value}"))
    } else if spec.internal_traffic_policy.as_deref() == Some("Local") {
        Some("internalTrafficPolicy: Local".to_owned())
    } else if spec.publish_not_ready_addresses == Some(true) {
        // Its endpoints are not the ready pods, which all bounds are about.
        Some("publishNotReadyAddresses: true".to_owned())
    } else {
        None
    };
    Ok(Some(Service {
        id: ServiceId {
            namespace: namespace_of(service)?,
            name: service.name_any(),
        },
        selector,
        routing: mode(annotation.or(spec.traffic_distribution.as_deref())),
        headless: spec.cluster_ip.as_deref() == Some("None"),
        overridden_by,
        ports: spec.ports.iter().flatten().map(port).collect::<Result<_, _>>()?,
    }))
}

/// A port, and where it leads: to the same one where nothing else is said.
fn port(port: &v1::ServicePort) -> Result<ServicePort, Invalid> {
    let number = |value: i32, field: &str| {
        u16::try_from(value).map_err(|_| Invalid::new(format!("spec.ports[].{field}"), format!("{value} is no port")))
    };
    let own = number(port.port, "port")?;
    Ok(ServicePort {
        port: own,
        target: match &port.target_port {
            None | Some(IntOrString::Int(0)) => Target::Port(own),
            Some(IntOrString::Int(target)) => Target::Port(number(*target, "targetPort")?),
            Some(IntOrString::String(name)) => Target::Named(name.clone()),
        },
    })
}

fn mode(distribution: Option<&str>) -> RoutingMode {
    match distribution {
        Some("PreferClose" | "PreferSameZone") => RoutingMode::PreferSameZone,
        Some("PreferSameNode") => RoutingMode::PreferSameNode,
        _ => RoutingMode::Spread,
    }
}

/// A DestinationRule that decides locality by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteFacts {
    /// Where it lives.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// `spec.host` as written.
    pub host: String,
}

impl RouteFacts {
    /// Whether the rule is about `service`.
    pub fn is_about(&self, service: &ServiceId) -> bool {
        is_host_of(&self.host, &self.namespace, service)
    }
}

/// Whether `host`, as written in an object of namespace `written`, names `service`: short names are resolved in the object's own namespace, as
/// Istio does.
pub(super) fn is_host_of(host: &str, written: &Namespace, service: &ServiceId) -> bool {
    let (name, namespace) = (service.name.as_str(), service.namespace.as_str());
    if host == name {
        return written == &service.namespace;
    }
    if let Some(suffix) = host.strip_prefix("*.") {
        return format!("{name}.{namespace}.svc.cluster.local").ends_with(&format!(".{suffix}"));
    }
    let rest = host
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('.'))
        .and_then(|rest| rest.strip_prefix(namespace));
    host == "*" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(".svc"))
}

/// Reads a DestinationRule; `None` for one that leaves locality alone. One with outlier detection counts: the mesh's default
/// locality setting then applies (facts/actuation.md 2.2).
///
/// # Errors
/// If it names no host.
pub fn destination_rule(rule: &DynamicObject) -> Result<Option<RouteFacts>, Invalid> {
    let policy = rule.data.pointer("/spec/trafficPolicy");
    let set = |path: &str| policy.and_then(|policy| policy.pointer(path)).is_some();
    if !set("/loadBalancer/localityLbSetting") && !set("/loadBalancer/zoneAwareLbSetting") {
        return Ok(None);
    }
    let host = rule
        .data
        .pointer("/spec/host")
        .and_then(serde_json::Value::as_str)
        .ok_or_else(|| Invalid::missing("spec.host"))?;
    Ok(Some(RouteFacts {
        namespace: namespace_of(rule)?,
        name: rule.name_any(),
        host: host.to_owned(),
    }))
}

/// Label by which an EndpointSlice says whose it is.
const OF_SERVICE: &str = "kubernetes.io/service-name";

/// EndpointSlices that Kubernetes did not make from a Service's selector, as a label selector: few clusters have any.
pub const FOREIGN_SLICES: &str = "endpointslice.kubernetes.io/managed-by!=endpointslice-controller.k8s.io";

/// An EndpointSlice that brings a Service endpoints beside the pods that its selector names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceFacts {
    /// Whose.
    pub service: ServiceId,
    /// Its name.
    pub name: String,
}

/// Reads an EndpointSlice of [`FOREIGN_SLICES`]; `None` for one that belongs to no Service.
///
/// # Errors
/// If it has no namespace.
pub fn foreign_slice(slice: &DynamicObject) -> Result<Option<SliceFacts>, Invalid> {
    let Some(of) = slice.labels().get(OF_SERVICE) else {
        return Ok(None);
    };
    Ok(Some(SliceFacts {
        service: ServiceId {
            namespace: namespace_of(slice)?,
            name: of.clone(),
        },
        name: slice.name_any(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(extra: serde_json::Value) -> Service {
        let mut object =
            json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"selector": {"app": "web"}}});
        object
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        service(&serde_json::from_value(object).unwrap()).unwrap().unwrap()
    }

    #[test]
    fn modes_and_overrides() {
        assert_eq!(read(json!({})).routing, RoutingMode::Spread);
        let near = read(
            json!({"spec": {"selector": {"a": "b"}, "trafficDistribution": "PreferSameNode", "clusterIP": "None"}}),
        );
        assert_eq!((near.routing, near.headless), (RoutingMode::PreferSameNode, true));
        let local = read(json!({"spec": {"selector": {"a": "b"}, "internalTrafficPolicy": "Local"}}));
        assert_eq!(local.overridden_by.as_deref(), Some("internalTrafficPolicy: Local"));
        let early = read(json!({"spec": {"selector": {"a": "b"}, "publishNotReadyAddresses": true}}));
        assert_eq!(early.overridden_by.as_deref(), Some("publishNotReadyAddresses: true"));
    }

    #[test]
    fn ports_lead_to_ports_or_names() {
        let ports = json!([{"port": 80, "targetPort": 8080}, {"port": 81, "targetPort": "web"}, {"port": 82}]);
        let ports = read(json!({"spec": {"selector": {"a": "b"}, "ports": ports}})).ports;
        let targets: Vec<(u16, Target)> = ports.into_iter().map(|port| (port.port, port.target)).collect();
        let named = Target::Named("web".to_owned());
        assert_eq!(targets, [(80, Target::Port(8080)), (81, named), (82, Target::Port(82))]);
    }

    #[test]
    fn hosts_are_resolved_as_istio_does() {
        let service = ServiceId {
            namespace: Namespace::from("shop"),
            name: "web".to_owned(),
        };
        let about = |namespace: &str, host: &str| {
            RouteFacts {
                namespace: Namespace::from(namespace),
                name: "r".to_owned(),
                host: host.to_owned(),
            }
            .is_about(&service)
        };
        assert!(about("shop", "web") && !about("other", "web"));
        assert!(about("other", "web.shop") && about("other", "web.shop.svc.cluster.local"));
        assert!(about("other", "*.shop.svc.cluster.local") && about("other", "*"));
        assert!(!about("shop", "web2") && !about("other", "web.shopping.svc.cluster.local"));
    }
}
