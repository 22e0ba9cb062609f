//! The words of plan.

use super::merge::Way;
use super::{Action, Beside, CellWeight, MoveCost, Percent, PlaceForm, Refusal, RefusalReason, Seat, Term, Why};
use crate::cluster::{Compute, RoutingMode, Sizing};
use crate::id::WorkloadId;
use crate::time::Span;
use crate::units::{Bytes, Micros, Millicores};
use std::fmt;

/// How much a plan does, as the beginning of a sentence: its actions, and the pods that are re-created for them.
pub fn extent(actions: usize, restarted: u64) -> String {
    let actions = match actions {
        1 => "1 action".to_owned(),
        actions => format!("{actions} actions"),
    };
    match restarted {
        0 => format!("{actions}, no pod is re-created"),
        1 => format!("{actions}, 1 pod is re-created"),
        pods => format!("{actions}, {pods} pods are re-created"),
    }
}

/// `1.30 ×`.
impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} ×", self.0 / 100, self.0 % 100)
    }
}

impl RoutingMode {
    /// As in `spec.trafficDistribution`; `Spread` is the field left out.
    pub fn label(self) -> &'static str {
        match self {
            Self::Spread => "Spread",
            Self::PreferSameZone => "PreferSameZone",
            Self::PreferSameNode => "PreferSameNode",
        }
    }
    /// For people, as the end of "its calls go …".
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Spread => "to every ready pod",
            Self::PreferSameZone => "to the same zone first",
            Self::PreferSameNode => "to the same node first",
        }
    }
}

/// `90 s`, `15 min`, `24 h`.
fn in_words(span: Span) -> String {
    match span.0 / 1000 {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds if seconds < 2 * 3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

impl MoveCost {
    /// For people: `2 pods of shop/cart: 0.0041, of it 0.0040 for being restarted, … (they take 12 s to get ready)`.
    pub fn sentence(&self) -> String {
        let Self { workload, cost, .. } = self;
        let part = |points: f64, why: &str| (points > 0.0).then(|| format!("{points:.4} {why}"));
        let parts = [
            part(cost.restart, "for being restarted"),
            part(cost.alone, "because nobody else does its work"),
            part(cost.recent, "because it was moved a short while ago"),
            part(
                cost.warm_up,
                &format!("for being slow at first, over {}", in_words(self.payback)),
            ),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let ready = self.start_up.map(|span| format!("ready after {}", in_words(span)));
        let warm = self.warm_up.map(|span| format!("warm {} later", in_words(span)));
        let times: Vec<String> = ready.into_iter().chain(warm).collect();
        let times = if times.is_empty() {
            String::new()
        } else {
            format!(" ({})", times.join(", "))
        };
        let pods = if self.pods == 1 { "pod" } else { "pods" };
        format!(
            "{} {pods} of {workload}: {:.4}, {}{times}",
            self.pods,
            cost.total(),
            parts.join(", ")
        )
    }
}

/// What differs, for people: `a cpu limit of 400m (today 100m) and a …`; a figure that was not set has no "today".
fn figures(from: &Sizing, to: &Sizing) -> String {
    let cpu = |cpu: Option<Millicores>| cpu.map(|cpu| cpu.to_string());
    let memory = |memory: Option<Bytes>| memory.map(|memory| memory.to_string());
    let all = [
        ("cpu limit", cpu(from.limits.cpu), cpu(to.limits.cpu)),
        ("cpu request", cpu(from.requests.cpu), cpu(to.requests.cpu)),
        ("memory limit", memory(from.limits.memory), memory(to.limits.memory)),
        (
            "memory request",
            memory(from.requests.memory),
            memory(to.requests.memory),
        ),
    ];
    let changed = all.into_iter().filter(|(_, from, to)| to.is_some() && from != to);
    let words = changed.map(|(name, from, to)| {
        let to = to.unwrap_or_default();
        from.map_or_else(
            || format!("a {name} of {to}"),
            |from| format!("a {name} of {to} (today {from})"),
        )
    });
    words.collect::<Vec<_>>().join(" and ")
}

/// Whether nothing of it is more.
fn is_less(from: &Sizing, to: &Sizing) -> bool {
    let less = |from: &Compute, to: &Compute| to.cpu <= from.cpu && to.memory <= from.memory;
    less(&from.requests, &to.requests) && less(&from.limits, &to.limits)
}

impl Action {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Place { .. } => "place",
            Self::Move { .. } => "move",
            Self::Route { .. } => "route",
            Self::Size { .. } => "size",
            Self::Resize { .. } => "resize",
            Self::Withdraw { .. } => "withdraw",
            Self::Cell { .. } => "cell",
            Self::Merge { .. } => "merge",
        }
    }
    /// Whose pods or calls it is about.
    pub fn workload(&self) -> &WorkloadId {
        match self {
            Self::Place { workload, .. }
            | Self::Move { workload, .. }
            | Self::Route { workload, .. }
            | Self::Size { workload, .. }
            | Self::Resize { workload, .. }
            | Self::Withdraw { workload, .. }
            | Self::Cell { workload, .. }
            | Self::Merge { workload, .. } => workload,
        }
    }
    /// Everybody whose pods or replicas it changes.
    pub fn touches(&self) -> impl Iterator<Item = &WorkloadId> {
        let other = match self {
            Self::Merge { with, .. } => Some(with),
            Self::Place { .. }
            | Self::Move { .. }
            | Self::Route { .. }
            | Self::Size { .. }
            | Self::Resize { .. }
            | Self::Withdraw { .. }
            | Self::Cell { .. } => None,
        };
        std::iter::once(self.workload()).chain(other)
    }
    /// For people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Place {
                workload,
                with,
                form: PlaceForm::Admission,
            } => format!(
                "From now on, new pods of {workload} prefer nodes that hold a pod of {with}, spread evenly over them."
            ),
            Self::Place {
                workload,
                with,
                form: PlaceForm::Template,
            } => format!(
                "Let the template of {workload} say that its pods prefer nodes that hold a pod of {with}: all its pods are \
                 restarted, rolling, now and when it is undone."
            ),
            Self::Move {
                workload,
                pod_name,
                from,
                to,
                ..
            } => format!(
                "Move one pod of {workload} ({pod_name}) from {from} to {to}; it keeps serving until its replacement is \
                 ready there."
            ),
            Self::Route { service, from, to, .. } => format!(
                "Route calls to Service {service} {}; today they go {}.",
                to.sentence(),
                from.sentence()
            ),
            Self::Size {
                workload,
                container,
                to,
                instead,
                form: PlaceForm::Template,
            } => format!(
                "Let the template of {workload} give container {container} {}: all its pods are restarted, rolling, now and when it is \
                 undone.",
                figures(instead, to)
            ),
            Self::Size {
                workload,
                container,
                to,
                instead,
                form: PlaceForm::Admission,
            } if !instead.is_empty() => format!(
                "From now on, container {container} in new pods of {workload} comes with {}; the template stays as it is, and is \
                 followed again as soon as it says anything else.",
                figures(instead, to).replace("today", "in the template")
            ),
            Self::Size {
                workload,
                container,
                to,
                form: PlaceForm::Admission,
                ..
            } => format!(
                "From now on, container {container} in new pods of {workload} comes with at least {}; the template stays as it is.",
                figures(&Sizing::default(), to)
            ),
            Self::Resize {
                workload,
                pod_name,
                container,
                from,
                to,
                ..
            } if is_less(from, to) => format!(
                "Leave container {container} in one pod of {workload} ({pod_name}) {}, in place: nothing is restarted unless its \
                 resizePolicy says so.",
                figures(from, to)
            ),
            Self::Resize {
                workload,
                pod_name,
                container,
                from,
                to,
                ..
            } => format!(
                "Give container {container} in one pod of {workload} ({pod_name}) {}, in place: nothing is restarted unless its \
                 resizePolicy says so.",
                figures(from, to)
            ),
            Self::Withdraw {
                workload,
                with,
                rule,
                faded,
                faded_since,
                ..
            } => {
                let beside = with.as_ref().map(|with| format!(" beside {with}")).unwrap_or_default();
                format!(
                    "Delete Rule {}/{rule}, which places new pods of {workload}{beside}: {}, since {}. Nothing is restarted; pods \
                     created later go where the scheduler likes.",
                    workload.namespace,
                    faded.sentence(),
                    faded_since.utc()
                )
            }
            Self::Merge { workload, with, way } => {
                let how = match way {
                    Way::Proxied => {
                        "behind their own proxies; its Service goes on, and takes the calls when it is away"
                    }
                    Way::Direct => {
                        "over loopback: the fastest way, with no proxy, no mTLS, no figures of these calls and nothing to fall back on. \
                         While a companion is away its pod's calls fail; its Service goes on for others"
                    }
                };
                format!(
                    "Run {with} inside the pods of {workload}, {how}. The pods of {workload} are replaced one by one, now and when it is \
                     undone; both templates stay as they are."
                )
            }
            Self::Cell { workload, with, seats } => format!(
                "Give {workload} a cell, for the sake of {with}: {} get a label, and from now on new pods of {workload} prefer these \
                 nodes, spread over them alone.",
                nodes(seats)
            ),
        }
    }
}

/// The nodes of a cell for people, by weight where they differ: `node-1, node-2 (weight 60)`.
fn nodes(seats: &[Seat]) -> String {
    let even = seats
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a.weight == b.weight));
    let name = |seat: &Seat| match even || seat.weight == CellWeight::MOST {
        true => seat.node.to_string(),
        false => format!("{} (weight {})", seat.node, seat.weight.get()),
    };
    seats.iter().map(name).collect::<Vec<_>>().join(", ")
}

impl Term {
    /// For people: `of the 40.0 calls a second of shop/front → shop/back 100 % instead of 25 % stay on their node, each at least 1.90 ms
    /// sooner`.
    fn phrase(&self) -> String {
        let (before, after) = self.local_share;
        let stay = format!(
            "of the {:.1} calls a second of {} {after} instead of {before} stay on their node",
            self.calls_per_second, self.edge
        );
        let sooner = match self.saved_per_call {
            Micros(0) => stay,
            saved => format!("{stay}, each at least {saved} sooner"),
        };
        match self.brings.money {
            money if money >= 0.0005 => {
                format!("{sooner}, and {money:.3} less is paid each hour for bytes between zones")
            }
            _ => sooner,
        }
    }
}

impl Beside {
    fn phrase(&self) -> String {
        let here = match self.here {
            0 => "none".to_owned(),
            here => here.to_string(),
        };
        let Self {
            workload,
            to,
            there,
            from,
            pods,
            ..
        } = self;
        format!("{to} will hold {there} of the {pods} pods of {workload}, {from} {here}")
    }
}

impl Why {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Nearer { .. } => "nearer",
            Self::ForOthers => "forOthers",
            Self::Lasting { .. } => "lasting",
            Self::NearFirst { .. } => "nearFirst",
            Self::Starved => "starved",
            Self::LastingSize => "lastingSize",
            Self::Hops => "hops",
            Self::Faded => "faded",
            Self::Unneeded => "unneeded",
        }
    }
    /// For people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Nearer { beside, term } => format!("{}; with the whole plan, {}.", beside.phrase(), term.phrase()),
            Self::ForOthers => {
                "It makes room for the other moves, or keeps its workload's spread while they bring pods together."
                    .to_owned()
            }
            Self::Lasting { .. } => {
                "Without it, pods created later would be scattered again, and what the moves bring would wear off."
                    .to_owned()
            }
            Self::NearFirst { term: Some(term) } => format!("With the whole plan, {}.", term.phrase()),
            Self::Hops => "Most of a call between the two is hops and proxies, also on one node.".to_owned(),
            Self::NearFirst { term: None } => "Calls then stay on their node where a pod of it is there.".to_owned(),
            Self::Starved => "It lacks what it is given here, and calls wait for that.".to_owned(),
            Self::Faded => {
                "The rule still weighs on where new pods go, and holds nodes against being emptied, for nothing in return.".to_owned()
            }
            Self::LastingSize => {
                "Without it, pods created later would come with the old figures; it is first, so that none slips through."
                    .to_owned()
            }
            Self::Unneeded => "It was watched for long and used clearly less.".to_owned(),
        }
    }
}

impl RefusalReason {
    /// What would have to change for it, for people.
    pub fn remedy(&self) -> String {
        match self {
            Self::ObserveOnly => "Set spec.automation of the namespace's Policy to Recommend, Approve or Auto.".to_owned(),
            Self::NoRight => "Give the right with `huddle install --namespace … --allow act`.".to_owned(),
            Self::NoConsent => {
                "Name each namespace in the other's Policy, spec.consentsTo; it needs both owners.".to_owned()
            }
            Self::OptedOut => "Remove the annotation huddle.dev/opt-out from the workload.".to_owned(),
            Self::NotMovable => {
                "Nothing: Huddle brings others to it where they may move; it stays itself.".to_owned()
            }
            Self::Rolling => "Wait until all its replicas are ready; pods that never get ready need their owner.".to_owned(),
            Self::RuleInForce { plan } => {
                format!("Let plan {plan} end (`huddle status`), or undo it with `huddle rollback {plan}`.")
            }
            Self::Budget => {
                "Let its PodDisruptionBudget allow a disruption (one more replica, or a lower minAvailable), and let only one \
                 budget select its pods."
                    .to_owned()
            }
            Self::NoCapacity { node, resource } => {
                format!("Free {resource} on {node} for one such pod, lower its request, or add a node.")
            }
            Self::Constraint { field } => {
                format!("Relax {field} so that it allows the nodes of the other side, or leave the two apart.")
            }
            Self::TriedInVain { until, plan, .. } => format!(
                "Wait until {}, then it may be tried again; `huddle status {plan}` says what went wrong.",
                until.time_of_day()
            ),
            Self::Spread { nodes_before, .. } => format!(
                "Let the other side run on at least {nodes_before} nodes, with replicas enough that no node holds more than half."
            ),
            Self::TemplateElsewhere => {
                "Install with `--rules admission` (Kubernetes 1.36), so that pods can be moved one by one; or make room near the \
                 other side."
                    .to_owned()
            }
            Self::Overload { .. } => {
                "Spread the callers more evenly, or give the callee more replicas near the busiest of them.".to_owned()
            }
            Self::TooFewPods => "Run at least two ready replicas.".to_owned(),
            Self::RoutingOverridden { .. } => {
                "Let its calls go through one Service of its own that is not headless, with no other setting for locality."
                    .to_owned()
            }
            Self::SmallGain => "Nothing need change: there is little to gain.".to_owned(),
            Self::MoveLimit { limit } => format!(
                "Raise spec.maxMoves of the namespace's Policy above {limit}, or wait: the next plan goes on from there."
            ),
            Self::Headroom { node, resource, .. } => {
                format!("Free {resource} on {node}, let its pods use less, or add a node near the other side.")
            }
            Self::Costly { .. } => {
                "Nothing need change: it stays where it is warm. Lower huddle.dev/warm-up-seconds if its pods are warm sooner, or raise \
                 spec.paybackMinutes of the namespace's Policy."
                    .to_owned()
            }
            Self::NotEnoughData => "Wait for more requests.".to_owned(),
            Self::PressureFirst => "Approve the plan; the next one looks at distance again.".to_owned(),
            Self::Unrelieved { why } => why.remedy(),
            Self::Unmerged { why } => why.remedy(),
            Self::Kept { why } => why.remedy(),
            Self::NoCellRight => "Give the right with `huddle install --namespace … --allow act,cells`.".to_owned(),
            Self::CellTooWide { most, .. } => {
                format!("Nothing need change; pods on at most {most} nodes can have a cell.")
            }
        }
    }
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ObserveOnly => "observeOnly",
            Self::NoRight => "noRight",
            Self::NoConsent => "noConsent",
            Self::OptedOut => "optedOut",
            Self::NotMovable => "notMovable",
            Self::Rolling => "rolling",
            Self::RuleInForce { .. } => "ruleInForce",
            Self::Budget => "budget",
            Self::NoCapacity { .. } => "noCapacity",
            Self::Constraint { .. } => "constraint",
            Self::TriedInVain { .. } => "triedInVain",
            Self::Spread { .. } => "spread",
            Self::TemplateElsewhere => "templateElsewhere",
            Self::Overload { .. } => "overload",
            Self::TooFewPods => "tooFewPods",
            Self::RoutingOverridden { .. } => "routingOverridden",
            Self::SmallGain => "smallGain",
            Self::MoveLimit { .. } => "moveLimit",
            Self::Headroom { .. } => "headroom",
            Self::Costly { .. } => "costly",
            Self::NotEnoughData => "notEnoughData",
            Self::PressureFirst => "pressureFirst",
            Self::Unrelieved { .. } => "unrelieved",
            Self::Unmerged { .. } => "unmerged",
            Self::Kept { .. } => "kept",
            Self::NoCellRight => "noCellRight",
            Self::CellTooWide { .. } => "cellTooWide",
        }
    }
    /// For people, with what would change it where something would.
    pub fn sentence(&self) -> String {
        match self {
            Self::ObserveOnly => "the namespace's policy says Observe: nothing is proposed there.".to_owned(),
            Self::NoRight => {
                "Huddle may not write in this namespace; `huddle install --allow act` gives the right.".to_owned()
            }
            Self::NoConsent => "the two namespaces' policies do not name each other.".to_owned(),
            Self::OptedOut => "the workload is annotated huddle.dev/opt-out.".to_owned(),
            Self::NotMovable => "only Deployments are moved.".to_owned(),
            Self::Rolling => "a rollout is under way or pods are not ready; wait for it to end.".to_owned(),
            Self::RuleInForce { plan } => {
                format!("plan {plan} has a rule in force for it; wait for that plan's proof, or roll it back.")
            }
            Self::Budget => {
                "its disruption budget allows no disruption now, or several budgets select its pods.".to_owned()
            }
            Self::NoCapacity { node, resource } => {
                format!("no node near the other side has room; {node} comes closest and is short of {resource}.")
            }
            Self::Constraint { field } => format!("its own {field} forbids the nodes wanted."),
            Self::TriedInVain { node, times, plan, .. } => format!(
                "its pods did not come up on {node} when that was tried (times in a row: {times}, last in plan {plan})."
            ),
            Self::Spread {
                nodes_before,
                nodes_after,
            } => format!(
                "its spread would suffer ({nodes_before} nodes today, {nodes_after} then; at most half of its replicas, \
                 rounded up, may share a node, and no zone may be lost)."
            ),
            Self::TemplateElsewhere => {
                "placement rules are written into templates there, and a restart under such a rule would \
                                        not bring its pods where they are wanted."
                    .to_owned()
            }
            Self::Overload { factor } => {
                format!("local routing would give one pod {factor} its share of the load; at most 1.20 × is planned.")
            }
            Self::TooFewPods => "local routing needs at least two ready pods behind the Service.".to_owned(),
            Self::RoutingOverridden { by } => format!("{by} decides its routing."),
            Self::SmallGain => "the gain is within the noise or not worth the moves.".to_owned(),
            Self::MoveLimit { limit } => format!("the policy allows {limit} moves in one plan, and these are used."),
            Self::Headroom {
                node,
                resource,
                percent,
                most,
            } => format!(
                "{node} has room by requests, but its pods would use {percent} % of its {resource}, as measured; at most {most} % is \
                 planned."
            ),
            Self::Costly { payback } => format!(
                "what it brings in {} is less than its pods cost until they have started and are warm.",
                in_words(*payback)
            ),
            Self::NotEnoughData => "not enough requests were measured yet.".to_owned(),
            Self::PressureFirst => "starved pods come first: what distance costs shows once they run.".to_owned(),
            Self::Unrelieved { why } => why.sentence(),
            Self::Unmerged { why } => why.sentence(),
            Self::Kept { why } => why.sentence(),
            Self::NoCellRight => {
                "its new pods follow its neighbour's instead of having nodes of their own to prefer (a cell): Huddle may label no \
                 nodes for this namespace."
                    .to_owned()
            }
            Self::CellTooWide { nodes, most } => format!(
                "its new pods follow its neighbour's instead of having nodes of their own to prefer (a cell): it stands on {nodes} \
                 nodes, and a cell has at most {most}."
            ),
        }
    }
}

impl Refusal {
    /// For people, with the names.
    pub fn sentence(&self) -> String {
        match (&self.with, &self.reason) {
            (Some(with), RefusalReason::Unmerged { why }) => {
                format!("{} does not join the pods of {with}: {}", self.workload, why.sentence())
            }
            (Some(with), _) => format!(
                "{} is not brought closer to {with}: {}",
                self.workload,
                self.reason.sentence()
            ),
            (None, _) => format!("{}: {}", self.workload, self.reason.sentence()),
        }
    }
}
