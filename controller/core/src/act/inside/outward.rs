//! Whom a caller's pods call while they hold a companion: its calls would go out in the caller's name. No proxy tells the two apart, so calls to somebody
//! new are taken for the companion's, but for those that come with the caller's own roll-outs.

use super::super::{KnownCalls, Next, Trouble};
use super::Merging;
use crate::id::WorkloadId;
use std::collections::BTreeSet;

impl Merging<'_> {
    /// Splits the two for a call to somebody new, or learns it; `None` where there is none.
    pub(super) fn outward(&self) -> Option<Next> {
        let version = &self.seen.caller.as_ref()?.replica_set;
        // Plans from before this was put down begin to learn.
        let known = self.receipt.known.as_ref().filter(|known| known.version == *version);
        let since = known.map_or(self.turn.now, |known| known.since);
        let before: BTreeSet<&WorkloadId> = self.receipt.known.iter().flat_map(|known| &known.calls).collect();
        let calls = self
            .seen
            .calls
            .iter()
            .filter(|to| ![self.caller, self.callee].contains(to));
        let new: Vec<&WorkloadId> = calls.filter(|to| !before.contains(to)).collect();
        let learns = self.turn.now < since.plus(self.turn.config.learning);
        match new.first() {
            Some(to) if !learns => Some(self.undo(Trouble::NewCalls { to: (*to).clone() })),
            None if known.is_some() => None,
            Some(_) | None => Some(self.with(|receipt| {
                receipt.known = Some(KnownCalls {
                    version: version.clone(),
                    since,
                    calls: before.iter().chain(&new).map(|to| (*to).clone()).collect(),
                });
            })),
        }
    }
}
