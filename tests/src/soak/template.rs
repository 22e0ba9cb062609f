//! What a starved callee is given where rules are written into templates: in its template, by a roll-out, and taken back so.

use super::catalogue::APPLICATION;
use super::pressure::{Soak, WINDOW, WORK_US, Window, Written};
use super::sizes::{LOOSE, limit, throttled};
use crate::demo::narrator::{micros, percent};
use crate::demo::pressure::CALLEE;
use crate::kubelet::counters;
use crate::wait::until;
use anyhow::{Context, Result};
use huddle_api::Policy;
use huddle_core::view::PlanView;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Until a plan is there: a new limit is watched for half a minute first.
const PATIENCE: Duration = Duration::from_secs(300);
/// New pods know nothing of the work that each call is to cost: they are told so often.
const TOLD: Duration = Duration::from_millis(500);

/// Starved by its template, named, given more in its template, and taken back.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Templated {
    named_seconds: f64,
    /// Share of the periods in which it was stopped, by the kubelet.
    throttled: f64,
    /// What the plan does.
    sentences: Vec<String>,
    /// Of the plan: proved or what else.
    phase: String,
    verdict: String,
    /// What the template says of the container's figures: before, with the plan, and rolled back.
    says: [Value; 3],
    /// Limits after it, by the kubelets.
    limits: Vec<String>,
    starved: Window,
    given: Window,
    /// Requests of the load that failed from the approval to the end of the window after it, and during the way back.
    failed: [u64; 2],
}

impl Templated {
    pub(super) fn holds(&self) -> bool {
        let [before, with, back] = &self.says;
        let rolled = before != with && before == back;
        rolled && self.failed == [0, 0] && self.phase == "proved" && self.throttled >= 0.30
    }

    pub(super) fn in_words(&self) -> String {
        let [before, with, back] = &self.says;
        format!(
            "named after {:.0} s, stopped in {}; template {before} → {with} → {back}; served p99 {} → {}; {} and {} requests failed; {}",
            self.named_seconds,
            percent(self.throttled),
            micros(self.starved.served_p99_us),
            micros(self.given.served_p99_us),
            self.failed[0],
            self.failed[1],
            self.phase
        )
    }
}

impl Soak {
    pub(super) async fn templated(&mut self) -> Result<Templated> {
        let mean = self.mean().await?;
        self.calm_first().await?;
        self.demo.allow(&["--allow", "act", "--rules", "template"]).await?;
        self.template_sizes(true).await?;
        let told = self.given_in_template(mean).await;
        self.template_sizes(false).await?;
        self.demo.allow(&["--allow", "act"]).await?;
        self.demo.limit_in_template(Value::Null).await?;
        self.work(WORK_US).await?;
        limit(&self.demo.client, CALLEE, APPLICATION, LOOSE).await?;
        told
    }

    async fn given_in_template(&mut self, mean: f64) -> Result<Templated> {
        let (_, named_seconds, _) = self.starve(mean, Written::InTemplate).await?;
        let since = counters(&self.demo.client, "shop").await?;
        let plan = self.plan_of_a_template().await?;
        self.demo
            .narrator
            .show(&self.demo.huddle.text(&["plan", &plan.id]).await?);
        let starved = self.window(Duration::from_secs(30)).await?;
        let now = counters(&self.demo.client, "shop").await?;
        let throttled = throttled(CALLEE, APPLICATION, &since, &now).unwrap_or(0.0);
        let before = self.says().await?;
        self.demo.traffic.close().await?;
        self.while_working(&["approve", &plan.id, "--yes", "--wait"]).await?;
        let given = self.window(WINDOW).await?;
        let failed = self.demo.traffic.close().await?.failed;
        let (view, with) = (self.demo.plan(&plan.id).await?, self.says().await?);
        let limits = self.demo.limits().await?.values().map(|of| of.1.clone()).collect();
        self.while_working(&["rollback", &plan.id, "--yes", "--wait"]).await?;
        let failed = [failed, self.demo.traffic.close().await?.failed];
        Ok(Templated {
            named_seconds,
            throttled,
            sentences: plan.actions.into_iter().map(|step| step.sentence).collect(),
            phase: view.phase,
            verdict: view.verdict.map(|verdict| verdict.sentence).unwrap_or_default(),
            says: [before, with, self.says().await?],
            limits,
            starved,
            given,
            failed,
        })
    }

    /// A proposal that sizes, and resizes nothing in place.
    async fn plan_of_a_template(&self) -> Result<PlanView> {
        let has = |plan: &PlanView, kind: &str| plan.actions.iter().any(|step| step.kind == kind);
        let found = until("a plan that changes a template", PATIENCE, async || {
            let plans = self.plans().await.map_err(|error| format!("{error:#}"))?;
            let open = plans.into_iter().find(|plan| plan.phase == "proposed");
            let plan = open.ok_or_else(|| "none is proposed".to_owned())?;
            if has(&plan, "size") && !has(&plan, "resize") {
                Ok(plan)
            } else {
                Err(plan.summary)
            }
        })
        .await?;
        Ok(found)
    }

    /// A command of Huddle's, while pods that come anew are told how hard to work.
    async fn while_working(&self, words: &[&str]) -> Result<()> {
        let told = async {
            loop {
                // One that is on its way out cannot be told; the next round knows it no more.
                let _ = self.work(WORK_US).await;
                tokio::time::sleep(TOLD).await;
            }
        };
        tokio::select! {
            done = self.demo.huddle.run(words) => done,
            never = told => never,
        }
    }

    /// What the template says of the container's figures.
    async fn says(&self) -> Result<Value> {
        let deployments: Api<Deployment> = Api::namespaced(self.demo.client.clone(), "shop");
        let pod = deployments.get(CALLEE).await?.spec.and_then(|spec| spec.template.spec);
        let containers = pod.map(|pod| pod.containers).unwrap_or_default();
        let own = containers.into_iter().find(|container| container.name == APPLICATION);
        let own = own.context("the template has no such container")?;
        Ok(serde_json::to_value(own.resources)?)
    }

    /// The shop's Policy: whether Huddle may write figures into templates.
    async fn template_sizes(&self, may: bool) -> Result<()> {
        let policies: Api<Policy> = Api::namespaced(self.demo.client.clone(), "shop");
        let body = json!({"spec": {"templateSizes": may.then_some(true)}});
        let written = policies
            .patch("huddle", &PatchParams::default(), &Patch::Merge(body))
            .await;
        written.context("write the shop's Policy").map(drop)
    }
}
