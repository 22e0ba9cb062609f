//! Bringing a bed up.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::build::{self, Parts};
use super::cache::Cache;
use super::cgroup::{Trees, Version};
use super::control_plane::{self, Layout, Program};
use super::launch::{self, Place};
use super::mesh::{self, Kubectl};
use super::node::{self, Plan};
use super::state::{Node, Phase, Record, Run};
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
pub fn nodes(cache: &Cache, run: &Run, wanted: &Wanted) -> Result<()> {
    host::check()?;
    ensure!(
        (1..=40).contains(&wanted.nodes) && wanted.zones >= 1 && wanted.zones <= wanted.nodes,
        "a bed has 1 to 40 nodes and no more zones than nodes"
    );
    let parts = build::all(cache)?;
    for other in Run::existing(cache) {
        let up = other.name() != run.name() && other.record().is_ok_and(|record| !record.nodes.is_empty());
        ensure!(
            !up,
            "the bed {:?} is up, and only one bed with nodes can be: bed down --name {}",
            other.name(),
            other.name()
        );
    }
    clear(run)?;
    let trees = Trees::detect()?;
    if trees.version() == Version::Two {
        eprintln!("bed: this machine has control groups version 2, on which the bed was not tried");
    }
    broken_off(cache, run, bring_up(run, &parts, &trees, wanted))
}

/// Brings up a control plane alone, on loopback and without root.
///
/// # Errors
/// As for [`nodes`].
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
        phase: Phase::Starting,
        nodes: Vec::new(),
        port,
        etcd: [client, peer],
    };
    fs::create_dir_all(run.path())?;
    run.write(&record)?;
    layout(run, &record).certify()?;
    start_control_plane(run, &record, kube)?;
    run.write(&Record {
        phase: Phase::Up,
        ..record
    })
}

fn bring_up(run: &Run, parts: &Parts, trees: &Trees, wanted: &Wanted) -> Result<()> {
    let started = Instant::now();
    let say = |what: &str| eprintln!("bed: {:4.1} s  {what}", started.elapsed().as_secs_f64());
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
    let record = Record {
        phase: Phase::Starting,
        nodes,
        port: 6443,
        etcd: [2379, 2380],
    };
    fs::create_dir_all(run.path())?;
    run.write(&record)?;
    host::prepare(run)?;
    trees.make(&format!("{}/system", run.group()))?;
    trees.weigh("huddle-bed");
    let authority = layout(run, &record).certify()?;
    network::create(&network::namespace(run.name(), "control-plane"))?;
    for node in &record.nodes {
        network::create(&network::namespace(run.name(), &node.name()))?;
        layout(run, &record).certify_node(&authority, &node.name())?;
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
    run.write(&Record {
        phase: Phase::Up,
        ..record
    })?;
    say("nodes, DNS and mesh ready");
    Ok(())
}

/// Where the control plane of that bed listens.
fn layout(run: &Run, record: &Record) -> Layout {
    let address = if record.nodes.is_empty() {
        Ipv4Addr::LOCALHOST
    } else {
        network::CONTROL_PLANE
    };
    Layout {
        folder: run.path().to_owned(),
        pki: run.pki(),
        address,
        port: record.port,
        etcd: record.etcd,
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
    let namespace = network::namespace(run.name(), "control-plane");
    let group = format!("{}/system", run.group());
    let place = if record.nodes.is_empty() {
        Place::default()
    } else {
        Place {
            namespace: Some(&namespace),
            group: Some(&group),
        }
    };
    let mut child = launch::detached(
        run,
        program.name(),
        place,
        kube,
        &layout(run, record).arguments(program),
    )?;
    let log = run.log(program.name());
    until(program.name(), Duration::from_secs(60), || {
        alive(&mut child, program.name(), &log)?;
        match program {
            Program::Etcd => Ok(if fs::read_to_string(&log)?.contains("ready") {
                Ok(())
            } else {
                Err("not ready".to_owned())
            }),
            Program::ApiServer => control_plane::ready(kube, &run.kubeconfig()),
            Program::ControllerManager | Program::Scheduler => Ok(Ok(())),
        }
    })
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
    node::launch(run, trees, &plan, &network::namespace(run.name(), &node.name()))?;
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
    let mut ports = vec![
        end(None, network::HOST),
        end(
            Some(network::namespace(run.name(), "control-plane")),
            network::CONTROL_PLANE,
        ),
    ];
    for node in &record.nodes {
        let namespace = Some(network::namespace(run.name(), &node.name()));
        ports.push(Port {
            node: node.name(),
            zone: node.zone.clone(),
            namespace,
            address: node.address(),
            pods: Some(node.number),
        });
    }
    let file = run.path().join("wiring.json");
    fs::write(
        &file,
        serde_json::to_string_pretty(&Wiring {
            ports,
            links: links.clone(),
            seed: 1,
        })?,
    )?;
    let _ = fs::remove_file(run.wire());
    let group = format!("{}/system", run.group());
    let arguments = [
        "wire-run",
        "--wiring",
        &file.display().to_string(),
        "--socket",
        &run.wire().display().to_string(),
    ]
    .map(str::to_owned);
    let mut child = launch::detached(
        run,
        "wire",
        Place {
            namespace: None,
            group: Some(&group),
        },
        &launch::own_program()?,
        &arguments,
    )?;
    until("the wire", Duration::from_secs(20), || {
        alive(&mut child, "the wire", &run.log("wire"))?;
        Ok(wire::ask(&run.wire(), &wire::Request::Show).map_err(|error| error.to_string()))
    })?;
    Ok(())
}

fn alive(child: &mut Child, what: &str, log: &Path) -> Result<()> {
    match child.try_wait()? {
        Some(status) => bail!("{what} ended with {status}:\n{}", launch::tail(log)),
        None => Ok(()),
    }
}
