//! The binary as a process: it starts wholly or not at all, stops when asked to, and its exit codes mean what the help says.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A kubeconfig of a cluster that refuses connections, and the module that the controller serves.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A port that was free a moment ago and that nobody listens on.
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: 'http://{closed}'}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
        );
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        std::fs::write(folder.path().join("filter.wasm"), b"\0asm\x01\0\0\0").unwrap();
        Self { folder }
    }
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    fn huddle(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_huddle"));
        command.arg("--kubeconfig").arg(self.path("kubeconfig")).args(args);
        command
    }
    fn controller(&self, ports: [&str; 3], module: &str) -> Command {
        let mut command = self.huddle(&[
            "controller",
            "--ingest",
            ports[0],
            "--public",
            ports[1],
            "--people",
            ports[2],
        ]);
        command.arg("--filter-module").arg(self.path(module));
        command
    }
}

const FREE: &str = "127.0.0.1:0";

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_taken_port_ends_the_start_and_is_named() {
    let files = Files::new();
    let taken = TcpListener::bind(FREE).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (ports, flag) in [
        ([&*address, FREE, FREE], "--ingest"),
        ([FREE, &*address, FREE], "--public"),
        ([FREE, FREE, &*address], "--people"),
    ] {
        let output = files.controller(ports, "filter.wasm").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let expected = format!("cannot listen on {flag} {address}");
        assert!(words(&output).contains(&expected), "{}", words(&output));
    }
}

#[test]
fn a_missing_or_wrong_module_ends_the_start() {
    let files = Files::new();
    for module in ["absent.wasm", "kubeconfig"] {
        let output = files.controller([FREE; 3], module).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(words(&output).contains("--filter-module"), "{}", words(&output));
    }
}

/// Starts the controller and waits until it listens.
fn started(files: &Files) -> (Child, BufReader<impl Read>) {
    let mut child = files
        .controller([FREE; 3], "filter.wasm")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended before it listened");
    }
    (child, log)
}

#[test]
fn sigterm_stops_it_cleanly_although_the_cluster_is_away() {
    let files = Files::new();
    let (mut child, mut log) = started(&files);
    let sent = Command::new("kill")
        .arg("-TERM")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(sent.success());
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    assert!(rest.contains("stopping"), "{rest}");
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let files = Files::new();
    let code = |args: &[&str]| files.huddle(args).output().unwrap().status.code();
    assert_eq!(code(&["--help"]), Some(0));
    assert_eq!(code(&["grpah"]), Some(2));
    assert_eq!(code(&["graph"]), Some(4), "the controller cannot be reached");
    assert_eq!(code(&["install", "--allow", "act"]), Some(1));
}
