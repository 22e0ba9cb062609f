//! Bringing a bed up.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::build::{self, Parts};
use super::cache::Cache;
use super::cgroup::{Trees, Version};
use super::control_plane::{self, Layout, Program};
use super::launch::{self, Place};
use super::mesh::{self, Kubectl};
use super::node::{self, Plan};
use super::state::{Kind, Node, Phase, Record, Run};
use super::wait::until;
use super::wire::{self, Links, Port, Wiring};
use super::{down, host, network, process};

/// What a bed with nodes is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Number of nodes, 1 to 40.
    pub nodes: u8,
    /// Number of zones the nodes take turns in.
    pub zones: u8,
    /// What the links are set to.
    pub links: Links,
    /// Processor time each node offers, in thousandths of a core.
    pub cpu_milli: u32,
    /// Memory each node offers, in MiB.
    pub memory_mib: u32,
}

/// Brings up a bed with nodes, cluster DNS and Istio.
///
/// # Errors
/// When the host lacks something, the bed is up already, or a part does not come up; what was started is then ended, and the logs
/// are kept in the cache's folder `failed`.
pub fn cluster(cache: &Cache, run: &Run, wanted: &Wanted) -> Result<()> {
    host::check()?;
    let parts = build::all(cache)?;
    for other in Run::existing(cache) {
        let up = other.name() != run.name() && other.record().is_ok_and(|record| record.kind == Kind::Cluster);
        ensure!(
            !up,
            "the bed {:?} is up, and only one cluster can be: bed down --name {}",
            other.name(),
            other.name()
        );
    }
    clear(run)?;
    let trees = Trees::detect()?;
    if trees.version() == Version::Two {
        eprintln!("bed: this machine has control groups version 2, on which the bed was not tried");
    }
    broken_off(cache, run, bring_up_cluster(run, &parts, &trees, wanted))
}

/// Brings up the nodes' network namespaces and the wire between them, with nothing in them. It stands beside any other bed: it
/// has no end in the host.
///
/// # Errors
/// As for [`cluster`].
pub fn wire(cache: &Cache, run: &Run, wanted: &Wanted) -> Result<()> {
    host::check()?;
    clear(run)?;
    broken_off(cache, run, bring_up_wire(run, wanted))
}

/// Brings up a control plane alone, on loopback and without root.
///
/// # Errors
/// As for [`cluster`].
pub fn control_plane(cache: &Cache, run: &Run) -> Result<()> {
    let kube = build::kube(cache)?;
    clear(run)?;
    broken_off(cache, run, bring_up_alone(run, &kube))
}

/// Refuses a bed that is up, and clears away one that was broken off.
fn clear(run: &Run) -> Result<()> {
    if !run.path().exists() {
        return Ok(());
    }
    let up = run.record().is_ok_and(|record| record.phase == Phase::Up) && !process::marked(run.path()).is_empty();
    ensure!(
        !up,
        "the bed {:?} is up already: bed down --name {}",
        run.name(),
        run.name()
    );
    eprintln!("bed: clearing away what an earlier bed left");
    down::down(run)
}

/// Ends a bed that did not come up, keeping its logs.
fn broken_off(cache: &Cache, run: &Run, outcome: Result<()>) -> Result<()> {
    let Err(error) = outcome else { return Ok(()) };
    let kept = cache.root().join("failed").join(run.name());
    let _ = fs::remove_dir_all(&kept);
    let _ = fs::create_dir_all(cache.root().join("failed"));
    let moved = fs::rename(run.path().join("logs"), &kept);
    down::down(run)?;
    Err(error).with_context(|| {
        if moved.is_ok() {
            format!("the bed did not come up; its logs are in {}", kept.display())
        } else {
            "the bed did not come up".to_owned()
        }
    })
}

fn bring_up_alone(run: &Run, kube: &Path) -> Result<()> {
    let [port, client, peer] = control_plane::free_ports()?;
    let record = Record {
        kind: Kind::ControlPlane,
        phase: Phase::Starting,
        nodes: Vec::new(),
        port,
        etcd: [client, peer],
    };
    fs::create_dir_all(run.path())?;
    run.write(&record)?;
    layout(run, &record).certify()?;
    start_control_plane(run, &record, kube)?;
    finished(run, record)
}

fn bring_up_wire(run: &Run, wanted: &Wanted) -> Result<()> {
    let record = record_of(Kind::Wire, wanted)?;
    fs::create_dir_all(run.path())?;
    run.write(&record)?;
    Trees::detect()?.make(&run.programs())?;
    for node in &record.nodes {
        network::create(&run.namespace(&node.name()))?;
    }
    start_wire(run, &record, &wanted.links)?;
    finished(run, record)
}

fn bring_up_cluster(run: &Run, parts: &Parts, trees: &Trees, wanted: &Wanted) -> Result<()> {
    let started = Instant::now();
    let say = |what: &str| eprintln!("bed: {:4.1} s  {what}", started.elapsed().as_secs_f64());
    let record = record_of(Kind::Cluster, wanted)?;
    fs::create_dir_all(run.path())?;
    run.write(&record)?;
    host::prepare(run)?;
    trees.make(&run.programs())?;
    trees.weigh("huddle-bed");
    let authority = layout(run, &record).certify()?;
    network::create(&run.namespace("control-plane"))?;
    for node in &record.nodes {
        network::create(&run.namespace(&node.name()))?;
        layout(run, &record).certify_node(&authority, node)?;
    }
    start_wire(run, &record, &wanted.links)?;
    say("wire");
    for node in &record.nodes {
        start_node(run, trees, parts, node)?;
    }
    start_control_plane(run, &record, &parts.kube)?;
    fs::write(run.path().join("ready"), "")?;
    say("control plane");
    let kubeconfig = run.kubeconfig();
    let kubectl = Kubectl {
        kube: &parts.kube,
        kubeconfig: &kubeconfig,
    };
    mesh::install(kubectl, &parts.istio_manifest)?;
    say("DNS and mesh applied");
    mesh::wait(kubectl, record.nodes.len())?;
    finished(run, record)?;
    say("nodes, DNS and mesh ready");
    Ok(())
}

fn record_of(kind: Kind, wanted: &Wanted) -> Result<Record> {
    ensure!(
        (1..=40).contains(&wanted.nodes) && wanted.zones >= 1 && wanted.zones <= wanted.nodes,
        "a bed has 1 to 40 nodes, at least one zone, and no more zones than nodes"
    );
    let nodes: Vec<Node> = (1..=wanted.nodes)
        .map(|number| Node {
            number,
            zone: format!("zone-{}", (number - 1) % wanted.zones + 1),
            cpu_milli: wanted.cpu_milli,
            memory_mib: wanted.memory_mib,
        })
        .collect();
    let names: Vec<String> = nodes.iter().map(Node::name).collect();
    wanted
        .links
        .check(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(Record {
        kind,
        phase: Phase::Starting,
        nodes,
        port: 6443,
        etcd: [2379, 2380],
    })
}

fn finished(run: &Run, record: Record) -> Result<()> {
    run.write(&Record {
        phase: Phase::Up,
        ..record
    })
}

/// Where the control plane of that bed listens.
fn layout(run: &Run, record: &Record) -> Layout {
    let address = match record.kind {
        Kind::Cluster => network::CONTROL_PLANE,
        Kind::ControlPlane | Kind::Wire => Ipv4Addr::LOCALHOST,
    };
    Layout {
        folder: run.path().to_owned(),
        pki: run.pki(),
        address,
        port: record.port,
        etcd: record.etcd,
        more: Vec::new(),
    }
}

fn start_control_plane(run: &Run, record: &Record, kube: &Path) -> Result<()> {
    for program in Program::ALL {
        start_program(run, record, kube, program)?;
    }
    Ok(())
}

/// Starts one program of the control plane and waits until it answers.
///
/// # Errors
/// When it ends at once or does not answer within a minute.
pub fn start_program(run: &Run, record: &Record, kube: &Path, program: Program) -> Result<()> {
    let namespace = run.namespace("control-plane");
    let group = run.programs();
    let place = match record.kind {
        Kind::Cluster => Place {
            namespace: Some(&namespace),
            group: Some(&group),
        },
        Kind::ControlPlane | Kind::Wire => Place::default(),
    };
    let log = run.log(program.name());
    let said_before = fs::metadata(&log).map_or(0, |log| log.len());
    let arguments = layout(run, record).arguments(program);
    let mut child = launch::detached(run, program.name(), place, kube, &arguments)?;
    until(program.name(), Duration::from_secs(60), || {
        alive(&mut child, program.name(), &log)?;
        match program {
            Program::Etcd => Ok(said_ready(&log, said_before)?),
            Program::ApiServer => control_plane::ready(kube, &run.kubeconfig()),
            Program::ControllerManager | Program::Scheduler => Ok(Ok(())),
        }
    })
}

/// etcd says so once it serves; what an earlier one said does not count.
fn said_ready(log: &Path, said_before: u64) -> Result<Result<(), String>> {
    let text = fs::read(log)?;
    let new = text.get(usize::try_from(said_before)?..).unwrap_or_default();
    let ready = String::from_utf8_lossy(new).contains("ready");
    Ok(if ready { Ok(()) } else { Err("not ready".to_owned()) })
}

/// Starts one node's process.
///
/// # Errors
/// When its folder or control groups cannot be made.
pub fn start_node(run: &Run, trees: &Trees, parts: &Parts, node: &Node) -> Result<()> {
    let plan = Plan {
        node: node.clone(),
        kube: parts.kube.clone(),
        containerd: parts.containerd.clone(),
        images: parts.images.clone(),
    };
    node::launch(run, trees, &plan, &run.namespace(&node.name()))?;
    Ok(())
}

/// Starts the wire and waits until it answers.
///
/// # Errors
/// When it cannot make its devices.
pub fn start_wire(run: &Run, record: &Record, links: &Links) -> Result<()> {
    let end = |namespace: Option<String>, address| Port {
        node: String::new(),
        zone: String::new(),
        namespace,
        address,
        pods: None,
    };
    let mut ports = match record.kind {
        Kind::Cluster => vec![
            end(None, network::HOST),
            end(Some(run.namespace("control-plane")), network::CONTROL_PLANE),
        ],
        Kind::ControlPlane | Kind::Wire => Vec::new(),
    };
    for node in &record.nodes {
        let namespace = Some(run.namespace(&node.name()));
        ports.push(Port {
            node: node.name(),
            zone: node.zone.clone(),
            namespace,
            address: node.address(),
            pods: Some(node.number),
        });
    }
    let file = wiring_file(run);
    fs::write(
        &file,
        serde_json::to_string_pretty(&Wiring {
            ports,
            links: links.clone(),
            seed: 1,
        })?,
    )?;
    let _ = fs::remove_file(run.wire());
    let group = run.programs();
    let own = launch::own_program()?.display().to_string();
    let (wiring, socket) = (file.display().to_string(), run.wire().display().to_string());
    let carry = ["wire-run", "--wiring", &wiring, "--socket", &socket].map(str::to_owned);
    // In time although the nodes' programs use all of the machine: the wire itself needs little of it.
    let priority = ["--rr", "10"].map(str::to_owned);
    let granted = Command::new("chrt").args(&priority).arg("true").output();
    let (program, words) = if granted.is_ok_and(|tried| tried.status.success()) {
        ("chrt".to_owned(), [&priority[..], &[own], &carry].concat())
    } else {
        eprintln!(
            "bed: the wire has no real-time priority (chrt is missing or refused): its delays vary with the load"
        );
        (own, carry.to_vec())
    };
    let place = Place {
        namespace: None,
        group: Some(&group),
    };
    let mut child = launch::detached(run, "wire", place, Path::new(&program), &words)?;
    until("the wire", Duration::from_secs(20), || {
        alive(&mut child, "the wire", &run.log("wire"))?;
        Ok(wire::ask(&run.wire(), &wire::Request::Show).map_err(|error| error.to_string()))
    })?;
    Ok(())
}

/// Notes what the links were set to, for a wire that is started again.
///
/// # Errors
/// When the run folder cannot be read or written.
pub fn keep_links(run: &Run, links: &Links) -> Result<()> {
    let file = wiring_file(run);
    let mut wiring: Wiring = serde_json::from_str(&fs::read_to_string(&file)?)?;
    wiring.links = links.clone();
    Ok(fs::write(file, serde_json::to_string_pretty(&wiring)?)?)
}

/// What the links were last set to.
///
/// # Errors
/// When the run folder cannot be read.
pub fn kept_links(run: &Run) -> Result<Links> {
    let wiring: Wiring = serde_json::from_str(&fs::read_to_string(wiring_file(run))?)?;
    Ok(wiring.links)
}

fn wiring_file(run: &Run) -> PathBuf {
    run.path().join("wiring.json")
}

fn alive(child: &mut Child, what: &str, log: &Path) -> Result<()> {
    match child.try_wait()? {
        Some(status) => bail!("{what} ended with {status}:\n{}", launch::tail(log)),
        None => Ok(()),
    }
}
