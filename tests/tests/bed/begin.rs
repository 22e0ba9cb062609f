//! How a bed begins, once broken off and once well.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use huddle_tests::bed::Bed;
use huddle_tests::bed::wait::until;

/// Kills `bed up` in the middle of its work, with a wire, nodes and control plane half way up.
pub(crate) fn a_broken_off_bed_leaves_nothing(bed: &Bed) -> Result<()> {
    let _ = bed.bed(&["build"]).context("the parts cannot be built")?;
    ensure!(
        bed.folder().record().is_err(),
        "a bed is up already, and this test needs to bring up its own: bed down"
    );
    let mut up = bed.start(&["up", "--nodes", "2", "--zones", "1"])?;
    until("the first node's containerd", Duration::from_secs(60), || {
        let there = bed.folder().containerd("node-1").exists();
        Ok(if there { Ok(()) } else { Err("no socket".to_owned()) })
    })?;
    up.kill()?;
    up.wait()?;
    ensure!(!bed.remains().is_empty(), "nothing was up yet, so nothing was tested");
    bed.bed(&["down"])?;
    ensure!(bed.remains().is_empty(), "left behind: {:?}", bed.remains());
    Ok(())
}

pub(crate) fn the_bed_comes_up(bed: &Bed) -> Result<()> {
    bed.bed(&["up", "--nodes", "4", "--zones", "2", "--wire", "cloud"])?;
    let second = bed.bed(&["up"]);
    ensure!(
        second.is_err_and(|error| format!("{error:#}").contains("bed down")),
        "a second bed was not refused with a way out"
    );
    Ok(())
}
