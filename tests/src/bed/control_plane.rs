//! The control plane: etcd, API server, controller manager, scheduler.
//!
//! Two uses share it. A bed with nodes runs it in a network namespace of its own, detached. [`ControlPlane`] runs it on loopback for
//! a test, without root, and it ends with the test however that ends: its programs watch their standard input.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::cache::Cache;
use super::pki::{Authority, serving};
use super::state::Node;
use super::wait::until;
use super::{build, launch, network};

/// The programs of a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
    /// All built-in controllers.
    ControllerManager,
    /// The scheduler.
    Scheduler,
}

impl Program {
    /// All of them in the order they start.
    pub const ALL: [Self; 4] = [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler];

    /// The name of the program, of its log and of its role.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }

    /// Finds a program by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|program| program.name() == name || program.name().strip_prefix("kube-") == Some(name))
    }
}

/// Where a control plane listens and keeps its files.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub folder: PathBuf,
    pub pki: PathBuf,
    pub address: Ipv4Addr,
    pub port: u16,
    pub etcd: [u16; 2],
    /// More flags of the API server.
    pub more: Vec<String>,
}

impl Layout {
    fn server(&self) -> String {
        format!("https://{}:{}", self.address, self.port)
    }

    /// Whether nodes will join: without them, loopback is enough, and nobody's silence is held against a node.
    fn has_nodes(&self) -> bool {
        !self.address.is_loopback()
    }

    /// Makes keys, certificates and kubeconfigs for the programs and the administrator.
    pub(super) fn certify(&self) -> Result<Authority> {
        let authority = Authority::create(&self.pki)?;
        let addresses = [Ipv4Addr::LOCALHOST, self.address, Ipv4Addr::new(10, 96, 0, 1)].map(IpAddr::V4);
        authority.sign("apiserver", "kube-apiserver", None, &addresses)?;
        let server = self.server();
        authority.user("admin", "admin", Some("system:masters"), &server)?;
        authority.user("controller-manager", "system:kube-controller-manager", None, &server)?;
        authority.user("scheduler", "system:kube-scheduler", None, &server)?;
        authority.user("proxy", "system:kube-proxy", None, &server)?;
        Ok(authority)
    }

    /// Makes a node's own user, which NodeRestriction keeps to its own objects, and the certificate that its kubelet shows.
    pub(super) fn certify_node(&self, authority: &Authority, node: &Node) -> Result<()> {
        let name = node.name();
        let (user, group) = (format!("system:node:{name}"), Some("system:nodes"));
        authority.user(&name, &user, group, &self.server())?;
        authority.sign(&serving(&name), &user, group, &[IpAddr::V4(node.address())])
    }

    /// Arguments of the multi-call binary that make it that program.
    pub(super) fn arguments(&self, program: Program) -> Vec<String> {
        let file = |name: &str| self.pki.join(name).display().to_string();
        let [client, peer] = self.etcd.map(|port| format!("http://127.0.0.1:{port}"));
        let mut words = vec![program.name().to_owned()];
        match program {
            Program::Etcd => words.extend([self.folder.join("etcd").display().to_string(), client, peer]),
            Program::ApiServer => {
                words.extend(self.api_server_flags(&client));
                words.extend([
                    format!("--client-ca-file={}", file("ca.crt")),
                    format!("--tls-cert-file={}", file("apiserver.crt")),
                    format!("--tls-private-key-file={}", file("apiserver.key")),
                    format!("--service-account-key-file={}", file("sa.pub")),
                    format!("--service-account-signing-key-file={}", file("sa.key")),
                    format!("--kubelet-client-certificate={}", file("admin.crt")),
                    format!("--kubelet-client-key={}", file("admin.key")),
                ]);
            }
            Program::ControllerManager => words.extend([
                format!("--kubeconfig={}", file("controller-manager.kubeconfig")),
                "--leader-elect=false".to_owned(),
                "--use-service-account-credentials=true".to_owned(),
                format!("--service-account-private-key-file={}", file("sa.key")),
                format!("--root-ca-file={}", file("ca.crt")),
                format!("--cluster-signing-cert-file={}", file("ca.crt")),
                format!("--cluster-signing-key-file={}", file("ca.key")),
                // Without kubelets no node reports, and its pods would be evicted for it.
                format!(
                    "--controllers={}",
                    if self.has_nodes() {
                        "*"
                    } else {
                        "*,-node-lifecycle-controller,-taint-eviction-controller"
                    }
                ),
                "--secure-port=0".to_owned(),
            ]),
            Program::Scheduler => {
                words.extend([
                    format!("--kubeconfig={}", file("scheduler.kubeconfig")),
                    "--leader-elect=false".to_owned(),
                    "--secure-port=0".to_owned(),
                ]);
                if !self.has_nodes() {
                    // Its client's own limit, 50 requests a second, would be all that its pace shows.
                    words.extend(["--kube-api-qps=5000".to_owned(), "--kube-api-burst=5000".to_owned()]);
                }
            }
        }
        words
    }

    fn api_server_flags(&self, etcd: &str) -> Vec<String> {
        let mut flags: Vec<String> = [
            "--service-account-issuer=https://kubernetes.default.svc",
            "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            // Webhooks are called at their pods' addresses, so that no kube-proxy is needed where the API server runs: one there
            // would wait half a minute for a node object of its name.
            "--enable-aggregator-routing=true",
        ]
        .map(str::to_owned)
        .to_vec();
        flags.push(format!("--etcd-servers={etcd}"));
        flags.push(format!("--secure-port={}", self.port));
        flags.push(format!("--bind-address={}", self.address));
        flags.push(format!("--service-cluster-ip-range={}", network::SERVICES));
        flags.extend_from_slice(&self.more);
        if self.has_nodes() {
            flags.push(format!("--advertise-address={}", self.address));
        } else {
            // Loopback may not be advertised, and without nodes nobody asks (192.0.2.0/24 is for documentation: RFC 5737).
            flags.extend([
                "--endpoint-reconciler-type=none".to_owned(),
                "--advertise-address=192.0.2.1".to_owned(),
            ]);
        }
        flags
    }
}

/// Asks the API server whether it is ready, as the administrator.
pub(super) fn ready(kube: &Path, kubeconfig: &Path) -> Result<Result<(), String>> {
    let asked = Command::new(kube)
        .args(["kubectl", "get", "--raw", "/readyz"])
        .env("KUBECONFIG", kubeconfig)
        .output()
        .context("cannot run kubectl")?;
    Ok(if asked.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&asked.stderr).trim().to_owned())
    })
}

/// Ports that were free a moment ago.
pub(super) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until all are found, so that they differ.
    let held = (0..N)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<Vec<_>, _>>()?;
    let ports = held
        .iter()
        .map(|socket| Ok(socket.local_addr()?.port()))
        .collect::<Result<Vec<_>>>()?;
    ports.try_into().ok().context("fewer ports than asked for")
}

/// Folders of control planes, followed by the number of the process that holds them.
const PREFIX: &str = "huddle-control-plane-";

/// A real control plane on loopback, for one test: no nodes, no root, any number at once. Everything ends when this is dropped,
/// and also when the process that holds it is killed.
///
/// Nodes are whatever the test writes: nobody marks them silent or evicts their pods.
#[derive(Debug)]
pub struct ControlPlane {
    kube: PathBuf,
    layout: Layout,
    running: Vec<(Program, Child)>,
    folder: TempDir,
}

impl ControlPlane {
    /// Starts one, building Kubernetes first where the cache lacks it, and waits until it answers.
    ///
    /// # Errors
    /// When Kubernetes cannot be built or a program does not start; the message holds the end of its log.
    pub fn start() -> Result<Self> {
        Self::start_with(Vec::new())
    }

    /// One whose API server serves no policies that mutate: as before Kubernetes 1.36, or where somebody has switched them off.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_without_mutating_policies() -> Result<Self> {
        let kinds = ["mutatingadmissionpolicies", "mutatingadmissionpolicybindings"];
        let off = kinds.map(|kind| format!("admissionregistration.k8s.io/v1/{kind}=false"));
        Self::start_with(vec![
            format!("--runtime-config={}", off.join(",")),
            "--disable-admission-plugins=MutatingAdmissionPolicy".to_owned(),
        ])
    }

    fn start_with(more: Vec<String>) -> Result<Self> {
        let cache = Cache::open()?;
        let kube = build::kube(&cache)?;
        Self::sweep()?;
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir()?;
        let [port, client, peer] = free_ports()?;
        let layout = Layout {
            folder: folder.path().to_owned(),
            pki: folder.path().join("pki"),
            address: Ipv4Addr::LOCALHOST,
            port,
            etcd: [client, peer],
            more,
        };
        layout.certify()?;
        let mut started = Self {
            kube,
            layout,
            running: Vec::new(),
            folder,
        };
        started.run(Program::Etcd)?;
        started.run(Program::ApiServer)?;
        started.run(Program::ControllerManager)?;
        started.run(Program::Scheduler)?;
        Ok(started)
    }

    /// Removes what processes left that were killed while they held one, or that ended without dropping it (a test program's
    /// statics are never dropped): some 170 MB each.
    ///
    /// # Errors
    /// When the folder for temporary files cannot be read.
    pub fn sweep() -> Result<()> {
        for entry in fs::read_dir(std::env::temp_dir())? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let holder = name.and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
            if holder.is_some_and(|holder| !Path::new("/proc").join(holder.to_string()).exists()) {
                // Another process may sweep at the same time.
                let _ = fs::remove_dir_all(&path);
            }
        }
        Ok(())
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.pki.join("admin.kubeconfig")
    }

    /// The log of one program.
    #[must_use]
    pub fn log(&self, program: Program) -> PathBuf {
        self.folder.path().join("logs").join(format!("{}.log", program.name()))
    }

    /// Starts a program that does not run, and waits until it works.
    ///
    /// # Errors
    /// When it ends at once or does not answer.
    pub fn run(&mut self, program: Program) -> Result<()> {
        let mut command = Command::new(&self.kube);
        command.args(self.layout.arguments(program)).env("BED_LIFELINE", "1");
        // The pipe's other end is never written to: it closes with this process, and then the program ends.
        let child = launch::start(
            command,
            self.folder.path(),
            program.name(),
            &self.log(program),
            Stdio::piped(),
        )?;
        self.running.push((program, child));
        let (log, kube, kubeconfig) = (self.log(program), self.kube.clone(), self.kubeconfig());
        let client = self.layout.etcd[0];
        until(program.name(), Duration::from_secs(60), || {
            if let Some((_, child)) = self.running.last_mut()
                && let Some(status) = child.try_wait()?
            {
                bail!("{} ended with {status}:\n{}", program.name(), launch::tail(&log));
            }
            match program {
                Program::Etcd => Ok(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, client))
                    .map(drop)
                    .map_err(|error| error.to_string())),
                Program::ApiServer => ready(&kube, &kubeconfig),
                Program::ControllerManager | Program::Scheduler => Ok(Ok(())),
            }
        })
    }

    /// Kills a program at once, as a crash would.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self, program: Program) -> Result<()> {
        let at = self
            .running
            .iter()
            .position(|(running, _)| *running == program)
            .with_context(|| format!("{} does not run", program.name()))?;
        let (_, mut child) = self.running.swap_remove(at);
        child.kill()?;
        child.wait()?;
        Ok(())
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            let _ = child.kill();
        }
        for (_, child) in &mut self.running {
            let _ = child.wait();
        }
        // The folder goes with its own drop; etcd has ended by now.
        let _ = fs::remove_dir_all(self.layout.folder.join("etcd"));
    }
}
