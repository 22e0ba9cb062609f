//! Short cells: pairs, and clusters around them, of other kinds. Each is merged, looked at, and split; nothing may be left of it.

use super::{Soak, gateway};
use crate::demo::merge::{Attempt, Proposal};
use crate::pair::{
    CALLEE, CALLS_PER_PAGE, Deployed, Failure, NAMESPACE, Pair, TARGET_PORT, Watch, apply_as, delete, since_epoch,
};
use crate::shop::{Protocol, Window};
use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Callers beside the one that dominates.
pub(super) const OTHERS: u32 = 3;
/// How long a merged pair is looked at.
const HELD: Duration = Duration::from_secs(60);
/// How long a GitOps loop waits after each round.
const ROUND: Duration = Duration::from_secs(1);
/// Who it is to the API server.
const GITOPS: &str = "gitops";
/// Of the calls, so many must be inside.
const INSIDE: f64 = 0.9;

/// One cell.
pub(super) struct Cell {
    pub(super) name: &'static str,
    pair: Pair,
    /// The cluster serves the Gateway API.
    gateway: bool,
    /// What is in the namespace beside the pair.
    beside: Vec<Value>,
    /// The owners' manifests are applied again and again.
    reapplied: bool,
    /// What the callee's owner makes while the two are merged, so that they are split by themselves.
    meanwhile: Vec<Value>,
}

impl Cell {
    fn new(name: &'static str, pair: Pair) -> Self {
        Self {
            name,
            pair,
            gateway: false,
            beside: Vec::new(),
            reapplied: false,
            meanwhile: Vec::new(),
        }
    }

    /// Deletes what stood beside the pair. After its pages were counted: a subset that goes with the routes that lead to it costs calls by itself.
    pub(super) async fn take_away(&self, client: &Client) -> Result<()> {
        for object in self.beside.iter().chain(&self.meanwhile) {
            delete(client, object).await?;
        }
        Ok(())
    }
}

/// All cells.
pub(super) fn cells() -> Vec<Cell> {
    vec![
        Cell::new(
            "kinds grpc: a gRPC callee, its callers' connections as long as their lives",
            Pair {
                protocol: Protocol::Grpc,
                ..Pair::default()
            },
        ),
        Cell::new(
            "kinds ports: the Service's port leads to another one",
            Pair {
                service_port: 7080,
                ..Pair::default()
            },
        ),
        Cell {
            beside: strict(),
            ..Cell::new(
                "kinds strict: mTLS is STRICT by a rule about the callee",
                Pair::default(),
            )
        },
        Cell {
            beside: routes(None),
            ..Cell::new(
                "kinds routes: the callee has a VirtualService and a DestinationRule",
                Pair::default(),
            )
        },
        Cell {
            meanwhile: routes(Some("all")),
            ..Cell::new(
                "kinds canary: while merged, the callee's owner begins to route by subsets",
                Pair::default(),
            )
        },
        Cell {
            gateway: true,
            beside: gateway::kept(TARGET_PORT),
            meanwhile: gateway::split(TARGET_PORT),
            ..Cell::new(
                "kinds attached: the callee has an HTTPRoute, which sends some calls to another Service while merged",
                Pair::default(),
            )
        },
        Cell::new(
            "kinds callers: four callers, one of which dominates",
            Pair {
                others: OTHERS,
                ..Pair::default()
            },
        ),
        Cell {
            reapplied: true,
            ..Cell::new(
                "kinds gitops: the owners' manifests are applied every second",
                Pair::default(),
            )
        },
        Cell {
            reapplied: true,
            ..Cell::new(
                "kinds gitops replicas: they are, and say more replicas than a merge leaves",
                Pair {
                    replicas: 4,
                    ..Pair::default()
                },
            )
        },
    ]
}

fn strict() -> Vec<Value> {
    vec![json!({
        "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": CALLEE, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": {"app": CALLEE}}, "mtls": {"mode": "STRICT"}},
    })]
}

/// Retries, a time-out, a limit on connections, and outliers put out: what owners write; and to which subset calls go.
fn routes(subset: Option<&str>) -> Vec<Value> {
    let metadata = json!({"name": CALLEE, "namespace": NAMESPACE});
    let host = format!("{CALLEE}.{NAMESPACE}.svc.cluster.local");
    let mut to = json!({"destination": {"host": host, "port": {"number": TARGET_PORT}}});
    if let Some(subset) = subset {
        to["destination"]["subset"] = json!(subset);
    }
    let route = json!({"route": [to], "timeout": "10s", "retries": {"attempts": 2, "retryOn": "connect-failure,refused-stream,503"}});
    let traffic = json!({
        "connectionPool": {"http": {"http1MaxPendingRequests": 1024}},
        "outlierDetection": {"consecutive5xxErrors": 5, "interval": "5s", "baseEjectionTime": "10s", "maxEjectionPercent": 50},
    });
    vec![
        json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": metadata,
            "spec": {"host": host, "trafficPolicy": traffic, "subsets": [{"name": "all", "labels": {"app": CALLEE}}]}}),
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata,
            "spec": {"hosts": [host], "http": [route]}}),
    ]
}

/// How one cell went.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    name: &'static str,
    /// What stood against it, where it was refused.
    refused: Vec<String>,
    attempt: Option<Attempt>,
    /// What the plan said once the two were split by themselves.
    parted: Option<String>,
    /// Share of the caller's calls that the callee's own pods did not answer, while merged.
    inside: Option<f64>,
    /// Replicas of the callee while merged.
    replicas: Option<i32>,
    pages: u64,
    failures: Vec<Failure>,
    /// Objects that are not as they were.
    differences: Vec<String>,
    left_behind: Vec<String>,
    /// How often the owners' manifests were applied, and how often that was refused.
    applied: Option<[u64; 2]>,
}

impl Outcome {
    pub(super) fn holds(&self) -> bool {
        let merged = self.attempt.as_ref().is_some_and(Attempt::stands);
        let inside = self.inside.is_some_and(|share| share >= INSIDE);
        let clean = self.differences.is_empty() && self.left_behind.is_empty();
        // What is split by itself here is split for the route that came.
        let of_a_route = |why: &String| ["VirtualService", "HTTPRoute"].iter().any(|kind| why.contains(kind));
        let parted = self.parted.as_ref().is_none_or(of_a_route);
        merged && inside && clean && parted && self.failures.is_empty()
    }

    fn ended(&self) -> String {
        match (&self.attempt, self.refused.is_empty()) {
            (Some(attempt), _) => attempt.phase.clone(),
            (None, false) => "refused".to_owned(),
            (None, true) => "-".to_owned(),
        }
    }
}

/// A GitOps tool that knows nothing of Huddle.
struct Gitops {
    stop: watch::Sender<bool>,
    task: JoinHandle<[u64; 2]>,
}

impl Gitops {
    fn begin(client: &Client, objects: Vec<Value>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(reapply(client.clone(), objects, stopped));
        Self { stop, task }
    }

    async fn end(self) -> Result<[u64; 2]> {
        let _gone = self.stop.send(true);
        self.task.await.context("the GitOps loop")
    }
}

async fn reapply(client: Client, objects: Vec<Value>, mut stopped: watch::Receiver<bool>) -> [u64; 2] {
    let [mut applied, mut refused] = [0, 0];
    // It ends when it is told to, and when nobody is left who could.
    while tokio::time::timeout(ROUND, stopped.changed()).await.is_err() {
        for object in &objects {
            match apply_as(&client, GITOPS, object).await {
                Ok(()) => applied += 1,
                Err(error) => {
                    refused += 1;
                    tracing::warn!("{error:#}");
                }
            }
        }
    }
    [applied, refused]
}

/// Share of the caller's calls that was inside, of pages and of calls that the callee's own pods answered to all callers.
fn inside(pages: u64, outside: u64, of_others: u64) -> Option<f64> {
    let calls = pages * CALLS_PER_PAGE;
    let outside = outside.saturating_sub(of_others);
    (calls > 0).then(|| (1.0 - outside as f64 / calls as f64).max(0.0))
}

impl Soak {
    pub(super) async fn cell(&mut self, cell: &Cell) -> Result<Outcome> {
        self.demo.narrator.section(cell.name);
        if cell.gateway {
            gateway::serve(&self.demo.client).await?;
        }
        for object in &cell.beside {
            apply_as(&self.demo.client, "owner", object).await?;
        }
        let pair = Deployed::deploy(&self.demo.client, &cell.pair).await?;
        let gitops = cell
            .reapplied
            .then(|| Gitops::begin(&self.demo.client, cell.pair.objects()));
        let told = self.merged_and_split(cell, &pair).await;
        let applied = match gitops {
            Some(gitops) => Some(gitops.end().await?),
            None => None,
        };
        let outcome = Outcome { applied, ..told? };
        let word = if outcome.holds() { "holds" } else { "DOES NOT HOLD" };
        self.demo.narrator.say(format!("{word}: {}", outcome.ended()));
        outcome
            .refused
            .iter()
            .chain(&outcome.parted)
            .chain(&outcome.differences)
            .chain(&outcome.left_behind)
            .for_each(|line| self.demo.narrator.say(line));
        Ok(outcome)
    }

    async fn merged_and_split(&self, cell: &Cell, pair: &Deployed) -> Result<Outcome> {
        let mut outcome = Outcome {
            name: cell.name,
            ..Outcome::default()
        };
        let before = self.demo.objects().await?;
        let plan = match self.demo.propose_merge(pair.pair.ends).await? {
            Proposal::Plan(plan) => plan,
            Proposal::Refused(why) => {
                outcome.refused = why;
                return Ok(outcome);
            }
        };
        let watch = Watch::begin(pair, "the merge");
        let attempt = self.demo.carry_out(&plan, pair).await?;
        if attempt.stands() {
            watch.during("the time inside").await?;
            (outcome.inside, outcome.replicas) = self.held(pair).await?;
            watch.during("the split").await?;
            if cell.meanwhile.is_empty() {
                self.demo.split(&plan, pair).await?;
            } else {
                for object in &cell.meanwhile {
                    apply_as(&self.demo.client, "owner", object).await?;
                }
                outcome.parted = Some(self.demo.parted(&plan, pair).await?);
            }
        }
        outcome.attempt = Some(attempt);
        (outcome.failures, outcome.pages) = watch.end().await?;
        outcome.differences = before.differences(&self.demo.objects().await?);
        outcome.left_behind = self.demo.left_of(&plan).await?;
        Ok(outcome)
    }

    /// A minute merged: the share of calls inside, and the callee's replicas.
    async fn held(&self, pair: &Deployed) -> Result<(Option<f64>, Option<i32>)> {
        let (outside, from) = (pair.answered_outside().await?, since_epoch());
        tokio::time::sleep(HELD).await;
        let (outside, to) = (pair.answered_outside().await?.saturating_sub(outside), since_epoch());
        let window = Window {
            from: Some(from),
            to: Some(to),
        };
        let (asker, others) = pair.asked(window).await?;
        let of_others = others.iter().map(|report| report.requests).sum();
        let deployments: Api<Deployment> = Api::namespaced(self.demo.client.clone(), NAMESPACE);
        let replicas = deployments.get(CALLEE).await?.spec.and_then(|spec| spec.replicas);
        Ok((inside(asker.requests, outside, of_others), replicas))
    }

    pub(super) fn tell_kinds(&self, kinds: &[Outcome]) {
        let narrator = &self.demo.narrator;
        narrator.section("Kinds: merged, a minute inside, split");
        let head = [
            "cell", "ended", "inside", "replicas", "pages", "failed", "changed", "left", "applied", "holds",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for kind in kinds {
            let failed: u64 = kind.failures.iter().map(Failure::requests).sum();
            let none = || "-".to_owned();
            rows.push(vec![
                kind.name.to_owned(),
                kind.ended(),
                kind.inside.map_or_else(none, |share| format!("{:.1} %", share * 100.0)),
                kind.replicas.map_or_else(none, |replicas| replicas.to_string()),
                kind.pages.to_string(),
                failed.to_string(),
                kind.differences.len().to_string(),
                kind.left_behind.len().to_string(),
                kind.applied
                    .map_or_else(none, |[all, refused]| format!("{all}, {refused} refused")),
                if kind.holds() { "yes" } else { "NO" }.to_owned(),
            ]);
        }
        narrator.table(&rows);
        for kind in kinds {
            for why in &kind.refused {
                narrator.say(format!("{}: refused: {why}", kind.name));
            }
            for line in kind.differences.iter().chain(&kind.left_behind) {
                narrator.say(format!("{}: {line}", kind.name));
            }
            self.tell_failures(&kind.failures);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cell_has_a_name_of_its_own_and_one_word_takes_all() {
        let names: Vec<&str> = cells().iter().map(|cell| cell.name).collect();
        let mut distinct = names.clone();
        distinct.dedup();
        assert_eq!((names.len(), distinct.len()), (9, 9));
        assert!(names.iter().all(|name| name.starts_with("kinds ")));
    }

    #[test]
    fn a_route_names_a_subset_where_it_is_to_and_else_says_nothing_of_one() {
        let to = |subset| routes(subset)[1]["spec"]["http"][0]["route"][0]["destination"].clone();
        assert_eq!(to(Some("all"))["subset"], "all");
        assert!(to(None).as_object().is_some_and(|to| !to.contains_key("subset")));
    }

    #[test]
    fn what_others_ask_outside_is_not_the_callers() {
        assert_eq!(inside(1_000, 600, 200), Some(0.9));
        assert_eq!(inside(1_000, 100, 200), Some(1.0));
        assert_eq!(inside(0, 5, 0), None);
    }

    #[test]
    fn a_cell_holds_when_it_was_merged_kept_inside_and_left_nothing() {
        let attempt = |phase: &str| Attempt {
            phase: phase.to_owned(),
            ..Attempt::default()
        };
        let good = Outcome {
            attempt: Some(attempt("proved")),
            inside: Some(0.99),
            ..Outcome::default()
        };
        assert!(good.holds());
        let harmful = Outcome {
            attempt: Some(attempt("rolledBack")),
            ..good.clone()
        };
        let changed = Outcome {
            differences: vec!["~ Deployment back".to_owned()],
            ..good.clone()
        };
        let refused = Outcome {
            refused: vec!["Both listen on port 80.".to_owned()],
            ..Outcome::default()
        };
        assert!(!harmful.holds() && !changed.holds() && !refused.holds());
        assert_eq!(refused.ended(), "refused");
    }
}
