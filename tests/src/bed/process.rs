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

/// Those of the processes of which a thread still runs; a zombie does not.
#[must_use]
pub fn alive(pids: &BTreeSet<i32>) -> BTreeSet<i32> {
    pids.iter().copied().filter(|pid| runs(*pid)).collect()
}

/// Every thread counts: the first may have ended and the others still hold what the process had open.
fn runs(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    threads.into_iter().flatten().flatten().any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        fields(&stat).is_some_and(|mut fields| fields.next().is_some_and(|state| !matches!(state, "Z" | "X")))
    })
}

/// When a process began, in ticks since the machine did (field 22 of proc_pid_stat(5)); none: there is no such process.
fn began(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    fields(&stat)?.nth(19)?.parse().ok()
}

/// The fields of a `stat` from the state on: they follow the name, which stands in brackets and may hold anything.
fn fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    stat.rsplit_once(") ").map(|(_, rest)| rest.split(' '))
}

/// Ends processes until none is found any more and what was found has let go of everything it held: a process loses its
/// environment, and with it the bed's marks, before it closes its files, so that its devices, locks and ports outlive its mark.
///
/// # Errors
/// When some are still there after 20 seconds.
pub fn end(mut find: impl FnMut() -> BTreeSet<i32>) -> Result<usize> {
    let started = Instant::now();
    let mut ended = BTreeMap::new();
    loop {
        let found = find();
        for pid in &found {
            ended.entry(*pid).or_insert_with(|| began(*pid));
            // Gone between finding and ending is what is wanted.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        let ending = |(pid, begin): &(&i32, &Option<u64>)| runs(**pid) && began(**pid) == **begin;
        let left: Vec<i32> = ended.iter().filter(ending).map(|(pid, _)| *pid).collect();
        if found.is_empty() && left.is_empty() {
            return Ok(ended.len());
        }
        if started.elapsed() > Duration::from_secs(20) {
            bail!("these processes of the bed do not end: {found:?}, and these hold something still: {left:?}");
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
