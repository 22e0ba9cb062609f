//! Others ask more of the callee's own pods than when their replicas were lowered: they get some back. They are not lowered again while the two are one, or
//! each lull would be followed.

use super::super::{Lowered, Next};
use super::{Merging, kept};

impl Merging<'_> {
    /// Gives replicas back, noted before it is done; `None` where there is nothing to. Who has set another number meanwhile is heard.
    pub(super) fn growing(&self) -> Option<Next> {
        let lowered = self.receipt.lowered?;
        let (caller, callee) = (self.seen.caller.as_ref()?, self.seen.callee.as_ref()?);
        if callee.scaled {
            return None;
        }
        if let Some(was) = lowered.was {
            return Some(match callee.replicas == was {
                true => Next::Do(self.scale(callee, lowered.to)),
                false => self.lowered(Lowered { was: None, ..lowered }),
            });
        }
        let wanted = kept(lowered.before, self.seen.others?, caller.replicas);
        (callee.replicas == lowered.to && wanted > lowered.to).then(|| {
            self.lowered(Lowered {
                to: wanted,
                was: Some(lowered.to),
                ..lowered
            })
        })
    }

    fn lowered(&self, lowered: Lowered) -> Next {
        self.with(|receipt| receipt.lowered = Some(lowered))
    }
}
