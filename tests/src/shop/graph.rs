//! The call graph the shop plays: services, endpoints and calls that were checked once, on reading.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::units::{Bytes, Mebibytes, Micros, MilliCpu};

/// Name of a service: its Kubernetes Service, Deployment and ServiceAccount (a DNS label).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServiceName(String);

/// Name of an endpoint of a service (a DNS label, too: it is part of a URL path).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointName(String);

macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// The name, if it is a DNS label (RFC 1123: 1–63 of a–z, 0–9 and `-`, not at the ends).
            pub fn new(name: &str) -> Option<Self> {
                let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                let label = (1..=63).contains(&name.len())
                    && name.bytes().all(inner)
                    && !name.starts_with('-')
                    && !name.ends_with('-');
                label.then(|| Self(name.to_owned()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
name!(ServiceName);
name!(EndpointName);

/// An endpoint of a service: what a call goes to, written `service/endpoint`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The service.
    pub service: ServiceName,
    /// Its endpoint.
    pub endpoint: EndpointName,
}

impl Target {
    /// Reads `service/endpoint`; none if it is not two names.
    pub fn parse(text: &str) -> Option<Self> {
        let (service, endpoint) = text.split_once('/')?;
        Some(Self {
            service: ServiceName::new(service)?,
            endpoint: EndpointName::new(endpoint)?,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.endpoint)
    }
}

/// What a service speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 with keep-alive.
    Http,
    /// Unary gRPC over HTTP/2, raw bytes as the message.
    Grpc,
}

impl Protocol {
    /// The Service port's name, by which Istio tells the protocol.
    pub const fn port_name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

/// Compute time of an endpoint: log-normal, drawn for each request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compute {
    /// The median.
    pub median: Micros,
    /// Standard deviation of the logarithm; 0 makes the time constant.
    pub sigma: f64,
    /// Share of the time, 0 to 1, in which a processor is kept busy; for the rest the request only waits.
    pub spin: f64,
}

/// What a container may use at most; nothing where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Processor limit.
    pub cpu: Option<MilliCpu>,
    /// Memory limit.
    pub memory: Option<Mebibytes>,
}

/// Processor and memory a container asks the scheduler for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Processor request.
    pub cpu: MilliCpu,
    /// Memory request.
    pub memory: Mebibytes,
}

/// One call, made `times` times in sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Where it goes.
    pub to: Target,
    /// How often, one after the other.
    pub times: u32,
    /// Size of the request's payload.
    pub request: Bytes,
}

/// One step of an endpoint; the steps are taken in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// One call, repeated in sequence.
    Sequence(Call),
    /// Several calls at once; the step ends when all have been answered.
    Parallel(Vec<Call>),
}

impl Step {
    /// The calls of the step.
    pub fn calls(&self) -> &[Call] {
        match self {
            Self::Sequence(call) => std::slice::from_ref(call),
            Self::Parallel(calls) => calls,
        }
    }
}

/// What a request to an endpoint does: compute, then the steps, then the response.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its name.
    pub name: EndpointName,
    /// Compute time before the first call.
    pub compute: Compute,
    /// Size of the response's payload.
    pub response: Bytes,
    /// Time between the response's headers and its body.
    pub body_after: Duration,
    /// The calls it makes.
    pub steps: Vec<Step>,
}

/// One service of the shop.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// What it speaks.
    pub protocol: Protocol,
    /// The port of its Service and of its container.
    pub port: u16,
    /// Replicas of its Deployment.
    pub replicas: u32,
    /// Time from the start of the process until it says it is ready.
    pub startup: Duration,
    /// Annotations of its Deployment.
    pub annotations: BTreeMap<String, String>,
    /// What the application's container requests.
    pub resources: Resources,
    /// What it may use at most; a story of pressure sets it about the mean use.
    pub limits: Limits,
    /// What its sidecar requests.
    pub sidecar: Resources,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// A way into the shop, with the rate at which the load generators knock.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name in reports.
    pub name: EndpointName,
    /// The endpoint it requests.
    pub to: Target,
    /// Requests per second.
    pub rate: f64,
}

/// A caller and a callee.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// The calling service.
    pub source: ServiceName,
    /// The called service.
    pub destination: ServiceName,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.source, self.destination)
    }
}

/// A checked call graph. Every call in it goes to an endpoint of it, and no request can cause itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) image: String,
    pub(super) seed: u64,
    pub(super) timeout: Duration,
    pub(super) services: Vec<Service>,
    pub(super) entries: Vec<Entry>,
}

impl Graph {
    /// What the graph is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace it is deployed to.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The image of every service.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Seed of every random draw.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How long a caller waits for an answer, body included.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The services, in the order in which they are deployed.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The ways in.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The service of that name.
    pub fn service(&self, name: &ServiceName) -> Option<&Service> {
        self.services.iter().find(|service| service.name == *name)
    }

    /// The endpoint behind a target.
    pub fn endpoint(&self, target: &Target) -> Option<&Endpoint> {
        self.service(&target.service)?
            .endpoints
            .iter()
            .find(|endpoint| endpoint.name == target.endpoint)
    }

    /// How many calls one request to `target` causes on every edge, nested calls included; the request itself
    /// is not counted.
    pub fn calls_caused(&self, target: &Target) -> BTreeMap<Edge, u64> {
        let mut counts = BTreeMap::new();
        self.count_calls(target, 1, &mut counts);
        counts
    }

    /// Depth is bounded by the number of endpoints: validation refused cycles.
    fn count_calls(&self, target: &Target, factor: u64, counts: &mut BTreeMap<Edge, u64>) {
        let Some(endpoint) = self.endpoint(target) else { return };
        for call in endpoint.steps.iter().flat_map(Step::calls) {
            let times = factor * u64::from(call.times);
            let edge = Edge {
                source: target.service.clone(),
                destination: call.to.service.clone(),
            };
            *counts.entry(edge).or_default() += times;
            self.count_calls(&call.to, times, counts);
        }
    }

    /// Calls per second on every edge inside the shop at the entries' rates.
    pub fn rates(&self) -> BTreeMap<Edge, f64> {
        let mut rates = BTreeMap::new();
        for entry in &self.entries {
            for (edge, calls) in self.calls_caused(&entry.to) {
                *rates.entry(edge).or_default() += calls as f64 * entry.rate;
            }
        }
        rates
    }

    /// What all replicas with their sidecars request.
    pub fn requested(&self) -> Resources {
        let total = |of: fn(&Resources) -> u64| -> u64 {
            let pod = |service: &Service| of(&service.resources) + of(&service.sidecar);
            self.services
                .iter()
                .map(|service| u64::from(service.replicas) * pod(service))
                .sum()
        };
        Resources {
            cpu: MilliCpu::new(total(|r| r.cpu.get())),
            memory: Mebibytes::new(total(|r| r.memory.get())),
        }
    }
}
