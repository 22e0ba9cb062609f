//! What is known of requests that failed: the proxies log those alone (tests/bed/manifests/failures.yaml).

use super::NAMESPACES;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, ResourceExt};
use std::time::Duration;

/// Lines per proxy: the first ones tell the cause, the rest follow from it.
const LINES: usize = 5;

/// Pod and access log line, of every proxy of the shop and its load that had a failed request within `span`. Pods that are gone took
/// their logs along.
///
/// # Errors
/// Whatever the API server says.
pub(crate) async fn logged(client: &Client, span: Duration) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let params = LogParams {
        container: Some("istio-proxy".to_owned()),
        since_seconds: i64::try_from(span.as_secs()).ok(),
        ..LogParams::default()
    };
    for namespace in NAMESPACES {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let listed = pods.list(&ListParams::default()).await.context("list pods")?;
        for name in listed.iter().map(ResourceExt::name_any) {
            let text = match pods.logs(&name, &params).await {
                Ok(text) => text,
                Err(error) => {
                    found.push(format!("{namespace}/{name}: its log cannot be read: {error}"));
                    continue;
                }
            };
            // Access log lines begin with a bracketed time, the agent's own with a bare one.
            let lines = text.lines().filter(|line| line.starts_with('[')).take(LINES);
            found.extend(lines.map(|line| format!("{namespace}/{name}: {line}")));
        }
    }
    Ok(found)
}
