//! Processes of a bed: started with a mark, found again by it, ended by their id.
//!
//! Three marks make sure that none is lost, even when the bed itself was killed between starting a process and noting it:
//! the variable `HUDDLE_BED` that every child inherits, the bed's own control groups (which hold what runs in containers),
//! and the run folder's notes. An id alone is never trusted: it may have passed on to a stranger.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cgroup::Trees;

/// The variable that marks a bed's processes; its value is the bed's run folder.
pub const MARK: &str = "HUDDLE_BED";

/// Variable with the part a process plays, for `bed status` and `bed kill`.
pub const ROLE: &str = "HUDDLE_BED_ROLE";

/// Every process that carries the mark of that run folder, with its role.
#[must_use]
pub fn marked(run: &Path) -> BTreeMap<i32, String> {
    let mark = [MARK.as_bytes(), b"=", run.as_os_str().as_encoded_bytes()].concat();
    let role = [ROLE.as_bytes(), b"="].concat();
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(environment) = fs::read(entry.path().join("environ")) else {
            continue;
        };
        let variables = || environment.split(|byte| *byte == 0);
        if pid != own && variables().any(|variable| variable == mark) {
            let role = variables().find_map(|variable| variable.strip_prefix(role.as_slice()));
            found.insert(
                pid,
                role.map_or_else(String::new, |role| String::from_utf8_lossy(role).into_owned()),
            );
        }
    }
    found
}

/// Every process of the bed: the marked ones and those in its groups.
#[must_use]
pub fn all(run: &Path, group: Option<(&Trees, &str)>) -> BTreeSet<i32> {
    let mut found: BTreeSet<i32> = marked(run).into_keys().collect();
    if let Some((trees, group)) = group {
        found.extend(trees.processes(group));
    }
    found
}

/// Those of the processes that still run; a zombie does not.
#[must_use]
pub fn alive(pids: &BTreeSet<i32>) -> BTreeSet<i32> {
    let runs = |pid: &i32| {
        // The state follows the name, which stands in brackets and may hold anything.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    pids.iter().copied().filter(runs).collect()
}

/// Ends processes until none is found any more.
///
/// # Errors
/// When some are still there after 20 seconds.
pub fn end(mut find: impl FnMut() -> BTreeSet<i32>) -> Result<usize> {
    let started = Instant::now();
    let mut ended = BTreeSet::new();
    loop {
        let found = find();
        if found.is_empty() {
            return Ok(ended.len());
        }
        for pid in &found {
            // Gone between finding and ending is what is wanted.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        ended.extend(found.iter().copied());
        if started.elapsed() > Duration::from_secs(20) {
            bail!("these processes of the bed do not end: {found:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_marked_process_is_found_by_its_mark_and_ended() {
        let run = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep")
            .arg("1000")
            .env(MARK, run.path())
            .env(ROLE, "sleeper")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !marked(run.path()).contains_key(&pid) {
            assert!(Instant::now() < deadline, "the mark was not seen");
        }
        assert_eq!(marked(run.path()).get(&pid).map(String::as_str), Some("sleeper"));
        // The child stays a zombie without environment until it is waited for, so it is not found twice.
        assert_eq!(end(|| marked(run.path()).into_keys().collect()).unwrap(), 1);
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_stranger_is_not_found() {
        let run = tempfile::tempdir().unwrap();
        assert!(marked(run.path()).is_empty());
    }
}
