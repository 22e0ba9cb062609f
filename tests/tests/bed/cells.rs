//! Nodes of their own for callers and callees: labelled, kept when pods come anew, and unlabelled.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use huddle_core::view::PlanView;
use huddle_tests::demo::merge::RIGHTS;
use huddle_tests::pods::running;
use huddle_tests::wait::until;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::huddle::{LIMIT, World};

/// How long a plan may take to be made.
const LONG: Duration = Duration::from_secs(300);
/// Node objects without a kubelet, cordoned. In clusters of more than a hundred nodes the scheduler scores a sample of them, and Huddle takes cells
/// where they are allowed.
const ROWS: usize = 100;
/// Two moves, of the callee that gains most by them, and a proof on some twenty seconds of its calls.
const POLICY: &str = "{apiVersion: huddle.dev/v1alpha1, kind: Policy, metadata: {name: huddle}, spec: {maxMoves: 2, proofRequests: 4000}}";

/// Those objects, as one list.
fn rows() -> Value {
    let row = |number| {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("row-{number:03}"), "labels": {"bed": "row"}},
            "spec": {"unschedulable": true}})
    };
    json!({"apiVersion": "v1", "kind": "List", "items": (1..=ROWS).map(row).collect::<Vec<_>>()})
}

impl World {
    /// The nodes that carry a label of a plan's cells, by label.
    async fn seats(&self, plan: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let key = format!("huddle.dev/cell-{plan}");
        let nodes: Api<Node> = Api::all(self.demo.client.clone());
        let mut seats: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in nodes.list(&ListParams::default()).await? {
            for label in node.labels().keys().filter(|label| label.starts_with(&key)) {
                seats.entry(label.clone()).or_default().insert(node.name_any());
            }
        }
        Ok(seats)
    }

    /// Pods of a service that run, and on which node each.
    async fn placed(&self, service: &str) -> Result<BTreeMap<String, String>> {
        let pods = running(&self.demo.client, "shop", &format!("app={service}")).await?;
        let place = |pod: Pod| Some((pod.name_any(), pod.spec?.node_name?));
        Ok(pods.into_iter().filter_map(place).collect())
    }

    /// The proposal that gives a callee a cell. Others were made for another layout: they go.
    async fn plan_with_a_cell(&self) -> Result<PlanView> {
        let found = until("a plan with a cell", LONG, async || {
            let plans: Result<Vec<PlanView>> = self.demo.huddle.json(&["plan", "-o", "json"]).await;
            let plans = plans.map_err(|error| format!("{error:#}"))?;
            let Some(open) = plans.into_iter().find(|plan| plan.phase == "proposed") else {
                return Err("no proposal".to_owned());
            };
            if open.actions.iter().any(|step| step.kind == "cell") {
                return Ok(open);
            }
            let object = format!("plans.huddle.dev/{}", open.id);
            let deleted = self.bed.kubectl(&["-n", "huddle-system", "delete", &object]);
            deleted.map_err(|error| format!("{error:#}"))?;
            let steps: Vec<String> = open.actions.into_iter().map(|step| step.sentence).collect();
            Err(format!("{} has no cell: {}", open.id, steps.join(" ")))
        });
        Ok(found.await?)
    }

    /// A pod of the service dies on one of its cell's nodes; its successor comes up there, for that node is short of one.
    async fn comes_back(&self, service: &str, seats: &BTreeSet<String>) -> Result<()> {
        let before = self.placed(service).await?;
        let outside: Vec<_> = before.iter().filter(|(_, node)| !seats.contains(*node)).collect();
        ensure!(outside.is_empty(), "outside the cell {seats:?}: {outside:?}");
        let (pod, node) = before.first_key_value().context("the service has no pods")?;
        self.in_shop(&["delete", "pod", pod])?;
        let after = until("the successor", LIMIT, async || {
            let now = self.placed(service).await.map_err(|error| format!("{error:#}"))?;
            if now.len() == before.len() {
                Ok(now)
            } else {
                Err(format!("{now:?}"))
            }
        })
        .await?;
        let nodes = |pods: &BTreeMap<String, String>| {
            let mut nodes: Vec<String> = pods.values().cloned().collect();
            nodes.sort();
            nodes
        };
        println!("   {pod} died on {node}; now the pods are on {:?}", nodes(&after));
        ensure!(
            nodes(&after) == nodes(&before),
            "the successor of {pod} came up elsewhere: {after:?}"
        );
        Ok(())
    }

    /// Carried out and proved, kept through the death of a pod, and taken back.
    async fn a_cell_holds(&mut self) -> Result<()> {
        let plan = self.plan_with_a_cell().await?;
        let cell = plan.actions.iter().position(|step| step.kind == "cell");
        let cell = cell.context("the plan lost its cell")?;
        println!("   {}", plan.actions[cell].sentence);
        let workload = plan.actions[cell].workload.clone().unwrap_or_default();
        let service = workload.trim_start_matches("shop/");
        let before = self.demo.objects().await?;
        let view = self.demo.act(&plan).await?;
        ensure!(view.phase == "proved", "{}: {}", view.phase, view.summary);
        let cells = plan.actions.iter().filter(|step| step.kind == "cell").count();
        let seats = self.seats(&plan.id).await?;
        ensure!(seats.len() == cells, "labels of {cells} cells: {seats:?}");
        let own = seats.get(&format!("huddle.dev/cell-{}-{cell}", plan.id));
        self.comes_back(service, own.context("the service's cell has no label")?)
            .await?;
        self.demo.rollback(&plan.id, &before).await?;
        ensure!(self.demo.report.rollback_restored, "objects differ from what they were");
        let left = self.seats(&plan.id).await?;
        ensure!(left.is_empty(), "labels are left: {left:?}");
        Ok(())
    }

    /// With the right to label nodes, and nodes enough, for this story alone.
    pub(crate) fn cells_hold(&mut self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text)?;
            anyhow::Ok(path.display().to_string())
        };
        let runtime = self.runtime.handle().clone();
        self.in_shop(&["apply", "-f", &file("policy.yaml", POLICY.to_owned())?])?;
        let rights = format!("{RIGHTS},cells");
        runtime.block_on(self.demo.allow(&["--allow", &rights]))?;
        self.scatter()?;
        self.bed
            .kubectl(&["apply", "-f", &file("rows.json", rows().to_string())?])?;
        let held = runtime.block_on(self.a_cell_holds());
        self.bed.kubectl(&["delete", "nodes", "-l", "bed=row"])?;
        runtime.block_on(self.demo.allow(&["--allow", RIGHTS]))?;
        held
    }
}
