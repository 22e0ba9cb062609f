//! `huddle plan --cluster FILE` and `--what-if`: plans made here, from files or from a running controller's dump.

mod budget;
mod edges;
mod file;
mod free;
mod objective;
mod rasa;
mod real;
mod suppose;
mod threads;

pub use rasa::rasa_problem;

use super::{Outcome, Style, dump, pairs};
use crate::args::Connection;
use anyhow::{Context, bail};
use budget::Stopwatch;
use file::Format;
use huddle_core::assign::Unit;
use objective::Wanted;
use real::{Curve, Ground, Planned};
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;
use suppose::Asked;

/// Planning here.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "offline", multiple = true)]
#[command(next_help_heading = "Planning here, changing nothing")]
pub struct Args {
    /// Plan from this file, with no cluster near: what `huddle dump` wrote, or RASA's published format (ServiceList, MachineList,
    /// TrafficList); or from a folder that holds one.
    #[arg(long, value_name = "PATH", conflicts_with = "plan")]
    cluster: Option<PathBuf>,
    /// Take the graph (of a dump, or TrafficList) from this file instead.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    graph: Option<PathBuf>,
    /// Plan anew from what the running controller sees now, with the reason of every action and the curve of gain against moves.
    #[arg(long, conflicts_with_all = ["plan", "cluster"])]
    now: bool,
    /// Show the plan under a change beside the present one, from a dump or, without --cluster, from the running controller:
    /// add-node=NAME[,like=NODE][,zone=ZONE], drain=NODE, replicas=WORKLOAD:N, pin=WORKLOAD, moves=N. May be given several times.
    /// merge=CALLER+CALLEE: whether to run the callee inside the caller's pods (advice; `huddle merge` asks for it).
    #[arg(long, value_name = "CHANGE", conflicts_with_all = ["plan", "moves", "layout"])]
    what_if: Vec<Asked>,
    /// Move at most so many pods, whatever the policies say: 400, or 20% of them.
    #[arg(long, value_name = "N|N%", requires = "cluster")]
    moves: Option<Moves>,
    /// What the plan is to bring, whatever the policies say: latency (waiting saved), traffic (calls kept on their node), money (less
    /// paid for bytes between zones, at the policies' prices), or a mix with points for each: latency=1,money=5.
    #[arg(long, value_name = "WHAT", conflicts_with = "plan")]
    objective: Option<Wanted>,
    /// How much cpu time to spend: 500ms, 10s, 2m. In RASA's format four fifths go to the layout, one fifth to the curve; from a dump the
    /// plan takes what it takes, and the curve ends with the budget.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = pairs::span)]
    budget: Duration,
    /// RASA's format: what moves, single pods or whole workloads (all pods of one count as soon as one of them moves).
    #[arg(long, value_enum, value_name = "UNIT", requires = "cluster")]
    by: Option<By>,
    /// RASA's format: where the random choices begin. (The planner of a dump makes none.)
    #[arg(long, value_name = "N", requires = "cluster")]
    seed: Option<u64>,
    /// RASA's format: stop after so many steps (of about a millisecond) instead of after a time: equal input, seed and steps then give an
    /// equal layout on every machine.
    #[arg(long, value_name = "N", requires = "cluster", conflicts_with = "budget")]
    steps: Option<u64>,
    /// RASA's format: search so often, with seed N, N + 1, …, each time for the whole budget, and keep the best layout.
    #[arg(long, value_name = "N", requires = "cluster", default_value = "1", value_parser = clap::value_parser!(u64).range(1..=1000))]
    tries: u64,
    /// RASA's format: search in so many threads at once where the search falls into pieces: tries, points of the curve, parts of a large
    /// cluster. The layout does not depend on it. Without it, as many as there are processors.
    #[arg(long, value_name = "N", requires = "cluster")]
    threads: Option<NonZeroUsize>,
    /// Write the layout there as JSON. RASA's format: container → index of its machine in MachineList, from 0. A dump: namespace/pod →
    /// node.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    layout: Option<PathBuf>,
}

/// What moves at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// Single pods.
    #[default]
    Pod,
    /// Whole workloads.
    Workload,
}

impl From<By> for Unit {
    fn from(by: By) -> Self {
        match by {
            By::Pod => Self::Pod,
            By::Workload => Self::Workload,
        }
    }
}

/// A limit on moves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moves {
    Pods(u64),
    Percent(f64),
}

impl std::str::FromStr for Moves {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no number of moves: write 400, or 20%");
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Pods).map_err(|_| wrong()),
            Some(percent) => match percent.trim().parse() {
                Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
        }
    }
}

impl Moves {
    /// In pods, of so many.
    fn of(self, pods: u64) -> u64 {
        match self {
            Self::Pods(moves) => moves,
            Self::Percent(percent) => (pods as f64 * percent / 100.0) as u64,
        }
    }
}

impl Args {
    /// Whether a plan is to be made here.
    pub(super) fn wanted(&self) -> bool {
        self.now || self.cluster.is_some() || !self.what_if.is_empty() || self.objective.is_some()
    }
    /// Opens the file of the layout: nobody wants to wait for one that then cannot be written.
    fn layout(&self) -> anyhow::Result<Option<Layout>> {
        let open = |path: &PathBuf| {
            let file = File::create(path).with_context(|| format!("--layout {} cannot be written", path.display()))?;
            let path = path.clone();
            Ok(Layout { file, path })
        };
        self.layout.as_ref().map(open).transpose()
    }
}

/// Where the layout goes.
struct Layout {
    file: File,
    path: PathBuf,
}

impl Layout {
    fn write(mut self, layout: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string(layout)? + "\n";
        let written = self.file.write_all(text.as_bytes());
        written.with_context(|| format!("--layout {} cannot be written", self.path.display()))
    }
}

pub(super) async fn run(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    let watch = Stopwatch::start();
    let Some(named) = &args.cluster else {
        let (_, part) = dump::fetch(connection).await?;
        let ground = Ground::of("the running controller".to_owned(), part)?.valued(args.objective.as_ref());
        return from_dump(connection, args, &ground, &watch);
    };
    let (path, graph) = match real::pair(named) {
        Some((cluster, graph)) => (cluster, args.graph.clone().or(Some(graph))),
        None => (file::only(named)?, args.graph.clone()),
    };
    match file::format(&path)? {
        Format::Rasa if !args.what_if.is_empty() => {
            bail!(
                "--what-if needs a dump (`huddle dump`): {} is in RASA's format",
                path.display()
            )
        }
        Format::Rasa if args.objective.is_some() => {
            bail!(
                "--objective needs a dump (`huddle dump`): {} is in RASA's format, which knows traffic only",
                path.display()
            )
        }
        Format::Rasa => free::run(connection, args, &path, &watch),
        Format::Dump => {
            let ground = Ground::read(&path, graph.as_deref())?.valued(args.objective.as_ref());
            from_dump(connection, args, &ground, &watch)
        }
    }
}

/// What is planned from a dump, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FromDump<'a> {
    source: &'a str,
    at: i64,
    window_ms: u64,
    #[serde(flatten)]
    planned: &'a Planned,
    curve: Curve,
}

fn from_dump(connection: &Connection, args: &Args, ground: &Ground, watch: &Stopwatch) -> anyhow::Result<Outcome> {
    if args.seed.is_some() || args.steps.is_some() || args.by.is_some() || args.threads.is_some() || args.tries > 1 {
        bail!(
            "--seed, --steps, --tries, --threads and --by are for RASA's format: the planner of a dump makes no random choice"
        );
    }
    let layout = args.layout()?;
    let style = Style::detect();
    let moves = args.moves.map(|moves| moves.of(ground.cluster.pods.len() as u64));
    let planned = ground.plan(moves);
    let window_ms = ground.snapshot.window.span().0;
    let source = format!(
        "From {}: {} nodes, {} pods, {} edges over {} s.\n",
        ground.source,
        ground.cluster.nodes.len(),
        ground.cluster.pods.len(),
        ground.snapshot.edges.len(),
        window_ms / 1000,
    );
    if args.what_if.is_empty() {
        if let Some(layout) = layout {
            layout.write(&ground.layout(&planned.plan))?;
        }
        let found = FromDump {
            source: &ground.source,
            at: ground.snapshot.at.0,
            window_ms,
            curve: Curve::of(ground, args, watch),
            planned: &planned,
        };
        match connection.output.structured(&found)? {
            Some(text) => print!("{text}"),
            None => {
                let [plan, curve] = [
                    real::render(&planned, style),
                    real::curve(&found.curve, planned.by_points, style),
                ];
                print!(
                    "{source}\n{plan}{curve}\n{}",
                    style.dim(&real::standing(ground, &planned))
                );
            }
        }
        return Ok(Outcome::Done);
    }
    let beside = suppose::beside(ground, &args.what_if, planned)?;
    match connection.output.structured(&beside)? {
        Some(text) => print!("{text}"),
        None => print!("{source}\n{}", suppose::render(&beside, style)),
    }
    Ok(Outcome::Done)
}

/// Round limits for a curve: the digits times 1, 10, 100, … below so many moves, the last ones.
fn limits(moves: u64, digits: &[u64], points: usize) -> Vec<u64> {
    let mut limits = Vec::new();
    let mut ten = 1_u64;
    while ten < moves {
        let round = digits.iter().map(|digit| ten.saturating_mul(*digit));
        limits.extend(round.filter(|limit| *limit < moves));
        ten = ten.saturating_mul(10);
    }
    limits.split_off(limits.len().saturating_sub(points))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_has_round_limits_below_the_answer() {
        assert_eq!(limits(2_030, &[1, 3], 4), [30, 100, 300, 1_000]);
        assert_eq!(limits(6, &[1, 2, 5], 7), [1, 2, 5]);
        assert_eq!(limits(1, &[1, 3], 7), [] as [u64; 0]);
        assert_eq!(limits(u64::MAX, &[1, 2, 5], 7).len(), 7);
    }

    #[test]
    fn moves_are_a_number_or_a_part() {
        assert_eq!("400".parse(), Ok(Moves::Pods(400)));
        assert_eq!("20%".parse(), Ok(Moves::Percent(20.0)));
        assert_eq!("2.5 %".parse(), Ok(Moves::Percent(2.5)));
        assert_eq!(Moves::Percent(20.0).of(3_485), 697);
        for wrong in ["", "%", "-1", "101%", "NaN%", "many"] {
            assert!(wrong.parse::<Moves>().is_err(), "{wrong}");
        }
    }
}
