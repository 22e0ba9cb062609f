//! Real Envoys on the loopback, for the proxy rung: a caller's and a callee's sidecar without a cluster around them.
//!
//! The parts of their configuration that are Huddle's are taken from `manifests/mesh/`, so that what is tested is what is
//! installed.

mod mesh;
mod sidecar;

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

pub use mesh::{Answer, HELD, MESH, Mesh, cluster, configuration, module};
pub use sidecar::{Callee, Caller, Endpoint, Huddle, Upstream};

use crate::{
    bed::{Cache, build},
    wait,
};

/// How long an Envoy may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A running Envoy; it ends with this value.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    directory: tempfile::TempDir,
    admin: SocketAddr,
}

impl Envoy {
    /// Starts an Envoy with this bootstrap, two workers, and waits until it is live. `bootstrap` gets the directory for further
    /// files and needs no admin part.
    ///
    /// # Errors
    /// When Envoy cannot be found or refuses the configuration; with the end of its log.
    pub async fn start(bootstrap: impl FnOnce(&Path) -> Result<Value>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut bootstrap = bootstrap(directory.path())?;
        bootstrap["admin"] = serde_json::json!({"address": sidecar::address("127.0.0.1:0".parse()?)});
        let config = directory.path().join("envoy.json");
        fs::write(&config, serde_json::to_vec_pretty(&bootstrap)?)?;
        let log = fs::File::create(directory.path().join("envoy.log"))?;
        let admin_path = directory.path().join("admin");
        let child = Command::new(binary().await?)
            .args(["--disable-hot-restart", "--concurrency", "2", "--drain-time-s", "1"])
            .args(["--log-level", "warning", "--component-log-level", "wasm:info"])
            .arg("--admin-address-path")
            .arg(&admin_path)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting Envoy")?;
        let mut envoy = Self {
            child,
            directory,
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let live = wait::until("a live Envoy", START, async || envoy.look(&admin_path).await).await;
        live.with_context(|| format!("Envoy's log:\n{}", envoy.log()))?;
        Ok(envoy)
    }

    /// The address that the listener of this name is bound to.
    ///
    /// # Errors
    /// When there is no such listener.
    pub async fn listener(&self, name: &str) -> Result<SocketAddr> {
        let listeners: Value = serde_json::from_str(&self.admin("/listeners?format=json").await?)?;
        let statuses = listeners["listener_statuses"].as_array().context("no listeners")?;
        let found = statuses
            .iter()
            .find(|listener| listener["name"] == name)
            .context("no such listener")?;
        let address = &found["local_address"]["socket_address"];
        let port = address["port_value"].as_u64().context("no port")?;
        Ok(SocketAddr::from(([127, 0, 0, 1], u16::try_from(port)?)))
    }

    /// The value of a counter or gauge, 0 if there is none.
    ///
    /// # Errors
    /// When the admin port does not answer.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        let stats = self.admin(&format!("/stats?filter=^{name}$")).await?;
        Ok(stats
            .trim()
            .rsplit_once(": ")
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(0))
    }

    /// Microseconds of cpu time that this Envoy has used.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_us(&self) -> Result<u64> {
        // proc(5): the fields after the command's closing parenthesis; utime and stime are the 12th and 13th of them.
        const TICK_US: u64 = 10_000;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().collect();
        let ticks = |at: usize| -> Result<u64> { Ok(fields.get(at).context("stat")?.parse()?) };
        Ok((ticks(11)? + ticks(12)?) * TICK_US)
    }

    /// Kilobytes of resident memory.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident_kb(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// What Envoy has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("envoy.log")).unwrap_or_default()
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    async fn look(&mut self, admin_path: &Path) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("Envoy ended: {status}");
        }
        self.admin = fs::read_to_string(admin_path)?.parse()?;
        ensure!(self.admin("/ready").await?.trim() == "LIVE", "not live yet");
        Ok(())
    }

    async fn admin(&self, path: &str) -> Result<String> {
        let answer = crate::envoy::mesh::get(self.admin, "admin", path).await?;
        Ok(String::from_utf8(answer.body.to_vec())?)
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Envoy's binary: `HUDDLE_ENVOY`, or the bed's, which is fetched once.
async fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("HUDDLE_ENVOY") {
        return Ok(path.into());
    }
    tokio::task::spawn_blocking(|| build::envoy(&Cache::open()?)).await?
}
