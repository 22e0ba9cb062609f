//! What a running bed leaves on disk: enough to find it, use it and end it from any other process.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::cache::Cache;
use super::network;

/// The run folder of one bed.
#[derive(Clone, Debug)]
pub struct Run {
    name: String,
    path: PathBuf,
}

/// What the bed was asked to be, and how far it came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Which parts it has.
    pub kind: Kind,
    /// How far `up` came.
    pub phase: Phase,
    /// Nodes; none in a bed that is only a control plane.
    pub nodes: Vec<Node>,
    /// Port of the API server.
    pub port: u16,
    /// Ports of etcd for clients and peers.
    pub etcd: [u16; 2],
}

/// Which parts a bed has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Control plane, wire, nodes, DNS and mesh.
    Cluster,
    /// The control plane alone, on loopback.
    ControlPlane,
    /// The nodes' network namespaces and the wire between them, with nothing in them.
    Wire,
}

/// How far `up` came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Being brought up, or broken off while it was.
    Starting,
    /// All of it answered.
    Up,
}

/// One node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Counted from 1.
    pub number: u8,
    /// Its zone's name.
    pub zone: String,
    /// Processor time it offers, in thousandths of a core.
    pub cpu_milli: u32,
    /// Memory it offers, in MiB.
    pub memory_mib: u32,
}

impl Node {
    /// The node's name in the cluster.
    #[must_use]
    pub fn name(&self) -> String {
        format!("node-{}", self.number)
    }

    /// Its address on the wire.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        network::node(self.number)
    }
}

impl Run {
    /// The folder of the bed of that name, whether it exists or not.
    ///
    /// # Errors
    /// When the name could not be part of file, namespace and group names.
    pub fn of(cache: &Cache, name: &str) -> Result<Self> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            !name.is_empty() && name.len() <= 20 && name.chars().all(fits),
            "the bed's name {name:?} must be 1 to 20 of a-z, 0-9 and -"
        );
        let path = cache.run(name);
        let socket = path.join("node-10/run/containerd/containerd.sock.ttrpc");
        ensure!(
            socket.as_os_str().len() < 100,
            "the path {} is too long for sockets below it: set HUDDLE_CACHE to a shorter one",
            path.display()
        );
        Ok(Self {
            name: name.to_owned(),
            path,
        })
    }

    /// All run folders of the cache.
    #[must_use]
    pub fn existing(cache: &Cache) -> Vec<Self> {
        let entries = fs::read_dir(cache.root().join("run")).into_iter().flatten().flatten();
        let mut found: Vec<Self> = entries
            .filter_map(|entry| Self::of(cache, &entry.file_name().to_string_lossy()).ok())
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// The bed's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The control group that holds all the bed's groups.
    #[must_use]
    pub fn group(&self) -> String {
        format!("huddle-bed/{}", self.name)
    }

    /// Keys, certificates and kubeconfigs.
    #[must_use]
    pub fn pki(&self) -> PathBuf {
        self.path.join("pki")
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.pki().join("admin.kubeconfig")
    }

    /// Log of one part.
    #[must_use]
    pub fn log(&self, role: &str) -> PathBuf {
        self.path.join("logs").join(format!("{role}.log"))
    }

    /// Folder of one node.
    #[must_use]
    pub fn node(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the node's containerd answers.
    #[must_use]
    pub fn containerd(&self, node: &str) -> PathBuf {
        self.node(node).join("run/containerd/containerd.sock")
    }

    /// Where the wire answers.
    #[must_use]
    pub fn wire(&self) -> PathBuf {
        self.path.join("wire.sock")
    }

    /// The control group of the control plane and the wire.
    #[must_use]
    pub fn programs(&self) -> String {
        format!("{}/system", self.group())
    }

    /// Network namespace of a node, by its name, or of the control plane.
    #[must_use]
    pub fn namespace(&self, what: &str) -> String {
        network::namespace(&self.name, what)
    }

    /// The control group of one node's own programs, beside that of its pods.
    #[must_use]
    pub fn node_programs(&self, node: &str) -> String {
        format!("{}/{node}-system", self.group())
    }

    /// Reads what the bed was asked to be.
    ///
    /// # Errors
    /// When there is no such bed or its record cannot be read.
    pub fn record(&self) -> Result<Record> {
        let file = self.path.join("bed.json");
        let text = fs::read_to_string(&file)
            .with_context(|| format!("no bed called {:?} is up (no {})", self.name, file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("the record {}", file.display()))
    }

    /// Writes it, in one step.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, record: &Record) -> Result<()> {
        let half = self.path.join("bed.json.half");
        fs::write(&half, serde_json::to_string_pretty(record)?)?;
        Ok(fs::rename(half, self.path.join("bed.json"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_not_be_file_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path()).unwrap();
        for wrong in ["", "a/b", "..", "A", "a-name-that-is-far-too-long"] {
            assert!(Run::of(&cache, wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(Run::of(&cache, "bed").unwrap().group(), "huddle-bed/bed");
    }
}
