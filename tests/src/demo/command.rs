//! Runs the project's own programs the way a user would: as processes, reading what they print.

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// A program with its environment.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    kubeconfig: Option<PathBuf>,
}

impl Program {
    /// The program beside this one (`target/debug/NAME` while developing).
    ///
    /// # Errors
    /// Says which `cargo build` makes it when it is missing.
    pub fn beside(name: &str) -> Result<Self> {
        let mut folder = std::env::current_exe().context("where this program is")?;
        folder.pop();
        if folder.ends_with("deps") {
            folder.pop();
        }
        let path = folder.join(name);
        if !path.exists() {
            bail!("{} is missing: run `cargo build --workspace` first", path.display());
        }
        Ok(Self { path, kubeconfig: None })
    }
    /// With this kubeconfig.
    pub fn with_kubeconfig(mut self, kubeconfig: &Path) -> Self {
        self.kubeconfig = Some(kubeconfig.to_owned());
        self
    }
    /// The words that start it in a shell.
    pub fn words(&self) -> String {
        let path = self.path.display();
        match &self.kubeconfig {
            Some(kubeconfig) => format!("KUBECONFIG={} {path}", kubeconfig.display()),
            None => path.to_string(),
        }
    }
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(args);
        self.furnished(command)
    }
    fn furnished(&self, mut command: Command) -> Command {
        command.stdin(Stdio::null());
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        command
    }
    /// Runs it with its output on this terminal.
    ///
    /// # Errors
    /// When it cannot start or ends with another code than 0.
    pub async fn run(&self, args: &[&str]) -> Result<()> {
        let status = self
            .command(args)
            .status()
            .await
            .with_context(|| format!("start {}", self.path.display()))?;
        if !status.success() {
            bail!("{} {} ended with {status}", self.path.display(), args.join(" "));
        }
        Ok(())
    }
    /// Runs it and gives what it printed.
    ///
    /// # Errors
    /// When it cannot start or ends with another code than 0; the error holds what it wrote to standard error.
    pub async fn text(&self, args: &[&str]) -> Result<String> {
        let output = self
            .command(args)
            .output()
            .await
            .with_context(|| format!("start {}", self.path.display()))?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{} {} ended with {}: {}",
                self.path.display(),
                args.join(" "),
                output.status,
                error.trim()
            );
        }
        String::from_utf8(output.stdout).context("it printed something that is not UTF-8")
    }
    /// Runs it and parses the JSON it printed, also where something needs attention (exit code 3).
    ///
    /// # Errors
    /// When it cannot start or ends with another code, and when the JSON has another shape.
    pub async fn answer<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T> {
        let output = self
            .command(args)
            .output()
            .await
            .with_context(|| format!("start {}", self.path.display()))?;
        let words = || format!("{} {}", self.path.display(), args.join(" "));
        if !matches!(output.status.code(), Some(0 | 3)) {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("{} ended with {}: {}", words(), output.status, error.trim());
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("what `{}` printed", words()))
    }
    /// Runs it and parses the JSON it printed.
    ///
    /// # Errors
    /// As [`Self::text`], and when the JSON has another shape.
    pub async fn json<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T> {
        let text = self.text(args).await?;
        serde_json::from_str(&text).with_context(|| format!("what `{}` printed", args.join(" ")))
    }
    /// Starts it in the background; it ends when the handle is dropped, and also when this process is killed.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start(&self, args: &[&str]) -> Result<tokio::process::Child> {
        // setpriv (util-linux) asks the kernel for the signal, and becomes the program.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(&self.path).args(args);
        self.furnished(command)
            .kill_on_drop(true)
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", self.path.display()))
    }
}
