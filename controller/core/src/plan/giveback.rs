//! Giving back: who has been watched for long and used little of what it may gets less, a small step at a time.

use super::figures::{highest, lowest, undercut};
use super::resize::{STEPS, is_guaranteed};
use super::sizing::{GRAIN, MARGIN, grained};
use super::{Action, PlaceForm, Plan, Refusal, RefusalReason, permission};
use crate::cluster::{ClusterView, Compute, Container, GiveBack, NamespacePolicy, Pod, Sizing, Workload};
use crate::diagnose::{Cause, Finding};
use crate::graph::Snapshot;
use crate::id::{ContainerName, EdgeId, WorkloadId, WorkloadKind};
use crate::time::{Span, Timestamp};
use crate::units::{Bytes, Millicores, Ratio};
use crate::usage::{Habit, Habits, Stops};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Part of the policy's floor (`give_back_floor`, of what it mostly stays under) that counts for the highest use of the window. Less than the
/// whole, since nobody stays at a peak for long. Chosen by the replay at the default floor, of 0.45, 0.55, 0.65 and 0.8: with
/// less, what it adds to the throttling of bursts doubles and doubles again; with 0.8, bursts keep nine tenths of their slack and more.
const OF_ITS_PEAK: f64 = 0.65;
/// How far ahead its growth is reckoned, in halves of a window, each of which brought as much. Chosen: what is lowered today is looked at
/// anew within a window, and undone within another.
const AHEAD: f64 = 3.0;
/// What a memory limit stands above the highest working set, as a factor. Chosen, and more than for cpu: what is short of cpu is late,
/// what is short of memory is killed.
const MEMORY: f64 = 1.3;
/// Memory that grows by more from the first half of the window to the second is a leak, or growth that has not ended: none is given back.
const GROWS: f64 = 0.05;
/// Share of throttled periods from which on nothing is given back: what a limit that was raised is meant to leave (`sizing`).
const CALM: f64 = 0.01;
/// Throttled periods (100 ms) of a pod in a window that a lowered limit may be expected to bring: of a week's six million, six seconds. By
/// the replay, of 30, 60 and 120: with 30 a floor of 200 % no longer halves the slack, with 120 a quarter more is throttled there.
const FEW: f64 = 60.0;
/// Where a window is too short for so few to be a share of it that means anything: no more than noise.
const NOISE: f64 = 0.001;
/// Throttled share in the interval and pod in which it is used most. Chosen: an interval has a hundred periods, and if none of them was
/// throttled, no less is shown.
const AT_ITS_HEIGHT: f64 = 0.025;
/// A step by less, as a share of the figure, is not worth one.
const WORTH: f64 = 0.05;
/// After a step the container is watched for this part of the window (a day of a week) before the next.
const REST: u64 = 7;
/// Milliseconds of a scheduling period (`cpu.cfs_period_us`, which the kubelet sets to 100 ms).
const PERIOD: u64 = 100;
const MEBI: u64 = 1 << 20;

/// What is to be done.
pub(super) struct Chosen {
    given: GivenBack,
    actions: Vec<Action>,
    restarted: u64,
}

/// What is given back of one container of a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GivenBack {
    /// Whose.
    pub workload: WorkloadId,
    /// Which container.
    pub container: ContainerName,
    /// In how many running pods.
    pub pods: u64,
    /// Calls to it, which must not suffer.
    pub edges: Vec<EdgeId>,
    /// For how long it was watched.
    pub watched: Span,
    /// Cpu used in the interval in which a pod used most.
    pub cpu_peak: Millicores,
    /// Cpu that it stayed under in 95 % of the time.
    pub cpu_high: Millicores,
    /// The largest working set.
    pub memory_peak: Bytes,
    /// Share of the periods in which its limit stopped it, since it has that limit.
    pub throttled: Ratio,
    /// The figures that change, as they are.
    pub before: Sizing,
    /// As they will be.
    pub after: Sizing,
}

/// Why more than is needed is kept. A closed set: label, JSON and sentence come from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "why", rename_all_fields = "camelCase")]
pub enum Kept {
    /// It has not been watched for so long as the policy wants. A controller that was restarted watches anew.
    NotWatched {
        /// Which container.
        container: ContainerName,
        /// For how long it was.
        watched: Span,
        /// For how long it is to be.
        wanted: Span,
    },
    /// Its figures were changed a short while ago.
    Unsettled {
        /// Which container.
        container: ContainerName,
        /// How long it is still to be watched with them.
        left: Span,
    },
    /// It, or who calls it or is called by it, lacks something, or did since it has its figures.
    Strained {
        /// Which container.
        container: ContainerName,
    },
    /// It is used: not enough is left for a step.
    InUse {
        /// Which container.
        container: ContainerName,
        /// The cpu limit below which it would be stopped.
        floor: Millicores,
    },
    /// Somebody else decides over its cpu.
    Owned {
        /// Who.
        by: String,
        /// Which container.
        container: ContainerName,
    },
    /// Its `resizePolicy` restarts it.
    Restarting {
        /// Which container.
        container: ContainerName,
    },
    /// One workload at a time.
    Turn {
        /// Which container.
        container: ContainerName,
    },
    /// One plan takes no more steps.
    TooManyPods {
        /// How many.
        steps: u64,
    },
    /// It uses what is reserved for it: not enough is left for a step.
    Reserved {
        /// Which container.
        container: ContainerName,
        /// The cpu request below which it would use more than is reserved.
        floor: Millicores,
    },
}

/// The plan that gives back, of the workload of which most is; the refusals alone where nothing is. Only of workloads that are called:
/// else nobody could tell whether it harms.
pub(super) fn give_back(
    snapshot: &Snapshot,
    findings: &[Finding],
    habits: &Habits,
    cluster: &ClusterView,
    at: Timestamp,
) -> (Option<Chosen>, Vec<Refusal>) {
    let mut edges: BTreeMap<&WorkloadId, Vec<&EdgeId>> = BTreeMap::new();
    for edge in snapshot.edges.keys() {
        edges.entry(&edge.destination).or_default().push(edge);
    }
    let strained = strained(findings);
    let (mut found, mut refusals) = (Vec::new(), Vec::new());
    for (id, edges) in edges {
        let Some(workload) = cluster.workloads.get(id) else {
            continue;
        };
        for name in workload.template.keys() {
            let Some(lessening) = Lessening::of(cluster, workload, name) else {
                continue;
            };
            let habit = habits.of(id, name, at).unwrap_or_default();
            let why = match lessening.given(&habit, strained.contains(id), &edges, at) {
                Ok(given) => {
                    found.push(given);
                    continue;
                }
                Err(why) => why,
            };
            refusals.push(refused(id, why));
        }
    }
    found.sort_by(|a: &Chosen, b| b.given.cores().total_cmp(&a.given.cores()));
    let mut found = found.into_iter();
    let chosen = found.next();
    let later = found.map(|Chosen { given, .. }| {
        refused(
            &given.workload,
            Kept::Turn {
                container: given.container,
            },
        )
    });
    refusals.extend(later);
    (chosen, refusals)
}

fn refused(workload: &WorkloadId, why: Kept) -> Refusal {
    Refusal {
        workload: workload.clone(),
        with: None,
        reason: RefusalReason::Kept { why },
    }
}

/// Workloads that are under pressure, their callers and their callees.
fn strained(findings: &[Finding]) -> BTreeSet<&WorkloadId> {
    let pressed = findings
        .iter()
        .filter(|finding| matches!(finding.cause, Cause::Pressure { .. }));
    let pressed: BTreeSet<&WorkloadId> = pressed.map(|finding| &finding.edge.destination).collect();
    let near = findings.iter().flat_map(|finding| {
        let (source, destination) = (&finding.edge.source, &finding.edge.destination);
        let by = pressed.contains(source).then_some(destination);
        let of = pressed.contains(destination).then_some(source);
        by.into_iter().chain(of)
    });
    pressed.iter().copied().chain(near).collect()
}

impl GivenBack {
    /// Cpu limits given back over all its pods, in cores; where no limit changes, requests.
    pub fn cores(&self) -> f64 {
        let (limits, requests, _) = self.saved();
        limits.0.max(requests.0) as f64 / 1000.0
    }
    /// Memory requests given back over all its pods.
    pub fn memory_reserved(&self) -> Bytes {
        let (before, after) = (self.before.requests.memory, self.after.requests.memory);
        let less = before
            .zip(after)
            .map(|(before, after)| before.0.saturating_sub(after.0));
        Bytes(less.unwrap_or(0).saturating_mul(self.pods))
    }
    /// What is given back over all its pods: of cpu limits, of cpu requests, of memory limits.
    pub fn saved(&self) -> (Millicores, Millicores, Bytes) {
        let less = |before: Option<u64>, after: Option<u64>| match (before, after) {
            (Some(before), Some(after)) => before.saturating_sub(after).saturating_mul(self.pods),
            (None | Some(_), None) | (None, Some(_)) => 0,
        };
        let cpu = |before: &Compute, after: &Compute| {
            Millicores(less(before.cpu.map(|cpu| cpu.0), after.cpu.map(|cpu| cpu.0)))
        };
        let memory = |compute: &Compute| compute.memory.map(|memory| memory.0);
        (
            cpu(&self.before.limits, &self.after.limits),
            cpu(&self.before.requests, &self.after.requests),
            Bytes(less(memory(&self.before.limits), memory(&self.after.limits))),
        )
    }
}

/// A container that may be given less.
struct Lessening<'a> {
    workload: &'a Workload,
    container: &'a ContainerName,
    pods: Vec<(&'a Pod, &'a Container)>,
    /// What its pods have at most, figure by figure.
    today: Sizing,
    /// What its template says.
    template: Sizing,
    guaranteed: bool,
    policy: NamespacePolicy,
}

impl<'a> Lessening<'a> {
    /// `None` where it is not Huddle's to give anything of it back, or nothing was given that could be. Where rules are written into
    /// templates, nothing is: it would take a roll-out each time, to save some slack.
    fn of(cluster: &'a ClusterView, workload: &'a Workload, container: &'a ContainerName) -> Option<Self> {
        let id = &workload.id;
        let policy = cluster.policy(&id.namespace);
        let ours = id.kind == WorkloadKind::Deployment && policy.form == PlaceForm::Admission;
        if !ours || policy.give_back == GiveBack::Never || permission::untouchable(cluster, id).is_some() {
            return None;
        }
        let all: Vec<&Pod> = cluster.pods_of(id).collect();
        if workload.rolling || all.is_empty() || all.len() as u64 != workload.replicas {
            return None;
        }
        let sized = |pod: &'a Pod| {
            let found = pod.containers.iter().find(|known| &known.name == container);
            found.filter(|_| pod.node.is_some()).map(|known| (pod, known))
        };
        let pods: Vec<_> = all.iter().filter_map(|pod| sized(pod)).collect();
        if pods.len() != all.len() {
            return None;
        }
        let template = *workload.template.get(container)?;
        let mut today = Sizing::default();
        for (_, known) in &pods {
            today = highest(today, known.sizing());
        }
        let guaranteed = pods.iter().all(|(pod, _)| is_guaranteed(pod));
        let mixed = !guaranteed && pods.iter().any(|(pod, _)| is_guaranteed(pod));
        // A figure that its template does not have is not Huddle's, and no rule changes it.
        let more = |today: &Compute, template: &Compute| {
            let cpu = today
                .cpu
                .zip(template.cpu)
                .is_some_and(|(today, template)| today > template);
            let memory = today.memory.zip(template.memory);
            cpu || (policy.give_back_memory && memory.is_some_and(|(today, template)| today > template))
        };
        let given = more(&today.limits, &template.limits) || more(&today.requests, &template.requests);
        let wanted = !mixed && (given || policy.give_back.requests_below_template());
        wanted.then_some(Self {
            workload,
            container,
            pods,
            today,
            template,
            guaranteed,
            policy,
        })
    }

    fn given(&self, habit: &Habit, strained: bool, edges: &[&EdgeId], at: Timestamp) -> Result<Chosen, Kept> {
        let container = || self.container.clone();
        let window = self.policy.give_back_after;
        if habit.watched < window {
            return Err(Kept::NotWatched {
                container: container(),
                watched: habit.watched,
                wanted: window,
            });
        }
        let rest = if habit.raised { window } else { Span(window.0 / REST) };
        if habit.steady < rest {
            return Err(Kept::Unsettled {
                container: container(),
                left: Span(rest.0 - habit.steady.0),
            });
        }
        let throttled = habit.stops.share();
        // A count of kills goes with the container that was killed; its pod still tells of the last one.
        let since = at.minus(window);
        let mut containers = self.pods.iter().map(|(_, known)| known);
        let killed = habit.kills > 0 || containers.any(|known| known.killed.is_some_and(|killed| killed >= since));
        if strained || killed || throttled.get() >= CALM {
            return Err(Kept::Strained { container: container() });
        }
        if let Some(by) = &self.workload.cpu_owner {
            return Err(Kept::Owned {
                by: by.to_string(),
                container: container(),
            });
        }
        if self.pods.len() > STEPS {
            return Err(Kept::TooManyPods { steps: STEPS as u64 });
        }
        let after = self.after(habit);
        let changed = after.beyond(&self.today);
        if changed.is_empty() {
            return Err(self.in_use(habit));
        }
        let cpu = changed.limits.cpu.is_some() || changed.requests.cpu.is_some();
        let memory = changed.limits.memory.is_some() || changed.requests.memory.is_some();
        let restarts = |known: &Container| (cpu && known.restarts_for_cpu) || (memory && known.restarts_for_memory);
        let restarts = self.pods.iter().any(|(_, known)| restarts(known));
        if restarts && !self.policy.resize_restarts {
            return Err(Kept::Restarting { container: container() });
        }
        let actions = self.actions(&changed);
        let pods = actions.len() as u64 - 1;
        let given = GivenBack {
            workload: self.workload.id.clone(),
            container: container(),
            pods,
            edges: edges.iter().map(|edge| (*edge).clone()).collect(),
            watched: habit.watched,
            cpu_peak: habit.cpu_peak,
            cpu_high: habit.cpu_high,
            memory_peak: habit.memory_peak,
            throttled,
            before: self.today.beyond(&after),
            after: changed,
        };
        Ok(Chosen {
            given,
            actions,
            restarted: if restarts { pods } else { 0 },
        })
    }

    /// Not enough is left for a step: of what it reserves, where its limit is not in question.
    fn in_use(&self, habit: &Habit) -> Kept {
        let container = self.container.clone();
        let limits = self.limits_below() || self.today.limits.cpu > self.template.limits.cpu;
        if limits || self.template.requests.cpu.is_none() {
            let floor = self.floor(habit);
            Kept::InUse { container, floor }
        } else {
            let floor = self.reserved(habit);
            Kept::Reserved { container, floor }
        }
    }

    /// Whether its cpu limit may go below its template's. A limit reserves nothing: lowering it leaves nobody more. Of a Guaranteed pod
    /// it has to go with the request.
    fn limits_below(&self) -> bool {
        let below = self.policy.give_back;
        below.limits_below_template() || (self.guaranteed && below.requests_below_template())
    }

    /// The lowest cpu request that covers what it uses in 95 % of the time, with growth as for a limit. VPA's target is p90 and 15 % above
    /// it (facts/loop.md A5).
    fn reserved(&self, habit: &Habit) -> Millicores {
        let ahead = 1.0 + AHEAD * habit.cpu_growth;
        grained((habit.cpu_high.0 as f64 * MARGIN * ahead).ceil() as u64)
    }

    /// The lowest cpu limit that is safe by what was seen: so far above what it stays under mostly as the policy says, and above the highest
    /// use, both the more if it grew; and where the tail of its demand leaves next to nothing throttled, over the window as a whole and at
    /// its height.
    ///
    /// Why not by the tail alone: within a period (100 ms) demand is many times the mean of an interval, and a week in which no period was
    /// throttled shows only that less than one in six million is. What lies below that, a multiple of use has to cover; docs/results/pressure.md
    /// has the curve.
    fn floor(&self, habit: &Habit) -> Millicores {
        let limit = habit.limits.cpu.unwrap_or_default().0 as f64;
        let height = habit.cpu_peak.0 as f64;
        let floor = self.policy.give_back_floor as f64 / 100.0;
        let ahead = 1.0 + AHEAD * habit.cpu_growth;
        let peak = height * MARGIN.max(floor * OF_ITS_PEAK) * ahead;
        let steady = habit.cpu_high.0 as f64 * floor * ahead;
        let log = |stops: Stops| stops.possible().get().ln().min(-f64::EPSILON);
        // All of the window: demand with an exponential tail, as in `sizing::limit_for`.
        let periods = (self.policy.give_back_after.0 / PERIOD).max(1) as f64;
        let tail = limit * (FEW / periods).min(NOISE).ln() / log(habit.stops);
        // At its height the mean is known, and the tail begins there: P(demand > x) = share^((x − mean) ÷ (limit − mean)).
        let top = height + (limit - height).max(0.0) * AT_ITS_HEIGHT.ln() / log(habit.worst);
        grained(peak.max(steady).max(tail).max(top).ceil() as u64)
    }

    /// One step down from `today`, not below `floor`; `today` where that is not worth a step. What was given is given back to the last.
    /// `below`: the template's figure is no bound.
    fn step(&self, today: u64, template: u64, floor: u64, grain: u64, below: bool) -> u64 {
        let step = today as f64 * (100 - self.policy.give_back_step.min(100)) as f64 / 100.0;
        let step = (step.ceil() as u64).div_ceil(grain).saturating_mul(grain);
        let to = if below || today <= template {
            step.max(floor)
        } else {
            step.max(floor).max(template)
        };
        let worth = today.saturating_sub(to) as f64 >= today as f64 * WORTH;
        let last = to == template && to < today;
        if (worth && (below || today > template)) || last {
            to.min(today)
        } else {
            today
        }
    }

    /// The figures then.
    fn after(&self, habit: &Habit) -> Sizing {
        let mut after = self.today;
        let cpu = |cpu: Option<Millicores>| cpu.map_or(0, |cpu| cpu.0);
        let (limit, request) = (cpu(self.today.limits.cpu), cpu(self.today.requests.cpu));
        let mut limit_to = limit;
        if self.template.limits.cpu.is_some() {
            let (template, floor) = (cpu(self.template.limits.cpu), self.floor(habit).0);
            limit_to = self.step(limit, template, floor, GRAIN, self.limits_below());
        }
        let mut request_to = request;
        if self.guaranteed {
            request_to = limit_to;
        } else if self.template.requests.cpu.is_some() {
            let (template, floor) = (cpu(self.template.requests.cpu), self.reserved(habit).0);
            let below = self.policy.give_back.requests_below_template();
            request_to = self.step(request, template, floor, GRAIN, below);
        }
        // A request above its limit is none, and figures that become equal are another QoS class.
        let least = if request < limit {
            request_to.saturating_add(1)
        } else {
            request_to
        };
        if !self.guaranteed && self.today.limits.cpu.is_some() {
            limit_to = limit_to.max(grained(least).0).min(limit);
        }
        after.limits.cpu = self.today.limits.cpu.map(|_| Millicores(limit_to));
        after.requests.cpu = self.today.requests.cpu.map(|_| Millicores(request_to));
        self.memory(habit, &mut after);
        after
    }

    /// Limit and request. The request never goes below the peak: under want of memory the node first evicts who uses more than it asked for.
    fn memory(&self, habit: &Habit, after: &mut Sizing) {
        let (Some(today), Some(template)) = (self.today.limits.memory, self.template.limits.memory) else {
            return;
        };
        if !self.policy.give_back_memory || habit.memory_growth > GROWS || habit.memory_peak.0 == 0 {
            return;
        }
        let below = self.policy.give_back.requests_below_template();
        let whole = |bytes: u64| bytes.div_ceil(MEBI).saturating_mul(MEBI);
        let floor = whole((habit.memory_peak.0 as f64 * MEMORY).ceil() as u64);
        if self.guaranteed {
            let to = Bytes(self.step(today.0, template.0, floor, MEBI, below));
            (after.limits.memory, after.requests.memory) = (Some(to), Some(to));
            return;
        }
        let mut asked = self.today.requests.memory.unwrap_or_default().0;
        if let (Some(today), Some(template)) = (self.today.requests.memory, self.template.requests.memory) {
            asked = self.step(today.0, template.0, floor, MEBI, below);
            after.requests.memory = Some(Bytes(asked));
        }
        let floor = floor.max(whole(asked.saturating_add(1)));
        let to = self.step(today.0, template.0, floor, MEBI, below);
        after.limits.memory = Some(Bytes(to));
    }

    /// The rule for pods to come, then the pods one by one. A pod that has less already keeps it.
    fn actions(&self, to: &Sizing) -> Vec<Action> {
        let mut actions = vec![self.rule(to)];
        for (pod, known) in &self.pods {
            let from = known.sizing();
            let then = lowest(from, *to);
            if then != from {
                actions.push(Action::Resize {
                    workload: self.workload.id.clone(),
                    pod: pod.uid.clone(),
                    pod_name: pod.name.clone(),
                    container: self.container.clone(),
                    from,
                    to: then,
                });
            }
        }
        actions
    }

    /// Above the template it says how much at least, as every rule of sizes. Below, it says instead of what: of what is lowered and of what
    /// goes with it, so that a pod never comes with a limit below its request.
    fn rule(&self, to: &Sizing) -> Action {
        // A rule that asks says up to what, too.
        let mut all = *to;
        if to.requests.cpu.is_some() {
            all.limits.cpu = to.limits.cpu.or(self.today.limits.cpu);
        }
        if to.requests.memory.is_some() {
            all.limits.memory = to.limits.memory.or(self.today.limits.memory);
        }
        let (template, mut instead) = (&self.template, Sizing::default());
        instead.limits = undercut(&template.limits, &all.limits);
        instead.requests = undercut(&template.requests, &all.requests);
        if instead.limits.cpu.is_some() && all.requests.cpu.is_none() {
            (instead.requests.cpu, all.requests.cpu) = (template.requests.cpu, template.requests.cpu);
        }
        if instead.limits.memory.is_some() && all.requests.memory.is_none() {
            (instead.requests.memory, all.requests.memory) = (template.requests.memory, template.requests.memory);
        }
        // A limit that stays as the template says it goes with what is lowered below it: an owner who writes another one is heard.
        if instead.requests.cpu.is_some() && all.limits.cpu == template.limits.cpu {
            instead.limits.cpu = template.limits.cpu;
        }
        if instead.requests.memory.is_some() && all.limits.memory == template.limits.memory {
            instead.limits.memory = template.limits.memory;
        }
        Action::Size {
            workload: self.workload.id.clone(),
            container: self.container.clone(),
            to: all,
            instead,
            form: PlaceForm::Admission,
        }
    }
}

/// The plan of what was chosen.
pub(super) fn plan_of(chosen: Chosen, refusals: Vec<Refusal>, at: Timestamp) -> Plan {
    let Chosen {
        given,
        actions,
        restarted,
    } = chosen;
    Plan {
        at,
        actions,
        expected: Vec::new(),
        relief: Vec::new(),
        because: Vec::new(),
        saved: given.cores(),
        given_back: vec![given],
        merging: Vec::new(),
        spread: Vec::new(),
        refusals,
        pods_restarted: restarted,
    }
}
