//! A bed as a test uses it: through the command `bed`, as people do, and from inside its nodes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};

use super::cache::Cache;
use super::state::{Kind, Run};
use super::{down, network};

/// One bed, by its name and the program that handles it.
#[derive(Clone, Debug)]
pub struct Bed {
    program: PathBuf,
    run: Run,
}

impl Bed {
    /// The bed of that name, up or not; `program` is the built `bed`.
    ///
    /// # Errors
    /// When the cache cannot be opened or the name does not fit.
    pub fn named(program: &Path, name: &str) -> Result<Self> {
        Ok(Self {
            program: program.to_owned(),
            run: Run::of(&Cache::open()?, name)?,
        })
    }

    /// The run folder.
    #[must_use]
    pub fn folder(&self) -> &Run {
        &self.run
    }

    /// A `bed` command for this bed.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--name", self.run.name()])
            .args(words)
            .stdin(Stdio::null());
        command
    }

    /// Runs a `bed` command and returns what it prints.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn bed(&self, words: &[&str]) -> Result<String> {
        let done = self.command(words).output().context("cannot run bed")?;
        ensure!(
            done.status.success(),
            "bed {} failed: {}",
            words.join(" "),
            String::from_utf8_lossy(&done.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Runs kubectl against the bed and returns what it prints.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.bed(&[&["kubectl"], words].concat())
    }

    /// Starts a `bed` command without waiting for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, words: &[&str]) -> Result<Child> {
        let mut command = self.command(words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().context("cannot run bed")
    }

    /// Runs a function inside a node's network namespace, on a thread of its own.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the function fails.
    pub fn inside<T: Send>(&self, node: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = network::path(&self.run.namespace(node));
        let enter = move || {
            let file = File::open(&path).with_context(|| format!("no network namespace {}", path.display()))?;
            // Only this thread moves, and it ends with the work.
            setns(file, CloneFlags::CLONE_NEWNET).context("cannot enter the node: are you root?")?;
            work()
        };
        std::thread::scope(|scope| {
            let done = scope.spawn(enter).join();
            done.map_err(|_| anyhow::Error::msg("the work inside a node panicked"))?
        })
    }

    /// What is still there of the bed, in words; empty when nothing is.
    #[must_use]
    pub fn remains(&self) -> Vec<String> {
        let mut found = down::remains(&self.run);
        let other = Cache::open().is_ok_and(|cache| {
            let beds = Run::existing(&cache);
            beds.iter()
                .any(|run| run.record().is_ok_and(|record| record.kind == Kind::Cluster))
        });
        if !other && Path::new("/sys/class/net/wire0").exists() {
            found.push("device wire0".to_owned());
        }
        found
    }
}
