//! From the file's text to a checked [`Graph`]: every problem is found in one go and named by its field.

use std::{collections::BTreeSet, fmt};

use thiserror::Error;

use super::{
    file::{
        BranchFile, CallFile, ComputeFile, DefaultsFile, EndpointFile, EntryFile, GraphFile, LimitsFile, ProtocolFile,
        ResourcesFile, ServiceFile, StepFile,
    },
    graph::{
        Call, Compute, Endpoint, EndpointName, Entry, Graph, Limits, Protocol, Resources, Service, ServiceName, Step,
        Target,
    },
    units::{Bytes, Mebibytes, MilliCpu},
};

/// Why a graph file was refused.
#[derive(Debug, Error)]
pub enum InvalidGraph {
    /// It is not of the file's shape (YAML, or JSON, which is YAML too).
    #[error("{0}")]
    Shape(String),
    /// Its shape is right and what it says is not; every problem found is listed.
    #[error("{}", lines(.0))]
    Content(Vec<InvalidField>),
}

/// One field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    /// Path of the field, `services[2].endpoints[0].calls[1]`.
    pub field: String,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

fn lines(fields: &[InvalidField]) -> String {
    fields.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What can be wrong with a field.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// Not a DNS label.
    #[error("`{0}` is not a DNS label (a-z, 0-9, -)")]
    Name(String),
    /// The name stands there twice.
    #[error("`{0}` is there twice")]
    Duplicate(String),
    /// Not of the form `service/endpoint`.
    #[error("`{0}` is not of the form service/endpoint")]
    Target(String),
    /// Nothing of that name to call.
    #[error("nothing is called `{0}`")]
    Unknown(String),
    /// The calls lead back to where they started.
    #[error("calls go round in a circle through `{0}`")]
    Circle(String),
    /// A number outside its range.
    #[error("{value} is not {range}")]
    Range {
        /// The number as written.
        value: String,
        /// What it should be.
        range: &'static str,
    },
    /// A list that needs at least one item.
    #[error("is empty")]
    Empty,
}

impl Graph {
    /// Reads a graph from YAML or JSON.
    ///
    /// # Errors
    /// [`InvalidGraph`] names the fields that are wrong: the first one if the shape is wrong, else all of them.
    pub fn parse(text: &str) -> Result<Self, InvalidGraph> {
        let file: GraphFile = serde_saphyr::from_str(text).map_err(|error| InvalidGraph::Shape(error.to_string()))?;
        let mut check = Check::default();
        let graph = check.graph(file);
        check.targets(&graph);
        if check
            .invalid
            .iter()
            .all(|invalid| !matches!(invalid.problem, Problem::Unknown(_)))
        {
            check.circles(&graph);
        }
        if check.invalid.is_empty() {
            Ok(graph)
        } else {
            Err(InvalidGraph::Content(check.invalid))
        }
    }
}

/// Collects problems while it converts; what it could not convert it leaves out.
#[derive(Default)]
struct Check {
    invalid: Vec<InvalidField>,
}

impl Check {
    fn refuse(&mut self, field: impl Into<String>, problem: Problem) {
        self.invalid.push(InvalidField {
            field: field.into(),
            problem,
        });
    }

    fn range(&mut self, field: String, value: impl fmt::Display, holds: bool, range: &'static str) {
        if !holds {
            self.refuse(
                field,
                Problem::Range {
                    value: value.to_string(),
                    range,
                },
            );
        }
    }

    fn graph(&mut self, file: GraphFile) -> Graph {
        for (field, name) in [("name", &file.name), ("namespace", &file.namespace)] {
            if ServiceName::new(name).is_none() {
                self.refuse(field, Problem::Name(name.clone()));
            }
        }
        if file.services.is_empty() {
            self.refuse("services", Problem::Empty);
        }
        self.compute("defaults.compute", &file.defaults.compute);
        let services: Vec<Service> = file
            .services
            .into_iter()
            .enumerate()
            .filter_map(|(index, service)| self.service(&format!("services[{index}]"), service, &file.defaults))
            .collect();
        self.unique("services", services.iter().map(|service| service.name.as_str()));
        let entries: Vec<Entry> = file
            .entries
            .into_iter()
            .enumerate()
            .filter_map(|(index, entry)| self.entry(&format!("entries[{index}]"), entry))
            .collect();
        self.unique("entries", entries.iter().map(|entry| entry.name.as_str()));
        Graph {
            name: file.name,
            namespace: file.namespace,
            image: file.image,
            seed: file.seed,
            timeout: file.timeout.duration(),
            services,
            entries,
        }
    }

    fn unique<'a>(&mut self, field: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name) {
                self.refuse(field, Problem::Duplicate(name.to_owned()));
            }
        }
    }

    fn service(&mut self, field: &str, file: ServiceFile, defaults: &DefaultsFile) -> Option<Service> {
        let replicas = file.replicas.unwrap_or(defaults.replicas);
        self.range(format!("{field}.replicas"), replicas, replicas > 0, "at least 1");
        self.range(format!("{field}.port"), file.port, file.port >= 1024, "at least 1024");
        if file.endpoints.is_empty() {
            self.refuse(format!("{field}.endpoints"), Problem::Empty);
        }
        let endpoints: Vec<Endpoint> = file
            .endpoints
            .into_iter()
            .enumerate()
            .filter_map(|(index, endpoint)| self.endpoint(&format!("{field}.endpoints[{index}]"), endpoint, defaults))
            .collect();
        self.unique(
            &format!("{field}.endpoints"),
            endpoints.iter().map(|endpoint| endpoint.name.as_str()),
        );
        let Some(name) = ServiceName::new(&file.name) else {
            self.refuse(format!("{field}.name"), Problem::Name(file.name));
            return None;
        };
        let (wanted, limits) = (file.resources.unwrap_or(defaults.resources), limits(file.limits));
        let enough = |limit: Option<MilliCpu>| limit.is_none_or(|limit| limit >= wanted.cpu);
        let fits = |limit: Option<Mebibytes>| limit.is_none_or(|limit| limit >= wanted.memory);
        let (cpu, memory) = (limits.cpu.unwrap_or(wanted.cpu), limits.memory.unwrap_or(wanted.memory));
        self.range(
            format!("{field}.limits.cpu"),
            cpu,
            enough(limits.cpu),
            "at least what is requested",
        );
        self.range(
            format!("{field}.limits.memory"),
            memory,
            fits(limits.memory),
            "at least what is requested",
        );
        Some(Service {
            name,
            protocol: match file.protocol {
                ProtocolFile::Http => Protocol::Http,
                ProtocolFile::Grpc => Protocol::Grpc,
            },
            port: file.port,
            replicas,
            startup: file.startup.unwrap_or(defaults.startup).duration(),
            annotations: file.annotations,
            resources: resources(wanted),
            limits,
            sidecar: resources(file.sidecar.unwrap_or(defaults.sidecar)),
            endpoints,
        })
    }

    fn endpoint(&mut self, field: &str, file: EndpointFile, defaults: &DefaultsFile) -> Option<Endpoint> {
        let compute = self.compute(
            &format!("{field}.compute"),
            file.compute.as_ref().unwrap_or(&defaults.compute),
        );
        let steps = file
            .calls
            .into_iter()
            .enumerate()
            .filter_map(|(index, step)| self.step(&format!("{field}.calls[{index}]"), step, defaults.request))
            .collect();
        let Some(name) = EndpointName::new(&file.name) else {
            self.refuse(format!("{field}.name"), Problem::Name(file.name));
            return None;
        };
        Some(Endpoint {
            name,
            compute,
            response: file.response.unwrap_or(defaults.response),
            body_after: file.body_after.duration(),
            steps,
        })
    }

    fn compute(&mut self, field: &str, file: &ComputeFile) -> Compute {
        self.range(
            format!("{field}.sigma"),
            file.sigma,
            (0.0..=3.0).contains(&file.sigma),
            "between 0 and 3",
        );
        self.range(
            format!("{field}.spin"),
            file.spin,
            (0.0..=1.0).contains(&file.spin),
            "between 0 and 1",
        );
        Compute {
            median: file.median,
            sigma: file.sigma,
            spin: file.spin,
        }
    }

    fn step(&mut self, field: &str, file: StepFile, request: Bytes) -> Option<Step> {
        match file {
            StepFile::Short(target) => self.call(field, short(target), request).map(Step::Sequence),
            StepFile::Call(call) => self.call(field, call, request).map(Step::Sequence),
            StepFile::Parallel(file) => {
                if file.parallel.is_empty() {
                    self.refuse(format!("{field}.parallel"), Problem::Empty);
                }
                let branch = |(index, branch): (usize, BranchFile)| {
                    let call = match branch {
                        BranchFile::Short(target) => short(target),
                        BranchFile::Call(call) => call,
                    };
                    self.call(&format!("{field}.parallel[{index}]"), call, request)
                };
                Some(Step::Parallel(
                    file.parallel.into_iter().enumerate().filter_map(branch).collect(),
                ))
            }
        }
    }

    fn call(&mut self, field: &str, file: CallFile, request: Bytes) -> Option<Call> {
        let times = file.times.unwrap_or(1);
        self.range(
            format!("{field}.times"),
            times,
            (1..=1000).contains(&times),
            "between 1 and 1000",
        );
        let to = self.target(field, &file.call)?;
        Some(Call {
            to,
            times,
            request: file.request.unwrap_or(request),
        })
    }

    fn target(&mut self, field: &str, text: &str) -> Option<Target> {
        let target = Target::parse(text);
        if target.is_none() {
            self.refuse(field, Problem::Target(text.to_owned()));
        }
        target
    }

    fn entry(&mut self, field: &str, file: EntryFile) -> Option<Entry> {
        self.range(
            format!("{field}.rate"),
            file.rate,
            file.rate > 0.0 && file.rate <= 10_000.0,
            "above 0, at most 10000",
        );
        let to = self.target(&format!("{field}.to"), &file.to);
        let Some(name) = EndpointName::new(&file.name) else {
            self.refuse(format!("{field}.name"), Problem::Name(file.name));
            return None;
        };
        Some(Entry {
            name,
            to: to?,
            rate: file.rate,
        })
    }

    /// Every call and entry must lead to an endpoint of the graph.
    fn targets(&mut self, graph: &Graph) {
        for service in graph.services() {
            for endpoint in &service.endpoints {
                for call in endpoint.steps.iter().flat_map(Step::calls) {
                    if graph.endpoint(&call.to).is_none() {
                        let field = format!("calls of {}/{}", service.name, endpoint.name);
                        self.refuse(field, Problem::Unknown(call.to.to_string()));
                    }
                }
            }
        }
        for entry in graph.entries() {
            if graph.endpoint(&entry.to).is_none() {
                self.refuse(format!("entry {}", entry.name), Problem::Unknown(entry.to.to_string()));
            }
        }
    }

    /// Depth-first from every endpoint; an endpoint met again on its own path closes a circle.
    fn circles(&mut self, graph: &Graph) {
        let mut done = BTreeSet::new();
        for service in graph.services() {
            for endpoint in &service.endpoints {
                let start = Target {
                    service: service.name.clone(),
                    endpoint: endpoint.name.clone(),
                };
                if let Some(found) = circle(graph, &start, &mut Vec::new(), &mut done) {
                    self.refuse(format!("calls of {start}"), Problem::Circle(found.to_string()));
                    return;
                }
            }
        }
    }
}

fn circle(graph: &Graph, at: &Target, path: &mut Vec<Target>, done: &mut BTreeSet<Target>) -> Option<Target> {
    if path.contains(at) {
        return Some(at.clone());
    }
    if done.contains(at) {
        return None;
    }
    path.push(at.clone());
    let steps = graph
        .endpoint(at)
        .map(|endpoint| endpoint.steps.as_slice())
        .unwrap_or_default();
    let found = steps
        .iter()
        .flat_map(Step::calls)
        .find_map(|call| circle(graph, &call.to, path, done));
    path.pop();
    done.insert(at.clone());
    found
}

fn short(target: String) -> CallFile {
    CallFile {
        call: target,
        times: None,
        request: None,
    }
}

fn limits(file: Option<LimitsFile>) -> Limits {
    let file = file.unwrap_or_default();
    Limits {
        cpu: file.cpu,
        memory: file.memory,
    }
}

fn resources(file: ResourcesFile) -> Resources {
    Resources {
        cpu: file.cpu,
        memory: file.memory,
    }
}
