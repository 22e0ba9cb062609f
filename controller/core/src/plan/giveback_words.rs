//! The words of giving back.

use super::{GivenBack, Kept};
use crate::time::Span;

/// `7 days`, `12 hours`, `2 minutes`: whole, rounded down.
fn long(span: Span) -> String {
    let seconds = span.0 / 1000;
    let (count, unit) = match seconds {
        172_800.. => (seconds / 86_400, "days"),
        7_200.. => (seconds / 3_600, "hours"),
        120.. => (seconds / 60, "minutes"),
        _ => (seconds, "seconds"),
    };
    format!("{count} {unit}")
}

impl GivenBack {
    /// What changes, what was seen, what is saved and what happens if it is missed, for people.
    pub fn sentence(&self) -> String {
        let (limits, requests, memory) = self.saved();
        let reserved = self.memory_reserved();
        let all = [
            (limits.0, format!("{limits} of cpu limits")),
            (requests.0, format!("{requests} of cpu requests")),
            (memory.0, format!("{memory} of memory limits")),
            (reserved.0, format!("{reserved} of memory requests")),
        ];
        let saved: Vec<String> = all.into_iter().filter(|it| it.0 > 0).map(|it| it.1).collect();
        let change = |name: &str, before: Option<String>, after: Option<String>| {
            before
                .zip(after)
                .map(|(before, after)| format!("{before} → {after} {name}"))
        };
        let changes = [
            change(
                "cpu limit",
                self.before.limits.cpu.map(|it| it.to_string()),
                self.after.limits.cpu.map(|it| it.to_string()),
            ),
            change(
                "cpu request",
                self.before.requests.cpu.map(|it| it.to_string()),
                self.after.requests.cpu.map(|it| it.to_string()),
            ),
            change(
                "memory limit",
                self.before.limits.memory.map(|it| it.to_string()),
                self.after.limits.memory.map(|it| it.to_string()),
            ),
            change(
                "memory request",
                self.before.requests.memory.map(|it| it.to_string()),
                self.after.requests.memory.map(|it| it.to_string()),
            ),
        ];
        let changes: Vec<String> = changes.into_iter().flatten().collect();
        let used = match self.after.limits.memory.or(self.after.requests.memory) {
            None => String::new(),
            Some(_) => format!(" and {} of memory", self.memory_peak),
        };
        format!(
            "container {} of {} used {} of cpu at most in {} ({} in 95 % of the time){used}, and was stopped by its limit in {:.1} % \
             of its periods: {} in each of {} pods, {} in all. At the first sign that it is missed, it is given again by itself.",
            self.container,
            self.workload,
            self.cpu_peak,
            long(self.watched),
            self.cpu_high,
            self.throttled.get() * 100.0,
            changes.join(", "),
            self.pods,
            saved.join(", "),
        )
    }
}

impl Kept {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotWatched { .. } => "notWatched",
            Self::Unsettled { .. } => "unsettled",
            Self::Strained { .. } => "strained",
            Self::InUse { .. } => "inUse",
            Self::Owned { .. } => "owned",
            Self::Restarting { .. } => "restarting",
            Self::Turn { .. } => "turn",
            Self::TooManyPods { .. } => "tooManyPods",
            Self::Reserved { .. } => "reserved",
        }
    }
    /// For people.
    pub fn sentence(&self) -> String {
        match self {
            Self::NotWatched {
                container,
                watched,
                wanted,
            } => format!(
                "nothing of its container {container} is given back yet: it has been watched for {} of {} without a gap.",
                long(*watched),
                long(*wanted)
            ),
            Self::Unsettled { container, left } => format!(
                "nothing of its container {container} is given back yet: its figures are new, and it is watched with them for another {}.",
                long(*left)
            ),
            Self::Strained { container } => format!(
                "nothing of its container {container} is given back: it, a caller or a callee lacks something, or did while it was watched."
            ),
            Self::InUse { container, floor } => {
                format!("its container {container} uses what it has: below a limit of {floor} it might be stopped.")
            }
            Self::Owned { by, container } => {
                format!("{by} decides over the cpu of its container {container}, so nothing is given back.")
            }
            Self::Restarting { container } => {
                format!("its container {container} would be restarted by giving back: its resizePolicy says so.")
            }
            Self::Turn { container } => {
                format!("its container {container} has more than it uses; another workload gives back first.")
            }
            Self::TooManyPods { steps } => format!("it has more than the {steps} pods that one plan resizes."),
            Self::Reserved { container, floor } => {
                format!("its container {container} uses what is reserved for it: it needs a request of {floor}.")
            }
        }
    }
    /// What would have to change for it, for people.
    pub fn remedy(&self) -> String {
        match self {
            Self::NotWatched { .. } | Self::Unsettled { .. } => {
                "Wait, or set spec.giveBackAfterMinutes of the namespace's Policy to less.".to_owned()
            }
            Self::Strained { .. } => "See `huddle graph` for what is slow by pressure, then wait.".to_owned(),
            Self::InUse { .. } => {
                "Nothing need change. Less is left with a lower spec.giveBackFloorPercent of the namespace's Policy.".to_owned()
            }
            Self::Owned { by, .. } => format!("Let {by} give it back, or let it go by something else than cpu."),
            Self::Restarting { .. } => {
                "Set spec.resizeRestarts of the namespace's Policy to true, or the container's resizePolicy to NotRequired.".to_owned()
            }
            Self::Turn { .. } => "Wait: one workload at a time.".to_owned(),
            Self::TooManyPods { .. } => "Lower its figures where the pods are defined.".to_owned(),
            Self::Reserved { .. } => "Nothing need change.".to_owned(),
        }
    }
}
