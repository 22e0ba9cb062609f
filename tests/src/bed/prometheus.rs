//! A Prometheus on loopback, for one test.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::cache::Cache;
use super::control_plane::free_ports;
use super::wait::until;
use super::{build, launch};

/// Below what path it serves, as one behind a proxy does.
const PREFIX: &str = "/prom";

/// A real Prometheus: what it scrapes is said by its configuration. It ends when this is dropped, and also when the process that holds it
/// is killed.
#[derive(Debug)]
pub struct Prometheus {
    binary: PathBuf,
    port: u16,
    running: Option<Child>,
    folder: TempDir,
}

impl Prometheus {
    /// Starts one with this configuration (prometheus.yml), building it first where the cache lacks it, and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be built or does not start; the message holds the end of its log.
    pub fn start(configuration: &str) -> Result<Self> {
        let binary = build::prometheus(&Cache::open()?)?;
        let folder = tempfile::Builder::new().prefix("huddle-prometheus-").tempdir()?;
        fs::write(folder.path().join("prometheus.yml"), configuration)?;
        let [port] = free_ports()?;
        let mut started = Self {
            binary,
            port,
            running: None,
            folder,
        };
        started.run()?;
        Ok(started)
    }

    /// Where it is, path prefix included.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}:{}{PREFIX}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Starts it where it does not run, at the same address and with what it has stored, and waits until it answers.
    ///
    /// # Errors
    /// When it ends at once or does not answer.
    pub fn run(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let log = folder.join("prometheus.log");
        // The shell's input is a pipe that is never written to: it closes with this process, and then the shell ends Prometheus.
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(r#"exec 3<&0; "$0" "$@" </dev/null 3<&- & trap 'kill -KILL $!' EXIT; read -r _ <&3"#)
            .arg(&self.binary)
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            // The one before it was killed, and could not take its lock away.
            .arg("--storage.tsdb.no-lockfile")
            .arg(format!("--web.listen-address={}:{}", Ipv4Addr::LOCALHOST, self.port))
            .arg(format!("--web.route-prefix={PREFIX}"));
        let child = launch::start(command, folder, "prometheus", &log, Stdio::piped())?;
        self.running = Some(child);
        let started = until("prometheus", Duration::from_secs(60), || Ok(self.ready()));
        started.with_context(|| launch::tail(&log))
    }

    /// Asks it whether it is ready.
    fn ready(&self) -> Result<(), String> {
        let asked = || -> Result<String> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            write!(stream, "GET {PREFIX}/-/ready HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer.lines().next().unwrap_or_default().to_owned())
        };
        match asked() {
            Ok(status) if status.contains(" 200 ") => Ok(()),
            Ok(status) => Err(status),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Kills it, as a crash would, and waits until nobody listens any more.
    ///
    /// # Errors
    /// When it does not run or does not end.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.running.take() else {
            bail!("prometheus does not run")
        };
        drop(child.stdin.take());
        child.wait()?;
        until("prometheus to end", Duration::from_secs(10), || {
            Ok(match TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                Ok(_) => Err("it still listens".to_owned()),
                Err(_) => Ok(()),
            })
        })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if self.running.is_some() {
            let _ = self.kill();
        }
    }
}
