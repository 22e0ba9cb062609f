//! Steady rules of one workload, one over the other: which is in force, and which nobody needs any more.
//!
//! A rule never changes. A newer one names the older ones whose place it takes, and takes it on every pod as long as it
//! stands; deleted, it leaves them in force as they were. So whatever was done or not done when a process ended, the rules
//! that stand say it all.

use super::RuleName;
use crate::id::PlanId;
use std::collections::BTreeSet;

/// A steady rule that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// It.
    pub rule: RuleName,
    /// Whose it is.
    pub plan: PlanId,
    /// Older rules of the same namespace whose place it takes, by name; they may be gone.
    pub outranks: BTreeSet<String>,
}

impl Standing {
    fn is_over(&self, other: &Self) -> bool {
        self.rule.namespace == other.rule.namespace && self.outranks.contains(&other.rule.name)
    }
}

/// Whether the rule lies under all others of its workload that stand: it takes no standing rule's place.
pub fn is_lowest(rule: &Standing, standing: &[Standing]) -> bool {
    !standing.iter().any(|other| rule.is_over(other))
}

/// The rules that work: those that no standing rule outranks.
pub fn in_force(standing: &[Standing]) -> impl Iterator<Item = &Standing> {
    standing
        .iter()
        .filter(|rule| !standing.iter().any(|newer| newer.is_over(rule)))
}

/// Rules that end with the proof of `plan`. Its own rules stay, and so do those that come back into force when it is rolled
/// back; what lies under those was kept for the rollback of a plan whose receipt is closed by this proof.
pub fn outlived<'a>(standing: &'a [Standing], plan: &'a PlanId) -> impl Iterator<Item = &'a Standing> {
    standing.iter().filter(move |oldest| {
        standing
            .iter()
            .filter(|newest| &newest.plan == plan && newest.is_over(oldest))
            .any(|newest| {
                let mut between = standing.iter().filter(|rule| newest.is_over(rule));
                between.any(|rule| rule.is_over(oldest))
            })
    })
}
