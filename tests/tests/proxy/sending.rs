//! Exactly once, whatever happens to the controller and to the configuration.

use anyhow::Result;
use huddle_proto::RequestClass;
use huddle_tests::{
    envoy::{Huddle, cluster, configuration},
    wait,
};
use serde_json::json;

use crate::{SOON, Stage, ingest::Mood};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_while_the_controller_is_away() -> Result<()> {
    let mut stage = Stage::new().await?;
    stage.get("app", "/ok", 50).await?;
    stage.counted(50).await?;
    stage.ingest.down().await?;
    stage.get("app", "/ok", 50).await?;
    wait::until("a failed call to the controller", SOON, async || {
        let log = stage.mesh.caller.log();
        log.contains("the controller cannot be reached")
            .then_some(())
            .ok_or(log)
    })
    .await?;
    stage.get("app", "/ok", 50).await?;
    stage.ingest.up().await?;
    stage.get("app", "/ok", 50).await?;
    let collected = stage.counted(200).await?;
    assert!(collected.drops.failed_sends >= 1);
    assert_eq!(collected.drops.lost_requests, 0);
    assert_eq!(
        collected.edge(&cluster("app"), RequestClass::Http).errors,
        0,
        "the application noticed nothing"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_applied_without_an_answer_is_not_counted_twice() -> Result<()> {
    let stage = Stage::new().await?;
    stage.ingest.be(Mood::AppliesAndFails);
    stage.get("app", "/ok", 50).await?;
    wait::until("a repeated batch", SOON, async || {
        let collected = stage.ingest.collected();
        (collected.repeats >= 2).then_some(()).ok_or(format!("{collected:?}"))
    })
    .await?;
    stage.ingest.be(Mood::Fails);
    stage.get("app", "/ok", 50).await?;
    let before = stage.ingest.collected().failures;
    wait::until("a refused call", SOON, async || {
        let collected = stage.ingest.collected();
        (collected.failures > before)
            .then_some(())
            .ok_or(format!("{collected:?}"))
    })
    .await?;
    stage.ingest.be(Mood::Well);
    stage.counted(100).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_without_traffic_says_that_it_is_there() -> Result<()> {
    let stage = Stage::new().await?;
    // The main thread's VM and two workers' are there; one of them speaks for all.
    wait::until("a heartbeat", SOON, async || {
        let collected = stage.ingest.collected();
        collected.quiet().then_some(()).ok_or(format!("{collected:?}"))
    })
    .await?;
    assert_eq!(stage.ingest.collected().requests(), 0);
    stage.healthy()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_loses_nothing() -> Result<()> {
    let mut stage = Stage::new().await?;
    // These report only minutes later: what they hold must be handed over when the next one takes their place.
    for interval in [300_000, 299_000, 298_000, 100] {
        stage.get("app", "/ok", 25).await?;
        stage.mesh.reconfigure(Huddle::Filter(configuration(interval))).await?;
    }
    let collected = stage.counted(100).await?;
    assert_eq!(collected.drops.lost_requests, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_changes_nothing() -> Result<()> {
    let mut stage = Stage::new().await?;
    stage.get("app", "/ok", 20).await?;
    let mut bad = configuration(100);
    bad["intervall_ms"] = json!(5);
    stage.mesh.reconfigure(Huddle::Filter(bad)).await?;
    wait::until("the complaint", SOON, async || {
        let log = stage.mesh.caller.log();
        log.contains("intervall_ms: expected no such field")
            .then_some(())
            .ok_or(log)
    })
    .await?;
    stage.get("app", "/ok", 20).await?;
    stage.counted(40).await?;
    assert!(stage.mesh.caller.log().contains("the one before stays in force"));
    Ok(())
}
