//! Bootstraps of the two sidecars.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Callee's sidecar: one inbound listener in front of one application. It tells the served time, and the application who calls, as
/// the controller's does.
#[derive(Debug, Clone)]
pub struct Callee {
    /// The application.
    pub application: SocketAddr,
}

/// Caller's sidecar: one outbound listener, a Service per `Host` header.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Services by name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// What of Huddle is in it.
    pub huddle: Huddle,
    /// The built module.
    pub module: std::path::PathBuf,
}

/// How much of Huddle is in the caller's sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Huddle {
    /// Nothing.
    Out,
    /// `times.yaml`: the times as headers, moved to metadata.
    Times,
    /// The filter as well, with this configuration.
    Filter(Value),
}

/// A Service as the caller's sidecar knows it.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its port.
    pub port: u16,
    /// Where its endpoints are.
    pub endpoints: Vec<Endpoint>,
    /// Speak HTTP/2 whatever the application speaks.
    pub http2: bool,
    /// Tries after the first.
    pub retries: u32,
}

/// Address of an endpoint.
pub type Endpoint = SocketAddr;

impl Upstream {
    /// One without retries that speaks what the application speaks.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        Self {
            port: 80,
            endpoints: endpoints.into_iter().collect(),
            http2: false,
            retries: 0,
        }
    }
}

/// Envoy's name of a Service's cluster, as Istio makes it.
pub(super) fn cluster_name(service: &str, port: u16) -> String {
    format!("outbound|{port}||{service}")
}

impl Callee {
    /// The bootstrap.
    ///
    /// # Errors
    /// When the mesh objects cannot be read.
    pub fn bootstrap(&self) -> Result<Value> {
        let cluster = "inbound|8080||";
        let route = json!({"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}});
        let mut routes = json!({"name": cluster, "virtual_hosts": [{"name": "inbound|http|80", "domains": ["*"], "routes": [route]}]});
        merge(&mut routes, patch(TIMES, "ROUTE_CONFIGURATION", "SIDECAR_INBOUND")?);
        merge(&mut routes, patch(IDENTITY, "ROUTE_CONFIGURATION", "SIDECAR_INBOUND")?);
        let listener = listener("inbound", "0.0.0.0:0".parse()?, "INBOUND", &routes, &[router()]);
        let upstream = Upstream::new([self.application]);
        Ok(json!({
            "node": {"id": "callee", "cluster": "callee"},
            "static_resources": {"listeners": [listener], "clusters": [cluster_of(cluster, &upstream)]},
        }))
    }
}

impl Caller {
    /// The bootstrap; its listener is a file in `directory`, so that [`Caller::write_listener`] can change it.
    ///
    /// # Errors
    /// When the mesh objects cannot be read, or a file not written.
    pub fn bootstrap(&self, directory: &Path) -> Result<Value> {
        self.write_listener(directory)?;
        let clusters: Vec<Value> = self
            .upstreams
            .iter()
            .map(|(service, upstream)| cluster_of(&cluster_name(service, upstream.port), upstream))
            .collect();
        Ok(json!({
            "node": {"id": "sidecar~127.0.0.1~caller.test~test.svc.cluster.local", "cluster": "caller.test"},
            "dynamic_resources": {"lds_config": {"path_config_source": {"path": directory.join("lds.json"), "watched_directory": {"path": directory}}}},
            "static_resources": {"clusters": clusters},
        }))
    }

    /// Writes the outbound listener; a running Envoy takes it up.
    ///
    /// # Errors
    /// When the mesh objects cannot be read, or the file not written.
    pub fn write_listener(&self, directory: &Path) -> Result<()> {
        let hosts: Vec<Value> = self
            .upstreams
            .iter()
            .map(|(service, upstream)| {
                let retries = json!({"retry_on": "connect-failure,reset,5xx", "num_retries": upstream.retries});
                let action =
                    json!({"cluster": cluster_name(service, upstream.port), "timeout": "0s", "retry_policy": retries});
                let route = json!({"match": {"prefix": "/"}, "route": action});
                json!({"name": service, "domains": [service, format!("{service}:*")], "routes": [route]})
            })
            .collect();
        let mut routes = json!({"name": "80", "virtual_hosts": hosts});
        let mut filters = Vec::new();
        if let Huddle::Filter(configuration) = &self.huddle {
            filters.push(self.wasm(configuration));
        }
        if self.huddle != Huddle::Out {
            merge(&mut routes, patch(TIMES, "ROUTE_CONFIGURATION", "SIDECAR_OUTBOUND")?);
            filters.push(patch(TIMES, "HTTP_FILTER", "SIDECAR_OUTBOUND")?);
        }
        filters.push(router());
        let mut listener = listener("outbound", "127.0.0.1:0".parse()?, "OUTBOUND", &routes, &filters);
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
        // Envoy looks when a file is moved into the directory.
        let fresh = directory.join("lds.json.new");
        fs::write(&fresh, serde_json::to_vec_pretty(&json!({"resources": [listener]}))?)?;
        fs::rename(fresh, directory.join("lds.json")).context("the listener's file")
    }

    fn wasm(&self, configuration: &Value) -> Value {
        let text =
            json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration.to_string()});
        let vm = json!({"vm_id": "huddle", "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": self.module}}});
        let plugin = json!({"name": "huddle", "root_id": "huddle", "failure_policy": "FAIL_OPEN", "vm_config": vm, "configuration": text});
        json!({
            "name": "huddle",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": plugin},
        })
    }
}

/// An address for Envoy.
pub(super) fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn listener(name: &str, at: SocketAddr, direction: &str, routes: &Value, filters: &[Value]) -> Value {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": routes,
        "http_filters": filters,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
    });
    let filter = json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": manager});
    json!({"name": name, "address": address(at), "traffic_direction": direction, "filter_chains": [{"filters": [filter]}]})
}

fn router() -> Value {
    let config = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"});
    json!({"name": "envoy.filters.http.router", "typed_config": config})
}

fn cluster_of(name: &str, upstream: &Upstream) -> Value {
    let endpoints: Vec<Value> = upstream
        .endpoints
        .iter()
        .map(|endpoint| json!({"endpoint": {"address": address(*endpoint)}}))
        .collect();
    let protocol = if upstream.http2 {
        json!({"explicit_http_config": {"http2_protocol_options": {}}})
    } else {
        json!({"use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}}})
    };
    let mut options = json!({"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"});
    merge(&mut options, protocol);
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [{"max_retries": 1024}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    })
}

/// The mesh objects as they are installed.
const TIMES: &str = include_str!("../../../manifests/mesh/times.yaml");
const IDENTITY: &str = include_str!("../../../manifests/mesh/identity.yaml");

/// What a mesh object puts into this place in this context.
fn patch(object: &str, applies_to: &str, context: &str) -> Result<Value> {
    let object: Value = serde_saphyr::from_str(object)?;
    let patches = object["spec"]["configPatches"].as_array().context("no patches")?;
    let found = patches
        .iter()
        .find(|patch| patch["applyTo"] == applies_to && patch["match"]["context"] == context);
    Ok(found.with_context(|| format!("no patch of {applies_to} in {context}"))?["patch"]["value"].clone())
}

/// Merges fields as Istio's MERGE does for those we use: fields that are not there yet.
fn merge(into: &mut Value, patch: Value) {
    if let (Some(into), Value::Object(patch)) = (into.as_object_mut(), patch) {
        into.extend(patch);
    }
}
