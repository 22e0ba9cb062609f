//! The free assignment of a file in RASA's format: the layout, the curve of gain against moves, the edges that gain.

use super::budget::{Limit, Stopwatch};
use super::edges::{self, EdgeGain};
use super::{Args, limits, rasa};
use crate::args::Connection;
use crate::cli::{Outcome, Style, Table};
use huddle_core::assign::{Answer, Budget, Layout, Problem, Share, Wish, assign};
use serde::Serialize;
use std::path::Path;

/// The share of the budget that goes to the curve. Half a second for each point comes within a few hundredths of the gain of ten
/// seconds on M3; a quarter of one does not.
const CURVE: f64 = 0.2;
/// Points of the curve at most, the answer itself left out.
const POINTS: usize = 4;
/// Edges shown to people; JSON and YAML hold all.
const EDGES: usize = 10;

/// One point of the curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Point {
    most_moves: u64,
    pods_moved: u64,
    local: f64,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    services: usize,
    machines: usize,
    pods: u64,
    /// Shares of all traffic that are local: RASA's gained affinity.
    local_before: f64,
    local_after: f64,
    pods_moved: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    most_moves: Option<u64>,
    seed: u64,
    steps: u64,
    cpu_seconds: f64,
    /// Of the cpu seconds, those for the curve.
    curve_cpu_seconds: f64,
    curve: Vec<Point>,
    edges: Vec<EdgeGain>,
}

pub(super) fn run(connection: &Connection, args: &Args, path: &Path, watch: &Stopwatch) -> anyhow::Result<Outcome> {
    let (cluster, problem) = rasa::read(path, args.graph.as_deref())?;
    let out = args.layout()?;
    let wish = Wish {
        seed: args.seed.unwrap_or(1),
        most_moves: args.moves.map(|moves| moves.of(problem.pods())),
        unit: args.by.unwrap_or_default().into(),
    };
    let mut limit = Limit::new(args.steps, args.budget, watch);
    let (answer, taken) = best(&problem, wish, &mut limit);
    let curve_begins = watch.seconds();
    let points = points(&problem, wish, &answer, &mut Share::new(&mut limit, taken, CURVE));
    let layout = cluster.containers(&answer.layout);
    let home = Layout::home(&problem);
    let found = Found {
        services: problem.services(),
        machines: problem.nodes(),
        pods: problem.pods(),
        local_before: home.gain(&problem),
        local_after: answer.gain,
        pods_moved: answer.moves,
        most_moves: wish.most_moves,
        seed: wish.seed,
        steps: answer.steps,
        cpu_seconds: watch.seconds(),
        curve_cpu_seconds: watch.seconds() - curve_begins,
        curve: points,
        edges: edges::changed(&cluster, &cluster.containers(&home), &layout),
    };
    if let Some(out) = out {
        out.write(&layout)?;
    }
    match connection.output.structured(&found)? {
        Some(text) => print!("{text}"),
        None => print!("{}", render(&found, args.layout.as_deref(), Style::detect())),
    }
    Ok(Outcome::Done)
}

/// The answer, and the steps taken for it.
fn best(problem: &Problem, wish: Wish, limit: &mut Limit<'_>) -> (Answer, u64) {
    let mut part = Share::new(limit, 0, 1.0 - CURVE);
    let answer = assign(problem, wish, &mut part);
    let steps = part.steps();
    (answer, steps)
}

/// The curve up to the answer, which is its last point, as far as the budget goes. Every point gains more than the one before it and
/// than no move.
fn points(problem: &Problem, wish: Wish, answer: &Answer, budget: &mut dyn Budget) -> Vec<Point> {
    let limits = limits(answer.moves, &[1, 3], POINTS);
    let share = 1.0 / limits.len().max(1) as f64;
    let (mut steps, mut best) = (0, Layout::home(problem).gain(problem));
    let mut points = Vec::new();
    for limit in limits {
        if budget.spent(steps) >= 1.0 {
            break;
        }
        let mut part = Share::new(budget, steps, share);
        let most_moves = Some(limit);
        let found = assign(problem, Wish { most_moves, ..wish }, &mut part);
        steps = part.steps();
        if found.gain > best && found.gain < answer.gain {
            best = found.gain;
            points.push(point(limit, &found));
        }
    }
    points.push(point(answer.moves, answer));
    points
}

fn point(most_moves: u64, found: &Answer) -> Point {
    Point {
        most_moves,
        pods_moved: found.moves,
        local: found.gain,
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn part(of: u64, whole: u64) -> String {
    format!("{:.0} %", 100.0 * of as f64 / whole.max(1) as f64)
}

fn render(found: &Found, layout: Option<&Path>, style: Style) -> String {
    let mut text = format!(
        "{} pods of {} services on {} machines.\n\n",
        found.pods, found.services, found.machines
    );
    if found.pods_moved == 0 {
        text += &format!(
            "Local today: {} of the traffic. No better layout was found{}.\n",
            percent(found.local_before),
            if found.most_moves == Some(0) {
                " without a move"
            } else {
                ""
            }
        );
        return text;
    }
    text += &format!(
        "Local today: {} of the traffic. With {} pods moved ({} of all): {}.\n",
        percent(found.local_before),
        found.pods_moved,
        part(found.pods_moved, found.pods),
        style.bold(&percent(found.local_after)),
    );
    text += &format!("\n{}\n{}", style.bold("What fewer moves bring"), steps(found, style));
    text += &format!("\n{}\n{}", style.bold("What gains most"), gains(found, style));
    if let Some(layout) = layout {
        text += &format!(
            "\nThe layout is in {}: container → index of its machine in MachineList.\n",
            layout.display()
        );
    }
    let note = format!(
        "{:.1} s of cpu, {:.1} s of them for the points of the curve; `--moves N` gives one point the time of the whole answer. {} steps, seed {}.\n\
         Local: the share of the traffic whose two ends are on one machine when calls stay there where they can (RASA's gained affinity).\n",
        found.cpu_seconds, found.curve_cpu_seconds, found.steps, found.seed,
    );
    format!("{text}\n{}", style.dim(&note))
}

fn steps(found: &Found, style: Style) -> Table {
    let mut table = Table::new(style, &[">AT MOST", ">PODS MOVED", ">LOCAL", ">OF THE GAIN"]);
    let whole = found.local_after - found.local_before;
    for point in &found.curve {
        let gained = (point.local - found.local_before) / whole.max(f64::MIN_POSITIVE);
        table.row([
            point.most_moves.to_string(),
            point.pods_moved.to_string(),
            percent(point.local),
            format!("{:.0} %", 100.0 * gained),
        ]);
    }
    table
}

fn gains(found: &Found, style: Style) -> Table {
    let mut table = Table::new(style, &["BETWEEN", "AND", ">OF ALL TRAFFIC", ">LOCAL TODAY", ">THEN"]);
    for edge in found.edges.iter().take(EDGES) {
        let [one, other] = edge.services.clone();
        let [today, then] = edge.local.map(percent);
        table.row([one, other, percent(edge.traffic), today, then]);
    }
    table
}

#[cfg(test)]
#[path = "free_tests.rs"]
mod tests;
