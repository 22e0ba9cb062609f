//! `huddle check`: which pods report, which are silent, and why.

use super::graph::words;
use super::{Outcome, Style, Table, connect};
use crate::args::Connection;
use huddle_core::view::{BlindView, SilentView, State};
use serde::Serialize;
use std::collections::BTreeMap;

/// Flags of `huddle check`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only this namespace.
    #[arg(short, long)]
    pub namespace: Option<String>,
}

/// One namespace's pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// All.
    pub pods: usize,
    /// Those that report.
    pub reporting: usize,
    /// Those that should and do not.
    pub silent: usize,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// By namespace.
    pub namespaces: BTreeMap<String, Count>,
    /// Silent pods with reasons.
    pub silent: Vec<SilentView>,
    /// Nodes whose kubelets tell nothing, with reasons: there, nothing is called pressure.
    pub blind: Vec<BlindView>,
}

pub(super) async fn run(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    let state = connect::state(connection).await?;
    let report = report(&state, args.namespace.as_deref());
    match connection.output.structured(&report)? {
        Some(text) => print!("{text}"),
        None => print!("{}", render(&report, Style::detect())),
    }
    Ok(if report.silent.is_empty() {
        Outcome::Done
    } else {
        Outcome::Attention
    })
}

/// Counts what the state says.
pub fn report(state: &State, namespace: Option<&str>) -> Report {
    let wanted = |name: &str| namespace.is_none_or(|namespace| namespace == name);
    let mut namespaces: BTreeMap<String, Count> = BTreeMap::new();
    for workload in state.workloads.iter().filter(|workload| wanted(&workload.namespace)) {
        let count = namespaces.entry(workload.namespace.clone()).or_default();
        count.pods += workload.pods.len();
        count.reporting += workload.pods.iter().filter(|pod| pod.reporting).count();
    }
    let silent: Vec<SilentView> = state
        .silent
        .iter()
        .filter(|pod| wanted(&pod.namespace))
        .cloned()
        .collect();
    for pod in &silent {
        namespaces.entry(pod.namespace.clone()).or_default().silent += 1;
    }
    Report {
        namespaces,
        silent,
        blind: state.blind.clone(),
    }
}

/// The answer for people.
pub fn render(report: &Report, style: Style) -> String {
    if report.namespaces.is_empty() {
        return "No namespace has the filter; add one with `huddle install --filter NAMESPACE`.\n".to_owned();
    }
    let mut table = Table::new(style, &["NAMESPACE", ">PODS", ">REPORTING", ">SILENT"]);
    for (namespace, count) in &report.namespaces {
        table.painted(
            if count.silent > 0 { Style::warn } else { Style::good },
            [
                namespace.clone(),
                count.pods.to_string(),
                count.reporting.to_string(),
                count.silent.to_string(),
            ],
        );
    }
    let mut text = table.to_string();
    let mut by_reason: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for pod in &report.silent {
        let pods = by_reason.entry((&pod.reason, &pod.sentence)).or_default();
        pods.push(format!("{}/{}", pod.namespace, pod.pod));
    }
    for ((reason, sentence), pods) in by_reason {
        text += &format!("\n{}: {} ({sentence})\n", style.warn(&words(reason)), pods.join(", "));
    }
    let mut blind: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in &report.blind {
        blind.entry(&node.sentence).or_default().push(&node.node);
    }
    for (sentence, nodes) in blind {
        text += &format!(
            "\n{}: {} ({sentence})\n",
            style.warn("nothing is known of what containers use"),
            some(&nodes)
        );
    }
    text
}

/// Names that a line holds; where Prometheus is lost, each node of the cluster is one.
const NAMED: usize = 8;

/// The first names, and how many more there are.
fn some(names: &[&str]) -> String {
    let named = names.get(..NAMED).unwrap_or(names).join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more nodes"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::state;
    use super::*;

    #[test]
    fn a_lost_prometheus_is_one_sentence() {
        let mut state = state();
        state.blind = (1..=5_000)
            .map(|node| BlindView {
                node: format!("node-{node}"),
                reason: "prometheusSlow".to_owned(),
                sentence: "Prometheus did not answer in time".to_owned(),
            })
            .collect();
        let text = render(&report(&state, None), Style::plain());
        let told: Vec<&str> = text.lines().filter(|line| line.contains("node-1, ")).collect();
        assert_eq!(
            told,
            [
                "nothing is known of what containers use: node-1, node-2, node-3, node-4, node-5, node-6, node-7, node-8 and 4992 more nodes \
              (Prometheus did not answer in time)"
            ]
        );
    }

    #[test]
    fn silent_pods_are_named_with_what_to_do() {
        insta::assert_snapshot!(render(&report(&state(), None), Style::plain()));
        assert_eq!(report(&state(), Some("other")).namespaces.len(), 0);
    }
}
