//! A Service's routing mode: set while its guard holds, withdrawn before the bound breaks.

use super::{Awaited, Intent, Next, Receipt, RouteSeen, ServiceSeen, Step, StepState, Trouble, Turn};
use crate::cluster::RoutingMode;
use crate::id::ServiceId;

/// The API's word for a mode; `None` where the field is left out.
pub fn distribution_of(mode: RoutingMode) -> Option<&'static str> {
    match mode {
        RoutingMode::Spread => None,
        RoutingMode::PreferSameZone => Some("PreferSameZone"),
        RoutingMode::PreferSameNode => Some("PreferSameNode"),
    }
}

pub(super) fn next(step: &Step, service: &ServiceId, to: RoutingMode, seen: &RouteSeen, turn: Turn<'_>) -> Next {
    match step.state {
        StepState::Pending => begin(step, service, to, seen, turn),
        StepState::Running | StepState::Done => hold(step, service, seen, turn),
        StepState::Undoing => withdraw(step, service, seen, turn),
        StepState::Undone | StepState::Skipped => Next::Over,
    }
}

fn begin(step: &Step, service: &ServiceId, to: RoutingMode, seen: &RouteSeen, turn: Turn<'_>) -> Next {
    let skip = |trouble| turn.turned(step, StepState::Skipped, trouble);
    let Some(now) = &seen.service else {
        return skip(Trouble::ServiceGone);
    };
    if !seen.allowed {
        return skip(Trouble::NotAllowed);
    }
    let Some(wanted) = distribution_of(to) else {
        return skip(Trouble::AlreadySo);
    };
    if now.distribution.as_deref() == Some(wanted) {
        return skip(Trouble::AlreadySo);
    }
    if let Err(guard) = &seen.guard {
        let until = turn.from.plus(turn.config.guard);
        return turn.patient(Awaited::Guard, until, || skip(Trouble::Guard { guard: guard.clone() }));
    }
    Next::Record(Box::new(Step {
        state: StepState::Running,
        since: turn.now,
        trouble: None,
        receipt: Some(Receipt::Route {
            service: service.clone(),
            uid: now.uid.clone(),
            before: now.distribution.clone(),
            wanted: wanted.to_owned(),
        }),
    }))
}

/// While it is being set and as long as it stands, the guard is asked again.
fn hold(step: &Step, service: &ServiceId, seen: &RouteSeen, turn: Turn<'_>) -> Next {
    let Some((now, before, wanted)) = ours(step, seen) else {
        return turn.turned(step, StepState::Undone, Trouble::ServiceGone);
    };
    if let Err(guard) = &seen.guard {
        let guard = guard.clone();
        return turn.turned(step, StepState::Undoing, Trouble::Guard { guard });
    }
    let is = now.distribution.as_deref();
    if is == Some(wanted) {
        if step.state == StepState::Done {
            return Next::Over;
        }
        return turn.turned(step, StepState::Done, None);
    }
    if step.state == StepState::Running && is == before {
        return Next::Do(set(service, now, Some(wanted)));
    }
    turn.turned(step, StepState::Undone, Trouble::RoutingTaken)
}

fn withdraw(step: &Step, service: &ServiceId, seen: &RouteSeen, turn: Turn<'_>) -> Next {
    match ours(step, seen) {
        Some((now, before, wanted)) if now.distribution.as_deref() == Some(wanted) => {
            Next::Do(set(service, now, before))
        }
        _ => turn.turned(step, StepState::Undone, None),
    }
}

/// The Service that the receipt speaks of, the mode before and the one wanted; `None` when it is another by now.
fn ours<'a>(step: &'a Step, seen: &'a RouteSeen) -> Option<(&'a ServiceSeen, Option<&'a str>, &'a str)> {
    let Some(Receipt::Route {
        uid, before, wanted, ..
    }) = &step.receipt
    else {
        return None;
    };
    let now = seen.service.as_ref().filter(|now| &now.uid == uid)?;
    Some((now, before.as_deref(), wanted))
}

fn set(service: &ServiceId, now: &ServiceSeen, distribution: Option<&str>) -> Intent {
    Intent::SetRoute {
        service: service.clone(),
        uid: now.uid.clone(),
        resource_version: now.resource_version.clone(),
        distribution: distribution.map(str::to_owned),
    }
}
