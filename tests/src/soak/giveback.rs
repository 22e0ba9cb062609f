//! What was given to a starved callee is given back once its load has fallen, and given again by itself once it rises.

use super::catalogue::APPLICATION;
use super::pressure::{Relieved, Soak, WORK_US, Written};
use super::sizes::{LOOSE, limit};
use crate::demo::pressure::{CALLEE, Limits};
use crate::wait::until;
use anyhow::{Context, Result};
use huddle_api::Policy;
use huddle_core::view::PlanView;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The policy's window: issue 5 wants it this short for a run. An ordinary one is a week.
const WINDOW_MINUTES: u64 = 2;
/// Up to half of it at once.
const STEP_PERCENT: u64 = 50;
/// With windows of minutes the default floor leaves all there is: it is made for what a week does not show.
const FLOOR_PERCENT: u64 = 150;
/// Watched for the window with its new figures; the pressure of before lingers for the graph's window, and the planner finds it after that.
const PATIENCE: Duration = Duration::from_secs(480);
/// How soon it is to be missed: a sign needs two readings, of 10 s each, with the load risen.
const MISSED: Duration = Duration::from_secs(120);

/// Given, given back, and given again.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Back {
    relieved: Relieved,
    /// From the fall of the load to the proposal, in seconds.
    proposed_seconds: f64,
    /// What the plan says.
    sentence: String,
    /// A proposal of another kind was open beside it.
    beside: bool,
    /// Of the plan: proved or what else.
    phase: String,
    /// Limits before it and after it, by the kubelets.
    limits: [Vec<String>; 2],
    /// Requests of the load that failed from the approval to the proof.
    failed: u64,
    restarts: i32,
    /// From the rise of the load until it was given again, in seconds.
    again_seconds: f64,
    /// Why, in the plan's words.
    why: String,
    /// The limits are those before it.
    same: bool,
}

impl Back {
    pub(super) fn holds(&self) -> bool {
        let quiet = self.failed == 0 && self.restarts == 0;
        self.relieved.holds() && quiet && self.phase == "proved" && self.same && self.limits[0] != self.limits[1]
    }

    pub(super) fn in_words(&self) -> String {
        format!(
            "given back {:.0} s after the load fell ({} → {}, {} failed, {} restarts), given again {:.0} s after it rose: {}",
            self.proposed_seconds,
            self.limits[0].join(", "),
            self.limits[1].join(", "),
            self.failed,
            self.restarts,
            self.again_seconds,
            self.why
        )
    }
}

fn figures(limits: &Limits) -> Vec<String> {
    limits.values().map(|of| of.1.clone()).collect()
}

fn restarts(limits: &Limits) -> i32 {
    limits.values().map(|of| of.0).sum()
}

impl Soak {
    pub(super) async fn back(&mut self) -> Result<Back> {
        let mean = self.mean().await?;
        self.calm_first().await?;
        let told = self.given_and_back(mean).await;
        self.gives_back(false).await?;
        self.demo.limit_in_template(Value::Null).await?;
        self.work(WORK_US).await?;
        limit(&self.demo.client, CALLEE, APPLICATION, LOOSE).await?;
        told
    }

    /// The limit stands in the template: giving back goes down to what the owner wrote, and where he wrote nothing there is nothing to go
    /// down to.
    async fn given_and_back(&mut self, mean: f64) -> Result<Back> {
        let (mut relieved, given_by, was) = self.relieve(mean, Written::InTemplate).await?;
        self.gives_back(true).await?;
        self.work(WORK_US / 20).await?;
        self.demo.narrator.say("the load falls: each call costs a twentieth");
        let fell = Instant::now();
        let (plan, beside) = self.plan_that_gives_back().await?;
        let proposed_seconds = fell.elapsed().as_secs_f64();
        self.demo
            .narrator
            .show(&self.demo.huddle.text(&["plan", &plan.id]).await?);
        let before = self.demo.limits().await?;
        self.demo.traffic.close().await?;
        self.demo.huddle.run(&["approve", &plan.id, "--yes", "--wait"]).await?;
        let failed = self.demo.traffic.close().await?.failed;
        let after = self.demo.limits().await?;
        let phase = self.demo.plan(&plan.id).await?.phase;

        self.work(2 * WORK_US).await?;
        self.demo
            .narrator
            .say("the load rises: each call costs twice as much as ever");
        let rose = Instant::now();
        let undone = until("what was given back to be given again", MISSED, async || {
            let view = self.demo.plan(&plan.id).await.map_err(|error| format!("{error:#}"))?;
            if view.phase == "rolledBack" {
                Ok(view)
            } else {
                Err(view.phase)
            }
        })
        .await?;
        let again_seconds = rose.elapsed().as_secs_f64();
        let again = self.demo.limits().await?;
        self.work(WORK_US).await?;
        relieved.taken_back = self.take_back(&given_by, &was).await?;
        Ok(Back {
            relieved,
            proposed_seconds,
            sentence: plan.given_back.iter().map(|given| given.sentence.as_str()).collect(),
            beside,
            phase,
            limits: [&before, &after].map(figures),
            failed,
            restarts: restarts(&again) - restarts(&before),
            again_seconds,
            why: undone.summary,
            same: again == before,
        })
    }

    /// The open proposal that gives something back, and whether one of another kind is open beside it.
    async fn plan_that_gives_back(&self) -> Result<(PlanView, bool)> {
        let found = until("a plan that gives back", PATIENCE, async || {
            let plans = self.plans().await.map_err(|error| format!("{error:#}"))?;
            let open = plans.into_iter().filter(|plan| plan.phase == "proposed");
            let (mut back, others): (Vec<_>, Vec<_>) = open.partition(|plan| !plan.given_back.is_empty());
            let plan = back.pop().ok_or_else(|| "none is proposed".to_owned())?;
            Ok::<_, String>((plan, !others.is_empty()))
        })
        .await?;
        Ok(found)
    }

    /// The shop's Policy: with `soon`, what is not used for two minutes is given back; without, as by default.
    async fn gives_back(&self, soon: bool) -> Result<()> {
        let policies: Api<Policy> = Api::namespaced(self.demo.client.clone(), "shop");
        let body = json!({"spec": {
            "giveBackAfterMinutes": soon.then_some(WINDOW_MINUTES),
            "giveBackStepPercent": soon.then_some(STEP_PERCENT),
            "giveBackFloorPercent": soon.then_some(FLOOR_PERCENT),
        }});
        let written = policies
            .patch("huddle", &PatchParams::default(), &Patch::Merge(body))
            .await;
        written.context("write the shop's Policy").map(drop)
    }
}
