//! `--what-if`: changes as people write them, and the plan under them beside the present one.

use super::real::{self, Ground, Planned, saved};
use super::{Moves, objective};
use crate::cli::{Style, Table};
use anyhow::Context;
use huddle_core::cluster::ClusterView;
use huddle_core::diagnose::DiagnoseConfig;
use huddle_core::id::{EdgeId, NodeName, WorkloadId, ZoneName};
use huddle_core::plan::merge::Adviser;
use huddle_core::plan::{Action, Change, Landing, PlaceForm, PlannerConfig, suppose};
use huddle_core::view::MergeView;
use serde::Serialize;
use std::collections::BTreeMap;
use std::str::FromStr;

/// A change as it was asked for; names are looked up later.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asked {
    AddNode {
        name: String,
        like: Option<String>,
        zone: Option<String>,
    },
    Drain(String),
    Replicas(String, u64),
    Pin(String),
    Moves(Moves),
    /// The callee inside the caller's pods.
    Merge {
        caller: String,
        callee: String,
    },
}

/// How changes are written.
const FORMS: &str = "add-node=NAME[,like=NODE][,zone=ZONE], drain=NODE, replicas=WORKLOAD:N, pin=WORKLOAD, moves=N or merge=CALLER+CALLEE";

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no change: write {FORMS}");
        let (kind, rest) = text
            .split_once('=')
            .filter(|(_, rest)| !rest.is_empty())
            .ok_or_else(wrong)?;
        match kind {
            "drain" => Ok(Self::Drain(rest.to_owned())),
            "pin" => Ok(Self::Pin(rest.to_owned())),
            "moves" => rest.parse().map(Self::Moves),
            "replicas" => {
                let (workload, count) = rest.rsplit_once(':').ok_or_else(wrong)?;
                let count = count.parse().map_err(|_| wrong())?;
                Ok(Self::Replicas(workload.to_owned(), count))
            }
            "merge" => {
                let (caller, callee) = rest.split_once('+').ok_or_else(wrong)?;
                if caller.is_empty() || callee.is_empty() {
                    return Err(wrong());
                }
                Ok(Self::Merge {
                    caller: caller.to_owned(),
                    callee: callee.to_owned(),
                })
            }
            "add-node" => {
                let mut parts = rest.split(',');
                let name = parts
                    .next()
                    .filter(|name| !name.is_empty())
                    .ok_or_else(wrong)?
                    .to_owned();
                let (mut like, mut zone) = (None, None);
                for part in parts {
                    match part.split_once('=') {
                        Some(("like", node)) => like = Some(node.to_owned()),
                        Some(("zone", at)) => zone = Some(at.to_owned()),
                        Some(_) | None => return Err(wrong()),
                    }
                }
                Ok(Self::AddNode { name, like, zone })
            }
            _ => Err(wrong()),
        }
    }
}

impl Asked {
    /// What the planner supposes; a merge is nothing that it could: there is advice on it.
    fn change(&self, cluster: &ClusterView) -> anyhow::Result<Option<Change>> {
        Ok(Some(match self {
            Self::Merge { .. } => return Ok(None),
            Self::AddNode { name, like, zone } => Change::AddNode {
                name: NodeName::new(name),
                like: like.as_ref().map(NodeName::new),
                zone: zone.as_ref().map(ZoneName::new),
            },
            Self::Drain(node) => Change::Drain(NodeName::new(node)),
            Self::Replicas(name, replicas) => Change::Replicas {
                workload: workload(cluster, name)?,
                replicas: *replicas,
            },
            Self::Pin(name) => Change::Pin(workload(cluster, name)?),
            Self::Moves(moves) => Change::MostMoves(moves.of(cluster.pods.len() as u64)),
        }))
    }
    /// The edge of a merge.
    fn edge(&self, cluster: &ClusterView) -> anyhow::Result<Option<EdgeId>> {
        Ok(match self {
            Self::Merge { caller, callee } => Some(EdgeId {
                source: workload(cluster, caller)?,
                destination: workload(cluster, callee)?,
            }),
            Self::AddNode { .. } | Self::Drain(_) | Self::Replicas(..) | Self::Pin(_) | Self::Moves(_) => None,
        })
    }
    /// For people, as the end of "if …".
    fn sentence(&self) -> String {
        match self {
            Self::AddNode { name, like, zone } => {
                let like = like.as_ref().map(|like| format!(" like {like}")).unwrap_or_default();
                let zone = zone.as_ref().map(|zone| format!(" in zone {zone}")).unwrap_or_default();
                format!("node {name} is added{like}{zone}")
            }
            Self::Drain(node) => format!("{node} is drained"),
            Self::Replicas(name, replicas) => format!("{name} has {replicas} replicas"),
            Self::Pin(name) => format!("{name} is not to be touched"),
            Self::Merge { caller, callee } => format!("{callee} runs inside the pods of {caller}"),
            Self::Moves(Moves::Pods(moves)) => format!("a plan may restart {moves} pods"),
            Self::Moves(Moves::Percent(percent)) => format!("a plan may restart {percent} % of the pods"),
        }
    }
}

/// The workload that is called so.
fn workload(cluster: &ClusterView, name: &str) -> anyhow::Result<WorkloadId> {
    crate::http::workload(cluster, name).map_err(anyhow::Error::msg)
}

/// Two plans, side by side.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Beside {
    what_if: Vec<String>,
    /// What becomes of pods by the change alone.
    landings: Vec<Landed>,
    now: Planned,
    then: Planned,
    /// What there is to say of merges asked about; the plan is without them: `huddle merge` proposes one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    merges: Vec<MergeView>,
    /// Nothing but merges was asked about.
    #[serde(skip)]
    only_merges: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Landed {
    workload: String,
    pod: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

impl From<&Landing> for Landed {
    fn from(landing: &Landing) -> Self {
        Self {
            workload: landing.workload.to_string(),
            pod: landing.pod.clone(),
            from: landing.from.as_ref().map(ToString::to_string),
            to: landing.to.as_ref().map(ToString::to_string),
        }
    }
}

/// Plans now and under the changes.
pub(super) fn beside(ground: &Ground, asked: &[Asked], now: Planned) -> anyhow::Result<Beside> {
    let changes: Vec<Option<Change>> = asked
        .iter()
        .map(|asked| asked.change(&ground.cluster))
        .collect::<Result<_, _>>()
        .context("--what-if")?;
    let edges: Vec<Option<EdgeId>> = asked
        .iter()
        .map(|asked| asked.edge(&ground.cluster))
        .collect::<Result<_, _>>()
        .context("--what-if")?;
    let changes: Vec<Change> = changes.into_iter().flatten().collect();
    let supposed = suppose(&ground.cluster, &ground.snapshot, &changes).context("--what-if")?;
    let config = PlannerConfig::default();
    let plan = supposed.plan(&ground.findings, &config, ground.snapshot.at);
    let explained = supposed.explain(&plan, &ground.findings, &config);
    let adviser = Adviser {
        cluster: &supposed.cluster,
        snapshot: &supposed.snapshot,
        uses: &ground.used,
        config: &DiagnoseConfig::default(),
    };
    let advice = |edge: &EdgeId| MergeView::from(&adviser.advise(edge, &ground.findings));
    Ok(Beside {
        merges: edges.iter().flatten().map(advice).collect(),
        only_merges: changes.is_empty(),
        what_if: asked.iter().map(Asked::sentence).collect(),
        landings: supposed.landings.iter().map(Landed::from).collect(),
        now,
        then: Planned::new(plan, explained, &supposed.cluster),
    })
}

/// Both for people: what happens by itself, the two plans in short, then the other plan in full.
pub(super) fn render(beside: &Beside, style: Style) -> String {
    let mut text = format!("{}\n", style.bold(&format!("If {}", beside.what_if.join(" and "))));
    for merge in &beside.merges {
        text += &format!("\n{}", crate::cli::merge::render(merge, style));
    }
    if beside.only_merges {
        return text;
    }
    if !beside.landings.is_empty() {
        text += "\nBy itself, before any plan:\n";
        for Landed {
            workload,
            pod,
            from,
            to,
        } in &beside.landings
        {
            text += &format!("  {}\n", landed(workload, pod, from.as_deref(), to.as_deref()));
        }
    }
    text += &format!("\n{}\n{}", style.bold("The plan now, and then"), short(beside, style));
    format!(
        "{text}\n{}\n{}",
        style.bold("The plan then"),
        real::render(&beside.then, style)
    )
}

fn landed(workload: &str, pod: &str, from: Option<&str>, to: Option<&str>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => format!("{pod} of {workload} comes up again on {to} instead of {from}"),
        (None, Some(to)) => format!("{pod} of {workload} comes up on {to}"),
        (Some(from), None) => format!("{pod} of {workload} leaves {from} and comes up nowhere"),
        (None, None) => format!("{pod} of {workload} finds no node"),
    }
}

fn short(beside: &Beside, style: Style) -> Table {
    let mut table = Table::new(style, &["", "NOW", "THEN"]);
    let both = |of: &dyn Fn(&Planned) -> String| [of(&beside.now), of(&beside.then)];
    let mut row = |name: &str, [now, then]: [String; 2]| {
        let paint = if now == then { Style::dim } else { as_is };
        table.painted(paint, [name.to_owned(), now, then]);
    };
    if beside.now.by_points {
        row("points", both(&|planned| objective::points(planned.plan.saved)));
    } else {
        row("saved in each second", both(&|planned| saved(planned.plan.saved)));
    }
    row(
        "pods restarted",
        both(&|planned| planned.plan.pods_restarted.to_string()),
    );
    let [now, then] = [doings(&beside.now), doings(&beside.then)];
    let mut names: Vec<&String> = now.keys().chain(then.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let cell = |doings: &BTreeMap<String, String>| doings.get(name).cloned().unwrap_or_else(|| "–".to_owned());
        row(name, [cell(&now), cell(&then)]);
    }
    table
}

fn as_is(_: Style, text: &str) -> String {
    text.to_owned()
}

/// What is done to each workload, in a few words.
fn doings(planned: &Planned) -> BTreeMap<String, String> {
    let mut doings: BTreeMap<String, (BTreeMap<String, u64>, Vec<String>)> = BTreeMap::new();
    for action in &planned.plan.actions {
        let (moves, words) = doings.entry(action.workload().to_string()).or_default();
        match action {
            Action::Move { to, .. } => *moves.entry(to.to_string()).or_default() += 1,
            Action::Place { with, .. } => words.push(format!("beside {with}")),
            Action::Cell { seats, .. } => words.push(format!("a cell of {} nodes", seats.len())),
            Action::Route { to, .. } => words.push(format!("calls {}", to.sentence())),
            Action::Size { to, form, .. } => {
                let written = match form {
                    PlaceForm::Admission => "",
                    PlaceForm::Template => " in its template",
                };
                words.extend(to.limits.cpu.map(|cpu| format!("a cpu limit of {cpu}{written}")));
            }
            Action::Merge { with, .. } => words.push(format!("{with} inside its pods")),
            Action::Resize { .. } | Action::Withdraw { .. } => {}
        }
    }
    let in_words = |(moves, words): (BTreeMap<String, u64>, Vec<String>)| {
        let moves = moves.into_iter().map(|(to, count)| format!("{count} to {to}"));
        moves.chain(words).collect::<Vec<_>>().join(", ")
    };
    doings.into_iter().map(|(name, done)| (name, in_words(done))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_they_are_written() {
        let asked = |text: &str| text.parse::<Asked>();
        assert_eq!(asked("drain=node-2"), Ok(Asked::Drain("node-2".to_owned())));
        assert_eq!(asked("pin=shop/cart"), Ok(Asked::Pin("shop/cart".to_owned())));
        assert_eq!(asked("moves=20%"), Ok(Asked::Moves(Moves::Percent(20.0))));
        assert_eq!(
            asked("replicas=shop/cart:5"),
            Ok(Asked::Replicas("shop/cart".to_owned(), 5))
        );
        assert_eq!(
            asked("add-node=new,zone=zone-b,like=node-1"),
            Ok(Asked::AddNode {
                name: "new".to_owned(),
                like: Some("node-1".to_owned()),
                zone: Some("zone-b".to_owned()),
            })
        );
        assert_eq!(
            asked("merge=shop/web+currency"),
            Ok(Asked::Merge {
                caller: "shop/web".to_owned(),
                callee: "currency".to_owned(),
            })
        );
        for wrong in [
            "",
            "merge=web",
            "merge=+web",
            "merge=web+",
            "drain",
            "drain=",
            "replicas=cart",
            "replicas=cart:x",
            "add-node=a,b",
            "add-node=,like=x",
            "lift=a",
        ] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
    }
}
