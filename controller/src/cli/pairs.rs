//! `huddle graph --by …`: what passed between pairs of nodes or pods, over a window of the user's choice.

use super::graph::{percent, times};
use super::{Outcome, Style, Table, connect};
use crate::args::Connection;
use anyhow::Context;
use huddle_core::view::pairs::{self, PairView, PairsView};
use std::time::Duration;

/// What makes a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// One row for each pair of nodes.
    NodePair,
    /// One row for each pair of pods.
    PodPair,
}

/// Which window and which edges.
#[derive(Clone, Debug, clap::Args)]
pub struct Chosen {
    /// Begin of the window: so long ago, such as 90s or 5m. Samples count from when they were taken in, in steps of 10 s.
    #[arg(long, requires = "by", value_name = "AGO", value_parser = span)]
    pub since: Option<Duration>,
    /// End of the window: so long ago; else now.
    #[arg(long, requires = "by", value_name = "AGO", value_parser = span)]
    pub until: Option<Duration>,
    /// Only calls of this workload, such as shop/frontend.
    #[arg(long, requires = "by", value_name = "WORKLOAD")]
    pub source: Option<String>,
    /// Only calls to this workload.
    #[arg(long, requires = "by", value_name = "WORKLOAD")]
    pub destination: Option<String>,
}

/// Reads `90s`, `5m` or `1500ms`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write 90s, 5m or 1500ms");
    let (number, unit) = text
        .find(|letter: char| !letter.is_ascii_digit())
        .map(|end| text.split_at(end))
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).map(Duration::from_millis).ok_or_else(wrong)
}

pub(super) async fn run(connection: &Connection, by: By, chosen: &Chosen) -> anyhow::Result<Outcome> {
    let client = connect::client(connection).await?;
    let body = connect::fetch(&client, connect::PEOPLE, &path(by, chosen)).await?;
    let view: PairsView = serde_json::from_slice(&body)
        .context("the controller is of another version than this command: its pairs cannot be read")?;
    match connection.output.structured(&view)? {
        Some(text) => print!("{text}"),
        None => print!("{}", render(&view, Style::detect())),
    }
    Ok(Outcome::Done)
}

/// The path to ask the controller for. Names of workloads need no escapes: they hold letters, digits, dots, dashes and slashes; other
/// characters are escaped, so that the controller finds nothing under them rather than something else.
fn path(by: By, chosen: &Chosen) -> String {
    let by = match by {
        By::NodePair => "nodePair",
        By::PodPair => "podPair",
    };
    let mut path = format!("/api/v1/pairs?by={by}");
    let spans = [("sinceMs", chosen.since), ("untilMs", chosen.until)];
    for (name, span) in spans {
        if let Some(span) = span {
            path += &format!("&{name}={}", span.as_millis());
        }
    }
    for (name, workload) in [("source", &chosen.source), ("destination", &chosen.destination)] {
        if let Some(workload) = workload {
            path += &format!("&{name}={}", escaped(workload));
        }
    }
    path
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn render(view: &PairsView, style: Style) -> String {
    let seconds = (view.to - view.from) / 1000;
    if view.pairs.is_empty() {
        return format!("No calls of that kind in these {seconds} s.\n");
    }
    let what = match view.by {
        pairs::By::NodePair => "NODES",
        pairs::By::PodPair => "PODS",
    };
    let mut table = Table::new(
        style,
        &[
            what, "DISTANCE", ">CALLS", ">ERRORS", ">P50", ">P95", ">P99", ">NET P50", ">NET P95", ">NET P99",
        ],
    );
    for row in &view.pairs {
        let mut cells = vec![
            ends(row),
            row.locality.as_str().to_owned(),
            row.total.requests.to_string(),
            percent(row.total.errors as f64 / row.total.requests.max(1) as f64),
        ];
        cells.extend(times(&row.total));
        table.row(cells);
    }
    let note = format!(
        "{seconds} s. NET is the network's part of the time to the response headers; ~ marks fewer than 100 requests.\n"
    );
    format!("{table}\n{}", style.dim(&note))
}

fn ends(row: &PairView) -> String {
    match (&row.caller, &row.callee) {
        (Some(caller), Some(callee)) => format!("{caller} → {callee}"),
        _ => format!("{} → {}", row.caller_node, row.callee_node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use huddle_core::sample::Locality;
    use huddle_core::view::{Part, Quantiles, pairs::Histograms};

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(span("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(span("1500ms"), Ok(Duration::from_millis(1500)));
        for wrong in ["", "90", "s", "-5s", "1h", "99999999999999999999s"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_controller_is_asked_for_what_was_chosen() {
        let chosen = Chosen {
            since: Some(Duration::from_secs(90)),
            until: None,
            source: Some("shop/frontend".to_owned()),
            destination: Some("a&by=x".to_owned()),
        };
        assert_eq!(
            path(By::NodePair, &chosen),
            "/api/v1/pairs?by=nodePair&sinceMs=90000&source=shop/frontend&destination=a%26by%3Dx"
        );
    }

    #[test]
    fn pairs_for_people() {
        let times = |p50| Quantiles {
            p50_us: p50,
            p95_us: p50 * 3,
            p99_us: p50 * 8,
        };
        let row = |callee: &str, locality, requests, p50| PairView {
            caller: None,
            callee: None,
            caller_node: "node-1".to_owned(),
            callee_node: callee.to_owned(),
            locality,
            total: Part {
                requests,
                errors: 0,
                upstream: times(p50 + 600),
                network: times(p50),
                served: times(600),
                reliable: requests >= 100,
            },
            histograms: Histograms::default(),
        };
        let view = PairsView {
            from: 10_000,
            to: 40_000,
            by: pairs::By::NodePair,
            pairs: vec![
                row("node-1", Locality::SameNode, 4_000, 450),
                row("node-2", Locality::OtherZone, 60, 2_100),
            ],
        };
        insta::assert_snapshot!(render(&view, Style::plain()));
        let none = PairsView {
            pairs: Vec::new(),
            ..view
        };
        assert_eq!(render(&none, Style::plain()), "No calls of that kind in these 30 s.\n");
    }
}
