//! A node: a network namespace, a mount namespace, a folder, control groups; in it containerd, kube-proxy and kubelet.
//!
//! One process holds the node. It makes the mount namespace, where `/var/lib`, `/var/log` and `/run` are the node's own
//! folders, so that the programs keep their usual paths and the host sees none of what they write; then it starts the programs,
//! and starts again what ends.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::cgroup::Trees;
use super::launch;
use super::network;
use super::pki::serving;
use super::state::{Node, Run};
use super::wait::until;

/// What the process that holds a node has to know; written to its folder.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub node: Node,
    pub kube: PathBuf,
    pub containerd: PathBuf,
    pub images: Vec<PathBuf>,
}

/// The node's folders and what they cover.
const COVERS: [(&str, &str); 3] = [("lib", "/var/lib"), ("log", "/var/log"), ("run", "/run")];
/// Memory that the kubelet keeps free, in MiB; it takes this off what the node offers.
const EVICTION_MIB: u32 = 100;

/// Writes the node's folder and configuration, makes its control groups, and starts the process that holds it.
pub(super) fn launch(run: &Run, trees: &Trees, plan: &Plan, namespace: &str) -> Result<Child> {
    let name = plan.node.name();
    let folder = run.node(&name);
    for (own, _) in COVERS {
        fs::create_dir_all(folder.join(own))?;
    }
    // Of the folders a node covers, these are expected to exist.
    for needed in [
        "run/lock",
        "run/netns",
        "lib/kubelet",
        "lib/containerd",
        "log/pods",
        "log/containers",
        "cni",
    ] {
        fs::create_dir_all(folder.join(needed))?;
    }
    trees.make(&format!("{}/{name}", run.group()))?;
    trees.make(&run.node_programs(&name))?;
    write_configuration(run, plan, &folder)?;
    fs::write(folder.join("plan.json"), serde_json::to_string_pretty(plan)?)?;
    let arguments = ["node-run", "--name", run.name(), "--node", &name].map(str::to_owned);
    let group = run.node_programs(&name);
    let place = launch::Place {
        namespace: Some(namespace),
        group: Some(&group),
    };
    launch::detached(run, &name, place, &launch::own_program()?, &arguments)
}

fn write_configuration(run: &Run, plan: &Plan, folder: &Path) -> Result<()> {
    let (node, name) = (&plan.node, plan.node.name());
    // Point to point, not a bridge: what a bridge switches passes by the translation of Service addresses.
    let cni = json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "mtu": 1500, "ipam": {
        "type": "host-local", "dataDir": "/run/cni-addresses", "ranges": [[{"subnet": format!("10.244.{}.0/24", node.number)}]], "routes": [{"dst": "0.0.0.0/0"}]}}]});
    fs::write(folder.join("cni/10-pods.conflist"), cni.to_string())?;
    fs::write(folder.join("resolv.conf"), "# Nothing outside the bed is resolved.\n")?;
    fs::write(folder.join("containerd.toml"), containerd_toml(folder))?;
    let kubelet = kubelet_config(run, node, &folder.join("resolv.conf"))?;
    fs::write(folder.join("kubelet.json"), serde_json::to_string_pretty(&kubelet)?)?;
    let proxy = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables", "clusterCIDR": network::PODS,
        "hostnameOverride": name, "clientConnection": {"kubeconfig": run.pki().join("proxy.kubeconfig")}, "conntrack": {"maxPerCore": 0, "min": 0},
    });
    Ok(fs::write(folder.join("proxy.json"), proxy.to_string())?)
}

/// Containers' figures are looked at every 10 s, as cAdvisor does: by default containerd wakes the shim of every container each second,
/// and with four nodes on one machine that is a wait for a processor which calls between pods pay for at their p99.
fn containerd_toml(folder: &Path) -> String {
    format!(
        r#"version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[plugins."io.containerd.server.v1.grpc"]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.server.v1.ttrpc"]
  address = "/run/containerd/containerd.sock.ttrpc"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "registry.local/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stats_collect_period = "10s"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = false
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "{}"
"#,
        folder.join("cni").display()
    )
}

fn kubelet_config(run: &Run, node: &Node, resolver: &Path) -> Result<serde_json::Value> {
    let (cores, memory_mib) = machine()?;
    let reserved_cpu = (cores * 1000).saturating_sub(node.cpu_milli);
    let reserved_memory = memory_mib.saturating_sub(node.memory_mib + EVICTION_MIB);
    Ok(json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {"clientCAFile": run.pki().join("ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": run.pki().join(format!("{}.crt", serving(&node.name()))),
        "tlsPrivateKeyFile": run.pki().join(format!("{}.key", serving(&node.name()))),
        "address": node.address(),
        "clusterDNS": [network::DNS], "clusterDomain": "cluster.local", "resolvConf": resolver,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{}/{}", run.group(), node.name()), "failCgroupV1": false,
        "enforceNodeAllocatable": ["pods"],
        "systemReserved": {"cpu": format!("{reserved_cpu}m"), "memory": format!("{reserved_memory}Mi")},
        // All nodes share the machine's disk: how full it is says nothing about a node.
        "evictionHard": {"memory.available": format!("{EVICTION_MIB}Mi"), "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": false, "failSwapOn": false, "nodeStatusUpdateFrequency": "5s", "serializeImagePulls": false,
        // Kubelets list their images at moments of their own. The scheduler likes nodes that hold a pod's image, so which had listed it
        // when the shop came would decide where its pods go, and no two beds would be alike.
        "nodeStatusMaxImages": 0,
    }))
}

/// Cores and memory in MiB as the kubelet will see them.
fn machine() -> Result<(u32, u32)> {
    let cores = fs::read_to_string("/proc/cpuinfo")?
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let memory = fs::read_to_string("/proc/meminfo")?;
    let total = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("no MemTotal in /proc/meminfo")?;
    Ok((u32::try_from(cores)?, u32::try_from(total.parse::<u64>()? / 1024)?))
}

/// Holds a node until it is ended: this is the whole life of the `node-run` process.
pub(super) fn hold(run: &Run, name: &str) -> Result<()> {
    let folder = run.node(name);
    let plan: Plan = serde_json::from_str(&fs::read_to_string(folder.join("plan.json"))?).context("the node's plan")?;
    own_mounts(&folder)?;
    // This network namespace is the node's: none of these reaches the host.
    for (setting, value) in [
        ("ip_forward", "1"),
        ("conf/all/rp_filter", "0"),
        ("conf/default/rp_filter", "0"),
    ] {
        fs::write(format!("/proc/sys/net/ipv4/{setting}"), value)
            .with_context(|| format!("cannot set {setting} in the node"))?;
    }
    let mut running = vec![(Part::Containerd, Part::Containerd.start(run, &plan, &folder)?)];
    until("containerd", Duration::from_secs(60), || {
        Ok(UnixStream::connect(run.containerd(name))
            .map(drop)
            .map_err(|error| error.to_string()))
    })?;
    for image in &plan.images {
        import(&plan.containerd, &run.containerd(name), image)?;
    }
    until("the API server", Duration::from_secs(120), || {
        Ok(if run.path().join("ready").exists() {
            Ok(())
        } else {
            Err("not ready".to_owned())
        })
    })?;
    for part in [Part::Proxy, Part::Kubelet] {
        running.push((part, part.start(run, &plan, &folder)?));
    }
    loop {
        let ended = nix::sys::wait::waitpid(None, None)?;
        for (part, child) in &mut running {
            if ended
                .pid()
                .is_some_and(|pid| u32::try_from(pid.as_raw()) == Ok(child.id()))
            {
                eprintln!("{part:?} ended ({ended:?}); starting it again");
                *child = part.start(run, &plan, &folder)?;
            }
        }
    }
}

fn own_mounts(folder: &Path) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace: are you root?")?;
    // Private first, so that nothing reaches the host; then shared among the node's own, which volumes of pods need.
    for flag in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED] {
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | flag, None::<&str>)?;
    }
    for (own, covered) in COVERS {
        mount(
            Some(&folder.join(own)),
            covered,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .with_context(|| format!("cannot cover {covered}"))?;
    }
    Ok(())
}

/// Imports an image archive into a node. The layers are unpacked when the first pod needs them.
pub(super) fn import(programs: &Path, socket: &Path, archive: &Path) -> Result<()> {
    let done = Command::new(programs.join("ctr"))
        .arg("-a")
        .arg(socket)
        .args(["-n", "k8s.io", "images", "import", "--no-unpack"])
        .arg(archive)
        .output()
        .context("cannot run ctr")?;
    ensure!(
        done.status.success(),
        "the image {} was not taken: {}",
        archive.display(),
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(())
}

/// The programs of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Containerd,
    Proxy,
    Kubelet,
}

impl Part {
    fn start(self, run: &Run, plan: &Plan, folder: &Path) -> Result<Child> {
        let name = plan.node.name();
        let file = |name: &str| folder.join(name).display().to_string();
        let (program, role, arguments) = match self {
            Self::Containerd => (
                plan.containerd.join("containerd"),
                "containerd",
                vec!["-c".to_owned(), file("containerd.toml")],
            ),
            Self::Proxy => (
                plan.kube.clone(),
                "kube-proxy",
                vec!["kube-proxy".to_owned(), format!("--config={}", file("proxy.json"))],
            ),
            Self::Kubelet => (
                plan.kube.clone(),
                "kubelet",
                vec![
                    "kubelet".to_owned(),
                    format!("--config={}", file("kubelet.json")),
                    format!(
                        "--kubeconfig={}",
                        run.pki().join(format!("{name}.kubeconfig")).display()
                    ),
                    format!("--hostname-override={name}"),
                    format!("--node-ip={}", plan.node.address()),
                    format!(
                        "--node-labels=topology.kubernetes.io/zone={},topology.kubernetes.io/region=bed",
                        plan.node.zone
                    ),
                    "--volume-plugin-dir=/var/lib/kubelet/volume-plugins".to_owned(),
                ],
            ),
        };
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .args(arguments)
            .env("PATH", format!("{}:{path}", plan.containerd.display()));
        launch::start(
            command,
            run.path(),
            &format!("{name}/{role}"),
            &run.log(&format!("{name}-{role}")),
            Stdio::null(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bed::cache::Cache;

    #[test]
    fn a_node_offers_what_it_was_told_and_no_more_than_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let run = Run::of(&Cache::at(dir.path()).unwrap(), "bed").unwrap();
        let (cores, memory) = machine().unwrap();
        let node = Node {
            number: 1,
            zone: "zone-1".to_owned(),
            cpu_milli: 500,
            memory_mib: 256,
        };
        let config = kubelet_config(&run, &node, Path::new("/x")).unwrap();
        assert_eq!(config["systemReserved"]["cpu"], format!("{}m", cores * 1000 - 500));
        assert_eq!(
            config["systemReserved"]["memory"],
            format!("{}Mi", memory - 256 - EVICTION_MIB)
        );
        let giant = Node {
            cpu_milli: u32::MAX,
            memory_mib: u32::MAX - EVICTION_MIB,
            ..node
        };
        assert_eq!(
            kubelet_config(&run, &giant, Path::new("/x")).unwrap()["systemReserved"]["cpu"],
            "0m"
        );
    }
}
