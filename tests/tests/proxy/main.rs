//! The proxy rung: the built Wasm module in a real Envoy, between a real client, a real application and a gRPC server that stands
//! where the controller does. Needs `make wasm`.

mod application;
mod ingest;
mod requests;
mod sending;

use std::time::Duration;

use anyhow::{Result, ensure};
use huddle_tests::{
    envoy::{Mesh, Upstream},
    wait,
};
use ingest::Ingest;

/// Patience for what should take a second.
const SOON: Duration = Duration::from_secs(60);

/// Everything a case needs.
struct Stage {
    mesh: Mesh,
    ingest: Ingest,
}

impl Stage {
    async fn new() -> Result<Self> {
        Self::with(|_, _| Vec::new()).await
    }

    /// With further Services, given the application's address and the callee's inbound port.
    async fn with(more: impl FnOnce(std::net::SocketAddr, u16) -> Vec<(&'static str, Upstream)>) -> Result<Self> {
        let application = application::start().await?;
        let ingest = Ingest::start().await?;
        let mesh = Mesh::start(application, ingest.address(), |port| more(application, port)).await?;
        Ok(Self { mesh, ingest })
    }

    async fn get(&self, service: &str, path: &str, times: usize) -> Result<()> {
        for _ in 0..times {
            self.mesh.get(service, path).await?;
        }
        Ok(())
    }

    /// Waits until the controller has so many requests and no reporter has more to say; then the count must be exact, and the
    /// module must be well.
    async fn counted(&self, requests: u64) -> Result<ingest::Collected> {
        let collected = wait::until(format!("{requests} requests counted"), SOON, async || {
            let now = self.ingest.collected();
            let seen = now.requests() + now.drops.unrouted_requests + now.drops.overflow_requests;
            if seen >= requests && now.quiet() {
                Ok(now)
            } else {
                Err(format!("{seen} requests; {now:?}"))
            }
        })
        .await?;
        let seen = collected.requests() + collected.drops.unrouted_requests + collected.drops.overflow_requests;
        ensure!(
            seen == requests,
            "{seen} requests counted instead of {requests}: {collected:?}"
        );
        self.healthy()?;
        Ok(collected)
    }

    fn healthy(&self) -> Result<()> {
        let log = self.mesh.caller.log();
        let bad = log.lines().find(|line| {
            ["panicked", "Wasm VM failed", "terminated", "[critical]"]
                .iter()
                .any(|word| line.contains(word))
        });
        ensure!(bad.is_none(), "Envoy's log:\n{log}");
        Ok(())
    }
}
