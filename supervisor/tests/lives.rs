//! The built program with real processes under it.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_supervisor");
const PATIENCE: Duration = Duration::from_secs(30);

/// A supervisor that ends with the test.
struct Supervised {
    child: Child,
    directory: tempfile::TempDir,
}

impl Supervised {
    fn start(script: &str) -> Self {
        Self::start_with(&[], script)
    }

    fn start_with(options: &[&str], script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new(PROGRAM)
            .args(["run", "--first-ms", "5", "--most-ms", "20", "--state"])
            .arg(directory.path().join("state"))
            .args(options)
            .args(["--", "/bin/sh", "-c", script])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    fn code(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Supervised {
    /// Told to stop, it takes its command with it, and what that has left behind.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::SIGTERM);
            let _status = self.child.wait();
        }
    }
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "waited for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn it_outlives_its_command_whatever_that_does() {
    let mut supervised =
        Supervised::start("echo $$ >> pids; case $(wc -l < pids) in 1) exit 3;; 2) kill -9 $$;; *) exit 0;; esac");
    let pids = supervised.path("pids");
    wait("five lives", || (lines(&pids).len() >= 5).then_some(()));
    assert!(supervised.child.try_wait().unwrap().is_none(), "it ended");
    let state = fs::read_to_string(supervised.path("state")).unwrap();
    assert!(state.contains("\"starts\":"), "{state}");
}

#[test]
fn what_cannot_be_started_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let mut child = Command::new(PROGRAM)
        .args(["run", "--first-ms", "5", "--most-ms", "5", "--state"])
        .arg(&state)
        .args(["--", "/no/such/program"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait("three tries", || {
        let text = fs::read_to_string(&state).unwrap_or_default();
        let failed = text
            .split("\"failedStarts\":")
            .nth(1)?
            .split(',')
            .next()?
            .parse::<u64>()
            .ok()?;
        (failed >= 3).then_some(())
    });
    assert!(child.try_wait().unwrap().is_none(), "it ended");
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn it_ends_when_told_to_after_its_command_and_with_its_code() {
    let mut supervised =
        Supervised::start("trap 'echo stopped > stopped; exit 7' TERM; echo > ready; while :; do sleep 0.05; done");
    let (ready, stopped) = (supervised.path("ready"), supervised.path("stopped"));
    wait("the command", || ready.exists().then_some(()));
    supervised.signal(Signal::SIGTERM);
    assert_eq!(supervised.code(), 7);
    assert!(stopped.exists(), "the command was not told");
}

#[test]
fn a_command_that_lingers_is_told_later_or_when_it_is_said_twice() {
    let start = |lingers: &str| {
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new(PROGRAM)
            .args(["run", "--lingers-ms", lingers, "--", "/bin/sh", "-c"])
            .arg("trap 'exit 7' TERM; echo > ready; while :; do sleep 0.05; done")
            .current_dir(directory.path())
            .stderr(fs::File::create(directory.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let supervised = Supervised { child, directory };
        let ready = supervised.path("ready");
        wait("the command", || ready.exists().then_some(()));
        supervised
    };
    let mut once = start("400");
    let told = Instant::now();
    once.signal(Signal::SIGTERM);
    assert_eq!(once.code(), 7);
    assert!(told.elapsed() >= Duration::from_millis(400), "{:?}", told.elapsed());
    let mut twice = start("600000");
    twice.signal(Signal::SIGTERM);
    // Two that nobody has taken yet would be one.
    let log = twice.path("log");
    wait("the first to be heard", || {
        lines(&log)
            .iter()
            .any(|line| line.contains("told to stop"))
            .then_some(())
    });
    twice.signal(Signal::SIGTERM);
    assert_eq!(twice.code(), 7);
}

#[test]
fn other_signals_are_handed_on() {
    let supervised = Supervised::start("trap 'echo again > reloaded' HUP; echo > ready; while :; do sleep 0.05; done");
    let (ready, reloaded) = (supervised.path("ready"), supervised.path("reloaded"));
    wait("the command", || ready.exists().then_some(()));
    supervised.signal(Signal::SIGHUP);
    wait("the command to hear it", || reloaded.exists().then_some(()));
}

#[test]
fn what_a_command_leaves_behind_is_gone_before_the_next_begins() {
    let supervised = Supervised::start("echo start >> log; sleep 60 & echo $! >> left; exit 1");
    let left = supervised.path("left");
    let all = wait("three lives", || Some(lines(&left)).filter(|left| left.len() >= 3));
    // The last one's may still be there; those before it were cleared first.
    for pid in all.iter().take(all.len() - 1) {
        let alive = fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains("(sleep)"));
        assert!(!alive, "{pid} holds on to what the next one needs");
    }
}

#[test]
fn it_is_installed_whole_and_again() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let done = Command::new(PROGRAM)
            .arg("install")
            .arg(directory.path())
            .status()
            .unwrap();
        assert!(done.success());
    }
    let copy = directory.path().join("supervisor");
    assert_eq!(fs::read(&copy).unwrap(), fs::read(PROGRAM).unwrap());
    assert_eq!(
        Command::new(&copy).status().unwrap().code(),
        Some(64),
        "it runs, and wants to be told what"
    );
}

#[test]
fn how_long_nobody_listened_and_how_many_were_refused_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let supervised = Supervised::start_with(
        &["--listens", &port.to_string()],
        "while [ ! -e end ]; do sleep 0.02; done; rm end; exit 1",
    );
    let log = supervised.path("log");
    let told = |what: &str| wait(what, || lines(&log).into_iter().find(|line| line.contains(what)));
    told("the command listens,");
    drop(listener);
    fs::write(supervised.path("end"), "").unwrap();
    told("ended with code 1");
    std::thread::sleep(Duration::from_millis(100));
    for _ in 0..5 {
        let _refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    }
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let line = told("the command listens again");
    let (_, all) = line.split_once("; away 1 times, ").unwrap();
    let (ms, refused) = all.split_once(" ms, ").unwrap();
    assert!(ms.parse::<u64>().unwrap() >= 100, "{line}");
    // Whoever else is refused on this machine in these milliseconds is counted too.
    assert!(
        refused.trim_end_matches(" refused").parse::<u64>().unwrap() >= 5,
        "{line}"
    );
}
