//! Figures written into the template, where rules are: the workload's own roll-out gives them to every pod, so nothing is resized in place
//! and no rule has to stay.

use super::relief::Unrelieved;
use super::{Action, PlaceForm};
use crate::cluster::{Compute, Container, Sizing};
use crate::id::{ContainerName, WorkloadId};

/// The one action for a container. `says`: all that the template says of it; `to`: the figures that are raised; `pods`: the container as
/// it runs, with whether its pod is Guaranteed.
///
/// # Errors
/// Where the template says as much already: its running pods have less by somebody's hand.
pub(super) fn written<'a>(
    workload: &WorkloadId,
    container: &ContainerName,
    says: &Sizing,
    to: &Sizing,
    pods: impl Iterator<Item = (&'a Container, bool)>,
) -> Result<Action, Unrelieved> {
    let mut all = Sizing {
        requests: more(&to.requests, &says.requests),
        limits: more(&to.limits, &says.limits),
    };
    // A limit without a request is a request as well. Of a Guaranteed pod that is as it should be.
    all.requests.cpu = all
        .requests
        .cpu
        .filter(|_| says.requests.cpu.is_some() || to.limits.cpu.is_none());
    all.requests.memory = all
        .requests
        .memory
        .filter(|_| says.requests.memory.is_some() || to.limits.memory.is_none());
    if all.is_empty() {
        return Err(Unrelieved::InTemplate {
            container: container.clone(),
        });
    }
    // Of others, what they ask for today is written beside it, or they would ask for all that they may use.
    for (running, _) in pods.filter(|(_, guaranteed)| !guaranteed) {
        if all.limits.cpu.is_some() && says.requests.cpu.is_none() {
            all.requests.cpu = all.requests.cpu.max(running.requests.cpu);
        }
        if all.limits.memory.is_some() && says.requests.memory.is_none() {
            all.requests.memory = all.requests.memory.max(running.requests.memory);
        }
    }
    Ok(Action::Size {
        workload: workload.clone(),
        container: container.clone(),
        instead: says.only(&all),
        to: all,
        form: PlaceForm::Template,
    })
}

/// What of it is more than the template says.
fn more(to: &Compute, says: &Compute) -> Compute {
    Compute {
        cpu: to.cpu.filter(|_| to.cpu > says.cpu),
        memory: to.memory.filter(|_| to.memory > says.memory),
    }
}
