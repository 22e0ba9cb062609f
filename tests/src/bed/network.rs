//! The bed's addresses and network namespaces.
//!
//! | who | address on the wire | pods |
//! | --- | --- | --- |
//! | host | 172.30.0.1 | |
//! | control plane | 172.30.0.2 | |
//! | node N | 172.30.0.(10 + N) | 10.244.N.0/24 |
//!
//! Services live in 10.96.0.0/16. Only one bed with nodes can run at a time, because these are fixed.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Addresses of the nodes.
pub(super) const NODES: &str = "172.30.0.0/24";
/// Addresses of all pods.
pub(super) const PODS: &str = "10.244.0.0/16";
/// Addresses of all services.
pub(super) const SERVICES: &str = "10.96.0.0/16";
/// Where the bed's programs find cluster DNS.
pub(super) const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// The host on the wire.
pub(super) const HOST: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
/// The control plane on the wire.
pub(super) const CONTROL_PLANE: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);

/// Address of the node with that number, counted from 1.
pub(super) fn node(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 30, 0, 10 + number)
}

/// Name of a namespace of the bed: `huddle-BED-WHAT`. Whatever begins like this is the bed's own.
pub(super) fn namespace(bed: &str, what: &str) -> String {
    format!("{}{what}", prefix(bed))
}

fn prefix(bed: &str) -> String {
    format!("huddle-{bed}-")
}

/// The file that holds a named namespace.
pub(super) fn path(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// Makes a namespace with a loopback device.
pub(super) fn create(name: &str) -> Result<()> {
    ip(&["netns", "add", name])?;
    ip(&["-n", name, "link", "set", "lo", "up"])
}

/// Namespaces of the bed that exist.
pub(super) fn existing(bed: &str) -> Vec<String> {
    let prefix = prefix(bed);
    let names = fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&prefix)).collect()
}

/// Removes a namespace.
pub(super) fn remove(name: &str) -> Result<()> {
    ip(&["netns", "del", name])
}

fn ip(arguments: &[&str]) -> Result<()> {
    let done = Command::new("ip")
        .args(arguments)
        .output()
        .context("cannot run ip: apt-get install -y iproute2")?;
    ensure!(
        done.status.success(),
        "ip {} failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(())
}
