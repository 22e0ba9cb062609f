//! Ending a bed so that nothing is left of it: no process, namespace, control group, mount or file.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::cgroup::Trees;
use super::state::Run;
use super::wait::until;
use super::{host, network, process};

/// Ends everything that belongs to the bed, whatever state it is in. Doing it twice, or for a bed that never was, does no harm.
///
/// # Errors
/// When something of it is left, naming it.
pub fn down(run: &Run) -> Result<()> {
    let trees = Trees::detect().ok();
    let group = run.group();
    process::end(|| process::all(run.path(), trees.as_ref().map(|trees| (trees, group.as_str()))))?;
    for namespace in network::existing(run.name()) {
        network::remove(&namespace)?;
    }
    host::restore(run);
    if let Some(trees) = &trees {
        // The kernel lets a group go a moment after its last process.
        until("the bed's control groups", Duration::from_secs(10), || {
            Ok(if trees.remove(&group) {
                Ok(())
            } else {
                Err("processes just ended in them".to_owned())
            })
        })?;
        // The folder above is shared by all beds and goes with the last.
        trees.remove_empty("huddle-bed");
    }
    match fs::remove_dir_all(run.path()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", run.path().display()))
        }
        _ => Ok(()),
    }
}

/// What is still there of a bed, in words; empty when nothing is.
#[must_use]
pub fn remains(run: &Run) -> Vec<String> {
    let mut found = Vec::new();
    let trees = Trees::detect().ok();
    let group = run.group();
    for pid in process::all(run.path(), trees.as_ref().map(|trees| (trees, group.as_str()))) {
        found.push(format!("process {pid}"));
    }
    found.extend(
        network::existing(run.name())
            .into_iter()
            .map(|name| format!("network namespace {name}")),
    );
    if trees.is_some_and(|trees| trees.exists(&group)) {
        found.push(format!("control group {group}"));
    }
    let below = run.path().display().to_string();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    found.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&below))
            .map(|line| format!("mount {line}")),
    );
    if run.path().exists() {
        found.push(format!("folder {below}"));
    }
    found
}
