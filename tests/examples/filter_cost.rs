//! What the filter costs: cpu per request of the caller's Envoy without Huddle, with the times only, and with the filter, taken in
//! turns so that a noisy machine treats all three alike. `cargo run -p huddle-tests --example filter_cost [ROUNDS [REQUESTS]]`.

#[path = "../tests/proxy/application.rs"]
#[allow(dead_code, reason = "shared with the proxy rung, which uses all of it")]
mod application;
#[path = "../tests/proxy/ingest.rs"]
#[allow(dead_code, reason = "shared with the proxy rung, which uses all of it")]
mod ingest;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use huddle_tests::envoy::{Huddle, Mesh, configuration};

/// Connections that call at the same time.
const CALLERS: usize = 4;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let rounds = arguments.next().transpose()?.unwrap_or(9);
    let requests = arguments.next().transpose()?.unwrap_or(8_000);
    let ingest = ingest::Ingest::start().await?;
    let mut mesh = Mesh::start(application::start().await?, ingest.address(), |_| Vec::new()).await?;
    let variants = [
        ("without", Huddle::Out),
        ("times", Huddle::Times),
        ("filter", Huddle::Filter(configuration(5_000))),
    ];
    let mut costs = vec![Vec::new(); variants.len()];
    for round in 0..=rounds {
        for ((_, huddle), costs) in variants.iter().zip(&mut costs) {
            mesh.reconfigure(huddle.clone()).await?;
            run(&mesh, requests / 10).await?;
            let before = mesh.caller.cpu_us()?;
            run(&mesh, requests).await?;
            let cost = (mesh.caller.cpu_us()? - before) as f64 / requests as f64;
            // The first round warms up.
            if round > 0 {
                costs.push(cost);
            }
        }
        println!("resident after round {round}: {} kB", mesh.caller.resident_kb()?);
    }
    let mut base = None;
    for ((name, _), costs) in variants.iter().zip(&mut costs) {
        costs.sort_by(f64::total_cmp);
        let median = *costs.get(costs.len() / 2).context("no rounds")?;
        let base = *base.get_or_insert(median);
        let (low, high) = (costs.first().context("no rounds")?, costs.last().context("no rounds")?);
        println!(
            "{name:8} {median:6.1} us per request ({low:.1} to {high:.1}), ratio of medians {:.3}",
            median / base
        );
    }
    Ok(())
}

async fn run(mesh: &Mesh, requests: usize) -> Result<()> {
    let caller = async || -> Result<()> {
        for _ in 0..requests / CALLERS {
            mesh.get("app", "/ok").await?;
        }
        Ok(())
    };
    try_join_all((0..CALLERS).map(|_| caller())).await?;
    Ok(())
}
