//! A callee that lacks processor time, beside another that waits for a slow one: both named; the first gets more in place, proved, and
//! taken back; and where an HPA goes by its cpu, there is a recommendation and no plan.

use anyhow::{Context, Result, ensure};
use huddle_core::view::EdgeView;
use huddle_tests::shop::{Fault, ServiceName};
use huddle_tests::wait::until;

use crate::huddle::{LIMIT, World};

/// Requests that the proof rests on: what is judged is four times slower, so that few show it.
const PROOF: i64 = 4_000;
/// The slow one, who waits for it, and who calls that one.
const SLOW: &str = "redis";
const WAITS: [&str; 2] = ["shop/frontend", "shop/cart"];
/// How slow: several times what everything else takes.
const SLOW_US: u64 = 30_000;

impl World {
    pub(crate) fn starved_callee_gets_more(&mut self) -> Result<()> {
        let runtime = self.runtime.handle().clone();
        runtime.block_on(async {
            self.demo.ask_for_proof(PROOF).await?;
            self.slow(SLOW_US).await?;
            self.demo.starve().await?;
            let told = self.starve_and_mend().await;
            let told = match told {
                Ok(()) => self.only_recommended().await,
                Err(error) => Err(error),
            };
            self.slow(0).await?;
            self.demo.feed().await?;
            // The pressure is said for up to two minutes more: the next story's plan waits for its end.
            told
        })
    }

    async fn slow(&self, delay_us: u64) -> Result<()> {
        let fault = Fault {
            delay_us,
            ..Fault::default()
        };
        let service = ServiceName::new(SLOW).context("a service's name")?;
        for admin in self.demo.shop.admins(Some(&service)).await? {
            self.demo.shop.fault(&admin.pod, fault).await?;
        }
        Ok(())
    }

    /// The other fault of the pair: who calls the one that waits is told where to look.
    async fn downstream_is_named(&self) -> Result<()> {
        let sentence = until("the edge to be called downstream", LIMIT, async || {
            let words = ["explain", WAITS[0], WAITS[1], "-o", "json"];
            let asked: Result<EdgeView> = self.demo.huddle.json(&words).await;
            let edge = asked.map_err(|error| format!("{error:#}"))?;
            let finding = edge.finding.ok_or("no finding")?;
            if finding.cause == "downstream" && finding.sentence.contains(SLOW) {
                Ok(finding.sentence)
            } else {
                Err(finding.sentence)
            }
        })
        .await?;
        println!("   {} → {}: {sentence}", WAITS[0], WAITS[1]);
        Ok(())
    }

    async fn only_recommended(&self) -> Result<()> {
        self.demo.scale_by_cpu(true).await?;
        let said = self.demo.recommendation().await;
        self.demo.scale_by_cpu(false).await?;
        println!("   under an HPA: {}", said?);
        Ok(())
    }

    async fn starve_and_mend(&mut self) -> Result<()> {
        self.demo.explained_by_pressure().await?;
        self.downstream_is_named().await?;
        self.slow(0).await?;
        let plan = self.demo.resize_plan().await?;
        let starved = self.demo.limits().await?;
        self.demo.traffic.close().await?;
        self.demo.huddle.run(&["approve", &plan.id, "--yes", "--wait"]).await?;
        let failed = self.demo.traffic.close().await?.failed;
        let view = self.demo.plan(&plan.id).await?;
        ensure!(view.phase == "proved", "{}: {}", view.phase, view.summary);
        let mended = self.demo.limits().await?;
        for proof in &view.proof {
            let served = [proof.before.served.p99_us, proof.after.served.p99_us];
            println!(
                "   {} → {}: served p99 in us, before and after: {served:?}",
                proof.source, proof.destination
            );
        }
        println!("   limits {starved:?} → {mended:?}; {failed} failed");
        ensure!(failed == 0, "{failed} requests failed");
        ensure!(starved.keys().eq(mended.keys()), "pods were replaced");
        for (was, is) in starved.values().zip(mended.values()) {
            ensure!(was.0 == is.0, "a container restarted");
            ensure!(was.1 != is.1, "a limit stayed as it was");
        }
        self.demo.huddle.run(&["rollback", &plan.id, "--yes", "--wait"]).await?;
        let now = self.demo.limits().await?;
        ensure!(now == starved, "not as it was: {now:?}");
        Ok(())
    }
}
