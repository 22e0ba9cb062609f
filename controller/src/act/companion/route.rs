//! The proxied way to a companion: what the caller's own proxy is told. 127.0.0.1 first, the callee's Service next.
//!
//! ```text
//! route of the callee's host ─► both ─► inside: 127.0.0.1:TARGET, while its check passes
//!                                 └───► outbound|PORT||HOST: the Service, as it was
//! ```
//!
//! Two objects: with both in one, toggled under load, calls met a route to a cluster that was not there yet. The clusters come first and
//! go last. Both select the pods that hold the companion, by its label: no other proxy hears of them.

use huddle_api as api;
use serde_json::{Value, json};

/// How often a proxy looks whether its companion serves, with calls or without (Envoy's own default without is a minute), and how long
/// one that refused a connection gets none. A second: at worst so long after its return a companion is left out.
const EVERY: &str = "1s";
/// A connection over loopback takes microseconds; one that is not there after this is not coming.
const CONNECT: &str = "0.25s";
/// Tries beside the first: one of them is the Service's.
const TRIES: u32 = 3;
/// No limit, as Istio sets it. Envoy's own limit of three retries at a time would lose calls just when a companion has gone.
const UNLIMITED: u32 = u32::MAX;
/// What is tried again: Istio's own default, and calls whose connection went before they were sent.
const AGAIN: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes,reset-before-request";
/// Beside that, calls that were sent and got no answer.
const SENT: &str = "reset";
/// Adds that for calls that may be carried out twice whatever they are about: a proxy may repeat them by itself (RFC 9110, 9.2.2). Envoy's router
/// adds what this header of a request says to what its route says, and takes the header away. CEL is a built-in since Envoy 1.34 (Istio 1.26).
const SAFE: [&str; 2] = [
    "x-envoy-retry-on",
    "%CEL(request.method in ['GET', 'HEAD', 'OPTIONS'] ? 'reset' : '')%",
];

/// What the callee's port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, gRPC.
    Http2,
    /// Whatever the caller speaks.
    AsCalled,
}

/// When a companion serves. What the callee's readiness probe asks, the proxy asks in its place: no kubelet does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// It takes connections.
    Connects,
    /// It answers a GET with 2xx or 3xx.
    Answers {
        /// Of this path.
        path: String,
        /// On this port.
        port: u16,
    },
    /// It answers gRPC's health check.
    Grpc {
        /// For this service; empty for all.
        service: String,
        /// On this port.
        port: u16,
    },
}

/// A port of the callee's Service that leads to a companion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The Service's host name, in full.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The port on which the companion listens.
    pub target: u16,
    /// What is spoken there.
    pub speaks: Speaks,
    /// When the companion serves.
    pub check: Check,
    /// Which calls are sent again that were sent and got no answer.
    pub again: Again,
}

/// Which calls that were sent and got no answer are sent again, to the Service. Such a call may have done its work, and would do it twice. What
/// is not sent again fails when a companion ends while it is under way, as when any pod ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Again {
    /// Those that only ask: GET, HEAD and OPTIONS. To the callee's owner the method is the word for it.
    #[default]
    Safe,
    /// All: the callee's owner says that it does no harm. Of gRPC's calls, which are all POST, no other word is known.
    All,
    /// None: the callee's owner knows of a GET that does more than ask.
    Never,
}

/// The EnvoyFilters of a companion's proxied way: the clusters, then the route. Deterministic.
pub fn filters(namespace: &str, companion: &str, ways: &[Inside]) -> [Value; 2] {
    let clusters: Vec<Value> = ways
        .iter()
        .flat_map(|way| [add(&local(way)), add(&both(way))])
        .collect();
    let routes: Vec<Value> = ways.iter().map(route).collect();
    [
        filter(namespace, companion, CLUSTERS, &clusters),
        filter(namespace, companion, ROUTE, &routes),
    ]
}

/// The names of the two objects, in the order in which they are made.
pub fn names(companion: &str) -> [String; 2] {
    [CLUSTERS, ROUTE].map(|part| format!("{companion}-{part}"))
}

const CLUSTERS: &str = "clusters";
const ROUTE: &str = "route";

fn filter(namespace: &str, companion: &str, part: &str, patches: &[Value]) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
        "metadata": {
            "name": format!("{companion}-{part}"), "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": "huddle", api::LABEL_COMPANION: companion},
        },
        "spec": {"workloadSelector": {"labels": {api::LABEL_COMPANION: companion}}, "configPatches": patches},
    })
}

fn add(cluster: &Value) -> Value {
    json!({"applyTo": "CLUSTER", "match": {"context": "SIDECAR_OUTBOUND"}, "patch": {"operation": "ADD", "value": cluster}})
}

/// The clusters' names begin with what Istio's never do.
fn local_name(way: &Inside) -> String {
    format!("huddle-inside|{}||{}", way.port, way.host)
}

fn both_name(way: &Inside) -> String {
    format!("huddle-inside-first|{}||{}", way.port, way.host)
}

fn local(way: &Inside) -> Value {
    let mut endpoint = json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": way.target}}});
    let (port, checked) = check(way);
    if port != way.target
        && let Some(endpoint) = endpoint.as_object_mut()
    {
        endpoint.insert("health_check_config".to_owned(), json!({"port_value": port}));
    }
    let name = local_name(way);
    json!({
        "name": name, "type": "STATIC", "connect_timeout": CONNECT,
        // With no healthy companion the calls go to the Service, not to a companion all the same.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [checked],
        // Its own refusals put it out, its answers never: a 5xx is the callee's to give, inside as outside.
        "outlier_detection": {
            "split_external_local_origin_errors": true, "consecutive_local_origin_failure": 1,
            "enforcing_consecutive_local_origin_failure": 100, "enforcing_local_origin_success_rate": 0,
            "enforcing_consecutive_5xx": 0, "enforcing_consecutive_gateway_failure": 0, "enforcing_success_rate": 0,
            "interval": EVERY, "base_ejection_time": EVERY, "max_ejection_time": EVERY, "max_ejection_percent": 100,
        },
        "circuit_breakers": unlimited(),
        "metadata": metadata(way),
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol(way.speaks)},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    })
}

/// The check, and the port that it goes to.
fn check(way: &Inside) -> (u16, Value) {
    let mut check = json!({
        "timeout": EVERY, "interval": EVERY, "no_traffic_interval": EVERY, "unhealthy_threshold": 1, "healthy_threshold": 1,
    });
    let (port, kind, what) = match &way.check {
        Check::Connects => (way.target, "tcp_health_check", json!({})),
        Check::Answers { path, port } => {
            let good = json!([{"start": 200, "end": 400}]);
            let what = json!({"path": path, "expected_statuses": good, "codec_client_type": "HTTP1"});
            (*port, "http_health_check", what)
        }
        // Envoy asks over the cluster's own protocol; where that is not HTTP/2, nobody would understand it.
        Check::Grpc { service, port } if way.speaks == Speaks::Http2 => {
            (*port, "grpc_health_check", json!({"service_name": service}))
        }
        Check::Grpc { port, .. } => (*port, "tcp_health_check", json!({})),
    };
    if let Some(check) = check.as_object_mut() {
        check.insert(kind.to_owned(), what);
    }
    (port, check)
}

fn protocol(speaks: Speaks) -> Value {
    let kind = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    match speaks {
        Speaks::Http1 => json!({"@type": kind, "explicit_http_config": {"http_protocol_options": {}}}),
        Speaks::Http2 => json!({"@type": kind, "explicit_http_config": {"http2_protocol_options": {}}}),
        Speaks::AsCalled => {
            let both = json!({"http_protocol_options": {}, "http2_protocol_options": {}});
            json!({"@type": kind, "use_downstream_protocol_config": both})
        }
    }
}

fn both(way: &Inside) -> Value {
    let outside = format!("outbound|{}||{}", way.port, way.host);
    json!({
        "name": both_name(way), "connect_timeout": CONNECT, "lb_policy": "CLUSTER_PROVIDED",
        // Retries are counted here, whichever of the two a call went to.
        "circuit_breakers": unlimited(),
        "metadata": metadata(way),
        "cluster_type": {"name": "envoy.clusters.aggregate", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
            "clusters": [local_name(way), outside],
        }},
    })
}

fn unlimited() -> Value {
    json!({"thresholds": [{
        "max_connections": UNLIMITED, "max_pending_requests": UNLIMITED, "max_requests": UNLIMITED, "max_retries": UNLIMITED,
    }]})
}

/// By this Istio's metrics name the Service that was called.
fn metadata(way: &Inside) -> Value {
    let mut parts = way.host.split('.');
    let (name, namespace) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let service = json!({"host": way.host, "name": name, "namespace": namespace});
    json!({"filter_metadata": {"istio": {"services": [service]}}})
}

fn route(way: &Inside) -> Value {
    let again = match way.again {
        Again::All => format!("{AGAIN},{SENT}"),
        Again::Safe | Again::Never => AGAIN.to_owned(),
    };
    let before = "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig";
    let mut route = json!({
        "applyTo": "HTTP_ROUTE",
        "match": {"context": "SIDECAR_OUTBOUND",
            "routeConfiguration": {"vhost": {"name": format!("{}:{}", way.host, way.port)}}},
        "patch": {"operation": "MERGE", "value": {"route": {
            "cluster": both_name(way),
            "retry_policy": {
                "retry_on": again, "num_retries": TRIES,
                // After a failure inside, the next try is outside.
                "retry_priority": {"name": "envoy.retry_priorities.previous_priorities",
                    "typed_config": {"@type": before, "update_frequency": 1}},
            },
        }}},
    });
    if way.again == Again::Safe {
        let [key, value] = SAFE;
        route["patch"]["value"]["request_headers_to_add"] = json!([{"header": {"key": key, "value": value}}]);
    }
    route
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(speaks: Speaks, check: Check) -> Inside {
        Inside {
            host: "back.shop.svc.cluster.local".to_owned(),
            port: 80,
            target: 8080,
            speaks,
            check,
            again: Again::Safe,
        }
    }

    #[test]
    fn both_objects_select_the_pods_that_hold_the_companion_and_no_others() {
        let made = filters("shop", "plan-1-0", &[way(Speaks::Http1, Check::Connects)]);
        assert_eq!(
            made,
            filters("shop", "plan-1-0", &[way(Speaks::Http1, Check::Connects)])
        );
        let named: Vec<&Value> = made.iter().map(|filter| &filter["metadata"]["name"]).collect();
        assert_eq!(json!(named), json!(names("plan-1-0")));
        for filter in &made {
            assert_eq!(
                filter["spec"]["workloadSelector"],
                json!({"labels": {"huddle.dev/companion": "plan-1-0"}})
            );
            let patches = filter["spec"]["configPatches"].as_array().unwrap();
            let context = |patch: &Value| patch["match"]["context"] == "SIDECAR_OUTBOUND";
            assert!(patches.iter().all(context));
        }
        let of = |filter: &Value| -> Vec<Value> {
            let patches = filter["spec"]["configPatches"].as_array().unwrap();
            patches.iter().map(|patch| patch["applyTo"].clone()).collect()
        };
        assert_eq!(of(&made[0]), ["CLUSTER", "CLUSTER"]);
        assert_eq!(of(&made[1]), ["HTTP_ROUTE"]);
    }

    #[test]
    fn the_proxy_asks_what_the_probe_asked() {
        let cases = [
            (Speaks::Http1, Check::Connects, "tcp_health_check", None),
            (
                Speaks::Http1,
                Check::Answers {
                    path: "/ready".to_owned(),
                    port: 9901,
                },
                "http_health_check",
                Some(9901),
            ),
            (
                Speaks::Http2,
                Check::Grpc {
                    service: String::new(),
                    port: 8080,
                },
                "grpc_health_check",
                None,
            ),
            (
                Speaks::AsCalled,
                Check::Grpc {
                    service: String::new(),
                    port: 8080,
                },
                "tcp_health_check",
                None,
            ),
        ];
        for (speaks, check, kind, port) in cases {
            let made = local(&way(speaks, check.clone()));
            let asked = &made["health_checks"][0];
            assert!(asked.get(kind).is_some(), "{check:?}: {asked}");
            assert_eq!(asked["no_traffic_interval"], EVERY);
            let endpoint = &made["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
            assert_eq!(
                endpoint["health_check_config"]["port_value"].as_u64(),
                port,
                "{check:?}"
            );
        }
    }
}
