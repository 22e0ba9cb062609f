//! Planning from a dump with the real planner: the plan, why each of its actions is in it, what is refused and what would have to
//! change, and the curve of gain against restarts.

use super::budget::Stopwatch;
use super::objective::{self, Wanted};
use super::{Args, file, limits};
use crate::cli::dump::{CLUSTER, GRAPH};
use crate::cli::{Style, Table};
use crate::dump::Part;
use anyhow::{Context, bail};
use huddle_core::cluster::ClusterView;
use huddle_core::diagnose::{DiagnoseConfig, Finding, diagnose};
use huddle_core::graph::Snapshot;
use huddle_core::id::NodeName;
use huddle_core::plan::merge::Uses;
use huddle_core::plan::{
    Action, Brings, MoveCost, Plan, PlannerConfig, Term, Why, curve as plan_curve, explain, extent, judged_by_requests,
    limited, move_costs, plan, valued,
};
use huddle_core::units::Micros;
use huddle_core::view::{ExpectedView, SpreadView, StepView};
use serde::Serialize;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What is planned from.
#[derive(Debug)]
pub(super) struct Ground {
    /// What people call it.
    pub(super) source: String,
    pub(super) cluster: ClusterView,
    pub(super) snapshot: Snapshot,
    pub(super) findings: Vec<Finding>,
    pub(super) standing: Option<Plan>,
    pub(super) used: Uses,
}

/// The file of the cluster, and that of the graph beside it where a folder was named.
pub(super) fn pair(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let (cluster, graph) = (path.join(CLUSTER), path.join(GRAPH));
    (path.is_dir() && cluster.exists()).then_some((cluster, graph))
}

fn part(path: &Path) -> anyhow::Result<Part> {
    Part::decode(&file::bytes(path)?).with_context(|| path.display().to_string())
}

impl Ground {
    /// Reads a dump, its graph perhaps from another file.
    pub(super) fn read(path: &Path, graph: Option<&Path>) -> anyhow::Result<Self> {
        let mut dump = part(path)?;
        if let Some(graph) = graph {
            dump.graph = part(graph)?.graph;
            if dump.graph.is_none() {
                bail!("{}: graph: there is none in this dump", graph.display());
            }
        }
        Self::of(path.display().to_string(), dump)
    }
    /// The ground that a dump gives.
    pub(super) fn of(source: String, dump: Part) -> anyhow::Result<Self> {
        let Some(cluster) = dump.cluster else {
            bail!("{source}: cluster: there is none in this dump")
        };
        let Some(snapshot) = dump.graph else {
            bail!("{source}: graph: there is none in this dump; name its file with --graph")
        };
        Ok(Self {
            source,
            findings: diagnose(&snapshot, &DiagnoseConfig::default()),
            cluster,
            snapshot,
            standing: dump.standing,
            used: dump.used,
        })
    }
    /// The same ground, with another objective than the policies'.
    pub(super) fn valued(mut self, wanted: Option<&Wanted>) -> Self {
        if let Some(Wanted(objective)) = wanted {
            self.cluster = valued(&self.cluster, objective);
        }
        self
    }
    /// The plan that the controller would make, with a limit on moves in place of the policies' where one is asked for.
    pub(super) fn plan(&self, most_moves: Option<u64>) -> Planned {
        let other = most_moves.map(|most| limited(&self.cluster, most));
        let cluster = other.as_ref().unwrap_or(&self.cluster);
        let (config, at) = (PlannerConfig::default(), self.snapshot.at);
        let plan = plan(&self.snapshot, &self.findings, cluster, &config, at);
        let explained = explain(&plan, &self.snapshot, &self.findings, cluster, &config);
        Planned {
            costs: move_costs(&plan, &self.snapshot, &self.findings, cluster, &config),
            by_requests: judged_by_requests(&plan, cluster),
            ..Planned::new(plan, explained, cluster)
        }
    }
    /// Where every placed pod stands after a plan.
    pub(super) fn layout(&self, plan: &Plan) -> BTreeMap<String, String> {
        let mut layout: BTreeMap<String, String> = BTreeMap::new();
        for pod in self.cluster.pods.values() {
            if let Some(node) = &pod.node {
                layout.insert(format!("{}/{}", pod.workload.namespace, pod.name), node.to_string());
            }
        }
        for action in &plan.actions {
            if let Action::Move {
                workload, pod_name, to, ..
            } = action
            {
                layout.insert(format!("{}/{pod_name}", workload.namespace), to.to_string());
            }
        }
        layout
    }
}

/// A plan, explained.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Planned {
    /// As the controller would propose it.
    pub(super) plan: Plan,
    steps: Vec<Explained>,
    refusals: Vec<StepView>,
    expected: Vec<ExpectedView>,
    spread: Vec<SpreadView>,
    /// What each edge brings; they sum to what is saved.
    terms: Vec<Term>,
    /// What its moves cost, workload by workload.
    costs: Vec<MoveCost>,
    /// Nodes whose room was judged by requests alone.
    by_requests: BTreeSet<NodeName>,
    /// What all of them bring, part by part.
    brings: Brings,
    /// Whether more than waiting counts: what is saved is then in points, not in seconds a second.
    pub(super) by_points: bool,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    #[serde(flatten)]
    step: StepView,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Planned {
    pub(super) fn new(plan: Plan, explained: Option<(Vec<Term>, Vec<Why>)>, cluster: &ClusterView) -> Self {
        let (terms, whys) = explained.unwrap_or_default();
        let whys = whys
            .iter()
            .map(|why| Some(why.sentence()))
            .chain(std::iter::repeat(None));
        Self {
            steps: plan
                .actions
                .iter()
                .zip(whys)
                .map(|(action, why)| Explained {
                    step: action.into(),
                    why,
                })
                .collect(),
            refusals: plan.refusals.iter().map(StepView::from).collect(),
            expected: plan.expected.iter().map(ExpectedView::from).collect(),
            spread: plan.spread.iter().map(SpreadView::from).collect(),
            brings: objective::together(&terms),
            by_points: !cluster
                .policies
                .values()
                .all(|policy| policy.objective.is_latency_alone()),
            costs: Vec::new(),
            by_requests: BTreeSet::new(),
            terms,
            plan,
        }
    }
}

/// One point of the curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Point {
    pub(super) most_moves: u64,
    pub(super) pods_restarted: u64,
    /// Seconds of waiting saved per second, or points.
    pub(super) saved: f64,
}

/// The curve of gain against restarts, and whether the budget ended before it did. Every point saves more than the one before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Curve {
    pub(super) points: Vec<Point>,
    pub(super) cut: bool,
}

impl Curve {
    /// Plans again for several limits on moves, the limits of the policies left aside, while the budget lasts.
    pub(super) fn of(ground: &Ground, args: &Args, watch: &Stopwatch) -> Self {
        let point = |(most_moves, plan): (u64, Plan)| Point {
            most_moves,
            pods_restarted: plan.pods_restarted,
            saved: plan.saved,
        };
        let most = ground.plan(Some(u64::MAX)).plan;
        let cut = Cell::new(false);
        let in_time = |_: &u64| {
            cut.set(watch.seconds() > args.budget.as_secs_f64());
            !cut.get()
        };
        let fewer = std::iter::once(0).chain(limits(most.pods_restarted, &[1, 2, 5], 9));
        let config = PlannerConfig::default();
        let Ground {
            snapshot,
            findings,
            cluster,
            ..
        } = ground;
        let mut points: Vec<Point> = plan_curve(snapshot, findings, cluster, &config, fewer.take_while(in_time))
            .map(point)
            .collect();
        points.push(point((most.pods_restarted, most)));
        let mut best = 0.0;
        points.retain(|point| {
            let better = point.saved > best * (1.0 + 1e-9);
            best = f64::max(best, point.saved);
            better
        });
        Self { points, cut: cut.get() }
    }
}

/// `81.0 ms`: waiting saved in each second.
pub(super) fn saved(seconds: f64) -> String {
    let micros = Micros((seconds.abs() * 1e6).round() as u64);
    if seconds < -5e-7 {
        format!("−{micros}")
    } else {
        micros.to_string()
    }
}

/// A plan for people.
pub(super) fn render(planned: &Planned, style: Style) -> String {
    let Planned { plan, .. } = planned;
    let mut text = String::new();
    if plan.actions.is_empty() {
        text += "Nothing is worth doing.\n";
    } else {
        let brings = match planned.by_points {
            true => objective::sentence(plan.saved, planned.brings),
            false => {
                let saved = style.bold(&saved(plan.saved));
                format!("In each second it saves callers {saved} of waiting, at least.")
            }
        };
        text += &format!("{}. {brings}\n", extent(plan.actions.len(), plan.pods_restarted));
        text += &format!("\n{}\n{}", style.bold("It does, in this order"), steps(planned, style));
    }
    if !planned.terms.is_empty() {
        text += &format!(
            "\n{}\n{}",
            style.bold("What it brings, edge by edge"),
            terms(planned, style)
        );
    }
    // Where nothing costs more than a restart, there is nothing to tell.
    let dearer = |cost: &&MoveCost| cost.cost.total() > cost.cost.restart;
    if planned.costs.iter().any(|cost| dearer(&cost)) {
        let lines = planned.costs.iter().map(|cost| format!("{}\n", cost.sentence()));
        text += &format!(
            "\n{}\n{}",
            style.bold("What its moves cost, in each second"),
            lines.collect::<String>()
        );
    }
    if !planned.by_requests.is_empty() {
        let nodes: Vec<String> = planned.by_requests.iter().map(ToString::to_string).collect();
        text += &format!(
            "\nNothing tells what pods use on {}: the room there was judged by what they ask for.\n",
            nodes.join(", ")
        );
    }
    if !planned.expected.is_empty() {
        let table = crate::cli::plan::expected(&planned.expected, style);
        text += &format!("\n{}\n{table}", style.bold("It expects"));
    }
    if !planned.spread.is_empty() {
        text += &format!(
            "\n{}\n{}",
            style.bold("Spread"),
            crate::cli::plan::spread(&planned.spread, style)
        );
    }
    if !planned.refusals.is_empty() {
        let refusals = crate::cli::plan::refusals(&planned.refusals, style);
        text += &format!("\n{}\n{refusals}", style.bold("It leaves alone"));
    }
    text
}

fn steps(planned: &Planned, style: Style) -> String {
    let mut text = String::new();
    let mut said = None;
    for (index, Explained { step, why }) in planned.steps.iter().enumerate() {
        text += &format!("{index:>3}  {}\n", step.sentence);
        if let Some(why) = why.as_ref().filter(|why| said != Some(*why)) {
            text += &format!("     {}\n", style.dim(why));
        }
        said = why.as_ref();
    }
    text
}

fn terms(planned: &Planned, style: Style) -> Table {
    if planned.by_points {
        return terms_by_points(planned, style);
    }
    let mut table = Table::new(style, &["EDGE", ">CALLS/S", "SAME NODE", ">LESS PER CALL", ">SAVED/S"]);
    for term in &planned.terms {
        let (before, after) = term.local_share;
        table.row([
            term.edge.to_string(),
            format!("{:.1}", term.calls_per_second),
            format!("{before} → {after}"),
            term.saved_per_call.to_string(),
            saved(term.saved),
        ]);
    }
    let sum = planned.terms.iter().map(|term| term.saved).sum();
    table.painted(
        Style::bold,
        [
            "all together".to_owned(),
            String::new(),
            String::new(),
            String::new(),
            saved(sum),
        ],
    );
    table
}

fn terms_by_points(planned: &Planned, style: Style) -> Table {
    let heads: Vec<&str> = ["EDGE", ">CALLS/S", "SAME NODE"]
        .into_iter()
        .chain(objective::HEADS)
        .collect();
    let mut table = Table::new(style, &heads);
    for term in &planned.terms {
        let (before, after) = term.local_share;
        let [waiting, kept, money, points] = objective::cells(term.saved, term.brings);
        table.row([
            term.edge.to_string(),
            format!("{:.1}", term.calls_per_second),
            format!("{before} → {after}"),
            waiting,
            kept,
            money,
            points,
        ]);
    }
    let sum = planned.terms.iter().map(|term| term.saved).sum();
    let [waiting, kept, money, points] = objective::cells(sum, planned.brings);
    let none = String::new;
    table.painted(
        Style::bold,
        ["all together".to_owned(), none(), none(), waiting, kept, money, points],
    );
    table
}

/// The curve for people; nothing where nothing can be gained.
pub(super) fn curve(curve: &Curve, by_points: bool, style: Style) -> String {
    let Some(most) = curve.points.last().filter(|most| most.saved > 0.0) else {
        return String::new();
    };
    let (head, words): (_, fn(f64) -> String) = match by_points {
        true => (">POINTS", objective::points),
        false => (">SAVED/S", saved),
    };
    let mut table = Table::new(style, &[">AT MOST", ">PODS RESTARTED", head, ">OF THE GAIN"]);
    for point in &curve.points {
        table.row([
            point.most_moves.to_string(),
            point.pods_restarted.to_string(),
            words(point.saved),
            format!("{:.0} %", 100.0 * point.saved / most.saved),
        ]);
    }
    let cut = if curve.cut {
        "Points are missing: the budget was spent; --budget gives more.\n"
    } else {
        ""
    };
    format!("\n{}\n{table}{cut}", style.bold("What fewer or more moves bring"))
}

/// What stood in the controller, compared with what was planned here.
pub(super) fn standing(ground: &Ground, planned: &Planned) -> String {
    match &ground.standing {
        Some(stood) if stood.actions == planned.plan.actions => {
            "It is the plan that stood in the controller when the dump was taken.\n".to_owned()
        }
        Some(stood) => format!(
            "In the controller another plan stood when the dump was taken, found earlier: {} actions that saved {} in each \
             second. It stays until one is clearly better.\n",
            stood.actions.len(),
            saved(stood.saved)
        ),
        None => String::new(),
    }
}
