//! The processes below this one: their ends, and what is left of them.

use std::fs;

use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::record::End;

/// Orphans below this process become its children, as they do where it is process 1 (it is not, in a pod that shares its processes).
pub(crate) fn adopt() {
    // Refused by old kernels only; orphans then go to process 1, which reaps them.
    let _refused = prctl::set_child_subreaper(true);
}

/// Reaps whatever has ended; how the process of this id did, if it did.
pub(crate) fn reap(wanted: Option<Pid>) -> Option<End> {
    let mut found = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if Some(pid) == wanted => found = Some(End::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if Some(pid) == wanted => {
                found = Some(End::Signal(signal as i32));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return found,
            // Somebody else's end, or an interruption.
            Ok(_) | Err(Errno::EINTR) => {}
            // A real-time signal's end has no name in nix, and is reported as EINVAL after it was reaped.
            Err(_) => {
                if wanted.is_some_and(gone) {
                    return Some(End::Signal(0));
                }
                return found;
            }
        }
    }
}

/// Whether there is no such process any more, not even an unreaped one.
fn gone(pid: Pid) -> bool {
    kill(pid, None) == Err(Errno::ESRCH)
}

/// Kills every child there is; true when none is left. Each call reaches one generation, because orphans come up to this process.
pub(crate) fn clear() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return true,
            Ok(WaitStatus::StillAlive) => break,
            Ok(_) | Err(_) => {}
        }
    }
    // What entered the container in another way (kubectl exec) is no child of this process, and stays.
    let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        let _ended = kill(Pid::from_raw(child), Signal::SIGKILL);
    }
    false
}
