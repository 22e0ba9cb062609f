//! `target/demo/report.json`: what one run of the demo measured. The shape is fixed (README of tests/).

use crate::pair::measure::Figures;
use anyhow::{Context, Result, bail};
use huddle_core::view::{Part, PlanView};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// One window of an edge.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EdgeWindow {
    /// Requests seen.
    pub requests: u64,
    /// Share of them that crossed no node border.
    pub same_node_share: f64,
    /// Network p50.
    pub network_p50_us: u64,
    /// Network p99.
    pub network_p99_us: u64,
    /// Upstream p50.
    pub upstream_p50_us: u64,
    /// Upstream p99.
    pub upstream_p99_us: u64,
}

impl EdgeWindow {
    fn of(part: &Part, same_node_share: f64) -> Self {
        Self {
            requests: part.requests,
            same_node_share,
            network_p50_us: part.network.p50_us,
            network_p99_us: part.network.p99_us,
            upstream_p50_us: part.upstream.p50_us,
            upstream_p99_us: part.upstream.p99_us,
        }
    }
}

/// The same-node requests of an edge in the before window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LocalWindow {
    /// Requests seen.
    pub requests: u64,
    /// Network p50.
    pub network_p50_us: u64,
    /// Network p99.
    pub network_p99_us: u64,
}

/// What the plan expected of an edge.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Expected {
    /// Low and high.
    pub network_p50_us: [u64; 2],
    /// Low and high.
    pub network_p99_us: [u64; 2],
}

/// One edge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Edge {
    /// Caller.
    pub source: String,
    /// Callee.
    pub destination: String,
    /// Whether the plan acted on it.
    pub acted_on: bool,
    /// Before the moves.
    pub before: EdgeWindow,
    /// Same-node requests before.
    pub local_before: LocalWindow,
    /// After the moves.
    pub after: EdgeWindow,
    /// What was expected.
    pub expected: Expected,
    /// What happened to this edge's network part.
    pub verdict: String,
}

/// One window of an entry page, by the load generator's clock.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EntryWindow {
    /// Requests answered.
    pub requests: u64,
    /// Requests per second.
    pub rps: f64,
    /// Median.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
}

/// One entry page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its name in the shop's file.
    pub name: String,
    /// Before the moves.
    pub before: EntryWindow,
    /// After.
    pub after: EntryWindow,
}

/// How a workload is spread.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// Whose.
    pub workload: String,
    /// Distinct nodes before.
    pub nodes_before: u64,
    /// Distinct nodes after.
    pub nodes_after: u64,
    /// Distinct zones before.
    pub zones_before: u64,
    /// Distinct zones after.
    pub zones_after: u64,
}

/// All edges acted on, together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Together {
    /// Same-node share of their calls before.
    pub same_node_share_before: f64,
    /// After.
    pub same_node_share_after: f64,
    /// Share of the gap to same-node calls that was closed, at network p50.
    pub gap_closed_p50: f64,
    /// At network p99.
    pub gap_closed_p99: f64,
    /// These edges' calls that were not same-node before ÷ all of the shop's.
    pub share_of_calls: f64,
    /// Pods moved.
    pub pods_moved: u64,
}

/// Requests that failed, by phase.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Failed {
    /// While installing.
    pub install: u64,
    /// While moving.
    pub r#move: u64,
    /// While rolling back.
    pub rollback: u64,
    /// While uninstalling.
    pub uninstall: u64,
}

impl Failed {
    /// Says how many requests failed in a phase, and that it is an error if any did: issue 3 promises none.
    ///
    /// # Errors
    /// When a request failed.
    pub fn none_during(&self, phase: &str, of: impl Fn(&Self) -> u64) -> Result<()> {
        let failed = of(self);
        println!("   {failed} requests failed during {phase}");
        if failed > 0 {
            bail!("{failed} requests failed during {phase}, where none may");
        }
        Ok(())
    }
}

/// Seconds each phase took.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seconds {
    /// Bed and shop up.
    pub bed: u64,
    /// Install.
    pub install: u64,
    /// Until a plan was proposed.
    pub learn: u64,
    /// From approval to the last move.
    pub r#move: u64,
    /// Settling and the after window.
    pub prove: u64,
}

/// Two services that became one pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Merged {
    /// How the plan ended.
    pub phase: String,
    /// Its verdict.
    pub verdict: String,
    /// On one node, two proxies.
    pub before: Figures,
    /// Inside the pod; nothing where the merge was taken back.
    pub after: Option<Figures>,
    /// Pages asked for from the approval to the end, the split's among them.
    pub pages: u64,
    /// Those that failed.
    pub failed_pages: u64,
    /// Requests of the shop's own load that failed meanwhile.
    pub failed_elsewhere: u64,
    /// Objects that the split left.
    pub left_behind: Vec<String>,
}

/// One run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Edges with a measurement in both windows.
    pub edges: Vec<Edge>,
    /// Entry pages.
    pub entries: Vec<Entry>,
    /// Workloads moved.
    pub spread: Vec<Spread>,
    /// Together.
    pub together: Together,
    /// Failed requests.
    pub failed_requests: Failed,
    /// What is known of them, one line each.
    #[serde(default)]
    pub failures: Vec<String>,
    /// Pods re-created.
    pub pods_restarted: u64,
    /// Whether rollback brought rules and routing back, object by object.
    pub rollback_restored: bool,
    /// Seconds.
    pub seconds: Seconds,
    /// The nodes that the scheduler gave the shop's pods, by service: which draw this run began with.
    pub placed: BTreeMap<String, Vec<String>>,
    /// The merge at the end, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
}

impl Report {
    /// Writes it as JSON, making the folder where needed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }

    /// Takes the plan's proof over: edges, spread and what is proved together.
    pub fn take_proof(&mut self, plan: &PlanView) {
        let expected: BTreeMap<(&str, &str), &huddle_core::view::ExpectedView> = plan
            .expected
            .iter()
            .map(|e| ((e.source.as_str(), e.destination.as_str()), e))
            .collect();
        self.edges = plan
            .proof
            .iter()
            .map(|proof| {
                let expected = expected.get(&(proof.source.as_str(), proof.destination.as_str()));
                Edge {
                    source: proof.source.clone(),
                    destination: proof.destination.clone(),
                    acted_on: expected.is_some(),
                    before: EdgeWindow::of(&proof.before, proof.local_share[0]),
                    local_before: LocalWindow {
                        requests: proof.local_before.requests,
                        network_p50_us: proof.local_before.network.p50_us,
                        network_p99_us: proof.local_before.network.p99_us,
                    },
                    after: EdgeWindow::of(&proof.after, proof.local_share[1]),
                    expected: expected.map_or_else(Expected::default, |e| Expected {
                        network_p50_us: [e.network_p50_us[1], e.network_p50_us[2]],
                        network_p99_us: [e.network_p99_us[1], e.network_p99_us[2]],
                    }),
                    verdict: proof.verdict.clone(),
                }
            })
            .collect();
        self.spread = plan
            .spread
            .iter()
            .map(|spread| Spread {
                workload: spread.workload.clone(),
                nodes_before: spread.nodes[0],
                nodes_after: spread.nodes[1],
                zones_before: spread.zones[0],
                zones_after: spread.zones[1],
            })
            .collect();
        if let Some(together) = &plan.together {
            self.together = Together {
                same_node_share_before: together.local_share[0],
                same_node_share_after: together.local_share[1],
                gap_closed_p50: together.gap_closed_p50,
                gap_closed_p99: together.gap_closed_p99,
                share_of_calls: together.share_of_calls,
                pods_moved: together.pods_moved,
            };
            self.pods_restarted = together.pods_moved;
        }
    }

    /// What of the demo's promise this run did not keep; empty when all of it held (issue 3, step 4).
    pub fn shortfalls(&self) -> Vec<String> {
        let mut short = Vec::new();
        let mut want = |holds: bool, what: String| {
            if !holds {
                short.push(what);
            }
        };
        let acted = self.edges.iter().filter(|edge| edge.acted_on).count();
        let t = &self.together;
        want(acted >= 3, format!("{acted} edges acted on, wanted ≥ 3"));
        want(
            t.share_of_calls >= 0.6,
            format!(
                "{:.2} of the calls that left their node, wanted ≥ 0.60",
                t.share_of_calls
            ),
        );
        want(t.pods_moved >= 4, format!("{} pods moved, wanted ≥ 4", t.pods_moved));
        want(
            t.same_node_share_after >= 0.8,
            format!("same-node share {:.2} after, wanted ≥ 0.80", t.same_node_share_after),
        );
        want(
            t.gap_closed_p50 >= 0.8,
            format!("gap closed at p50 {:.2}, wanted ≥ 0.80", t.gap_closed_p50),
        );
        want(
            t.gap_closed_p99 >= 0.5,
            format!("gap closed at p99 {:.2}, wanted ≥ 0.50", t.gap_closed_p99),
        );
        let requests = |pick: fn(&Edge) -> u64| self.edges.iter().filter(|edge| edge.acted_on).map(pick).sum::<u64>();
        let (before, after) = (requests(|e| e.before.requests), requests(|e| e.after.requests));
        let local = requests(|e| e.local_before.requests);
        want(before >= 10_000, format!("{before} requests before, wanted ≥ 10 000"));
        want(after >= 10_000, format!("{after} requests after, wanted ≥ 10 000"));
        want(
            local >= 1_000,
            format!("{local} same-node requests before, wanted ≥ 1 000"),
        );
        for spread in &self.spread {
            let kept = spread.nodes_after >= spread.nodes_before && spread.zones_after >= spread.zones_before;
            want(kept, format!("{} lost spread", spread.workload));
        }
        let f = &self.failed_requests;
        let failed = f.install + f.r#move + f.rollback + f.uninstall;
        want(failed == 0, format!("{failed} failed requests"));
        want(
            self.rollback_restored,
            "rollback did not restore every object".to_owned(),
        );
        short.extend(self.merged.iter().flat_map(super::merge::shortfalls));
        short
    }
}
