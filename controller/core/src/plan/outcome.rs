//! What a plan comes to on the model: the layout and routing after its last action.

use super::model::Model;
use super::routing::{Outlook, State, evaluate};
use super::{Action, PlaceForm, Plan};
use crate::cluster::RoutingMode;

/// Today, and after a plan.
pub(crate) struct Outcome {
    pub(crate) today: Outlook,
    pub(crate) state: State,
    pub(crate) then: Outlook,
}

impl Outcome {
    /// `None` where the plan names what the model does not know, or leaves placing to a roll-out of templates, whose outcome is
    /// not written in it.
    pub(crate) fn of(plan: &Plan, model: &Model<'_>) -> Option<Self> {
        let mut state = State {
            at: model.today(),
            wish: vec![false; model.workloads.len()],
        };
        let today = evaluate(model, &state, None);
        for action in &plan.actions {
            match action {
                Action::Move { pod, to, .. } => {
                    let ix = model.pods.iter().position(|known| known.pod.uid == *pod)?;
                    let node = (0..model.nodes.len()).find(|node| model.node_name(*node) == Some(to))?;
                    state.at.set(ix, node)?;
                }
                Action::Route { workload, to, .. } => {
                    let ix = model.workloads.iter().position(|known| known.id == workload)?;
                    *state.wish.get_mut(ix)? = *to == RoutingMode::PreferSameNode;
                }
                Action::Place { form, .. } if *form == PlaceForm::Template => return None,
                Action::Place { .. }
                | Action::Cell { .. }
                | Action::Size { .. }
                | Action::Resize { .. }
                | Action::Withdraw { .. }
                | Action::Merge { .. } => {}
            }
        }
        let then = evaluate(model, &state, Some(&today.load));
        Some(Self { today, state, then })
    }
}
