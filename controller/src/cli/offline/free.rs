//! The free assignment of a file in RASA's format: the layout, the curve of gain against moves, the edges that gain.

use super::budget::{self, Limit, Stopwatch};
use super::edges::{self, EdgeGain};
use super::threads::Threads;
use super::{Args, limits, rasa};
use crate::args::Connection;
use crate::cli::{Outcome, Style, Table};
use huddle_core::assign::{Answer, Budget, Crew, Layout, Piece, Problem, Steps, Wish, assign, assign_with, curve};
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
    let limit = Limit::new(args.steps, args.budget, watch);
    let crew = Threads::of(args.threads);
    let (answer, seed) = best(&problem, wish, args.tries, &limit, &crew);
    let wish = Wish { seed, ..wish };
    let seconds = || budget::all_threads().unwrap_or_else(|| watch.seconds());
    let curve_begins = seconds();
    let points = points(&problem, wish, &answer, limit.part(CURVE).as_mut(), &crew);
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
        cpu_seconds: seconds(),
        curve_cpu_seconds: seconds() - curve_begins,
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

/// The best answer of all tries, and the seed that found it: the first of equal ones.
fn best(problem: &Problem, wish: Wish, tries: u64, limit: &Limit<'_>, crew: &Threads) -> (Answer, u64) {
    let seeds = (0..tries).map(|more| wish.seed.wrapping_add(more));
    let mut found: Vec<Option<(Answer, u64)>> = seeds.clone().map(|_| None).collect();
    if let [slot] = found.as_mut_slice() {
        let answer = assign_with(problem, wish, limit.part(1.0 - CURVE).as_mut(), crew);
        *slot = Some((answer, wish.seed));
    } else {
        let pieces = seeds.zip(&mut found).map(|(seed, slot)| -> Piece<'_> {
            let mut part = limit.part(1.0 - CURVE);
            let wish = Wish { seed, ..wish };
            Box::new(move || *slot = Some((assign(problem, wish, part.as_mut()), seed)))
        });
        crew.all(pieces.collect());
    }
    let found = found.into_iter().flatten().rev();
    let best = found.max_by(|a, b| a.0.gain.total_cmp(&b.0.gain));
    best.unwrap_or_else(|| (assign(problem, wish, &mut Steps(0)), wish.seed))
}

/// The curve up to the answer, which is its last point. Every point gains more than the one before it and than no move.
fn points(problem: &Problem, wish: Wish, answer: &Answer, budget: &mut dyn Budget, crew: &Threads) -> Vec<Point> {
    let mut best = Layout::home(problem).gain(problem);
    let mut points = Vec::new();
    for (limit, found) in curve(problem, &limits(answer.moves, &[1, 3], POINTS), wish, budget, crew) {
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
    text += &format!(
        "\n{}\n{}{}",
        style.bold("What fewer moves bring"),
        bend(found),
        steps(found, style)
    );
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

/// The share of the whole gain that a point of the curve has.
fn gained(found: &Found, point: &Point) -> f64 {
    let whole = found.local_after - found.local_before;
    (point.local - found.local_before) / whole.max(f64::MIN_POSITIVE)
}

/// The curve in a sentence: where it bends, so that more moves bring little.
fn bend(found: &Found) -> String {
    let moved = |point: &Point| point.pods_moved as f64 / found.pods_moved.max(1) as f64;
    let above = |point: &Point| gained(found, point) - moved(point);
    let bend = found.curve.iter().max_by(|a, b| above(a).total_cmp(&above(b)));
    match bend.filter(|point| point.pods_moved < found.pods_moved) {
        None => String::new(),
        Some(point) => {
            let part = 100.0 * gained(found, point);
            format!("{} moves give {part:.0} % of it.\n", point.pods_moved)
        }
    }
}

fn steps(found: &Found, style: Style) -> Table {
    let mut table = Table::new(style, &[">AT MOST", ">PODS MOVED", ">LOCAL", ">OF THE GAIN"]);
    for point in &found.curve {
        let gained = gained(found, point);
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
