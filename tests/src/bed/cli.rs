//! The command line of the bed.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};

use super::cache::Cache;
use super::cgroup::Trees;
use super::control_plane::Program;
use super::image::Image;
use super::launch::{self, Place};
use super::mesh::Kubectl;
use super::state::{Kind, Node, Record, Run};
use super::up::{self, Wanted};
use super::wire::{self, Link, Links, Request};
use super::{build, down, node, process};

/// A real Kubernetes and a real Istio on one machine, with a wire whose delays you set.
#[derive(Debug, Parser)]
#[command(name = "bed", max_term_width = 110)]
pub struct Cli {
    /// Name of the bed.
    #[arg(long, global = true, default_value = "bed")]
    name: String,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build every part; only a first build is slow (about 16 minutes on two cores).
    Build,
    /// Bring a bed up.
    Up(UpArgs),
    /// Say what runs.
    Status,
    /// Import image archives into every node.
    Load {
        /// Archives as `bed image`, docker save or skopeo write them.
        #[arg(required = true)]
        images: Vec<PathBuf>,
    },
    /// Show or change what the links between nodes are set to, while the bed runs.
    Wire {
        #[command(subcommand)]
        change: Option<WireVerb>,
    },
    /// Kill a part at once, as a crash would.
    Kill {
        #[command(subcommand)]
        part: PartVerb,
    },
    /// Start a part again that was killed.
    Start {
        #[command(subcommand)]
        part: PartVerb,
    },
    /// End the bed and leave nothing of it.
    Down,
    /// Print the path of the administrator's kubeconfig.
    Kubeconfig,
    /// Run kubectl against the bed.
    #[command(disable_help_flag = true)]
    Kubectl {
        /// kubectl's own arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Print the path of a built program: kube, fortio, envoy, istioctl, ctr.
    Program {
        /// Its name.
        program: String,
    },
    /// Write an image archive with the named files and the shared libraries they need.
    Image(ImageArgs),
    #[command(hide = true)]
    Enter {
        #[arg(long)]
        namespace: Option<String>,
        #[arg(long)]
        group: Option<String>,
        #[arg(last = true)]
        program: Vec<OsString>,
    },
    #[command(hide = true)]
    NodeRun {
        #[arg(long)]
        node: String,
    },
    #[command(hide = true)]
    WireRun {
        #[arg(long)]
        wiring: PathBuf,
        #[arg(long)]
        socket: PathBuf,
    },
}

#[derive(Debug, Args)]
struct UpArgs {
    /// Only etcd, API server, controller manager and scheduler, on loopback; needs no root.
    #[arg(long, conflicts_with_all = ["nodes", "zones", "wire", "node_cpu", "node_memory"])]
    control_plane: bool,
    /// Only the nodes' network namespaces and the wire between them; may stand beside any other bed.
    #[arg(long, conflicts_with_all = ["control_plane", "node_cpu", "node_memory"])]
    no_cluster: bool,
    /// Number of nodes.
    #[arg(long, default_value_t = 4)]
    nodes: u8,
    /// Number of zones the nodes take turns in.
    #[arg(long, default_value_t = 2)]
    zones: u8,
    /// What the links are set to: flat, cloud, or a JSON file.
    #[arg(long, default_value = "flat")]
    wire: String,
    /// Processor time each node offers, such as 1500m or 2.
    #[arg(long, default_value = "1500m", value_parser = parse_cpu)]
    node_cpu: u32,
    /// Memory each node offers, such as 4Gi or 512Mi.
    #[arg(long, default_value = "4Gi", value_parser = parse_memory)]
    node_memory: u32,
}

#[derive(Debug, Subcommand)]
enum WireVerb {
    /// Show what the links are set to and what has passed.
    Show,
    /// Set all links to a profile (flat, cloud) or a JSON file; exceptions set before are gone.
    Profile {
        /// flat, cloud, or a file.
        profile: String,
    },
    /// Set the links between two nodes, in both directions; what is not given stays.
    Set(SetArgs),
}

#[derive(Debug, Args)]
struct SetArgs {
    /// One node.
    from: String,
    /// The other.
    to: String,
    /// One-way delay, such as 600us or 2ms.
    #[arg(long, value_parser = microseconds)]
    delay: Option<u32>,
    /// Added to it, evenly between 0 and this.
    #[arg(long, value_parser = microseconds)]
    jitter: Option<u32>,
    /// Share of slow packets and how much slower, such as 1%:2ms-5ms.
    #[arg(long)]
    tail: Option<wire::Tail>,
    /// Share of packets lost, such as 0.5%.
    #[arg(long)]
    loss: Option<wire::Share>,
    /// Add the delay to what is set instead of replacing it.
    #[arg(long, requires = "delay")]
    add: bool,
    /// Only from the first node to the second.
    #[arg(long)]
    one_way: bool,
}

#[derive(Debug, Subcommand)]
enum PartVerb {
    /// A node: containerd, kubelet, kube-proxy and all its pods.
    Node {
        /// Its number, from 1.
        number: u8,
    },
    /// A program of the control plane.
    ControlPlane {
        /// etcd, apiserver, controller-manager or scheduler.
        program: String,
    },
    /// The wire: nodes do not reach each other without it.
    Wire,
}

#[derive(Debug, Args)]
struct ImageArgs {
    /// The archive to write.
    out: PathBuf,
    /// The image's NAME:TAG.
    image: String,
    /// User and group the program runs as.
    #[arg(long, default_value = "")]
    user: String,
    /// The program and its first arguments; may be given several times.
    #[arg(long)]
    entrypoint: Vec<String>,
    /// Environment variable NAME=VALUE; may be given several times.
    #[arg(long)]
    env: Vec<String>,
    /// File or folder SOURCE:DESTINATION; may be given several times.
    #[arg(long = "file", num_args = 1..)]
    files: Vec<String>,
}

/// Reads `1500m` or `1.5` as thousandths of a core.
fn parse_cpu(text: &str) -> Result<u32> {
    let milli = match text.strip_suffix('m') {
        Some(number) => number.parse::<u32>()?,
        None => (text.parse::<f64>()? * 1000.0).round() as u32,
    };
    ensure!(milli > 0, "a node must offer some processor time");
    Ok(milli)
}

/// Reads `4Gi` or `512Mi` as MiB.
fn parse_memory(text: &str) -> Result<u32> {
    let mib = match (text.strip_suffix("Gi"), text.strip_suffix("Mi")) {
        (Some(number), _) => number.parse::<u32>()?.checked_mul(1024).context("too much memory")?,
        (_, Some(number)) => number.parse::<u32>()?,
        _ => bail!("write memory as 4Gi or 512Mi"),
    };
    ensure!(mib >= 128, "a node must offer at least 128Mi");
    Ok(mib)
}

fn microseconds(text: &str) -> Result<u32> {
    Ok(u32::try_from(wire::parse_duration(text)?.as_micros())?)
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// With what is missing or went wrong, and what to do about it.
    pub fn run(self) -> Result<()> {
        let cache = Cache::open()?;
        let run = Run::of(&cache, &self.name)?;
        match self.command {
            Verb::Build => build::all(&cache).map(drop),
            Verb::Up(wanted) => wanted.up(&cache, &run),
            Verb::Status => status(&cache, &run),
            Verb::Load { images } => load(&cache, &run, &images),
            Verb::Wire { change } => change.unwrap_or(WireVerb::Show).apply(&run),
            Verb::Kill { part } => part.kill(&run),
            Verb::Start { part } => part.start(&cache, &run),
            Verb::Down => down::down(&run),
            Verb::Kubeconfig => {
                run.record()?;
                println!("{}", run.kubeconfig().display());
                Ok(())
            }
            Verb::Kubectl { words } => {
                run.record()?;
                let failed = Command::new(build::kube(&cache)?)
                    .arg("kubectl")
                    .args(words)
                    .env("KUBECONFIG", run.kubeconfig())
                    .exec();
                Err(failed).context("cannot run kubectl")
            }
            Verb::Program { program } => print_program(&cache, &program),
            Verb::Image(image) => image.write(),
            Verb::Enter {
                namespace,
                group,
                program,
            } => Err(launch::enter(
                Place {
                    namespace: namespace.as_deref(),
                    group: group.as_deref(),
                },
                &program,
            )),
            Verb::NodeRun { node } => node::hold(&run, &node),
            Verb::WireRun { wiring, socket } => wire::run(serde_json::from_str(&fs::read_to_string(wiring)?)?, &socket),
        }
    }
}

impl UpArgs {
    fn up(self, cache: &Cache, run: &Run) -> Result<()> {
        let wanted = Wanted {
            nodes: self.nodes,
            zones: self.zones,
            links: Links::load(&self.wire)?,
            cpu_milli: self.node_cpu,
            memory_mib: self.node_memory,
        };
        match (self.control_plane, self.no_cluster) {
            (true, _) => up::control_plane(cache, run)?,
            (_, true) => return up::wire(cache, run, &wanted),
            _ => up::cluster(cache, run, &wanted)?,
        }
        println!("KUBECONFIG={}", run.kubeconfig().display());
        Ok(())
    }
}

fn print_program(cache: &Cache, program: &str) -> Result<()> {
    let path = match program {
        "kube" => build::kube(cache)?,
        "fortio" => build::fortio(cache)?,
        "envoy" => build::envoy(cache)?,
        "istioctl" => build::all(cache)?.istioctl,
        "ctr" => build::all(cache)?.containerd.join("ctr"),
        _ => bail!("the bed has no program {program:?}: there are kube, fortio, envoy, istioctl and ctr"),
    };
    println!("{}", path.display());
    Ok(())
}

fn status(cache: &Cache, run: &Run) -> Result<()> {
    let record = run.record()?;
    println!(
        "bed {}: {:?} {:?}, {} nodes",
        run.name(),
        record.kind,
        record.phase,
        record.nodes.len()
    );
    let mut running: Vec<(String, i32)> = process::marked(run.path())
        .into_iter()
        .map(|(pid, role)| (role, pid))
        .collect();
    running.sort();
    running.dedup_by(|a, b| a.0 == b.0);
    for (role, pid) in running {
        println!("  {role:32} pid {pid}");
    }
    if record.kind == Kind::Wire {
        return Ok(());
    }
    let kubeconfig = run.kubeconfig();
    println!("KUBECONFIG={}", kubeconfig.display());
    let kube = build::kube(cache)?;
    print!(
        "{}",
        Kubectl {
            kube: &kube,
            kubeconfig: &kubeconfig
        }
        .run(&["get", "nodes", "-L", "topology.kubernetes.io/zone"])?
    );
    Ok(())
}

fn load(cache: &Cache, run: &Run, images: &[PathBuf]) -> Result<()> {
    let parts = build::all(cache)?;
    let Record { kind, nodes, .. } = run.record()?;
    ensure!(
        kind == Kind::Cluster,
        "the bed {:?} has no nodes to load images into",
        run.name()
    );
    let load_one = |node: &Node| -> Result<()> {
        for image in images {
            node::import(&parts.containerd, &run.containerd(&node.name()), image).with_context(|| node.name())?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let loads: Vec<_> = nodes.iter().map(|node| scope.spawn(move || load_one(node))).collect();
        loads.into_iter().try_for_each(|load| {
            load.join()
                .map_err(|_| anyhow::Error::msg("loading ended in a panic"))?
        })
    })
}

impl WireVerb {
    fn apply(self, run: &Run) -> Result<()> {
        let record = run.record()?;
        let (mut links, _) = wire::ask(&run.wire(), &Request::Show)?;
        match self {
            Self::Show => {}
            Self::Profile { profile } => links = Links::load(&profile)?,
            Self::Set(set) => {
                let zone = |name: &str| {
                    record
                        .nodes
                        .iter()
                        .find(|node| node.name() == name)
                        .map(|node| node.zone.clone())
                        .with_context(|| format!("the bed has no node {name:?}"))
                };
                let same_zone = zone(&set.from)? == zone(&set.to)?;
                let mut change = |from: &str, to: &str| {
                    let link = set.change(links.link(from, to, same_zone));
                    links.set(from, to, link);
                };
                change(&set.from, &set.to);
                if !set.one_way {
                    change(&set.to, &set.from);
                }
            }
        }
        let (links, counters) = wire::ask(&run.wire(), &Request::Set(links))?;
        up::keep_links(run, &links)?;
        println!(
            "{}",
            serde_json::to_string_pretty(&serde_json::json!({"links": links, "counters": counters}))?
        );
        Ok(())
    }
}

impl SetArgs {
    fn change(&self, link: Link) -> Link {
        let delay_us = match (self.delay, self.add) {
            (Some(delay), true) => link.delay_us.saturating_add(delay),
            (Some(delay), false) => delay,
            (None, _) => link.delay_us,
        };
        Link {
            delay_us,
            jitter_us: self.jitter.unwrap_or(link.jitter_us),
            tail: self.tail.unwrap_or(link.tail),
            loss: self.loss.unwrap_or(link.loss),
        }
    }
}

impl PartVerb {
    fn kill(self, run: &Run) -> Result<()> {
        let record = run.record()?;
        let marked = |role: &str| {
            process::marked(run.path())
                .into_iter()
                .filter(|(_, found)| found == role)
                .map(|(pid, _)| pid)
                .collect::<std::collections::BTreeSet<_>>()
        };
        let ended = match self {
            Self::Node { number } => {
                let node = find_node(&record.nodes, number)?;
                let (trees, name) = (Trees::detect()?, node.name());
                process::end(|| {
                    &trees.processes(&run.node_programs(&name)) | &trees.processes(&format!("{}/{name}", run.group()))
                })?
            }
            Self::ControlPlane { program } => {
                let role = find_program(&program)?.name();
                process::end(|| marked(role))?
            }
            Self::Wire => process::end(|| marked("wire"))?,
        };
        ensure!(ended > 0, "that part did not run");
        Ok(())
    }

    fn start(self, cache: &Cache, run: &Run) -> Result<()> {
        let record = run.record()?;
        match self {
            Self::Node { number } => up::start_node(
                run,
                &Trees::detect()?,
                &build::all(cache)?,
                find_node(&record.nodes, number)?,
            ),
            Self::ControlPlane { program } => {
                up::start_program(run, &record, &build::kube(cache)?, find_program(&program)?)
            }
            Self::Wire => {
                let links = up::kept_links(run)?;
                up::start_wire(run, &record, &links)
            }
        }
    }
}

fn find_node(nodes: &[Node], number: u8) -> Result<&Node> {
    nodes
        .iter()
        .find(|node| node.number == number)
        .with_context(|| format!("the bed has nodes 1 to {}, not {number}", nodes.len()))
}

fn find_program(name: &str) -> Result<Program> {
    Program::named(name).with_context(|| {
        format!(
            "the control plane has no program {name:?}: there are etcd, apiserver, controller-manager and scheduler"
        )
    })
}

impl ImageArgs {
    fn write(&self) -> Result<()> {
        let mut image = Image::new(&self.image)
            .user(&self.user)
            .entrypoint(self.entrypoint.iter().cloned());
        for variable in &self.env {
            image = image.env(variable);
        }
        for pair in &self.files {
            let (source, destination) = pair
                .rsplit_once(':')
                .with_context(|| format!("{pair:?} is not SOURCE:DESTINATION"))?;
            image = image.file(Path::new(source), destination);
        }
        image.write(&self.out)
    }
}
