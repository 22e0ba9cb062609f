//! Two small services that can be merged, and who asks them: what a merge is tried on and measured with.
//!
//! ```text
//!  asker ──page, 20 a second──► front ──4 × get──► back
//!  caller-1 … caller-N ────────────get──────────────┘      callers beside front, where there are to be some
//! ```
//!
//! The shop's own services cannot be merged as they stand there: all call their container and its volume alike, listen on one port for their
//! witnesses, and are told their pods' names. `leaf` writes two of them so that they can be. The two that are brought here are played by
//! the shop's program as well, each from a graph of its own: the caller's says at which port the callee's Service is, the callee's at which
//! port its container listens.

mod cluster;
mod ends;
pub mod leaf;
pub mod measure;
mod watch;

use crate::shop::{ADMIN_PORT, Protocol};
pub use cluster::{Deployed, Health, apply_as};
pub(crate) use cluster::{delete, since_epoch};
pub use ends::Ends;
use serde_json::{Value, json};
pub(crate) use watch::failed_during;
pub use watch::{Failure, Watch};

/// Whose pods hold both.
pub const CALLER: &str = "front";
/// Whose containers join them.
pub const CALLEE: &str = "back";
/// Who asks for pages.
pub const ASKER: &str = "asker";
/// Where they are.
pub const NAMESPACE: &str = "shop";
/// What all their objects are labelled with.
pub const LABEL: &str = "bed=pair";
/// The witness of the callee listens beside that of its caller.
pub const CALLEE_ADMIN_PORT: u16 = ADMIN_PORT + 1;
/// The port on which the callee's container listens.
pub const TARGET_PORT: u16 = 7001;
/// Calls to the callee that a page makes, one after the other.
pub const CALLS_PER_PAGE: u64 = 4;
/// Pages that the asker asks for in a second.
pub const PAGES_PER_SECOND: u32 = 20;

const CALLER_PORT: u16 = 8080;
/// All of them stand on one node: what is left of a call's way is hops and proxies.
const NODE: &str = "node-1";
/// Calls a second of each caller beside `front`: it keeps nine tenths of the callee's traffic with three of them.
const OTHERS_PER_SECOND: f64 = 3.0;

/// What of the pair differs from story to story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Who of the two is who.
    pub ends: Ends,
    /// What the callee speaks.
    pub protocol: Protocol,
    /// The port of the callee's Service; it leads to [`TARGET_PORT`].
    pub service_port: u16,
    /// Callers of the callee beside `front`; they speak HTTP alone.
    pub others: u32,
    /// Replicas of the callee as its owner writes them.
    pub replicas: u32,
    /// For how many seconds the caller's containers go on serving before they are asked to stop; at once where not given.
    pub pre_stop: Option<u32>,
    /// Most memory of the callee's container, MiB.
    pub memory_limit: Option<u32>,
    /// Calls bring nothing along: they are GETs, which may be carried out twice, and not POSTs.
    pub only_asks: bool,
    /// How long a page may take until it counts as failed, seconds.
    pub timeout_seconds: u32,
    /// Pages that are asked for in a second.
    pub pages_per_second: u32,
}

impl Default for Pair {
    fn default() -> Self {
        Self {
            ends: Ends::BROUGHT,
            protocol: Protocol::Http,
            service_port: TARGET_PORT,
            others: 0,
            replicas: 2,
            pre_stop: None,
            memory_limit: None,
            only_asks: false,
            pages_per_second: PAGES_PER_SECOND,
            timeout_seconds: 20,
        }
    }
}

/// One Deployment with what belongs to it.
struct Member<'a> {
    name: &'a str,
    replicas: u32,
    command: &'a str,
    env: Vec<Value>,
    /// Its Service's port, as Kubernetes writes it, where it has one.
    port: Option<Value>,
    admin: u16,
    /// Ports that its sidecar leaves alone: what is asked there is asked from outside the mesh.
    outside: String,
    graph: Value,
    lifecycle: Option<Value>,
    memory_limit: Option<u32>,
}

impl Pair {
    /// As who wants no request lost in a roll-out writes it: the caller's pods go on serving for longer than Huddle waits for a pod to be forgotten.
    pub fn lingering() -> Self {
        Self {
            pre_stop: Some(3),
            ..Self::default()
        }
    }

    /// The names of the Deployments that are brought, callees first.
    pub fn names(&self) -> Vec<String> {
        if self.ends == Ends::LEAF {
            return vec![ASKER.to_owned()];
        }
        let own = [CALLEE, CALLER, ASKER].map(str::to_owned);
        own.into_iter().chain(self.other_callers()).collect()
    }

    /// The callers beside `front`.
    pub fn other_callers(&self) -> impl Iterator<Item = String> + use<> {
        (1..=self.others).map(|number| format!("caller-{number}"))
    }

    /// The graph of one of them; `port` is where it looks for the callee, or listens.
    fn graph(&self, port: u16, entry: &Value) -> Value {
        let back = json!({"name": CALLEE, "protocol": self.protocol, "port": port, "endpoints": [{"name": "get"}]});
        let mut call = json!({"call": "back/get", "times": CALLS_PER_PAGE});
        if self.only_asks {
            call["request"] = json!("0B");
        }
        let calls = json!([call]);
        let front = json!({"name": CALLER, "protocol": "http", "port": CALLER_PORT, "endpoints": [{"name": "page", "calls": calls}]});
        let resources = |memory: &str| json!({"cpu": "10m", "memory": memory});
        json!({
            "name": "pair", "namespace": NAMESPACE, "image": "registry.local/shop:1", "seed": 20_261_129, "timeout": format!("{}s", self.timeout_seconds),
            "defaults": {
                // Next to nothing: what is measured is the way.
                "compute": {"median": "100us", "sigma": 0.0, "spin": 0.0},
                "replicas": 2, "request": "64B", "response": "512B", "startup": "500ms",
                "resources": resources("64Mi"), "sidecar": resources("96Mi"),
            },
            "services": [back, front], "entries": [entry],
        })
    }

    fn page(&self) -> Value {
        json!({"name": "page", "to": "front/page", "rate": self.pages_per_second})
    }

    fn callee(&self) -> Member<'static> {
        let port = json!({"name": self.protocol.port_name(), "port": self.service_port, "targetPort": TARGET_PORT});
        Member {
            replicas: self.replicas,
            env: vec![json!({"name": "SHOP_ADMIN_PORT", "value": CALLEE_ADMIN_PORT.to_string()})],
            port: Some(port),
            admin: CALLEE_ADMIN_PORT,
            outside: CALLEE_ADMIN_PORT.to_string(),
            graph: self.graph(TARGET_PORT, &self.page()),
            memory_limit: self.memory_limit,
            ..Member::new(CALLEE, "serve")
        }
    }

    fn caller(&self) -> Member<'static> {
        Member {
            replicas: 2,
            port: Some(json!({"name": "http", "port": CALLER_PORT, "targetPort": CALLER_PORT})),
            // The companion's witness is asked, and its program ended, through the caller's pods.
            outside: format!("{ADMIN_PORT},{CALLEE_ADMIN_PORT}"),
            graph: self.graph(self.service_port, &self.page()),
            lifecycle: self
                .pre_stop
                .map(|seconds| json!({"preStop": {"sleep": {"seconds": seconds}}})),
            ..Member::new(CALLER, "serve")
        }
    }

    fn driver<'a>(&self, name: &'a str, target: String, entry: &Value) -> Member<'a> {
        Member {
            env: vec![json!({"name": "SHOP_TARGET", "value": target})],
            graph: self.graph(self.service_port, entry),
            ..Member::new(name, "drive")
        }
    }

    /// Everything that a cluster needs for it beside the shop.
    pub fn objects(&self) -> Vec<Value> {
        if self.ends == Ends::LEAF {
            return leaf::asker(self.pages_per_second).objects();
        }
        let others: Vec<String> = self.other_callers().collect();
        let get = json!({"name": "get", "to": "back/get", "rate": OTHERS_PER_SECOND});
        let mut members = vec![
            self.callee(),
            self.caller(),
            self.driver(ASKER, format!("{CALLER}:{CALLER_PORT}"), &self.page()),
        ];
        let beside = others
            .iter()
            .map(|name| self.driver(name, format!("{CALLEE}:{}", self.service_port), &get));
        members.extend(beside);
        members.iter().flat_map(Member::objects).collect()
    }
}

impl<'a> Member<'a> {
    fn new(name: &'a str, command: &'a str) -> Self {
        Self {
            name,
            replicas: 1,
            command,
            env: Vec::new(),
            port: None,
            admin: ADMIN_PORT,
            outside: ADMIN_PORT.to_string(),
            graph: Value::Null,
            lifecycle: None,
            memory_limit: None,
        }
    }

    fn metadata(&self, name: &str) -> Value {
        json!({"name": name, "namespace": NAMESPACE, "labels": {"app": self.name, "bed": "pair"}})
    }

    fn pods(&self, graph: &str) -> Value {
        let name = self.name;
        let annotations = json!({"sidecar.istio.io/proxyCPU": "10m", "sidecar.istio.io/proxyMemory": "96Mi",
            "traffic.sidecar.istio.io/excludeInboundPorts": self.outside});
        let own = [
            json!({"name": "SHOP_GRAPH", "value": "/etc/shop/graph.yaml"}),
            json!({"name": "SHOP_SERVICE", "value": name}),
        ];
        let env: Vec<&Value> = own.iter().chain(&self.env).collect();
        let ports: Vec<Value> = self
            .port
            .iter()
            .map(|port| json!({"containerPort": port["targetPort"]}))
            .chain([json!({"containerPort": self.admin})])
            .collect();
        let mut resources = json!({"requests": {"cpu": "10m", "memory": "64Mi"}});
        if let Some(mib) = self.memory_limit {
            resources["limits"] = json!({"memory": format!("{mib}Mi")});
        }
        let mut container = json!({
            "name": name, "image": "registry.local/shop:1", "imagePullPolicy": "IfNotPresent", "command": ["/shop", self.command],
            "env": env, "ports": ports, "resources": resources,
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": self.admin}, "periodSeconds": 1},
            "volumeMounts": [{"name": graph, "mountPath": "/etc/shop", "readOnly": true}],
        });
        if let Some(lifecycle) = &self.lifecycle {
            container["lifecycle"] = lifecycle.clone();
        }
        json!({
            "metadata": {"labels": {"app": name, "bed": "pair"}, "annotations": annotations},
            "spec": {
                "serviceAccountName": name, "enableServiceLinks": false, "nodeSelector": {"kubernetes.io/hostname": NODE},
                "containers": [container],
                "volumes": [{"name": graph, "configMap": {"name": graph}}],
            },
        })
    }

    /// With its account, its copy of the graph and, where it has a port, its Service.
    fn objects(&self) -> Vec<Value> {
        let metadata = self.metadata(self.name);
        let graph = format!("{}-graph", self.name);
        let mut objects = vec![
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": self.metadata(&graph),
                "data": {"graph.yaml": self.graph.to_string()}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {
                "replicas": self.replicas, "selector": {"matchLabels": {"app": self.name}},
                "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}, "template": self.pods(&graph)}}),
        ];
        objects.extend(self.port.iter().map(|port| {
            json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {
                "selector": {"app": self.name}, "ports": [port]}})
        }));
        objects
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::{Edge, Graph, ServiceName, Target};
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::Service;

    fn graph_of(objects: &[Value], name: &str) -> Graph {
        let mut maps = objects.iter().filter(|object| object["kind"] == "ConfigMap");
        let map = maps.find(|map| map["metadata"]["name"] == format!("{name}-graph"));
        let text = map.expect("a graph")["data"]["graph.yaml"].as_str().expect("a text");
        Graph::parse(text).expect("a valid graph")
    }

    fn port_of_back(graph: &Graph) -> u16 {
        let back = ServiceName::new(CALLEE).expect("a name");
        graph.service(&back).expect("it is there").port
    }

    #[test]
    fn each_page_makes_four_calls_and_every_member_reads_its_graph() {
        let objects = Pair::default().objects();
        for name in Pair::default().names() {
            let graph = graph_of(&objects, &name);
            let name = |name| ServiceName::new(name).expect("a name");
            let edge = Edge {
                source: name(CALLER),
                destination: name(CALLEE),
            };
            assert_eq!(
                graph.rates().get(&edge),
                Some(&(f64::from(PAGES_PER_SECOND) * CALLS_PER_PAGE as f64))
            );
        }
    }

    #[test]
    fn the_caller_calls_the_services_port_and_the_callee_listens_on_its_own() {
        let pair = Pair {
            service_port: 7080,
            protocol: Protocol::Grpc,
            ..Pair::default()
        };
        let objects = pair.objects();
        assert_eq!(port_of_back(&graph_of(&objects, CALLER)), 7080);
        assert_eq!(port_of_back(&graph_of(&objects, CALLEE)), TARGET_PORT);
        let services = objects.iter().filter(|object| object["kind"] == "Service");
        let ports: Vec<&Value> = services.map(|service| &service["spec"]["ports"]).collect();
        assert_eq!(
            ports[0],
            &json!([{"name": "grpc", "port": 7080, "targetPort": TARGET_PORT}])
        );
        assert_eq!(ports[1], &json!([{"name": "http", "port": 8080, "targetPort": 8080}]));
    }

    #[test]
    fn objects_are_what_kubernetes_knows_and_say_what_is_asked_for() {
        let pair = Pair {
            others: 3,
            pre_stop: Some(2),
            memory_limit: Some(96),
            only_asks: true,
            ..Pair::default()
        };
        let objects = pair.objects();
        let of = |kind: &str| -> Vec<Value> {
            let own = objects.iter().filter(|object| object["kind"] == kind);
            own.cloned().collect()
        };
        let deployments: Vec<Deployment> = of("Deployment")
            .into_iter()
            .map(|object| serde_json::from_value(object).expect("a Deployment"))
            .collect();
        let names: Vec<_> = deployments.iter().map(|of| of.metadata.name.clone().unwrap()).collect();
        assert_eq!(names, ["back", "front", "asker", "caller-1", "caller-2", "caller-3"]);
        assert_eq!(names, pair.names());
        let container = |index: usize| {
            let pods = deployments[index]
                .spec
                .as_ref()
                .and_then(|spec| spec.template.spec.as_ref());
            pods.expect("pods").containers[0].clone()
        };
        assert!(container(0).lifecycle.is_none() && container(1).lifecycle.is_some());
        assert!(container(0).resources.and_then(|resources| resources.limits).is_some());
        assert!(container(1).resources.and_then(|resources| resources.limits).is_none());
        let page = graph_of(&objects, CALLER);
        let page = page.endpoint(&Target::parse("front/page").unwrap()).unwrap();
        assert_eq!(page.steps[0].calls()[0].request.get(), 0);
        for service in of("Service") {
            let _: Service = serde_json::from_value(service).expect("a Service");
        }
        let asked = graph_of(&objects, "caller-2");
        assert_eq!(asked.entries()[0].to, Target::parse("back/get").unwrap());
    }
}
