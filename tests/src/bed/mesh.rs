//! What is installed into the cluster: DNS and Istio with mTLS for all.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::parts;
use super::wait::until;

/// kubectl against one cluster.
#[derive(Clone, Copy, Debug)]
pub struct Kubectl<'a> {
    /// The multi-call binary.
    pub kube: &'a Path,
    /// The administrator's kubeconfig.
    pub kubeconfig: &'a Path,
}

impl Kubectl<'_> {
    /// A command with these words, to be run or read by the caller.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.kube);
        command.arg("kubectl").args(words).env("KUBECONFIG", self.kubeconfig);
        command
    }

    /// Runs it and returns what it prints.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let done = self
            .command(words)
            .stdin(Stdio::null())
            .output()
            .context("cannot run kubectl")?;
        ensure!(
            done.status.success(),
            "kubectl {} failed: {}",
            words.join(" "),
            String::from_utf8_lossy(&done.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Applies objects given as text, server-side.
    ///
    /// # Errors
    /// When the API server refuses one of them.
    pub fn apply(&self, objects: &str) -> Result<()> {
        let mut command = self.command(&["apply", "--server-side", "--force-conflicts", "-f", "-"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run kubectl")?;
        child
            .stdin
            .take()
            .context("kubectl has no input")?
            .write_all(objects.as_bytes())?;
        let done = child.wait_with_output()?;
        ensure!(
            done.status.success(),
            "kubectl apply failed: {}",
            String::from_utf8_lossy(&done.stderr).trim()
        );
        Ok(())
    }
}

/// Applies DNS and the mesh; their pods start once there are nodes.
pub(super) fn install(kubectl: Kubectl<'_>, istio_manifest: &Path) -> Result<()> {
    kubectl.apply(parts::DNS)?;
    kubectl.apply("{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}")?;
    kubectl.apply(&std::fs::read_to_string(istio_manifest)?)?;
    // A kind that was defined a moment ago is served a moment later.
    let settings = format!("{}---\n{}", parts::STRICT, parts::FAILURES);
    until("the mesh's settings", Duration::from_secs(30), || {
        Ok(kubectl.apply(&settings).map_err(|error| error.to_string()))
    })
}

/// Waits until all nodes are ready and DNS and the mesh answer.
pub(super) fn wait(kubectl: Kubectl<'_>, nodes: usize) -> Result<()> {
    until("all nodes ready", Duration::from_secs(120), || {
        let listed = kubectl.run(&["get", "nodes", "--no-headers"]).unwrap_or_default();
        let ready = listed
            .lines()
            .filter(|line| line.split_whitespace().nth(1) == Some("Ready"))
            .count();
        Ok(if ready == nodes {
            Ok(())
        } else {
            Err(format!("{ready} of {nodes} ready"))
        })
    })?;
    for (namespace, deployment) in [("kube-system", "deploy/coredns"), ("istio-system", "deploy/istiod")] {
        kubectl.run(&["-n", namespace, "rollout", "status", deployment, "--timeout=180s"])?;
    }
    Ok(())
}
