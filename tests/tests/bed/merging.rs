//! A callee inside its caller's pods: refused with reasons, proposed, carried out under load without a failed request, proved, split again.
//!
//! The shop's own services cannot be merged (`huddle_tests::pair` says why): the story brings two of its own, and who asks them.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use huddle_core::view::{EdgeView, PlanView};
use huddle_tests::demo::Demo;
use huddle_tests::demo::merge::Proposal;
use huddle_tests::pair::{Deployed, Failure, Pair, Watch};
use serde_json::Value;

use crate::huddle::World;

/// What the story changes in the Policy.
const FIELDS: [&str; 2] = ["maxMoves", "proofRequests"];

/// Whole calls take at most this much of what they took, at the median: half of it, where it was measured.
const QUICKER: f64 = 0.8;

/// Pages a second: enough that both proofs rest on a quarter of a minute.
const PAGES_PER_SECOND: u32 = 40;

/// Plans and workloads whose local routing was taken back so far, each with what the plan says of it.
async fn withdrawn(demo: &Demo) -> Result<BTreeMap<(String, String), String>> {
    let plans: Vec<PlanView> = demo.huddle.json(&["plan", "-o", "json"]).await?;
    let of = |plan: PlanView| plan.actions.into_iter().map(move |step| (plan.id.clone(), step));
    let steps = plans.into_iter().flat_map(of);
    let routes = steps.filter(|(_, step)| step.kind == "route" && step.state.as_deref() == Some("undone"));
    Ok(routes
        .filter_map(|(plan, step)| Some(((plan, step.workload?), step.sentence)))
        .collect())
}

impl World {
    async fn merged_and_split(&self, pair: &Deployed) -> Result<()> {
        let demo = &self.demo;
        let (before, withdrawn_before) = (demo.objects().await?, withdrawn(demo).await?);
        let began = Instant::now();
        let told = |what: &str| println!("   {what} after {} s", began.elapsed().as_secs());
        // The Policy does not say `merges`: somebody has to ask.
        let plan = match demo.propose_merge(pair.pair.ends).await? {
            Proposal::Plan(plan) => plan,
            Proposal::Refused(why) => bail!("the merge is refused: {}", why.join(" ")),
        };
        let [caller, callee] = pair.pair.ends.workloads();
        let edge: EdgeView = demo.huddle.json(&["explain", &caller, &callee, "-o", "json"]).await?;
        let sentence = edge.finding.map(|finding| finding.sentence).unwrap_or_default();
        println!("   {caller} → {callee}: {sentence}");

        told("proposed");
        let watch = Watch::begin(pair, "the merge");
        let attempt = demo.carry_out(&plan, pair).await?;
        told("carried out");
        let view = demo.plan(&plan).await?;
        for proof in &view.proof {
            let [was, is] = [&proof.before.upstream, &proof.after.upstream];
            println!(
                "   whole calls, p50 and p99 in us: {} and {} → {} and {} ({})",
                was.p50_us, was.p99_us, is.p50_us, is.p99_us, proof.verdict
            );
        }
        if attempt.stands() {
            watch.during("the split").await?;
            demo.split(&plan, pair).await?;
            told("split");
        }
        let (failures, pages) = watch.end().await?;
        told("all answered");
        let failed: u64 = failures.iter().map(Failure::requests).sum();
        println!("   {failed} of {pages} pages failed from the approval to the end of the split");
        let lines: Vec<String> = failures.iter().flat_map(Failure::lines).collect();
        ensure!(lines.is_empty(), "{}", lines.join("\n  "));
        // Where the bed is busy, the proof's bounds may be too wide for its few requests; half the way is gone all the same.
        let quicker = view
            .proof
            .iter()
            .all(|proof| proof.after.upstream.p50_us as f64 <= QUICKER * proof.before.upstream.p50_us as f64);
        ensure!(
            attempt.stands() && !view.proof.is_empty() && quicker,
            "{}, quicker: {quicker}: {}",
            attempt.phase,
            attempt.sentence
        );
        let mut differences = before.differences(&demo.objects().await?);
        // Plans of earlier stories still route; their guard takes that back when it has to, merge or not.
        for (step, why) in withdrawn(demo).await? {
            let service = format!("~ Service {}:", step.1.trim_start_matches("shop/"));
            let told = |line: &String| line.starts_with(&service) && !withdrawn_before.contains_key(&step);
            if differences.iter().any(told) {
                println!("   meanwhile, of {}: {why}", step.0);
                differences.retain(|line| !told(line));
            }
        }
        ensure!(differences.is_empty(), "not as it was: {differences:?}");
        let left = demo.left_of(&plan).await?;
        ensure!(left.is_empty(), "left behind: {left:?}");
        Ok(())
    }

    async fn with_a_pair(&self) -> Result<()> {
        self.demo.set_policy_for_merging().await?;
        let pair = Pair {
            pages_per_second: PAGES_PER_SECOND,
            timeout_seconds: 5,
            ..Pair::lingering()
        };
        let began = Instant::now();
        let pair = Deployed::deploy(&self.demo.client, &pair).await?;
        println!("   the pair is there after {} s", began.elapsed().as_secs());
        let told = self.merged_and_split(&pair).await;
        // Its pods go while the next story is told.
        pair.delete().await?;
        self.demo.may_read_grants(false).await?;
        told
    }

    /// The installation has the right to merge; to read who was granted what, until the end of this story.
    pub(crate) fn callee_joins_its_callers_pods(&mut self) -> Result<()> {
        let policy = self.in_shop(&["get", "policies.huddle.dev", "huddle", "-o", "json"])?;
        let policy: Value = serde_json::from_str(&policy)?;
        let was = FIELDS.map(|field| (field.to_owned(), policy["spec"][field].clone()));
        let was = Value::Object(was.into_iter().collect());
        self.runtime.block_on(async {
            let told = self.with_a_pair().await;
            self.demo.set_policy(&was).await?;
            told
        })
    }
}
