//! What the bed needs of the host, and what it changes on it and puts back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::build::installed;
use super::parts;
use super::state::Run;

/// Kernel settings that kubelets set for the whole machine.
const SET_BY_KUBELETS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];
/// Kernel settings the bed raises: every proxy's agent watches files, and all run as one user.
const RAISED: [(&str, u64); 2] = [
    ("fs/inotify/max_user_instances", 8192),
    ("fs/inotify/max_user_watches", 524_288),
];

/// Refuses a host that cannot carry a bed with nodes, saying all that is missing at once.
pub(super) fn check() -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "a bed with nodes needs root (network namespaces, mounts, control groups): run it with sudo; `bed up --control-plane` does not need it"
    );
    let missing: Vec<&str> = parts::HOST_PROGRAMS
        .iter()
        .filter(|(program, _)| !installed(program))
        .map(|(_, package)| *package)
        .collect();
    ensure!(
        missing.is_empty(),
        "this machine lacks {}; on Debian or Ubuntu: apt-get install -y {}",
        missing.join(", "),
        missing.join(" ")
    );
    ensure!(
        Path::new("/dev/net/tun").exists(),
        "there is no /dev/net/tun, which the wire needs: modprobe tun"
    );
    Ok(())
}

/// Notes the kernel settings that will change, and raises those that must.
pub(super) fn prepare(run: &Run) -> Result<()> {
    let names = SET_BY_KUBELETS.into_iter().chain(RAISED.map(|(name, _)| name));
    let before: BTreeMap<&str, String> = names
        .filter_map(|name| Some((name, fs::read_to_string(setting(name)).ok()?.trim().to_owned())))
        .collect();
    fs::write(note(run), serde_json::to_string_pretty(&before)?)?;
    for (name, wanted) in RAISED {
        if before
            .get(name)
            .and_then(|value| value.parse::<u64>().ok())
            .is_some_and(|value| value < wanted)
        {
            fs::write(setting(name), wanted.to_string())?;
        }
    }
    Ok(())
}

/// Puts the noted kernel settings back.
pub(super) fn restore(run: &Run) {
    let Ok(text) = fs::read_to_string(note(run)) else {
        return;
    };
    let before: BTreeMap<String, String> = serde_json::from_str(&text).unwrap_or_default();
    for (name, value) in before {
        if let Err(error) = fs::write(setting(&name), &value) {
            eprintln!("bed: {name} was not set back to {value}: {error}");
        }
    }
}

fn setting(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

fn note(run: &Run) -> PathBuf {
    run.path().join("kernel-settings.json")
}
