//! `make soak-merge`: the pair merged and split on a bed of its own, with nothing else to do there.
//!
//! ```text
//!  layouts   same node, merged proxied, merged direct, one after the other, three times: what a call's way takes
//!  leaf      the same of the shop's own chattiest leaf edge, as its owners write it for a merge
//!  steady    half an hour merged: companions killed, out of memory, crash-looping; both owners roll out; no page may fail
//!  direct    merged over loopback: nothing fails but by the ends of companions, which are counted; a version is followed
//!  kinds     nine short cells: gRPC, mapped ports, STRICT, existing routes, routes that come, four callers, a GitOps loop
//! ```
//!
//! Figures are the shop's own clocks and the kubelets' own counters. What fails is told with its second, its cause, and what the proxies
//! logged of it. A part that breaks off is told so, its pair is taken away, and the next part begins.

mod direct;
mod gateway;
mod kinds;
mod layouts;
mod steady;

use super::write;
use crate::demo::Demo;
use crate::pair::{Deployed, Failure, Pair, leaf};
use anyhow::{Context, Result};
use huddle_api::{Plan, PlanPhase};
use huddle_core::view::PlanView;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde::Serialize;

/// The shop of which the pair is a part: without load, it only stands there.
const GRAPH: &str = "tests/shop/boutique.yaml";

/// What this soak is told.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "merge")]
pub struct Options {
    /// What every soak is told.
    #[command(flatten)]
    pub common: super::Options,
    /// How long the steady part lasts, merges and splits not counted.
    #[arg(long, default_value_t = 30)]
    pub minutes: u64,
    /// How often all layouts are taken.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
}

/// All of it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    layouts: Option<layouts::Layouts>,
    leaf: Option<layouts::Layouts>,
    steady: Option<steady::Steady>,
    direct: Option<direct::Direct>,
    kinds: Vec<kinds::Outcome>,
    /// Parts that broke off, with why.
    broken: Vec<String>,
}

impl Report {
    /// Whether what was run is what issue 6, section 3, asks for.
    pub fn holds(&self) -> bool {
        let layouts = [&self.layouts, &self.leaf];
        let layouts = layouts.into_iter().flatten().all(layouts::Layouts::holds);
        let steady = self.steady.as_ref().is_none_or(steady::Steady::holds);
        let direct = self.direct.as_ref().is_none_or(direct::Direct::holds);
        self.broken.is_empty() && layouts && steady && direct && self.kinds.iter().all(kinds::Outcome::holds)
    }
}

/// Runs the soak: a bed, the shop, Huddle with the right to merge, and the parts that are wanted. The report is written after each.
///
/// # Errors
/// When the bed or Huddle does not come up, or what a part left cannot be taken away.
pub async fn run(options: &Options) -> Result<Report> {
    let common = &options.common;
    let mut soak = Soak::begin(common).await?;
    let mut report = Report::default();
    if common.wants("layouts") {
        if let Err(error) = soak.layouts(options, &mut report).await {
            soak.broken("layouts", &error, &mut report);
        }
        soak.clear().await?;
        write(&report, &common.report)?;
    }
    if common.wants("leaf") {
        if let Err(error) = soak.leaf_layouts(options, &mut report).await {
            soak.broken("leaf", &error, &mut report);
        }
        soak.clear().await?;
        leaf::restore(&soak.demo.client).await?;
        write(&report, &common.report)?;
    }
    if common.wants("steady") {
        if let Err(error) = soak.steady(options.minutes, &mut report, common).await {
            soak.broken("steady", &error, &mut report);
        }
        soak.clear().await?;
        write(&report, &common.report)?;
    }
    if common.wants("direct") {
        if let Err(error) = soak.direct(&mut report).await {
            soak.broken("direct", &error, &mut report);
        }
        soak.clear().await?;
        write(&report, &common.report)?;
    }
    for cell in kinds::cells().iter().filter(|cell| common.wants(cell.name)) {
        match soak.cell(cell).await {
            Ok(outcome) => report.kinds.push(outcome),
            Err(error) => soak.broken(cell.name, &error, &mut report),
        }
        cell.take_away(&soak.demo.client).await?;
        soak.clear().await?;
        write(&report, &common.report)?;
    }
    soak.tell(&report, common);
    if !common.on_running_bed {
        soak.demo.bed.run(&["down"]).await?;
    }
    Ok(report)
}

struct Soak {
    demo: Demo,
}

impl Soak {
    async fn begin(options: &super::Options) -> Result<Self> {
        let mut demo = Demo::start(&options.demo(GRAPH)).await?;
        demo.bed.run(&["wire", "profile", "flat"]).await?;
        demo.install().await?;
        // Two processors for everybody: what is not measured is not to be busy.
        demo.traffic.silence().await?;
        demo.may_merge(true).await?;
        demo.set_policy_for_merging().await?;
        Ok(Self { demo })
    }

    fn broken(&self, part: &str, error: &anyhow::Error, report: &mut Report) {
        let line = format!("{part}: {error:#}");
        self.demo.narrator.say(format!("BROKEN OFF  {line}"));
        report.broken.push(line);
    }

    /// No merge, no proposal of one, and no pair is left.
    async fn clear(&self) -> Result<()> {
        let plans: Vec<PlanView> = self.demo.huddle.json(&["plan", "-o", "json"]).await?;
        for plan in plans.iter().filter(|plan| stands(plan)) {
            let rolled = self.demo.huddle.run(&["rollback", &plan.id, "--yes", "--wait"]).await;
            rolled.with_context(|| format!("{} is left over", plan.id))?;
        }
        let plans: Api<Plan> = Api::namespaced(self.demo.client.clone(), huddle_api::SYSTEM_NAMESPACE);
        for plan in plans.list(&ListParams::default()).await? {
            let phase = plan.status.as_ref().map(|status| status.phase).unwrap_or_default();
            if phase == PlanPhase::Proposed && plan.spec.approval.is_none() {
                plans.delete(&plan.name_any(), &DeleteParams::default()).await?;
            }
        }
        let all = Deployed {
            client: self.demo.client.clone(),
            pair: Pair {
                others: kinds::OTHERS,
                ..Pair::default()
            },
        };
        all.remove().await
    }

    fn tell_failures(&self, failures: &[Failure]) {
        for line in failures.iter().flat_map(Failure::lines) {
            self.demo.narrator.say(format!("failed during {line}"));
        }
    }

    fn tell(&self, report: &Report, options: &super::Options) {
        let layouts = [("the pair", &report.layouts), ("the shop's own edge", &report.leaf)];
        for (whose, layouts) in layouts {
            if let Some(layouts) = layouts {
                self.tell_layouts(whose, layouts);
            }
        }
        if let Some(steady) = &report.steady {
            self.tell_steady(steady);
        }
        if !report.kinds.is_empty() {
            self.tell_kinds(&report.kinds);
        }
        let narrator = &self.demo.narrator;
        narrator.section("In the end");
        for line in &report.broken {
            narrator.say(format!("broken off: {line}"));
        }
        let word = if report.holds() {
            "all of it holds"
        } else {
            "NOT all of it holds"
        };
        narrator.say(format!("{word}; report: {}", options.report.display()));
    }
}

/// It merges, was approved, and is not undone.
fn stands(plan: &PlanView) -> bool {
    let merges = plan.actions.iter().any(|action| action.kind == "merge");
    merges && !matches!(plan.phase.as_str(), "proposed" | "rolledBack" | "superseded")
}
