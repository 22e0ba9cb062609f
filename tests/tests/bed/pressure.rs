//! A callee that lacks processor time: named, given more in place, proved, and taken back.

use anyhow::{Result, ensure};

use crate::huddle::World;

impl World {
    pub(crate) fn starved_callee_gets_more(&mut self) -> Result<()> {
        let runtime = self.runtime.handle().clone();
        runtime.block_on(async {
            self.demo.starve().await?;
            let told = self.starve_and_mend().await;
            self.demo.feed().await?;
            told?;
            self.demo.explained_by_pressure(false).await
        })
    }

    async fn starve_and_mend(&mut self) -> Result<()> {
        self.demo.explained_by_pressure(true).await?;
        let plan = self.demo.resize_plan().await?;
        let starved = self.demo.limits().await?;
        self.demo.traffic.close().await?;
        let before = self.demo.starved_edge().await?.total.served;
        self.demo.huddle.run(&["approve", &plan.id, "--yes", "--wait"]).await?;
        let failed = self.demo.traffic.close().await?.failed;
        let view = self.demo.plan(&plan.id).await?;
        ensure!(view.phase == "proved", "{}: {}", view.phase, view.summary);
        let after = self.demo.starved_edge().await?.total.served;
        let mended = self.demo.limits().await?;
        println!("   served {before:?} → {after:?}; limits {starved:?} → {mended:?}; {failed} failed");
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
