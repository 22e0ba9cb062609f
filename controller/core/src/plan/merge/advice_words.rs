//! The words of advice on a merge, and of why none is proposed.

use super::{Advice, Effect, Extra, Gain, Unmerged, Way};
use crate::units::Micros;

impl Effect {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unguarded => "unguarded",
            Self::FallsBack => "fallsBack",
            Self::NoFallback => "noFallback",
            Self::OwnRetries { .. } => "ownRetries",
            Self::OneIdentity { .. } => "oneIdentity",
            Self::NoToken => "noToken",
            Self::OneFate => "oneFate",
            Self::ScaledTogether { .. } => "scaledTogether",
            Self::OwnPodsStay { .. } => "ownPodsStay",
        }
    }
    /// For people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Unguarded => {
                "Security: inside the pod no proxy of the callee stands before it: no mTLS, no policy and no server-side figures for \
                 these calls."
                    .to_owned()
            }
            Self::FallsBack => {
                "Availability: while a copy does not serve, the callee's own pods do. A call that is under way when a copy ends is sent to \
                 them if it only asks (GET, HEAD, OPTIONS); others fail, gRPC's among them, unless the callee's Deployment says \
                 huddle.dev/repeatable: \"true\"."
                    .to_owned()
            }
            Self::NoFallback => {
                "Availability: calls over loopback pass no proxy at all: no mTLS, no metrics, no retry. They fail from a copy's end until it \
                 listens again, and in each new pod until its copy listens; nothing is sent elsewhere meanwhile."
                    .to_owned()
            }
            Self::OwnRetries { route } => format!(
                "Availability: what {route} says of retries does not hold for these calls: beside the way back to the callee's own pods, Istio's defaults do."
            ),
            Self::OneIdentity { account } => format!(
                "Security: whatever the copies call goes out as service account {account}, and who breaks into one is inside the \
                 caller's pod. Calls that leave the mesh are not on the graph: ask the callee's owner."
            ),
            Self::NoToken => "Security: the copies would get no token of the API server.".to_owned(),
            Self::OneFate => {
                "Scaling: the copies are moved, evicted and deleted with the caller's pods, and share their memory and cpu on the node."
                    .to_owned()
            }
            Self::ScaledTogether { pods, autoscaler } => {
                let by = autoscaler.as_ref().map_or(String::new(), |name| {
                    format!(" HorizontalPodAutoscaler {name} would count their figures too.")
                });
                format!("Scaling: one copy in each of the caller's {pods} pods, and in each that comes.{by}")
            }
            Self::OwnPodsStay { others, replicas, way } => {
                let beside = match way {
                    Way::Proxied => "and stand in for a copy that is not there",
                    Way::Direct => "and stand in for no copy",
                };
                format!("Scaling: the callee's own {replicas} pods go on serving its other callers ({others} of its calls) {beside}.")
            }
        }
    }
}

impl Gain {
    /// For people, as the end of a sentence: where the figures come from.
    pub fn basis(&self) -> String {
        format!(
            "by {} requests on one node and what a merge brought on another cluster (borrowed, not measured here)",
            self.requests
        )
    }
    /// For people: what one way would make of a call.
    pub fn sentence(&self, way: Way) -> String {
        let (low, high) = self.p50(way);
        let ms = |seconds: f64| Micros((seconds * 1e6).round() as u64);
        let saved = |(low, high)| format!("; in each second {} to {} of waiting less", ms(low), ms(high));
        let saved = match way {
            Way::Proxied => saved(self.saved_per_second),
            Way::Direct => self.saved_direct_per_second.map(saved).unwrap_or_default(),
        };
        format!(
            "{} ({}): network p50 {} → {low} to {high}{saved}.",
            capital(way.label()),
            way.sentence(),
            self.same_node_p50
        )
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

impl Extra {
    /// For people.
    pub fn sentence(&self) -> String {
        let names: Vec<&str> = self.containers.iter().map(|name| name.as_str()).collect();
        let what = match names.as_slice() {
            [] => return "What each pod would hold more is not known: the callee's template is not.".to_owned(),
            [one] => format!("container {one}"),
            several => format!("containers {}", several.join(", ")),
        };
        let used = match self.used {
            Some(used) => format!("{} and {} used at the height, as measured", used.cpu, used.memory),
            None => "what is used is not known, so the requests count".to_owned(),
        };
        format!(
            "Each of the caller's {} pods would hold {what} more: {} cpu and {} memory asked for; {used}.",
            self.pods, self.requests.cpu, self.requests.memory
        )
    }
}

impl Advice {
    /// For people: which command asks for it.
    pub fn ask(&self) -> String {
        let command = format!("`huddle merge {} {}`", self.edge.source, self.edge.destination);
        match self.against.iter().any(|reason| reason.forbids(self.way)) {
            false => format!("{command} asks for it."),
            true => format!("{command} asks for it, and is refused while a reason stands against it."),
        }
    }
    /// For people: what is advised.
    pub fn sentence(&self) -> String {
        let (caller, callee) = (&self.edge.source, &self.edge.destination);
        let against = self.against.iter().filter(|reason| reason.forbids(self.way)).count();
        match (self.recommends(self.way), against == 0, self.chatter) {
            (true, ..) => match self.way {
                Way::Proxied => format!("Advice: run {callee} inside the pods of {caller}."),
                Way::Direct => format!(
                    "Advice: run {callee} inside the pods of {caller}, {}.",
                    self.way.sentence()
                ),
            },
            (false, false, _) => format!(
                "{callee} cannot run inside the pods of {caller}: {}.",
                match against {
                    1 => "one reason stands against it".to_owned(),
                    reasons => format!("{reasons} reasons stand against it"),
                }
            ),
            (false, true, true) => format!(
                "{callee} could run inside the pods of {caller}, but too few calls were measured on one node to say what it would bring."
            ),
            (false, true, false) => format!(
                "{callee} could run inside the pods of {caller}, but diagnose does not call the edge chatter: there is no reason to."
            ),
        }
    }
}

impl Unmerged {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoRight => "noRight",
            Self::Untouchable { .. } => "untouchable",
            Self::Inside { .. } => "inside",
            Self::Parted { .. } => "parted",
            Self::Against { .. } => "against",
        }
    }
    /// For people.
    pub fn sentence(&self) -> String {
        match self {
            Self::NoRight => "no companion may join pods of this namespace.".to_owned(),
            Self::Untouchable { which, because } => format!("{which} may not be touched now: {}", because.sentence()),
            Self::Inside { plan } => {
                format!("plan {plan} has one of the two in a merge already: a pod has one companion.")
            }
            Self::Parted { plan, times, until } => format!(
                "it was tried and undone (times in a row: {times}, last in plan {plan}); it is not proposed again before {}.",
                until.utc()
            ),
            Self::Against { against } => against.sentence(),
        }
    }
    /// What would have to change for it, for people.
    pub fn remedy(&self) -> String {
        match self {
            Self::NoRight => "Give the right with `huddle install --namespace … --allow act,merge`.".to_owned(),
            Self::Untouchable { because, .. } => because.remedy(),
            Self::Inside { plan } => {
                format!("Let plan {plan} end, or split what it merged with `huddle rollback {plan}`.")
            }
            Self::Parted { .. } => "Wait, or ask for it with `huddle merge`.".to_owned(),
            Self::Against { against } => against.remedy(),
        }
    }
}
