//! The demo's load, cut into phases: what failed in each, and how fast the entry pages were.

use super::report::EntryWindow;
use crate::{
    load::{Load, fortio::RunId},
    shop::Window,
};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// Load that goes on while phases are closed one after the other.
pub(super) struct Traffic {
    load: Load,
    run: RunId,
    since: u64,
}

/// What the load generators saw of one phase.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase {
    /// Requests that failed: refused, broken off, answered 5xx or too late.
    pub(super) failed: u64,
    /// Entry pages by name.
    pub(super) entries: BTreeMap<String, EntryWindow>,
}

impl Traffic {
    /// Starts the headline load beside the driver, which drives since it was deployed.
    ///
    /// # Errors
    /// When the generator does not answer.
    pub(super) async fn start(load: Load) -> Result<Self> {
        let run = load.start().await.context("start the load")?;
        Ok(Self {
            load,
            run,
            since: now(),
        })
    }

    /// Ends the phase that began with the last call, and begins the next one without a pause in the driver's load.
    ///
    /// # Errors
    /// When a generator does not answer.
    pub(super) async fn close(&mut self) -> Result<Phase> {
        let (run, outcome) = self
            .load
            .next_window(self.run)
            .await
            .context("close a phase of the load")?;
        self.run = run;
        let until = now();
        let seconds = until.saturating_sub(self.since).max(1);
        let window = Window {
            from: Some(self.since),
            to: Some(until),
        };
        self.since = until;
        let mut phase = Phase {
            failed: outcome.failed,
            ..Phase::default()
        };
        let at = |percent| outcome.percentile_us(percent).unwrap_or(0);
        let home = EntryWindow {
            requests: outcome.requests,
            rps: outcome.rps,
            p50_us: at(50.0),
            p99_us: at(99.0),
        };
        phase.entries.insert("home".to_owned(), home);
        for entry in self.load.driven(window).await.context("read the driver's report")? {
            phase.failed += entry.failed;
            let rps = entry.requests as f64 / seconds as f64;
            let seen = EntryWindow {
                requests: entry.requests,
                rps,
                p50_us: entry.p50_us,
                p99_us: entry.p99_us,
            };
            phase.entries.insert(entry.name.to_string(), seen);
        }
        Ok(phase)
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
