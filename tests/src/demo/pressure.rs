//! The second lever: a callee that lives within a cpu limit set by the mean of its use, and what Huddle makes of it.

use super::{Demo, PATIENCE};
use crate::pods::{rolled_out, running};
use crate::shop::{Fault, ServiceName};
use crate::wait::until;
use anyhow::{Context, Result};
use huddle_core::view::{EdgeView, PlanView};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The callee: called most, calls nobody.
pub(crate) const CALLEE: &str = "currency";
/// The busiest edge into it.
const EDGE: [&str; 2] = ["shop/frontend", "shop/currency"];
/// Processor time that each of its calls costs, in µs; its limit then carries the mean of its use and a fifth more.
const WORK_US: u64 = 500;
/// The limit that somebody set by the mean of its use.
const LIMIT: &str = "90m";

/// How long it may take until pressure is named.
const NAMED: std::time::Duration = std::time::Duration::from_secs(120);

/// Restarts of the application's container and its cpu limit as the kubelet has it (none: `-`), by pod.
pub type Limits = BTreeMap<String, (i32, String)>;

impl Demo {
    /// Somebody gives the callee a limit by the mean of its use: its pods are rolled out anew, and work harder.
    ///
    /// # Errors
    /// When the roll-out does not end.
    pub async fn starve(&self) -> Result<()> {
        self.narrator.section("Somebody limits a busy callee by its mean use");
        self.limit(json!(LIMIT), WORK_US).await?;
        self.narrator.say(format!(
            "{CALLEE} now has a cpu limit of {LIMIT}; each of its calls costs {WORK_US} µs of processor time"
        ));
        Ok(())
    }

    /// The limit is taken out again, and the work with it.
    ///
    /// # Errors
    /// When the roll-out does not end.
    pub async fn feed(&self) -> Result<()> {
        self.limit(Value::Null, 0).await
    }

    async fn limit(&self, cpu: Value, work_us: u64) -> Result<()> {
        self.limit_in_template(cpu).await?;
        let service = ServiceName::new(CALLEE).context("a service's name")?;
        for admin in self.shop.admins(Some(&service)).await? {
            let fault = Fault {
                work_us,
                ..Fault::default()
            };
            self.shop.fault(&admin.pod, fault).await?;
        }
        Ok(())
    }

    /// The callee's cpu limit as its owner writes it; its pods are new afterwards.
    pub(crate) async fn limit_in_template(&self, cpu: Value) -> Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), "shop");
        let limits = json!({"cpu": cpu});
        let body = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "shop", "resources": {"limits": limits}}]}}}});
        let patched = deployments
            .patch(CALLEE, &PatchParams::default(), &Patch::Strategic(body))
            .await;
        let generation = patched.context("set a limit")?.metadata.generation;
        rolled_out(&self.client, "shop", CALLEE, generation, PATIENCE).await?;
        Ok(())
    }

    /// The edge into the callee, as published.
    ///
    /// # Errors
    /// When it is not on the graph.
    pub async fn starved_edge(&self) -> Result<EdgeView> {
        let own = |edge: &EdgeView| [edge.source.as_str(), edge.destination.as_str()] == EDGE;
        let state = self.state().await?;
        state
            .edges
            .into_iter()
            .find(own)
            .context("the edge is not on the graph")
    }

    /// Waits until the edge's cause is pressure, and shows how Huddle explains it.
    ///
    /// # Errors
    /// When it does not come to that within two minutes.
    pub async fn explained_by_pressure(&self) -> Result<()> {
        until("the edge to be called pressure", NAMED, async || {
            let edge = self.starved_edge().await.map_err(|error| format!("{error:#}"))?;
            let finding = edge.finding.ok_or("no finding")?;
            if finding.cause == "pressure" {
                Ok(())
            } else {
                Err(finding.sentence)
            }
        })
        .await?;
        self.narrator
            .show(&self.huddle.text(&["explain", EDGE[0], EDGE[1]]).await?);
        Ok(())
    }

    /// Waits for a proposed plan that resizes, and shows it.
    ///
    /// # Errors
    /// When none is proposed in time.
    pub async fn resize_plan(&self) -> Result<PlanView> {
        let plan = until("a plan that resizes", PATIENCE, async || {
            let plans: Vec<PlanView> = self
                .huddle
                .json(&["plan", "-o", "json"])
                .await
                .map_err(|error| format!("{error:#}"))?;
            let resizes = |plan: &PlanView| plan.actions.iter().any(|action| action.kind == "resize");
            let open = plans.into_iter().find(|plan| plan.phase == "proposed" && resizes(plan));
            open.ok_or_else(|| "none is proposed".to_owned())
        })
        .await?;
        self.narrator.show(&self.huddle.text(&["plan", &plan.id]).await?);
        Ok(plan)
    }

    /// Somebody lets an HPA go by the callee's cpu, or no longer. It has nothing to scale by and nowhere to scale to: what counts is
    /// that it is there.
    ///
    /// # Errors
    /// Whatever the API server says.
    pub async fn scale_by_cpu(&self, wanted: bool) -> Result<()> {
        let scalers: Api<HorizontalPodAutoscaler> = Api::namespaced(self.client.clone(), "shop");
        if !wanted {
            scalers.delete(CALLEE, &DeleteParams::default()).await?;
            return Ok(());
        }
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": CALLEE});
        let cpu = json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}});
        let spec = json!({"minReplicas": 2, "maxReplicas": 2, "scaleTargetRef": target,
            "metrics": [{"type": "Resource", "resource": cpu}]});
        let scaler = serde_json::from_value(json!({"metadata": {"name": CALLEE}, "spec": spec}))?;
        scalers.create(&PostParams::default(), &scaler).await?;
        Ok(())
    }

    /// Waits until Huddle recommends what it does not do, because somebody else decides over the callee's cpu.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn recommendation(&self) -> Result<String> {
        let workload = Some(EDGE[1]);
        let said = until("a recommendation", PATIENCE, async || {
            let state = self.state().await.map_err(|error| format!("{error:#}"))?;
            let own = state
                .unrelieved
                .iter()
                .filter(|step| step.workload.as_deref() == workload);
            let said: Vec<String> = own.map(|step| step.sentence.clone()).collect();
            let advice = said
                .iter()
                .find(|sentence| sentence.contains("this is a recommendation"));
            advice.cloned().ok_or_else(|| format!("said of it: {said:?}"))
        })
        .await?;
        self.narrator
            .show(&self.huddle.text(&["explain", EDGE[0], EDGE[1]]).await?);
        Ok(said)
    }

    /// What the kubelets say of the callee's pods.
    ///
    /// # Errors
    /// Whatever the API server says.
    pub async fn limits(&self) -> Result<Limits> {
        let pods = running(&self.client, "shop", &format!("app={CALLEE}")).await?;
        let own = |pod: &k8s_openapi::api::core::v1::Pod| {
            let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
            let status = statuses.iter().find(|status| status.name == "shop")?;
            let limits = status.resources.as_ref().and_then(|of| of.limits.as_ref());
            let cpu = limits.and_then(|limits| limits.get("cpu"));
            let cpu = cpu.map_or_else(|| "-".to_owned(), |cpu| cpu.0.clone());
            Some((pod.name_any(), (status.restart_count, cpu)))
        };
        pods.iter()
            .map(|pod| own(pod).context("no container called shop"))
            .collect()
    }

    /// The whole story: starved, named, resized in place, proved.
    ///
    /// # Errors
    /// When it does not come to that.
    pub(super) async fn relieve(&mut self) -> Result<()> {
        self.starve().await?;
        self.narrator.section("Why is it slow?");
        self.explained_by_pressure().await?;
        self.narrator.section("The plan: more processor time, in place");
        let plan = self.resize_plan().await?;
        let report = self.report.clone();
        let starved = self.limits().await?;
        let proved = self.act(&plan).await?;
        let mended = self.limits().await?;
        // The proof's own windows: the graph's, of two minutes, would still hold some of before.
        let mut proofs = proved.proof.iter();
        let proof = proofs
            .find(|proof| [proof.source.as_str(), proof.destination.as_str()] == EDGE)
            .with_context(|| format!("no proof of {EDGE:?}"))?;
        let limit = |limits: &Limits| {
            limits
                .values()
                .map(|(_, cpu)| cpu.clone())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let restarts = |limits: &Limits| limits.values().map(|(restarts, _)| restarts).sum::<i32>();
        let row = |name: &str, before: String, after: String| vec![name.to_owned(), before, after];
        let (was, is) = (&proof.before.served, &proof.after.served);
        self.narrator.table(&[
            row(
                &format!("{} → {}", EDGE[0], EDGE[1]),
                "before".to_owned(),
                "after".to_owned(),
            ),
            row("served p50", super::micros(was.p50_us), super::micros(is.p50_us)),
            row("served p99", super::micros(was.p99_us), super::micros(is.p99_us)),
            row("cpu limits", limit(&starved), limit(&mended)),
            row(
                "restarts",
                restarts(&starved).to_string(),
                restarts(&mended).to_string(),
            ),
        ]);
        self.narrator.say(format!(
            "{}: {}; {} requests failed meanwhile",
            proved.phase, proved.summary, self.report.failed_requests.r#move
        ));
        // The report is that of the moves that follow.
        self.report = report;
        Ok(())
    }
}
