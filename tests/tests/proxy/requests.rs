//! What the filter makes of requests that go well, badly, and nowhere.

use anyhow::Result;
use huddle_proto::{Batch, RequestClass, names, telemetry::v1::ingest_client::IngestClient};
use huddle_tests::envoy::{Huddle, Upstream, cluster, configuration};
use tonic::transport::Endpoint;

use crate::{Stage, application};

/// Proxies and loopback take well below this on an idle machine; a busy one may take longer for the median.
const NEAR_MS: f64 = 25.0;

#[tokio::test(flavor = "multi_thread")]
async fn healthy_calls_are_counted_and_timed() -> Result<()> {
    let stage = Stage::new().await?;
    stage.get("app", "/busy/20", 200).await?;
    let collected = stage.counted(200).await?;
    let edge = collected.edge(&cluster("app"), RequestClass::Http);
    assert_eq!(
        (edge.requests, edge.errors, edge.retries, edge.missing_served),
        (200, 0, 0, 0)
    );
    for times in [&edge.upstream, &edge.served, &edge.network, &edge.body] {
        assert_eq!(times.count(), 200);
    }
    assert!(edge.served.median_ms() >= 19.5, "served {} ms", edge.served.median_ms());
    assert!(edge.upstream.median_ms() >= edge.served.median_ms());
    assert!(
        edge.network.median_ms() < NEAR_MS,
        "network {} ms",
        edge.network.median_ms()
    );
    assert!(edge.body.median_ms() < NEAR_MS, "body {} ms", edge.body.median_ms());
    assert!(edge.response_bytes > 200 * 4, "headers and body of each");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_body_leaves_the_network_time_alone() -> Result<()> {
    let stage = Stage::new().await?;
    stage.get("app", "/late/50", 60).await?;
    let collected = stage.counted(60).await?;
    let edge = collected.edge(&cluster("app"), RequestClass::Http);
    assert!(
        edge.network.median_ms() < NEAR_MS,
        "network {} ms",
        edge.network.median_ms()
    );
    assert!(
        edge.served.median_ms() < NEAR_MS,
        "served {} ms",
        edge.served.median_ms()
    );
    let body = edge.body.median_ms();
    assert!((48.0..48.0 + NEAR_MS).contains(&body), "body {body} ms");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_headers_count_for_nothing_and_reach_nobody() -> Result<()> {
    let stage = Stage::with(|application, _| vec![("bare", Upstream::new([application]))]).await?;
    for service in ["app", "bare"] {
        for path in ["/forge", "/ok"] {
            let answer = stage.mesh.get(service, path).await?;
            assert_eq!(answer.status, 200);
            for header in [names::HEADER_SERVED_US, names::HEADER_UPSTREAM_US] {
                assert!(
                    !answer.headers.contains_key(header),
                    "{service}{path}: the application sees {header}"
                );
            }
        }
    }
    let collected = stage.counted(4).await?;
    let app = collected.edge(&cluster("app"), RequestClass::Http);
    assert!(
        app.served.max_ms() < 10_000.0 && app.upstream.max_ms() < 10_000.0,
        "{app:?}"
    );
    // Without a proxy of its own a callee may say what it likes about itself; what it says of the caller's time is overwritten.
    let bare = collected.edge(&cluster("bare"), RequestClass::Http);
    assert!(bare.upstream.max_ms() < 10_000.0, "{bare:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callee_without_a_proxy_is_flagged() -> Result<()> {
    let stage = Stage::with(|application, _| vec![("bare", Upstream::new([application]))]).await?;
    stage.get("bare", "/ok", 20).await?;
    let collected = stage.counted(20).await?;
    let edge = collected.edge(&cluster("bare"), RequestClass::Http);
    assert_eq!(
        (edge.requests, edge.missing_served, edge.upstream.count()),
        (20, 20, 20)
    );
    assert_eq!(
        (edge.served.count(), edge.network.count(), edge.body.count()),
        (0, 0, 20)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_errors_and_have_no_times() -> Result<()> {
    let resetting = application::start_resetting().await?;
    let stage = Stage::with(|_, _| {
        let retried = Upstream {
            retries: 2,
            ..Upstream::new([resetting])
        };
        vec![
            ("nobody", Upstream::new([])),
            ("resets", Upstream::new([resetting])),
            ("retried", retried),
        ]
    })
    .await?;
    assert_eq!(stage.mesh.get("nobody", "/ok").await?.status, 503);
    assert_eq!(stage.mesh.get("resets", "/ok").await?.status, 503);
    assert_eq!(stage.mesh.get("retried", "/ok").await?.status, 503);
    assert_eq!(stage.mesh.get("no-such-service", "/ok").await?.status, 404);
    assert_eq!(stage.mesh.get("app", "/fail").await?.status, 500);
    assert_eq!(stage.mesh.get("app", "/none").await?.status, 404);
    let collected = stage.counted(6).await?;
    assert_eq!(collected.drops.unrouted_requests, 1);
    for (service, retries) in [("nobody", 0), ("resets", 0), ("retried", 2)] {
        let edge = collected.edge(&cluster(service), RequestClass::Http);
        assert_eq!(
            (edge.requests, edge.errors, edge.retries, edge.upstream.count()),
            (1, 1, retries, 0),
            "{service}"
        );
    }
    let nobody = (cluster("nobody"), String::new(), RequestClass::Http);
    assert!(
        collected.edges.contains_key(&nobody),
        "no endpoint was chosen: {:?}",
        collected.edges.keys()
    );
    let app = collected.edge(&cluster("app"), RequestClass::Http);
    assert_eq!(
        (app.requests, app.errors, app.served.count()),
        (2, 1, 2),
        "a 500 is served too, a 404 is no error"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_endpoint_is_an_edge() -> Result<()> {
    let endpoints = |port| (1..=64).map(move |last| std::net::SocketAddr::from(([127, 0, 0, last], port)));
    let stage = Stage::with(|_, port| vec![("wide", Upstream::new(endpoints(port)))]).await?;
    stage.get("wide", "/ok", 640).await?;
    let collected = stage.counted(640).await?;
    assert_eq!(collected.edges.len(), 64);
    assert!(
        collected
            .edges
            .values()
            .all(|edge| edge.served.count() == edge.requests)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_calls_are_a_class_of_their_own() -> Result<()> {
    let stage = Stage::new().await?;
    let channel = Endpoint::from_shared(format!("http://{}", stage.mesh.outbound))?.origin("http://app".parse()?);
    let mut client = IngestClient::new(channel.connect().await?);
    let statuses = [tonic::Code::Ok, tonic::Code::NotFound, tonic::Code::Unavailable];
    for status in statuses.into_iter().cycle().take(30) {
        let answer = client
            .report(Batch {
                sequence: status as u64,
                ..Batch::default()
            })
            .await;
        assert_eq!(answer.map_or_else(|why| why.code(), |_| tonic::Code::Ok), status);
    }
    stage.get("app", "/ok", 5).await?;
    let collected = stage.counted(35).await?;
    let grpc = collected.edge(&cluster("app"), RequestClass::Grpc);
    assert_eq!(
        (grpc.requests, grpc.errors, grpc.served.count()),
        (30, 10, 30),
        "NOT_FOUND is an answer"
    );
    let http = collected.edge(&cluster("app"), RequestClass::Http);
    assert_eq!((http.requests, http.errors), (5, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_the_limit_are_kept_apart() -> Result<()> {
    let mut stage = Stage::new().await?;
    let mut limited = configuration(100);
    limited["long_ms"] = 10.into();
    stage.mesh.reconfigure(Huddle::Filter(limited)).await?;
    stage.get("app", "/busy/20", 10).await?;
    let collected = stage.counted(10).await?;
    let long = collected.edge(&cluster("app"), RequestClass::Long);
    assert_eq!((long.requests, long.served.count()), (10, 10));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_says_who_he_is() -> Result<()> {
    let stage = Stage::new().await?;
    let forged = (names::HEADER_PEER_ADDRESS, "10.9.8.7");
    assert_eq!(
        stage.mesh.get_with("app", "/peer", forged).await?.body,
        "127.0.0.1",
        "the address, and only that"
    );
    Ok(())
}
