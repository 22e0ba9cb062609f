//! The demo's load, cut into phases: what failed in each, and how fast the entry pages were.

use super::PATIENCE;
use super::report::EntryWindow;
use crate::{
    load::{Load, deploy::NAMESPACE, fortio::RunId},
    pods::running,
    shop::Window,
    wait::until,
};
use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Load that goes on while phases are closed one after the other.
pub struct Traffic {
    client: kube::Client,
    graph: String,
    load: Load,
    run: RunId,
    since: u64,
}

/// What the load generators saw of one phase.
#[derive(Clone, Debug, Default)]
pub struct Phase {
    /// Requests that failed: refused, broken off, answered 5xx or too late.
    pub failed: u64,
    /// What they were, one line for each entry and cause, with the seconds (since the epoch) where they are known.
    pub causes: Vec<String>,
    /// How long it was.
    pub span: Duration,
    /// Entry pages by name.
    pub entries: BTreeMap<String, EntryWindow>,
}

impl Traffic {
    /// Deploys the generators and starts the load.
    ///
    /// # Errors
    /// When a generator does not become ready or does not answer.
    pub async fn start(client: &kube::Client, graph: &str) -> Result<Self> {
        let load = Load::deploy(client, graph, PATIENCE).await?;
        let run = load.start().await.context("start the load")?;
        Ok(Self {
            client: client.clone(),
            graph: graph.to_owned(),
            load,
            run,
            since: now(),
        })
    }

    /// Ends all load and waits until the driver is gone: nothing calls the shop from outside any more.
    ///
    /// # Errors
    /// When a generator does not answer or does not go.
    pub async fn silence(&mut self) -> Result<()> {
        self.load.stop(self.run).await.context("stop the load")?;
        self.scale_driver(0).await?;
        until("the driver to be gone", PATIENCE, async || {
            let pods = running(&self.client, NAMESPACE, "app=driver")
                .await
                .map_err(|error| error.to_string())?;
            if pods.is_empty() {
                Ok(())
            } else {
                Err(format!("{} pods", pods.len()))
            }
        })
        .await?;
        Ok(())
    }

    /// Only the headline load, for `span`, from silence to silence.
    ///
    /// # Errors
    /// When the generator does not answer.
    pub async fn burst(&mut self, span: Duration) -> Result<u64> {
        let run = self.load.start().await.context("start a burst of load")?;
        tokio::time::sleep(span).await;
        Ok(self.load.stop(run).await.context("stop a burst of load")?.requests)
    }

    /// The headline load from now on at that share of the graph's rate, until the phase is closed or the load resumes.
    ///
    /// # Errors
    /// When the generator does not answer.
    pub async fn throttle(&mut self, share: f64) -> Result<()> {
        self.load.stop(self.run).await.context("stop the load")?;
        self.run = self
            .load
            .start_at(share)
            .await
            .context("start the load at another rate")?;
        Ok(())
    }

    /// All load again, after [`Self::silence`].
    ///
    /// # Errors
    /// When a generator does not become ready or does not answer.
    pub async fn resume(&mut self) -> Result<()> {
        self.scale_driver(1).await?;
        *self = Self::start(&self.client, &self.graph).await?;
        Ok(())
    }

    async fn scale_driver(&self, replicas: i32) -> Result<()> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), NAMESPACE);
        let patch = serde_json::json!({"spec": {"replicas": replicas}});
        api.patch_scale("driver", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .context("scale the driver")?;
        Ok(())
    }

    /// Ends the phase that began with the last call, and begins the next one without a pause in the driver's load.
    ///
    /// # Errors
    /// When a generator does not answer.
    pub async fn close(&mut self) -> Result<Phase> {
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
            span: Duration::from_secs(seconds),
            ..Phase::default()
        };
        let bad = outcome.statuses.iter().filter(|(status, _)| **status != 200);
        phase.causes = bad
            .map(|(status, times)| match status {
                -1 => format!("home: {times} without an answer"),
                status => format!("home: {times} with status {status}"),
            })
            .collect();
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
            let causes = entry.causes.iter();
            let line = |(cause, times): (&String, &u64)| {
                format!("{}: {times} × {cause}, at {:?}", entry.name, entry.failed_at)
            };
            phase.causes.extend(causes.map(line));
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
