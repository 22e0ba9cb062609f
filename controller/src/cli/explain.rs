//! `huddle explain SOURCE DESTINATION`: one edge in full.

use super::graph::{parts, percent, times};
use super::{Outcome, Style, Table, connect, story};
use crate::args::Connection;
use anyhow::{bail, ensure};
use huddle_core::units::{Bytes, Micros, Millicores};
use huddle_core::view::{EdgeView, FindingView, PlanView, State, StepView, WorkloadView};
use serde::Serialize;

/// Flags of `huddle explain`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The caller: `namespace/name`, or the name where it is the only one.
    pub source: String,
    /// The callee.
    pub destination: String,
}

/// For programs: the edge, the plans that concern it, oldest first, and what its callee lacks and does not get.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Full<'a> {
    #[serde(flatten)]
    edge: &'a EdgeView,
    plans: Vec<&'a PlanView>,
    unrelieved: Vec<&'a StepView>,
}

pub(super) async fn run(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    let state = connect::state(connection).await?;
    let edge = find(&state, &args.source, &args.destination)?;
    let full = Full {
        edge,
        plans: story::plans(&state, edge),
        unrelieved: story::unrelieved(&state, edge),
    };
    match connection.output.structured(&full)? {
        Some(text) => print!("{text}"),
        None => print!("{}", render(&state, edge, Style::detect())),
    }
    Ok(Outcome::Done)
}

/// The edge that the user means.
///
/// # Errors
/// If none or several match, with what is there.
pub fn find<'a>(state: &'a State, source: &str, destination: &str) -> anyhow::Result<&'a EdgeView> {
    let is = |id: &str, wanted: &str| id == wanted || id.rsplit('/').next() == Some(wanted);
    let found: Vec<&EdgeView> = state
        .edges
        .iter()
        .filter(|edge| is(&edge.source, source) && is(&edge.destination, destination))
        .collect();
    match found.as_slice() {
        [edge] => Ok(edge),
        [] => {
            let callees: Vec<&str> = state
                .edges
                .iter()
                .filter(|edge| is(&edge.source, source))
                .map(|edge| edge.destination.as_str())
                .collect();
            ensure!(
                !callees.is_empty(),
                "{source} made no calls in the last {} s",
                state.window_ms / 1000
            );
            bail!("{source} does not call {destination}; it calls {}", callees.join(", "))
        }
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|edge| format!("{} → {}", edge.source, edge.destination))
                .collect();
            bail!(
                "several edges are called that: {}; name the namespace",
                names.join(", ")
            )
        }
    }
}

/// The edge for people.
pub fn render(state: &State, edge: &EdgeView, style: Style) -> String {
    let mut text = format!(
        "{}\n{} · {:.1} requests/s · {} errors · {} stay on their node · {:.1} kB/s\n\n",
        style.bold(&format!("{} → {}", edge.source, edge.destination)),
        edge.protocol,
        edge.rps,
        percent(edge.error_rate),
        percent(edge.local_share),
        edge.bytes_per_second / 1e3,
    );
    // Of an edge inside the pod, what is known of the merge says the same, and more.
    let said_below = |finding: &FindingView| edge.inside.is_some() && finding.cause == "inside";
    if let Some(finding) = edge.finding.as_ref().filter(|finding| !said_below(finding)) {
        text += &format!("{}\n\n", style.warn(&finding.sentence));
    }
    if let Some(inside) = &edge.inside {
        text += &format!("{}\n\n", inside.sentence);
    }
    let mut table = Table::new(
        style,
        &[
            "DISTANCE",
            ">REQUESTS",
            ">P50",
            ">P95",
            ">P99",
            ">NET P50",
            ">NET P95",
            ">NET P99",
            ">SERVED P50",
            ">SERVED P99",
        ],
    );
    for (name, part) in std::iter::once(("all", &edge.total)).chain(parts(edge)) {
        let mut cells = vec![name.to_owned(), part.requests.to_string()];
        cells.extend(times(part));
        cells.extend([part.served.p50_us, part.served.p99_us].map(|us| Micros(us).to_string()));
        table.row(cells);
    }
    text += &table.to_string();
    text += "\n";
    text += &places(state, edge, style).to_string();
    let used = usage(state, edge, style);
    if !used.is_empty() {
        text += &format!("\nWhat the callee's containers use and lack\n{used}");
        text += &cautions(state, edge);
    }
    text += &story::tell(state, edge, style);
    if let Some(merge) = &edge.merge {
        text += &format!("\n{}", super::merge::render(merge, style));
        text += &format!("{}\n", merge.ask);
    }
    text
}

/// Where both ends run.
fn places(state: &State, edge: &EdgeView, style: Style) -> Table {
    let mut table = Table::new(style, &["NODE", "ZONE", ">CALLER PODS", ">CALLEE PODS"]);
    let count = |id: &str, node: &str| {
        let workload: Option<&WorkloadView> = state.workloads.iter().find(|workload| workload.id == id);
        let pods = workload.into_iter().flat_map(|workload| &workload.pods);
        pods.filter(|pod| pod.node == node && pod.ready).count()
    };
    for node in &state.cluster.nodes {
        let (callers, callees) = (count(&edge.source, &node.name), count(&edge.destination, &node.name));
        if callers + callees > 0 {
            table.row([
                node.name.clone(),
                node.zone.clone(),
                callers.to_string(),
                callees.to_string(),
            ]);
        }
    }
    table
}

/// What the callee's containers use, against what they may.
fn usage(state: &State, edge: &EdgeView, style: Style) -> Table {
    let mut table = Table::new(
        style,
        &[
            "CONTAINER",
            ">PODS",
            ">CPU",
            ">PEAK",
            ">REQUEST",
            ">LIMIT",
            ">THROTTLED",
            ">MEMORY",
            ">LIMIT",
            ">KILLED",
        ],
    );
    let callee = state.workloads.iter().find(|workload| workload.id == edge.destination);
    let amount = |amount: Option<String>| amount.unwrap_or_else(|| "none".to_owned());
    let cpu = |m: Option<u64>| amount(m.map(|m| Millicores(m).to_string()));
    for container in callee.into_iter().flat_map(|workload| &workload.containers) {
        table.row([
            container.name.clone(),
            container.pods.to_string(),
            Millicores(container.cpu_used_m).to_string(),
            Millicores(container.cpu_peak_m).to_string(),
            cpu(container.cpu_request_m),
            cpu(container.cpu_limit_m),
            percent(container.throttled),
            Bytes(container.memory_peak_bytes).to_string(),
            amount(container.memory_limit_bytes.map(|bytes| Bytes(bytes).to_string())),
            container.kills.to_string(),
        ]);
    }
    table
}

/// Containers of the callee that read their limits only as they start.
fn cautions(state: &State, edge: &EdgeView) -> String {
    let callee = state.workloads.iter().find(|workload| workload.id == edge.destination);
    let containers = callee.into_iter().flat_map(|workload| &workload.containers);
    let does = containers.filter_map(|container| Some((&container.name, container.at_start.as_ref()?)));
    does.map(|(name, does)| format!("Container {name} {does}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::state;
    use super::*;

    #[test]
    fn an_edge_in_full() {
        let mut state = state();
        state.workloads[0].containers[0].at_start = Some("was sized as it started (GOMAXPROCS).".to_owned());
        let edge = find(&state, "frontend", "shop/currency").unwrap();
        insta::assert_snapshot!(render(&state, edge, Style::plain()));
    }

    /// The state that the page's tests play: what the page shows of a merge is what is printed here.
    #[test]
    fn a_merged_edge_and_one_that_is_not_and_the_plan() {
        let played = include_str!("../../dashboard/fixtures/contract-merged.json");
        let state: State = serde_json::from_str(played).unwrap();
        let edge = |callee| find(&state, "frontend", callee).unwrap();
        let texts = [
            render(&state, edge("currency"), Style::plain()),
            render(&state, edge("productcatalog"), Style::plain()),
            crate::cli::plan::render(&state.plans[0], Style::plain()),
        ];
        insta::assert_snapshot!(texts.join("\n---\n"));
    }

    #[test]
    fn a_wrong_name_is_answered_with_what_is_there() {
        let state = state();
        let error = |source, destination| find(&state, source, destination).unwrap_err().to_string();
        assert_eq!(
            error("frontend", "cart"),
            "frontend does not call cart; it calls shop/currency"
        );
        assert_eq!(error("nobody", "cart"), "nobody made no calls in the last 120 s");
    }
}
