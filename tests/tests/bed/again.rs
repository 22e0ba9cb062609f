//! Rules in templates: what stands then, and what comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use huddle_core::view::PlanView;
use huddle_tests::pods::running;
use huddle_tests::wait::until;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::huddle::World;

/// How long a proposal may take.
const LONG: Duration = Duration::from_secs(180);
/// Callees of the frontend that are worth bringing back to it.
const CALLEES: [&str; 2] = ["currency", "catalog"];
/// Few enough requests that the story is not about measuring …
const QUICK: u64 = 500;
/// … and what the demo asks for.
const THOROUGH: u64 = 15_000;
/// The field manager of what Huddle writes into templates.
const PLACEMENT: &str = "huddle-placement";
const INSTALL: [&str; 8] = [
    "install",
    "--yes",
    "--image",
    "registry.local/huddle:dev",
    "--namespace",
    "shop,load",
    "--allow",
    "act",
];

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn places(plan: &PlanView) -> BTreeSet<String> {
    let places = plan.actions.iter().filter(|step| step.kind == "place");
    places
        .filter_map(|step| Some(step.workload.as_deref()?.trim_start_matches("shop/").to_owned()))
        .collect()
}

impl World {
    fn shop(&self, words: &[&str]) -> Result<String> {
        self.bed.kubectl(&[&["-n", "shop"], words].concat())
    }

    fn proof_on(&self, requests: u64) -> Result<()> {
        let patch = json!({"spec": {"proofRequests": requests}}).to_string();
        self.shop(&["patch", "policies.huddle.dev", "huddle", "--type=merge", "-p", &patch])
            .map(drop)
    }

    /// The names of the steady rules in the shop, those of sizes left out.
    fn steady(&self) -> Result<Vec<String>> {
        let labels = "huddle.dev/form=steady,!huddle.dev/container";
        let found: Value =
            serde_json::from_str(&self.shop(&["get", "rules.huddle.dev", "-l", labels, "-o", "json"])?)?;
        let rules = found["items"].as_array().context("kubectl lists no items")?;
        Ok(rules.iter().map(|rule| text(&rule["metadata"]["name"])).collect())
    }

    /// Sends a callee's pods, one after the other, to nodes without its caller. They are deleted, not rolled out: no template changes.
    fn send_away(&self, callee: &str) -> Result<()> {
        let runtime = self.runtime.handle();
        let node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let pods = |app: &str| runtime.block_on(running(&self.demo.client, "shop", &format!("app={app}")));
        let nodes: BTreeSet<String> = pods("frontend")?.iter().filter_map(node).collect();
        for node in &nodes {
            self.bed.kubectl(&["cordon", node])?;
        }
        let near: Vec<Pod> = pods(callee)?
            .into_iter()
            .filter(|pod| node(pod).is_some_and(|node| nodes.contains(&node)))
            .collect();
        let deployment = format!("deployment/{callee}");
        let sent = near.iter().try_for_each(|pod| {
            self.shop(&["delete", "pod", &pod.name_any()])?;
            self.shop(&["rollout", "status", &deployment, "--timeout=90s"])
                .map(drop)
        });
        for node in &nodes {
            self.bed.kubectl(&["uncordon", node])?;
        }
        println!("   {} pods of {callee} sent away from {nodes:?}", near.len());
        sent.with_context(|| format!("sending {callee} away"))
    }

    /// A proposal that places one of these workloads; another one was made for another layout and goes.
    async fn plan_that_places(&self, wanted: &[&str]) -> Result<PlanView> {
        let found = until("a plan that places a callee sent away", LONG, async || {
            let plans: Result<Vec<PlanView>> = self.demo.huddle.json(&["plan", "-o", "json"]).await;
            let plans = plans.map_err(|error| format!("{error:#}"))?;
            let Some(open) = plans.into_iter().find(|plan| plan.phase == "proposed") else {
                return Err("no proposal".to_owned());
            };
            if places(&open).iter().any(|name| wanted.contains(&name.as_str())) {
                return Ok(open);
            }
            let object = format!("plans.huddle.dev/{}", open.id);
            let deleted = self.bed.kubectl(&["-n", "huddle-system", "delete", &object]);
            deleted.map_err(|error| format!("{error:#}"))?;
            let refused: Vec<&str> = open.refusals.iter().map(|step| step.sentence.as_str()).collect();
            Err(format!("{} places {:?}; refused: {refused:?}", open.id, places(&open)))
        });
        let plan = found.await?;
        for step in &plan.actions {
            println!("   {}", step.sentence);
        }
        Ok(plan)
    }

    async fn carried_out(&self, plan: &str) -> Result<PlanView> {
        self.demo
            .huddle
            .run(&["approve", plan, "--yes", "--wait", "--timeout", "300"])
            .await?;
        let view = self.demo.plan(plan).await?;
        ensure!(view.phase == "proved", "{plan} is {}: {}", view.phase, view.summary);
        Ok(view)
    }

    /// What its owner and Huddle wrote of a Deployment's template: the template itself, and whose fields there are.
    async fn written(&self, name: &str) -> Result<(Value, BTreeSet<String>)> {
        let found = Api::<Deployment>::namespaced(self.demo.client.clone(), "shop")
            .get(name)
            .await?;
        let managers = found
            .managed_fields()
            .iter()
            .filter(|entry| entry.subresource.is_none());
        let managers = managers.filter_map(|entry| entry.manager.clone());
        let managers = managers
            .filter(|manager| manager != "kube-controller-manager")
            .collect();
        Ok((serde_json::to_value(found.spec.map(|spec| spec.template))?, managers))
    }

    /// Installed for templates: a plan writes into them, is proved, and rolled back without a trace; then installed as before.
    pub(crate) fn rules_in_templates(&mut self) -> Result<()> {
        let runtime = self.runtime.handle().clone();
        let standing = self.steady()?;
        ensure!(
            standing.is_empty(),
            "rules stand, and templates take none over: {standing:?}"
        );
        let patch = ("apps", "deployments", "");
        runtime.block_on(async {
            self.demo
                .huddle
                .run(&[&INSTALL[..], &["--rules", "template"]].concat())
                .await?;
            ensure!(
                self.may("shop", "patch", patch).await?,
                "no right to patch Deployments in shop"
            );
            ensure!(
                !self.may("default", "patch", patch).await?,
                "a right to patch Deployments in default"
            );
            anyhow::Ok(())
        })?;
        self.proof_on(QUICK)?;
        for callee in CALLEES {
            self.send_away(callee)?;
        }
        runtime.block_on(async {
            let plan = self.plan_that_places(&CALLEES).await?;
            let moves = plan.actions.iter().filter(|step| step.kind == "move").count();
            ensure!(
                moves == 0,
                "{moves} pods are moved one by one, where templates restart them"
            );
            let placed = places(&plan);
            let mut before = Vec::new();
            for name in &placed {
                before.push((name, self.written(name).await?));
            }
            self.carried_out(&plan.id).await?;
            for (name, (was, _)) in &before {
                let (is, managers) = self.written(name).await?;
                let near = is.pointer("/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution");
                ensure!(
                    near.is_some() && is != *was,
                    "{name}'s template says nothing of whom it is near: {is}"
                );
                ensure!(
                    managers.contains(PLACEMENT),
                    "{name} is written by {managers:?}, not by {PLACEMENT}"
                );
            }
            ensure!(self.steady()?.is_empty(), "a Rule was made where templates are written");
            self.demo
                .huddle
                .run(&["rollback", &plan.id, "--yes", "--wait", "--timeout", "200"])
                .await?;
            for (name, was) in &before {
                let is = self.written(name).await?;
                ensure!(is == *was, "{name} is not what it was: {was:?}, now {is:?}");
            }
            // The line without --rules takes the right to templates back.
            self.demo.huddle.run(&INSTALL).await?;
            ensure!(
                !self.may("shop", "patch", patch).await?,
                "the right to patch Deployments stayed"
            );
            anyhow::Ok(())
        })?;
        self.proof_on(THOROUGH)
    }
}
