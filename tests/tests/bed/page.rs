//! The dashboard's page in a browser, on what the controller measured on the bed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use huddle_tests::wait::until;

use crate::huddle::{LIMIT, World};

/// Beside the port that `huddle dashboard` takes by default and the one of the demo.
const PORT: &str = "18082";

impl World {
    /// Runs the page's checks, and takes its pictures, through `huddle dashboard`.
    pub(crate) fn page_on_live_data(&mut self) -> Result<()> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let url = format!("http://127.0.0.1:{PORT}/");
        let _forward = {
            let _inside = self.runtime.enter();
            self.demo.huddle.start(&["dashboard", "--port", PORT, "--no-browser"])?
        };
        self.runtime.block_on(until("the dashboard's port", LIMIT, async || {
            tokio::net::TcpStream::connect(("127.0.0.1", PORT.parse().unwrap_or(0)))
                .await
                .map(drop)
        }))?;
        let done = Command::new("make")
            .args(["-s", "dashboard-live"])
            .current_dir(&root)
            .env("HUDDLE_DASHBOARD_URL", &url)
            .status()
            .context("cannot run make")?;
        ensure!(done.success(), "the page's checks failed");
        Ok(())
    }
}
