//! The published state as Prometheus series, read at each scrape.
//!
//! Counts are for everybody who reaches the port; the names of edges only where `--edge-metrics` says so, since the port asks
//! nobody who he is. Quantiles come from the window's merged histograms; adding or averaging them across edges means nothing.
//!
//! | series | labels | stable |
//! | --- | --- | --- |
//! | `huddle_findings` | `cause` | yes |
//! | `huddle_plans` | `phase` | yes |
//! | `huddle_verdicts` | `outcome` | yes |
//! | `huddle_silent`, `huddle_blind` | `reason` | yes |
//! | `huddle_edge_requests_total`, `huddle_edge_errors_total` | `source`, `destination` | yes |
//! | `huddle_edge_upstream_seconds`, `…_network_seconds`, `…_served_seconds` | `source`, `destination`, `quantile` | yes |
//! | `huddle_edge_local_ratio` | `source`, `destination` | yes |
//! | `huddle_edge_slow` | `source`, `destination`, `cause` | yes |
//! | `huddle_edge_left_out` | – | yes |

use crate::engine::Published;
use huddle_core::view::{EdgeView, Quantiles, State};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// Reads what the engine published last.
#[derive(Debug)]
pub struct Series {
    states: watch::Receiver<Arc<Published>>,
    edges: usize,
}

impl Series {
    /// `edges`: how many edges are named, the busiest first.
    pub fn new(states: watch::Receiver<Arc<Published>>, edges: usize) -> Self {
        Self { states, edges }
    }
}

impl Collector for Series {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let published = Arc::clone(&self.states.borrow());
        let state = &published.state;
        counts(state, &mut encoder)?;
        if self.edges == 0 {
            return Ok(());
        }
        let mut edges: Vec<&EdgeView> = state.edges.iter().collect();
        edges.sort_by(|a, b| b.rps.total_cmp(&a.rps).then_with(|| ends(a).cmp(&ends(b))));
        let left_out = edges.len().saturating_sub(self.edges);
        edges.truncate(self.edges);
        encoder
            .encode_descriptor(
                "edge_left_out",
                "Edges that are not named here",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&(left_out as f64))?;
        totals(state, &edges, &mut encoder)?;
        quantiles(&edges, &mut encoder)?;
        rest(&edges, &mut encoder)
    }
}

/// One series per label set. The labels are `(name, value)` pairs.
fn gauge<L: prometheus_client::encoding::EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (L, f64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in series {
        metric.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

fn tally<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, u64> {
    let mut tally = BTreeMap::new();
    for word in words {
        *tally.entry(word).or_default() += 1;
    }
    tally
}

fn counts(state: &State, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut count = |name, help, label, words: BTreeMap<&str, u64>| {
        let series = words.into_iter();
        gauge(
            encoder,
            name,
            help,
            series.map(|(word, many)| ([(label, word)], many as f64)),
        )
    };
    let causes = state.edges.iter().filter_map(|edge| edge.finding.as_ref());
    count(
        "findings",
        "Edges by the cause that diagnose gives",
        "cause",
        tally(causes.map(|finding| finding.cause.as_str())),
    )?;
    let plans = state.plans.iter();
    count(
        "plans",
        "Plans by phase",
        "phase",
        tally(plans.clone().map(|plan| plan.phase.as_str())),
    )?;
    let verdicts = plans.filter_map(|plan| plan.verdict.as_ref());
    count(
        "verdicts",
        "Plans by verdict",
        "outcome",
        tally(verdicts.map(|verdict| verdict.outcome.as_str())),
    )?;
    count(
        "silent",
        "Pods that should report and do not, by reason",
        "reason",
        tally(state.silent.iter().map(|pod| pod.reason.as_str())),
    )?;
    count(
        "blind",
        "Nodes whose kubelet tells nothing, by reason",
        "reason",
        tally(state.blind.iter().map(|node| node.reason.as_str())),
    )
}

type Ends<'a> = (&'a str, &'a str);

fn ends(edge: &EdgeView) -> Ends<'_> {
    (&edge.source, &edge.destination)
}

fn labels((source, destination): Ends<'_>) -> [(&'static str, String); 2] {
    [("source", source.to_owned()), ("destination", destination.to_owned())]
}

/// Exact counts since the controller started, of the edges named.
fn totals(state: &State, edges: &[&EdgeView], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let named: BTreeSet<Ends<'_>> = edges.iter().map(|edge| ends(edge)).collect();
    let totals: Vec<_> = state
        .totals
        .iter()
        .filter(|total| named.contains(&(total.source.as_str(), total.destination.as_str())))
        .collect();
    for (name, help, errors) in [
        ("edge_requests", "Calls on an edge", false),
        ("edge_errors", "Calls on an edge that failed", true),
    ] {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for total in &totals {
            let count = if errors { total.errors } else { total.requests };
            metric
                .encode_family(&labels((&total.source, &total.destination)))?
                .encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
        }
    }
    Ok(())
}

fn quantiles(edges: &[&EdgeView], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    type Pick = fn(&EdgeView) -> &Quantiles;
    let parts: [(&str, &str, Pick); 3] = [
        (
            "edge_upstream_seconds",
            "Request sent to response headers received, at the caller's proxy, over the window",
            |edge| &edge.total.upstream,
        ),
        (
            "edge_network_seconds",
            "Its part on the way: upstream less served, over the window",
            |edge| &edge.total.network,
        ),
        (
            "edge_served_seconds",
            "Its part in the callee's application, over the window",
            |edge| &edge.total.served,
        ),
    ];
    for (name, help, pick) in parts {
        let series = edges.iter().flat_map(|edge| {
            let at = pick(edge);
            let measured = [("0.5", at.p50_us), ("0.95", at.p95_us), ("0.99", at.p99_us)];
            let measured = measured.into_iter().filter(|(_, us)| *us > 0);
            measured.map(|(quantile, us)| {
                let [source, destination] = labels(ends(edge));
                (
                    [source, destination, ("quantile", quantile.to_owned())],
                    us as f64 / 1e6,
                )
            })
        });
        gauge(encoder, name, help, series)?;
    }
    Ok(())
}

fn rest(edges: &[&EdgeView], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let local = edges.iter().map(|edge| (labels(ends(edge)), edge.local_share));
    gauge(
        encoder,
        "edge_local_ratio",
        "Share of the calls that cross no node border, over the window",
        local,
    )?;
    let slow = edges.iter().filter_map(|edge| {
        let cause = edge.finding.as_ref()?.cause.clone();
        let named = !matches!(cause.as_str(), "inside" | "notDistance" | "notEnoughData");
        let [source, destination] = labels(ends(edge));
        named.then_some(([source, destination, ("cause", cause)], 1.0))
    });
    gauge(encoder, "edge_slow", "1 for each edge with a cause", slow)
}

#[cfg(test)]
#[path = "series_tests.rs"]
mod tests;
