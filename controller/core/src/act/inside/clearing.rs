//! On the way back while the caller's owner rolls out: a pod of the new version that does not get ready may be so for the companion's sake, and the roll-out
//! would wait for it for ever. It serves nobody; its ReplicaSet makes another one, without.

use super::super::{Intent, Next, PodSeen};
use super::Merging;

impl Merging<'_> {
    /// Deletes the first of such pods; `None` where there is none.
    pub(super) fn clearing(&self) -> Option<Next> {
        let caller = self.seen.caller.as_ref().filter(|caller| caller.rolling)?;
        let stuck = |pod: &&PodSeen| {
            !(pod.ready || pod.deleting)
                && pod.owner.is_some()
                && pod.owner == caller.replica_set
                && self.holds_any(pod)
        };
        let pod = self.seen.pods.iter().find(stuck)?;
        Some(Next::Do(Intent::DeletePod {
            pod: pod.at(&self.receipt.companion.namespace),
        }))
    }
}
