//! Starting the bed's processes where they belong, detached and marked.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Error, Result};
use nix::sched::{CloneFlags, setns};

use super::cgroup::Trees;
use super::network;
use super::process::{MARK, ROLE};
use super::state::Run;

/// Where a process is to run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place<'a> {
    /// Network namespace; none: the host's.
    pub namespace: Option<&'a str>,
    /// Control group; none: the caller's.
    pub group: Option<&'a str>,
}

/// Starts a program that outlives the caller, with its output in the log of its role.
pub(super) fn detached(run: &Run, role: &str, place: Place<'_>, program: &Path, arguments: &[String]) -> Result<Child> {
    let mut command = Command::new(own_program()?);
    command.arg("enter");
    if let Some(namespace) = place.namespace {
        command.args(["--namespace", namespace]);
    }
    if let Some(group) = place.group {
        command.args(["--group", group]);
    }
    command.arg("--").arg(program).args(arguments);
    start(command, run.path(), role, &run.log(role), Stdio::null())
}

/// Starts a command with the bed's marks and its output in a log.
pub(super) fn start(mut command: Command, run: &Path, role: &str, log: &Path, input: Stdio) -> Result<Child> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    command
        .env(MARK, run)
        .env(ROLE, role)
        .stdin(input)
        .stdout(log.try_clone()?)
        .stderr(log);
    command.spawn().with_context(|| format!("cannot start {role}"))
}

/// This program, which also plays the small parts: entering a place, holding a node, carrying the wire.
pub(super) fn own_program() -> Result<PathBuf> {
    std::env::current_exe().context("cannot find the own program")
}

/// Becomes the program, in that place and in a session of its own. Returns only when it could not.
pub(super) fn enter(place: Place<'_>, program: &[OsString]) -> Error {
    match prepare(place) {
        Err(error) => error,
        Ok(()) => {
            let Some((name, arguments)) = program.split_first() else {
                return Error::msg("no program to enter with");
            };
            let failed = Command::new::<&OsStr>(name).args(arguments).exec();
            Error::new(failed).context(format!("cannot run {}", name.to_string_lossy()))
        }
    }
}

fn prepare(place: Place<'_>) -> Result<()> {
    // A process that already leads its group cannot start a session; it then needs none.
    let _ = nix::unistd::setsid();
    if let Some(group) = place.group {
        Trees::detect()?.join(group)?;
    }
    if let Some(name) = place.namespace {
        let path = network::path(name);
        let file = File::open(&path).with_context(|| format!("no network namespace {}", path.display()))?;
        setns(file, CloneFlags::CLONE_NEWNET).context("cannot enter the network namespace: are you root?")?;
    }
    Ok(())
}

/// Less than this is a full disk for a control plane, whose store lays out 128 MB at once (etcd's WAL: two segments of 64 MB).
const FULL: u64 = 128 << 20;

/// The last lines of a log, for a message; and where the log's disk is full, that, which no log can say then.
pub(super) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines: Vec<&str> = text.lines().rev().take(8).collect();
    lines.reverse();
    let full = log
        .parent()
        .and_then(|folder| Some((folder, nix::sys::statvfs::statvfs(folder).ok()?)))
        .map(|(folder, disk)| (folder, disk.blocks_available() * disk.fragment_size()))
        .filter(|(_, free)| *free < FULL)
        .map(|(folder, free)| format!("the disk of {} is full: {} MB are free", folder.display(), free >> 20));
    lines.extend(full.as_deref());
    lines.join("\n")
}
