//! `huddle status`: how the controller is, in a few lines.

use super::{Outcome, Style, connect};
use crate::args::Connection;
use huddle_core::view::{EdgeView, State};
use serde::Serialize;

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    cluster: String,
    nodes: usize,
    workloads: usize,
    edges: usize,
    requests_per_second: f64,
    reporting_pods: usize,
    silent_pods: usize,
    slow_by_distance: usize,
    slow_by_pressure: usize,
    plans: Vec<(String, String)>,
}

pub(super) async fn run(connection: &Connection) -> anyhow::Result<Outcome> {
    let status = status(&connect::state(connection).await?);
    match connection.output.structured(&status)? {
        Some(text) => print!("{text}"),
        None => print!("{}", render(&status, Style::detect())),
    }
    Ok(if status.silent_pods == 0 {
        Outcome::Done
    } else {
        Outcome::Attention
    })
}

fn status(state: &State) -> Status {
    let caused_by = |cause: &str| {
        let of = |edge: &&EdgeView| edge.finding.as_ref().is_some_and(|finding| finding.cause == cause);
        state.edges.iter().filter(of).count()
    };
    let pods = || state.workloads.iter().flat_map(|workload| &workload.pods);
    Status {
        cluster: state.cluster.name.clone(),
        nodes: state.cluster.nodes.len(),
        workloads: state.workloads.len(),
        edges: state.edges.len(),
        requests_per_second: state.edges.iter().map(|edge| edge.rps).sum(),
        reporting_pods: pods().filter(|pod| pod.reporting).count(),
        silent_pods: state.silent.len(),
        slow_by_distance: caused_by("distance"),
        slow_by_pressure: caused_by("pressure"),
        plans: state
            .plans
            .iter()
            .map(|plan| (plan.id.clone(), plan.phase.clone()))
            .collect(),
    }
}

fn render(status: &Status, style: Style) -> String {
    let silent = match status.silent_pods {
        0 => style.good("none silent"),
        count => style.warn(&format!("{count} silent")),
    };
    let mut text = format!(
        "Cluster   {} ({} nodes)\nGraph     {} workloads, {} edges, {:.1} requests/s\nPods      {} report, {silent}\nFindings  {} edges slow because of distance, {} because of pressure\n",
        style.bold(&status.cluster),
        status.nodes,
        status.workloads,
        status.edges,
        status.requests_per_second,
        status.reporting_pods,
        status.slow_by_distance,
        status.slow_by_pressure,
    );
    for (plan, phase) in &status.plans {
        text += &format!("Plan      {plan}: {}\n", super::graph::words(phase));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::state;
    use super::*;

    #[test]
    fn a_few_lines() {
        insta::assert_snapshot!(render(&status(&state()), Style::plain()));
    }
}
