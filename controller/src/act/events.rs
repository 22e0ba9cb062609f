//! Kubernetes Events about a plan: who looks at it with kubectl sees what happened and why.

use huddle_api as api;
use huddle_core::act::{Progress, StepState};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

/// Longest note that the API takes.
const NOTE_BYTES: usize = 1000;

pub(super) fn recorder(client: Client) -> Recorder {
    let reporter = Reporter {
        controller: "huddle".to_owned(),
        instance: None,
    };
    Recorder::new(client, reporter)
}

/// Says what changed between two records of the plan. Events are for people: a lost one is logged, nothing more.
pub(super) async fn tell(recorder: &Recorder, plan: &api::Plan, before: &Progress, after: &Progress) {
    let mut stories = Vec::new();
    if before.phase != after.phase {
        let why = after
            .trouble
            .as_ref()
            .map(|it| format!(": {}", it.sentence()))
            .unwrap_or_default();
        stories.push((
            capital(after.phase.label()),
            format!("plan is {}{why}", after.phase.label()),
            false,
        ));
    }
    for (index, (old, new)) in before.steps.iter().zip(&after.steps).enumerate() {
        if old.state == new.state {
            continue;
        }
        let bad = matches!(new.state, StepState::Undoing | StepState::Undone | StepState::Skipped);
        let why = match &new.trouble {
            Some(trouble) if bad => format!(": {}", trouble.sentence()),
            _ => String::new(),
        };
        let reason = format!("Step{}", capital(new.state.label()));
        stories.push((reason, format!("step {index} is {}{why}", new.state.label()), bad));
    }
    for (reason, mut note, bad) in stories {
        if note.len() > NOTE_BYTES {
            let cut = (0..=NOTE_BYTES)
                .rev()
                .find(|at| note.is_char_boundary(*at))
                .unwrap_or(0);
            note.truncate(cut);
        }
        let event = Event {
            type_: if bad { EventType::Warning } else { EventType::Normal },
            reason,
            note: Some(note),
            action: "Act".to_owned(),
            secondary: None,
        };
        if let Err(error) = recorder.publish(&event, &plan.object_ref(&())).await {
            tracing::debug!(%error, "an event could not be published");
        }
    }
}

fn capital(label: &str) -> String {
    let mut letters = label.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}
