//! A dump: the cluster view and the graph of a running controller as JSON, with all that the planner reads, so that a plan made
//! from it is the plan that the controller would make.
//!
//! ```text
//! Published ─► encode ─► /api/v1/dump ─► `huddle dump` ─► file ─► Part::decode ─► `huddle plan --cluster`
//! ```
//!
//! The file is one JSON object: `huddleDump` (its form, 1), `madeBy` (the controller's version), `cluster` (`nodes`, `workloads`,
//! `pods`, `services`, `policies` and `rules`, each a list of the types of [`huddle_core::cluster`] with field names in camelCase; what
//! is empty by default may be left out, what is unknown is refused; `templates`, `trust` and `reroutes` are what advice on merging asks),
//! `graph` (`at`, `window`, `edges`; times in ms since the epoch) and `standing`, the plan that stood in the controller; `used`, what containers used at their height.

mod cluster;
mod graph;
#[cfg(test)]
mod tests;

pub use cluster::InvalidCluster;
pub(crate) use graph::GraphFile;
pub use graph::InvalidGraph;

use cluster::ClusterFile;
use huddle_core::cluster::ClusterView;
use huddle_core::graph::Snapshot;
use huddle_core::id::{ContainerName, WorkloadId};
use huddle_core::plan::Plan;
use huddle_core::plan::merge::{Use, Uses};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The form that this program writes and reads.
const FORM: u32 = 1;

/// What a dump may hold; a folder keeps cluster and graph in two files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// The version of the controller that wrote it.
    pub made_by: String,
    /// The cluster.
    pub cluster: Option<ClusterView>,
    /// The graph.
    pub graph: Option<Snapshot>,
    /// The plan that stood in the controller.
    pub standing: Option<Plan>,
    /// What containers used at their height, as far as kubelets told.
    pub used: Uses,
}

/// The same as written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    huddle_dump: u32,
    made_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    standing: Option<Plan>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    graph: Option<GraphFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    used: Vec<UsedRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsedRow {
    workload: WorkloadId,
    containers: BTreeMap<ContainerName, Use>,
}

/// The field by which a dump is told from other files, and its form.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    huddle_dump: u32,
}

/// Why bytes are no dump.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDump {
    /// They are not JSON, or not of this shape: the field, and what is wrong with it.
    #[error("{0}")]
    Json(String),
    /// Another version's.
    #[error("huddleDump: this is a dump of form {found}, and this program reads form {FORM}")]
    Form {
        /// Its form.
        found: u32,
    },
    /// The cluster makes no sense.
    #[error("cluster.{0}")]
    Cluster(#[from] InvalidCluster),
    /// The graph makes no sense.
    #[error("graph.{0}")]
    Graph(#[from] InvalidGraph),
}

/// Reads JSON; the error names the field and the place.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidDump> {
    let mut decoder = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut decoder).map_err(|error| {
        let field = error.path().to_string();
        InvalidDump::Json(match field.as_str() {
            "." | "?" => error.inner().to_string(),
            _ => format!("{field}: {}", error.inner()),
        })
    })?;
    decoder.end().map_err(|error| InvalidDump::Json(error.to_string()))?;
    Ok(value)
}

impl Part {
    /// Reads a dump.
    ///
    /// # Errors
    /// What is wrong, with the field it is in.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidDump> {
        let Probe { huddle_dump: found } = from_json(bytes)?;
        if found != FORM {
            return Err(InvalidDump::Form { found });
        }
        let file: File = from_json(bytes)?;
        Ok(Self {
            made_by: file.made_by,
            cluster: file.cluster.map(ClusterView::try_from).transpose()?,
            graph: file.graph.map(Snapshot::try_from).transpose()?,
            standing: file.standing,
            used: file
                .used
                .into_iter()
                .map(|row| (row.workload, row.containers))
                .collect(),
        })
    }

    /// Writes a dump.
    ///
    /// # Errors
    /// If a number in it has no JSON form (not a number, infinite).
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let (cluster, graph) = (self.cluster.as_ref(), self.graph.as_ref());
        encode_used(cluster, graph, self.standing.as_ref(), &self.used)
    }
}

/// Writes a dump of this version.
///
/// # Errors
/// If a number in it has no JSON form (not a number, infinite).
pub fn encode(
    cluster: Option<&ClusterView>,
    graph: Option<&Snapshot>,
    standing: Option<&Plan>,
) -> serde_json::Result<Vec<u8>> {
    encode_used(cluster, graph, standing, &Uses::new())
}

/// The same, with what containers used.
///
/// # Errors
/// If a number in it has no JSON form (not a number, infinite).
pub fn encode_used(
    cluster: Option<&ClusterView>,
    graph: Option<&Snapshot>,
    standing: Option<&Plan>,
    used: &Uses,
) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&File {
        huddle_dump: FORM,
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        standing: standing.cloned(),
        cluster: cluster.map(ClusterFile::from),
        graph: graph.map(GraphFile::from),
        used: used
            .iter()
            .map(|(workload, containers)| UsedRow {
                workload: workload.clone(),
                containers: containers.clone(),
            })
            .collect(),
    })
}
