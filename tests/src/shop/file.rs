//! The graph file as it is written: the shapes serde reads, before anything is believed.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::units::{Bytes, Mebibytes, Micros, MilliCpu};

/// The whole file. `docs` of each field: see the committed `tests/shop/boutique.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GraphFile {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) image: String,
    pub(super) seed: u64,
    pub(super) timeout: Micros,
    pub(super) defaults: DefaultsFile,
    pub(super) services: Vec<ServiceFile>,
    pub(super) entries: Vec<EntryFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DefaultsFile {
    pub(super) replicas: u32,
    pub(super) compute: ComputeFile,
    pub(super) request: Bytes,
    pub(super) response: Bytes,
    pub(super) startup: Micros,
    pub(super) resources: ResourcesFile,
    pub(super) sidecar: ResourcesFile,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ComputeFile {
    pub(super) median: Micros,
    /// Standard deviation of the logarithm; 0 makes it constant.
    pub(super) sigma: f64,
    /// Share of the time that keeps a processor busy; the rest only waits.
    pub(super) spin: f64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourcesFile {
    pub(super) cpu: MilliCpu,
    pub(super) memory: Mebibytes,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsFile {
    pub(super) cpu: Option<MilliCpu>,
    pub(super) memory: Option<Mebibytes>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceFile {
    pub(super) name: String,
    pub(super) protocol: ProtocolFile,
    pub(super) port: u16,
    pub(super) replicas: Option<u32>,
    pub(super) startup: Option<Micros>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) resources: Option<ResourcesFile>,
    pub(super) limits: Option<LimitsFile>,
    pub(super) sidecar: Option<ResourcesFile>,
    pub(super) endpoints: Vec<EndpointFile>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProtocolFile {
    Http,
    Grpc,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointFile {
    pub(super) name: String,
    pub(super) compute: Option<ComputeFile>,
    pub(super) response: Option<Bytes>,
    #[serde(default)]
    pub(super) body_after: Micros,
    #[serde(default)]
    pub(super) calls: Vec<StepFile>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum StepFile {
    /// `service/endpoint`
    Short(String),
    Call(CallFile),
    Parallel(ParallelFile),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallFile {
    pub(super) call: String,
    pub(super) times: Option<u32>,
    pub(super) request: Option<Bytes>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParallelFile {
    pub(super) parallel: Vec<BranchFile>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum BranchFile {
    Short(String),
    Call(CallFile),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryFile {
    pub(super) name: String,
    pub(super) to: String,
    /// Requests per second.
    pub(super) rate: f64,
}
