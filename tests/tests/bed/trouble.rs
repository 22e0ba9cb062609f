//! A plan under way, and what a cluster does to it meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use huddle_core::view::PlanView;
use huddle_tests::bed::cgroup::Trees;
use huddle_tests::pods::running;
use huddle_tests::wait::until;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, ResourceExt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::huddle::World;

/// How long a plan, a rollout or a node may take.
const LONG: Duration = Duration::from_secs(300);
/// Callees of the frontend: together six pods to bring back to it.
const SCATTERED: [&str; 3] = ["currency", "cart", "catalog"];
/// One move for each trouble.
const TROUBLES: usize = 4;
/// So many plans are made for one trouble at most: a plan may end before a pod is caught in the middle of its move.
const PLANS: usize = 2;
/// Few enough requests that the story is not about measuring.
const PROOF: &str =
    "{apiVersion: huddle.dev/v1alpha1, kind: Policy, metadata: {name: huddle}, spec: {proofRequests: 500}}";
const ORPHAN: &str = "huddle.dev/orphan";
const FORM: &str = "huddle.dev/form";

/// What happens in the middle of a move.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Killed,
    Deleted,
    RolledOut,
    NodeLost,
}

/// A move whose old pod was released and whose replacement is on its way.
#[derive(Clone, Debug)]
struct Moving {
    index: usize,
    workload: String,
    pod: String,
    to: String,
}

fn is_over(state: Option<&str>) -> bool {
    matches!(state, Some("done" | "undone" | "skipped"))
}

fn is_final(phase: &str) -> bool {
    matches!(phase, "proved" | "rolledBack")
}

fn said(view: &PlanView, index: usize) -> String {
    view.actions.get(index).map_or_else(String::new, |step| {
        format!("{}: {}", step.state.as_deref().unwrap_or_default(), step.sentence)
    })
}

impl World {
    async fn view(&self, plan: &str) -> Result<PlanView, String> {
        self.demo.plan(plan).await.map_err(|error| format!("{error:#}"))
    }

    pub(crate) fn in_shop(&self, words: &[&str]) -> Result<String> {
        self.bed.kubectl(&[&["-n", "shop"], words].concat())
    }

    /// Sends callees to nodes without their caller, as an owner's rollouts at a bad moment would.
    pub(crate) fn scatter(&self) -> Result<()> {
        let frontends = self
            .runtime
            .block_on(running(&self.demo.client, "shop", "app=frontend"))?;
        let nodes: BTreeSet<String> = frontends.into_iter().filter_map(|pod| pod.spec?.node_name).collect();
        for node in &nodes {
            self.bed.kubectl(&["cordon", node])?;
        }
        let moved = SCATTERED.iter().try_for_each(|name| {
            let deployment = format!("deployment/{name}");
            self.in_shop(&["rollout", "restart", &deployment])?;
            self.in_shop(&["rollout", "status", &deployment, "--timeout=120s"])
                .map(drop)
        });
        for node in &nodes {
            self.bed.kubectl(&["uncordon", node])?;
        }
        moved
    }

    /// A proposal with so many moves at least. Others were made for another layout or under less load: they go.
    pub(crate) async fn plan_with_moves(&self, wanted: usize) -> Result<PlanView> {
        let moves = |plan: &PlanView| plan.actions.iter().filter(|step| step.kind == "move").count();
        let found = until("a plan with moves", LONG, async || {
            let words = ["plan", "-o", "json"];
            let plans: Vec<PlanView> = self
                .demo
                .huddle
                .json(&words)
                .await
                .map_err(|error| format!("{error:#}"))?;
            let Some(open) = plans.into_iter().find(|plan| plan.phase == "proposed") else {
                return Err("no proposal".to_owned());
            };
            if moves(&open) >= wanted {
                return Ok(open);
            }
            let object = format!("plans.huddle.dev/{}", open.id);
            let deleted = self.bed.kubectl(&["-n", "huddle-system", "delete", &object]);
            deleted.map_err(|error| format!("{error:#}"))?;
            Err(format!("{} has {} moves", open.id, moves(&open)))
        });
        Ok(found.await?)
    }

    /// The step that is in the middle of a move, after step `after`; `None` once the plan is at its end.
    async fn moving(&self, plan: &str, after: Option<usize>) -> Result<Option<Moving>> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("huddle.dev", "v1alpha1", "Plan"));
        let plans: Api<DynamicObject> = Api::namespaced_with(self.demo.client.clone(), "huddle-system", &kind);
        let found = until("a pod in the middle of its move", LONG, async || {
            let object = plans.get(plan).await.map_err(|error| error.to_string())?;
            let status = &object.data["status"];
            let phase = status["phase"].as_str().unwrap_or_default();
            if is_final(phase) {
                return Ok(None);
            }
            let steps = status["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
            let under_way = |(index, step): &(usize, &Value)| {
                after.is_none_or(|after| *index > after)
                    && step["state"] == "running"
                    && step["receipt"]["kind"] == "move"
                    && step["receipt"]["stage"] == "replace"
            };
            let Some((index, step)) = steps.iter().enumerate().find(under_way) else {
                return Err(format!("{phase}: {}", status["message"]));
            };
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let action = &object.data["spec"]["actions"][index];
            Ok(Some(Moving {
                index,
                workload: text(&action["workload"]["name"]),
                pod: text(&step["receipt"]["podName"]),
                to: text(&action["to"]),
            }))
        });
        Ok(found.await?)
    }

    /// Waits until a step is over, and shows how it ended.
    async fn over(&self, plan: &str, index: usize) -> Result<()> {
        let view = until("the move to end", LONG, async || {
            let view = self.view(plan).await?;
            let state = view.actions.get(index).and_then(|step| step.state.as_deref());
            if is_over(state) || is_final(&view.phase) {
                Ok(view)
            } else {
                Err(said(&view, index))
            }
        });
        println!("   … {}", said(&view.await?, index));
        Ok(())
    }

    /// The controller's process.
    fn controller(&self) -> Result<i32> {
        let inside = Trees::detect()?.processes(&self.bed.folder().group());
        let is_controller = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            words.next().is_some_and(|program| program.ends_with(b"/huddle")) && words.next() == Some(b"controller")
        };
        inside
            .into_iter()
            .find(is_controller)
            .context("the controller does not run")
    }

    async fn controller_dies(&self, plan: &str, moving: &Moving) -> Result<()> {
        let pid = self.controller()?;
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        println!(
            "   kill -9 of the controller while {} moves to {}",
            moving.pod, moving.to
        );
        until("another controller", LONG, async || match self.controller() {
            Ok(now) if now != pid => Ok(()),
            Ok(_) => Err("still the old one".to_owned()),
            Err(error) => Err(format!("{error:#}")),
        })
        .await?;
        self.over(plan, moving.index).await
    }

    async fn pod_is_deleted(&self, plan: &str, moving: &Moving) -> Result<()> {
        println!("   somebody deletes {} while it moves to {}", moving.pod, moving.to);
        self.in_shop(&["delete", "pod", &moving.pod, "--wait=false"])?;
        self.over(plan, moving.index).await
    }

    async fn owner_rolls_out(&self, plan: &str, moving: &Moving) -> Result<()> {
        println!(
            "   {} is rolled out while {} moves to {}",
            moving.workload, moving.pod, moving.to
        );
        self.in_shop(&["set", "env", &format!("deployment/{}", moving.workload), "OWNER=here"])?;
        self.over(plan, moving.index).await
    }

    async fn node_is_lost(&mut self, plan: &str, moving: &Moving) -> Result<()> {
        println!("   {} is lost while {} moves there", moving.to, moving.pod);
        let number = moving.to.trim_start_matches("node-").to_owned();
        self.bed.bed(&["kill", "node", &number])?;
        let node = format!("node/{}", moving.to);
        let noticed = self
            .bed
            .kubectl(&["wait", &node, "--for=condition=Ready=Unknown", "--timeout=120s"]);
        self.bed.bed(&["start", "node", &number])?;
        noticed?;
        self.bed
            .kubectl(&["wait", &node, "--for=condition=Ready", "--timeout=120s"])?;
        self.over(plan, moving.index).await?;
        // A generator may have been on that node; without load nothing can be proved.
        let _ = self.demo.traffic.silence().await;
        self.demo.traffic.resume().await
    }

    /// The templates of the shop's Deployments, but for when they were restarted.
    async fn templates(&self) -> Result<BTreeMap<String, Value>> {
        let deployments: Api<Deployment> = Api::namespaced(self.demo.client.clone(), "shop");
        let list = deployments.list(&ListParams::default()).await?;
        let template = |of: Deployment| {
            let mut template = serde_json::to_value(of.spec.as_ref().map(|spec| &spec.template))?;
            if let Some(notes) = template
                .pointer_mut("/metadata/annotations")
                .and_then(Value::as_object_mut)
            {
                notes.remove("kubectl.kubernetes.io/restartedAt");
            }
            if template.pointer("/metadata/annotations") == Some(&serde_json::json!({})) {
                template["metadata"]
                    .as_object_mut()
                    .map(|metadata| metadata.remove("annotations"));
            }
            Ok((of.name_any(), template))
        };
        list.items.into_iter().map(template).collect()
    }

    /// Nothing stuck, nothing lost: every Deployment whole, no orphan, no step rule, no node or template changed.
    async fn whole(&self) -> Result<()> {
        let client = || self.demo.client.clone();
        until("the shop to be whole", LONG, async || {
            let error = |error: kube::Error| error.to_string();
            let deployments: Api<Deployment> = Api::namespaced(client(), "shop");
            let deployments = deployments.list(&ListParams::default()).await.map_err(error)?;
            let pods: Api<Pod> = Api::namespaced(client(), "shop");
            let pods = pods.list(&ListParams::default()).await.map_err(error)?.items;
            let mut wrong = Vec::new();
            for deployment in deployments {
                let name = deployment.name_any();
                let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                let status = deployment.status.unwrap_or_default();
                let there = pods.iter().filter(|pod| pod.labels().get("app") == Some(&name)).count();
                let counts =
                    [status.replicas, status.ready_replicas, status.updated_replicas].map(Option::unwrap_or_default);
                if counts != [wanted; 3] || i32::try_from(there) != Ok(wanted) {
                    wrong.push(format!("{name}: {wanted} wanted, {counts:?} counted, {there} pods"));
                }
            }
            let orphans = pods
                .iter()
                .filter(|pod| pod.labels().get(ORPHAN).is_some_and(|plan| !plan.is_empty()));
            wrong.extend(orphans.map(|pod| format!("orphan {}", pod.name_any())));
            let rules = ApiResource::from_gvk(&GroupVersionKind::gvk("huddle.dev", "v1alpha1", "Rule"));
            let rules: Api<DynamicObject> = Api::namespaced_with(client(), "shop", &rules);
            let rules = rules.list(&ListParams::default()).await.map_err(error)?;
            let step = rules
                .iter()
                .filter(|rule| rule.labels().get(FORM).map(String::as_str) == Some("step"));
            wrong.extend(step.map(|rule| format!("step rule {}", rule.name_any())));
            if wrong.is_empty() {
                Ok(())
            } else {
                Err(wrong.join("; "))
            }
        })
        .await?;
        Ok(())
    }

    /// The next pod in the middle of its move: of the plan under way after a step, else of a new plan over callees scattered anew.
    fn next_move(&self, mut under_way: Option<(String, Option<usize>)>) -> Result<(String, Moving)> {
        let runtime = self.runtime.handle().clone();
        for _ in 0..PLANS {
            if let Some((plan, after)) = under_way.take() {
                if let Some(moving) = runtime.block_on(self.moving(&plan, after))? {
                    return Ok((plan, moving));
                }
                runtime.block_on(self.ended(&plan))?;
            }
            self.scatter()?;
            let plan = runtime.block_on(async {
                let plan = self.plan_with_moves(TROUBLES).await?;
                self.demo.huddle.run(&["approve", &plan.id, "--yes"]).await?;
                anyhow::Ok(plan.id)
            })?;
            under_way = Some((plan, None));
        }
        let Some((plan, after)) = under_way else {
            bail!("no plan was made")
        };
        let moving = runtime.block_on(self.moving(&plan, after))?;
        moving.map(|moving| (plan, moving)).context("no pod was moved")
    }

    /// The plan's end, with every step over.
    async fn ended(&self, plan: &str) -> Result<()> {
        let end = until("the plan to end", LONG * 2, async || {
            let view = self.view(plan).await?;
            if is_final(&view.phase) {
                Ok(view)
            } else {
                Err(format!("{}: {}", view.phase, view.summary))
            }
        });
        let view = end.await?;
        println!("   {}: {}", view.phase, view.summary);
        for (index, step) in view.actions.iter().enumerate() {
            ensure!(
                is_over(step.state.as_deref()),
                "step {index} is still open: {}",
                said(&view, index)
            );
            println!("   {index} {}", said(&view, index));
        }
        Ok(())
    }

    pub(crate) fn troubled_moves(&mut self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("policy.yaml");
        fs::write(&file, PROOF)?;
        self.in_shop(&["apply", "-f", &file.display().to_string()])?;
        let runtime = self.runtime.handle().clone();
        let templates = runtime.block_on(self.templates())?;
        let mut under_way: Option<(String, Option<usize>)> = None;
        for trouble in [Trouble::Killed, Trouble::Deleted, Trouble::RolledOut, Trouble::NodeLost] {
            let (plan, moving) = self.next_move(under_way.take())?;
            match trouble {
                Trouble::Killed => runtime.block_on(self.controller_dies(&plan, &moving))?,
                Trouble::Deleted => runtime.block_on(self.pod_is_deleted(&plan, &moving))?,
                Trouble::RolledOut => runtime.block_on(self.owner_rolls_out(&plan, &moving))?,
                Trouble::NodeLost => runtime.block_on(self.node_is_lost(&plan, &moving))?,
            }
            under_way = Some((plan, Some(moving.index)));
        }
        if let Some((plan, _)) = under_way {
            runtime.block_on(self.ended(&plan))?;
        }
        runtime.block_on(self.whole())?;
        let now = runtime.block_on(self.templates())?;
        let changed: Vec<&String> = now
            .keys()
            .filter(|name| now.get(*name) != templates.get(*name))
            .collect();
        ensure!(
            changed.len() == 1,
            "templates changed: {changed:?}, where one owner rolled one out"
        );
        Ok(())
    }
}
