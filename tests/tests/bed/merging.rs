//! A callee inside its caller's pods: refused with reasons, proposed, carried out under load without a failed request, proved, split again.
//!
//! The shop's own services cannot be merged (`huddle_tests::pair` says why): the story brings two of its own, and who asks them.

use anyhow::{Result, bail, ensure};
use huddle_core::view::EdgeView;
use huddle_tests::demo::merge::{ENDS, Proposal};
use huddle_tests::pair::{Deployed, Failure, Pair, Watch};
use serde_json::Value;

use crate::huddle::World;

/// What the story changes in the Policy.
const FIELDS: [&str; 2] = ["maxMoves", "proofRequests"];

/// Whole calls take at most this much of what they took, at the median: half of it, where it was measured.
const QUICKER: f64 = 0.8;

impl World {
    async fn merged_and_split(&self, pair: &Deployed) -> Result<()> {
        let demo = &self.demo;
        let before = demo.objects().await?;
        let refused: Value = demo.huddle.answer(&["merge", ENDS[0], ENDS[1], "-o", "json"]).await?;
        let against = refused["against"].to_string();
        ensure!(
            refused["plan"].is_null() && against.contains("no companion may join pods of this namespace"),
            "a merge without the right to: {refused}"
        );
        demo.may_merge(true).await?;
        // The Policy does not say `merges`: somebody has to ask.
        let plan = match demo.propose_merge().await? {
            Proposal::Plan(plan) => plan,
            Proposal::Refused(why) => bail!("the merge is refused: {}", why.join(" ")),
        };
        let edge: EdgeView = demo.huddle.json(&["explain", ENDS[0], ENDS[1], "-o", "json"]).await?;
        let sentence = edge.finding.map(|finding| finding.sentence).unwrap_or_default();
        println!("   {} → {}: {sentence}", ENDS[0], ENDS[1]);

        let watch = Watch::begin(pair, "the merge");
        let attempt = demo.carry_out(&plan, pair).await?;
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
        }
        let (failures, pages) = watch.end().await?;
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
        let left = before.differences(&demo.objects().await?);
        ensure!(left.is_empty(), "not as it was: {left:?}");
        let left = demo.left_of(&plan).await?;
        ensure!(left.is_empty(), "left behind: {left:?}");
        Ok(())
    }

    async fn with_a_pair(&self) -> Result<()> {
        self.demo.set_policy_for_merging().await?;
        let pair = Deployed::deploy(&self.demo.client, &Pair::lingering()).await?;
        let told = self.merged_and_split(&pair).await;
        pair.remove().await?;
        self.demo.may_merge(false).await?;
        told
    }

    /// With the right to merge, and to read who was granted what, for this story alone.
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
