//! One namespace's wave: every pod reports again and errors do not rise, or the wave is taken back.

use super::{Args, preflight};
use crate::args::Connection;
use crate::cli::connect;
use crate::cli::wait::until;
use anyhow::{bail, ensure};
use huddle_core::view::State;
use kube::Client;
use std::collections::BTreeSet;
use std::time::Duration;

/// A share of errors counts only over this many calls.
const ENOUGH: u64 = 50;

/// Calls into and out of a namespace, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Errors {
    pub(super) calls: u64,
    pub(super) failed: u64,
}

impl Errors {
    fn share(self) -> f64 {
        self.failed as f64 / self.calls.max(1) as f64
    }
    /// Whether `self` is clearly worse than `before`: by more than `percent` points, over enough calls.
    fn worse_than(self, before: Self, percent: u8) -> bool {
        let allowed = f64::from(percent) / 100.0 + if before.calls >= ENOUGH { before.share() } else { 0.0 };
        self.calls >= ENOUGH && self.share() > allowed
    }
}

fn count(state: &State, namespace: &str) -> Errors {
    let prefix = format!("{namespace}/");
    let mut errors = Errors::default();
    for edge in &state.edges {
        if edge.source.starts_with(&prefix) || edge.destination.starts_with(&prefix) {
            errors.calls += edge.total.requests;
            errors.failed += edge.total.errors;
        }
    }
    errors
}

/// What is known of a namespace's errors now.
pub(super) async fn errors(connection: &Connection, namespace: &str) -> anyhow::Result<Errors> {
    Ok(count(&connect::state(connection).await?, namespace))
}

/// Waits until all ready pods of the namespace report.
///
/// # Errors
/// If they do not in time, or more calls fail than before, or pods that reported before fell silent.
pub(super) async fn settle(
    client: &Client,
    connection: &Connection,
    args: &Args,
    namespace: &str,
    before: Errors,
) -> anyhow::Result<()> {
    let (expected, _) = preflight::pods(client, namespace).await?;
    let state = until(
        &format!("every pod of {namespace} to report"),
        Duration::from_secs(args.patience),
        async || {
            let state = connect::state(connection).await.map_err(|error| format!("{error:#}"))?;
            let (ready, _) = preflight::pods(client, namespace)
                .await
                .map_err(|error| error.to_string())?;
            let missing = missing(&state, namespace, &ready);
            let errors = count(&state, namespace);
            if errors.worse_than(before, args.max_errors) {
                return Ok(Err(errors));
            }
            if ready.len() < expected.len() {
                return Err(format!("{} of {} pods are ready", ready.len(), expected.len()));
            }
            if missing.is_empty() {
                Ok(Ok(state))
            } else {
                Err(format!(
                    "silent: {}",
                    missing.into_iter().collect::<Vec<_>>().join(", ")
                ))
            }
        },
    )
    .await?;
    match state {
        Ok(state) => {
            let elsewhere: Vec<&str> = state
                .silent
                .iter()
                .filter(|pod| pod.reason == "stopped")
                .map(|pod| pod.pod.as_str())
                .collect();
            ensure!(elsewhere.is_empty(), "pods fell silent: {}", elsewhere.join(", "));
            println!("  all {} pods report", expected.len());
            Ok(())
        }
        Err(errors) => bail!(
            "{:.1} % of {} calls of {namespace} failed ({:.1} % before)",
            errors.share() * 100.0,
            errors.calls,
            before.share() * 100.0
        ),
    }
}

fn missing(state: &State, namespace: &str, ready: &[String]) -> BTreeSet<String> {
    let reporting: BTreeSet<&str> = state
        .workloads
        .iter()
        .filter(|workload| workload.namespace == namespace)
        .flat_map(|workload| &workload.pods)
        .filter(|pod| pod.reporting)
        .map(|pod| pod.name.as_str())
        .collect();
    ready
        .iter()
        .filter(|pod| !reporting.contains(pod.as_str()))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::graph::tests::state;

    #[test]
    fn silent_pods_are_found_by_name() {
        let ready = ["frontend-node-1".to_owned(), "currency-node-2".to_owned()];
        assert_eq!(
            missing(&state(), "shop", &ready),
            BTreeSet::from(["currency-node-2".to_owned()])
        );
        assert_eq!(count(&state(), "shop").calls, 5_300);
        assert_eq!(count(&state(), "istio-system").calls, 500);
    }

    #[test]
    fn errors_are_compared_with_what_was_before() {
        let of = |calls, failed| Errors { calls, failed };
        assert!(!of(40, 40).worse_than(of(0, 0), 5), "too few calls to say");
        assert!(of(100, 6).worse_than(of(0, 0), 5));
        assert!(!of(100, 14).worse_than(of(100, 10), 5));
        assert!(of(100, 16).worse_than(of(100, 10), 5));
    }
}
