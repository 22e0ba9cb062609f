//! How a bed ends.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use huddle_tests::bed::{Bed, process};

/// Kills what holds the bed together (the wire, the nodes' holders, their containerds), and then takes it down.
pub(crate) fn a_killed_bed_leaves_nothing(bed: &Bed) -> Result<()> {
    let is_holder = |role: &str| {
        role == "wire" || role.ends_with("/containerd") || (role.starts_with("node-") && !role.contains('/'))
    };
    let holders: BTreeSet<i32> = process::marked(bed.folder().path())
        .into_iter()
        .filter(|(_, role)| is_holder(role))
        .map(|(pid, _)| pid)
        .collect();
    process::end(|| process::alive(&holders))?;
    bed.bed(&["down"])?;
    ensure!(bed.remains().is_empty(), "left behind: {:?}", bed.remains());
    bed.bed(&["down"])?;
    ensure!(bed.bed(&["status"]).is_err(), "a bed that is down has a status");
    Ok(())
}
