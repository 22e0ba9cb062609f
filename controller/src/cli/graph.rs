//! `huddle graph`: every edge with its latency, by locality.

use super::{Outcome, Style, Table, connect, pairs};
use crate::args::Connection;
use huddle_core::units::Micros;
use huddle_core::view::{EdgeView, Part, Quantiles, State};

/// Flags of `huddle graph`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only edges with an end in this namespace.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// One line per edge, without the lines per locality.
    #[arg(long)]
    pub brief: bool,
    /// End with exit code 3 if an edge is slow because of distance or pressure.
    #[arg(long)]
    pub fail: bool,
    /// Which pairs of nodes, or of pods, instead of edges; JSON and YAML then hold whole histograms, which can be added up.
    #[arg(long, value_enum, conflicts_with_all = ["namespace", "brief", "fail"])]
    pub by: Option<pairs::By>,
    /// How the pairs are chosen.
    #[command(flatten)]
    pub chosen: pairs::Chosen,
}

pub(super) async fn run(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    if let Some(by) = args.by {
        return pairs::run(connection, by, &args.chosen).await;
    }
    let mut state = connect::state(connection).await?;
    if let Some(namespace) = &args.namespace {
        keep_namespace(&mut state, namespace);
    }
    match connection.output.structured(&state)? {
        Some(text) => print!("{text}"),
        None => print!("{}", render(&state, args.brief, Style::detect())),
    }
    let slow = state.edges.iter().any(is_slow);
    Ok(if args.fail && slow {
        Outcome::Attention
    } else {
        Outcome::Done
    })
}

fn keep_namespace(state: &mut State, namespace: &str) {
    let prefix = format!("{namespace}/");
    state
        .edges
        .retain(|edge| edge.source.starts_with(&prefix) || edge.destination.starts_with(&prefix));
    state.workloads.retain(|workload| workload.namespace == namespace);
    state.silent.retain(|silent| silent.namespace == namespace);
}

/// For a reason that lies in the edge or its callee, not further along.
fn is_slow(edge: &EdgeView) -> bool {
    let cause = edge.finding.as_ref().map(|finding| finding.cause.as_str());
    matches!(cause, Some("distance" | "pressure" | "chatter"))
}

/// The graph for people: costliest edges first.
pub fn render(state: &State, brief: bool, style: Style) -> String {
    if state.edges.is_empty() {
        return empty(state);
    }
    let mut edges: Vec<&EdgeView> = state.edges.iter().collect();
    edges.sort_by(|a, b| spent(b).total_cmp(&spent(a)).then_with(|| key(a).cmp(&key(b))));
    let mut table = Table::new(
        style,
        &[
            "EDGE", ">RPS", ">ERRORS", ">SHARE", ">P50", ">P95", ">P99", ">NET P50", ">NET P95", ">NET P99", "CAUSE",
        ],
    );
    for edge in edges {
        let not_seen = edge.inside.as_ref().and_then(|inside| inside.unseen.as_ref());
        let cause = match (not_seen, &edge.finding) {
            (Some(_), _) => "not seen".to_owned(),
            (None, Some(finding)) => words(&finding.cause),
            (None, None) => String::new(),
        };
        let mut cells = vec![
            format!("{} → {}", edge.source, edge.destination),
            format!("{:.1}", edge.rps),
            percent(edge.error_rate),
            format!("{} local", percent(edge.local_share)),
        ];
        cells.extend(times(&edge.total));
        cells.push(cause);
        table.painted(if is_slow(edge) { Style::warn } else { plain }, cells);
        if !brief {
            localities(&mut table, edge);
        }
    }
    let unseen: String = state.edges.iter().map(unseen).collect();
    let silent = match state.silent.len() {
        0 => String::new(),
        1 => "\n1 pod is silent; `huddle check` says why.\n".to_owned(),
        count => format!("\n{count} pods are silent; `huddle check` says why.\n"),
    };
    format!(
        "{table}\n{unseen}{}{silent}",
        style.dim(&format!(
            "Last {} s of {}. NET is the network's part of the time to the response headers; ~ marks fewer than 100 requests.\n",
            state.window_ms / 1000,
            state.cluster.name
        ))
    )
}

/// What is said of an edge whose calls no proxy sees.
fn unseen(edge: &EdgeView) -> String {
    let inside = edge.inside.as_ref().filter(|inside| inside.unseen.is_some());
    inside.map_or(String::new(), |inside| {
        format!("{} → {}: {}\n", edge.source, edge.destination, inside.sentence)
    })
}

fn plain(_: Style, text: &str) -> String {
    text.to_owned()
}

fn key(edge: &EdgeView) -> (&str, &str) {
    (&edge.source, &edge.destination)
}

/// Seconds of waiting per second, roughly: what an edge costs its callers.
fn spent(edge: &EdgeView) -> f64 {
    edge.rps * edge.total.upstream.p50_us as f64
}

fn localities(table: &mut Table, edge: &EdgeView) {
    for (name, part) in parts(edge) {
        let share = part.requests as f64 / edge.total.requests.max(1) as f64;
        let mut cells = vec![
            format!("  {name}"),
            String::new(),
            percent(part.errors as f64 / part.requests.max(1) as f64),
            percent(share),
        ];
        cells.extend(times(part));
        table.painted(Style::dim, cells);
    }
}

/// An edge's localities that have requests, nearest first.
pub(super) fn parts(edge: &EdgeView) -> impl Iterator<Item = (&'static str, &Part)> {
    let localities = &edge.localities;
    [
        ("same pod", &localities.same_pod),
        ("same node", &localities.same_node),
        ("same zone", &localities.same_zone),
        ("other zone", &localities.other_zone),
    ]
    .into_iter()
    .filter_map(|(name, part)| part.as_ref().map(|part| (name, part)))
}

/// Upstream and network quantiles as six cells.
pub(super) fn times(part: &Part) -> impl Iterator<Item = String> {
    let mark = if part.reliable { "" } else { "~" };
    let cells = |quantiles: &Quantiles| {
        let quantiles = [quantiles.p50_us, quantiles.p95_us, quantiles.p99_us];
        quantiles.map(|us| {
            if us == 0 {
                "–".to_owned()
            } else {
                Micros(us).to_string()
            }
        })
    };
    let [u50, u95, u99] = cells(&part.upstream);
    let [n50, n95, n99] = cells(&part.network);
    [u50, u95, format!("{mark}{u99}"), n50, n95, format!("{mark}{n99}")].into_iter()
}

pub(super) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.01 {
        format!("{:.2} %", share * 100.0)
    } else {
        format!("{:.0} %", share * 100.0)
    }
}

/// `notEnoughData` → `not enough data`.
pub(super) fn words(label: &str) -> String {
    let mut words = String::with_capacity(label.len() + 4);
    for letter in label.chars() {
        if letter.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// An empty graph needs a reason.
fn empty(state: &State) -> String {
    let reporting = state
        .workloads
        .iter()
        .flat_map(|workload| &workload.pods)
        .filter(|pod| pod.reporting)
        .count();
    let why = if state.workloads.is_empty() {
        "no namespace has the filter; add one with `huddle install --filter NAMESPACE`"
    } else if reporting == 0 {
        "no pod has reported yet; `huddle check` says which are silent and why"
    } else {
        "pods report, and there is no traffic between them"
    };
    format!("No calls in the last {} s: {why}.\n", state.window_ms / 1000)
}

#[cfg(test)]
#[path = "graph_tests.rs"]
pub(in crate::cli) mod tests;
