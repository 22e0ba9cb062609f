//! Pressure: the pods whose cpu limit stops them get more, in place, and so do the pods to come; or through their template, where rules are
//! written into templates.

use super::relief::{Relief, Unrelieved};
use super::sizing::{limit_for, throttled_at, within};
use super::{Action, PlaceForm, Plan, Refusal, RefusalReason, in_template, more, permission};
use crate::cluster::{
    AtStart, ClusterView, Compute, Container, NamespacePolicy, Node, Pod, Resources, Sizing, Workload,
};
use crate::diagnose::{Cause, Finding, Lack};
use crate::id::{ContainerName, NodeName, WorkloadId, WorkloadKind};
use crate::time::{Span, Timestamp};
use crate::units::{Micros, Millicores, Ratio};
use std::collections::BTreeMap;

/// Most steps of one plan; the schema takes 500.
pub(super) const STEPS: usize = 400;
/// A raise by less, as a share of what was, is not worth a step.
const WORTH: f64 = 0.10;
/// Share of a node's cpu that no raised request takes: what comes up there next needs room too.
const HEADROOM: f64 = 0.10;

/// How long a limit is watched before another is reckoned from it. The size follows the logarithm of the share of throttled periods, and
/// work that is left over from one period throttles the next: three pairs on the bed, sized after 10 to 16 s, got limits of 260m to 440m for
/// the same load, by a share of 15 % where it was 40 % (docs/results/pressure.md). Of 300 independent
/// periods a share of 40 % is known to 2.8 points (√(0.4 · 0.6 ÷ 300)).
const SETTLED: Span = Span::seconds(30);

/// What the findings say of one container whose limit stops it, all edges into its workload together.
struct Starved<'a> {
    findings: Vec<&'a Finding>,
    throttled: Ratio,
    peak: Millicores,
    /// The limit that it was measured under.
    limit: Option<Millicores>,
    cost: f64,
}

/// The plan for pods that are starved; the refusals alone where none can be helped.
pub(super) fn relieve(findings: &[Finding], cluster: &ClusterView, at: Timestamp) -> Plan {
    let mut plan = Plan {
        at,
        actions: Vec::new(),
        expected: Vec::new(),
        relief: Vec::new(),
        given_back: Vec::new(),
        merging: Vec::new(),
        spread: Vec::new(),
        refusals: Vec::new(),
        pods_restarted: 0,
        because: Vec::new(),
        saved: 0.0,
    };
    if !findings
        .iter()
        .any(|finding| matches!(finding.cause, Cause::Pressure { .. }))
    {
        return plan;
    }
    let starved = starved(findings);
    let mut order: Vec<_> = starved.iter().collect();
    order.sort_by(|a, b| b.1.cost.total_cmp(&a.1.cost).then_with(|| a.0.cmp(b.0)));
    let mut rooms = Rooms::of(cluster);
    for ((workload, container), starved) in order {
        let sized = Resizing::of(cluster, workload, container, starved, at).and_then(|it| it.sized(&mut rooms.cpu));
        match sized {
            Ok(sized) if plan.actions.len() + sized.actions.len() <= STEPS => {
                plan.pods_restarted += sized.restarted;
                plan.saved += saved(starved, sized.to);
                let at_start = sized.at_start.as_ref();
                plan.relief.extend(reliefs(starved, container, sized.to, at_start));
                plan.actions.extend(sized.actions);
            }
            Ok(_) => plan.refusals.push(refused(
                workload,
                unrelieved(Unrelieved::PlanFull { steps: STEPS as u64 }),
            )),
            Err(reason) => plan.refusals.push(refused(workload, reason)),
        }
    }
    more::relieve(findings, cluster, &mut rooms, &mut plan, STEPS);
    plan
}

/// What a plan of this kind would save by other findings than those it was made of, in served seconds per second.
pub(super) fn relieved_now(plan: &Plan, findings: &[Finding]) -> f64 {
    let starved = starved(findings);
    let sizes = plan.actions.iter().filter_map(|action| match action {
        Action::Size {
            workload,
            container,
            to,
            ..
        } => Some((starved.get(&(workload, container))?, to.limits.cpu?)),
        Action::Place { .. }
        | Action::Move { .. }
        | Action::Route { .. }
        | Action::Resize { .. }
        | Action::Withdraw { .. }
        | Action::Cell { .. }
        | Action::Merge { .. } => None,
    });
    sizes.map(|(starved, to)| saved(starved, to)).sum::<f64>() + more::relieved_now(plan, findings)
}

pub(super) fn refused(workload: &WorkloadId, reason: RefusalReason) -> Refusal {
    Refusal {
        workload: workload.clone(),
        with: None,
        reason,
    }
}

pub(super) fn unrelieved(why: Unrelieved) -> RefusalReason {
    RefusalReason::Unrelieved { why }
}

fn starved(findings: &[Finding]) -> BTreeMap<(&WorkloadId, &ContainerName), Starved<'_>> {
    let mut starved: BTreeMap<(&WorkloadId, &ContainerName), Starved<'_>> = BTreeMap::new();
    for finding in findings {
        let Cause::Pressure {
            container,
            lack: Lack::CpuLimit,
            share,
            cpu_peak,
            cpu_limit,
            ..
        } = &finding.cause
        else {
            continue;
        };
        let one = starved
            .entry((&finding.edge.destination, container))
            .or_insert_with(|| Starved {
                findings: Vec::new(),
                throttled: Ratio::ZERO,
                peak: Millicores(0),
                limit: None,
                cost: 0.0,
            });
        one.findings.push(finding);
        one.throttled = Ratio::clamped(one.throttled.get().max(share.get()));
        one.peak = one.peak.max(*cpu_peak);
        one.limit = one.limit.max(*cpu_limit);
        one.cost += finding.cost.max(0.0);
    }
    starved
}

/// What is saved: the cost of what is stopped, as far as it will be stopped less often.
fn saved(starved: &Starved<'_>, to: Millicores) -> f64 {
    let left = starved
        .limit
        .map_or(starved.throttled, |limit| throttled_at(limit, starved.throttled, to));
    let share = left.get() / starved.throttled.get().max(f64::MIN_POSITIVE);
    starved.cost * (1.0 - share).clamp(0.0, 1.0)
}

fn reliefs<'a>(
    starved: &'a Starved<'_>,
    container: &'a ContainerName,
    to: Millicores,
    at_start: Option<&'a AtStart>,
) -> impl Iterator<Item = Relief> + 'a {
    starved.findings.iter().filter_map(move |finding| {
        let Cause::Pressure {
            share,
            cpu_limit,
            served_p50,
            served_p99,
            calm_p99,
            ..
        } = &finding.cause
        else {
            return None;
        };
        let after = throttled_at((*cpu_limit)?, *share, to);
        // Nothing is known to be served faster at p99 than calm calls are; without any, than half of all calls are today.
        let low = calm_p99.unwrap_or(*served_p50).min(*served_p99);
        let tail = served_p99.0.saturating_sub(low.0) as f64;
        let left = after.get() / share.get().max(f64::MIN_POSITIVE);
        Some(Relief {
            edge: finding.edge.clone(),
            container: container.clone(),
            throttled_before: *share,
            throttled_after: after,
            served_p99_before: *served_p99,
            served_p99: (low, Micros(low.0 + (tail * left.clamp(0.0, 1.0)).round() as u64)),
            at_start: at_start.cloned(),
            lack: Lack::CpuLimit,
        })
    })
}

/// What raised figures may take, by node.
pub(super) struct Rooms {
    /// Of cpu, in thousandths.
    pub(super) cpu: Room,
    /// Of memory, in bytes.
    pub(super) memory: Room,
}

impl Rooms {
    fn of(cluster: &ClusterView) -> Self {
        let mut asked: BTreeMap<&NodeName, Resources> = BTreeMap::new();
        for pod in cluster.pods.values() {
            if let Some(node) = &pod.node {
                asked.entry(node).or_default().add(&pod.requests);
            }
        }
        let room = |amount: fn(&Resources) -> u64| {
            let free = |(name, node): (&NodeName, &Node)| {
                let usable = (amount(&node.allocatable) as f64 * (1.0 - HEADROOM)) as u64;
                let free = usable.saturating_sub(asked.get(name).map_or(0, amount));
                (name.clone(), free)
            };
            Room(cluster.nodes.iter().map(free).collect())
        };
        Self {
            cpu: room(|resources| resources.cpu.0),
            memory: room(|resources| resources.memory.0),
        }
    }
}

/// What may be taken of one resource, by node: what its pods do not ask for, less the headroom.
pub(super) struct Room(BTreeMap<NodeName, u64>);

impl Room {
    pub(super) fn at(&self, node: &NodeName) -> u64 {
        self.0.get(node).copied().unwrap_or(0)
    }
    pub(super) fn take(&mut self, node: &NodeName, amount: u64) {
        if let Some(room) = self.0.get_mut(node) {
            *room = room.saturating_sub(amount);
        }
    }
}

/// A workload whose containers may be resized: a whole Deployment that is Huddle's to touch.
pub(super) struct Eligible<'a> {
    pub(super) workload: &'a Workload,
    pub(super) policy: NamespacePolicy,
    /// The container in every pod.
    pub(super) containers: Vec<(&'a Pod, &'a NodeName, &'a Container)>,
    /// What the template says of it, where the figures are written there.
    pub(super) template: Option<Sizing>,
}

impl<'a> Eligible<'a> {
    pub(super) fn of(
        cluster: &'a ClusterView,
        id: &'a WorkloadId,
        name: &'a ContainerName,
    ) -> Result<Self, RefusalReason> {
        let workload = cluster.workloads.get(id);
        let workload = workload.filter(|_| id.kind == WorkloadKind::Deployment);
        let Some(workload) = workload else {
            return Err(unrelieved(Unrelieved::NotDeployment));
        };
        if let Some(reason) = permission::unsizable(cluster, id) {
            return Err(reason);
        }
        let policy = cluster.policy(&id.namespace);
        let template = match policy.form {
            PlaceForm::Admission => None,
            PlaceForm::Template if !policy.template_sizes => return Err(unrelieved(Unrelieved::Templates)),
            PlaceForm::Template => {
                let container = name.clone();
                let injected = || unrelieved(Unrelieved::NotInTemplate { container });
                Some(*workload.template.get(name).ok_or_else(injected)?)
            }
        };
        let all: Vec<&Pod> = cluster.pods_of(id).collect();
        if workload.rolling || all.len() as u64 != workload.replicas {
            return Err(RefusalReason::Rolling);
        }
        let mut containers = Vec::new();
        for pod in all {
            let sized = pod.containers.iter().find(|container| &container.name == name);
            let (Some(node), Some(sized)) = (&pod.node, sized) else {
                return Err(RefusalReason::Rolling);
            };
            containers.push((pod, node, sized));
        }
        Ok(Self {
            workload,
            policy,
            containers,
            template,
        })
    }
}

/// A container to be resized in all pods of its workload.
struct Resizing<'a> {
    workload: &'a WorkloadId,
    container: &'a ContainerName,
    pods: Vec<(&'a Pod, &'a NodeName, &'a Container)>,
    /// Its limit in the pod that has least.
    least: Millicores,
    /// What its tail asks for.
    wanted: Millicores,
    policy: NamespacePolicy,
    /// What the template says of it, where the figures are written there.
    template: Option<Sizing>,
}

/// The steps for one container.
struct Sized {
    actions: Vec<Action>,
    to: Millicores,
    restarted: u64,
    /// What shows, in any of the pods, that it reads its limits only as it starts, where it is not restarted for them.
    at_start: Option<AtStart>,
}

impl<'a> Resizing<'a> {
    fn of(
        cluster: &'a ClusterView,
        id: &'a WorkloadId,
        name: &'a ContainerName,
        starved: &Starved<'_>,
        at: Timestamp,
    ) -> Result<Self, RefusalReason> {
        let container = || name.clone();
        let raised = || unrelieved(Unrelieved::Raised { container: container() });
        let Eligible {
            workload,
            policy,
            containers,
            template,
        } = Eligible::of(cluster, id, name)?;
        let limited = |(_, _, sized): &(&Pod, &NodeName, &Container)| sized.limits.cpu.is_some();
        let pods: Vec<_> = containers.into_iter().filter(limited).collect();
        let least = pods.iter().filter_map(|(_, _, sized)| sized.limits.cpu).min();
        let measured = starved.limit.or(least);
        let (Some(least), Some(measured)) = (least, measured) else {
            return Err(raised());
        };
        let wanted = limit_for(measured, starved.throttled, starved.peak);
        if !is_worth(least.0, wanted.0) {
            return Err(raised());
        }
        if let Some(by) = &workload.cpu_owner {
            return Err(unrelieved(Unrelieved::CpuOwned {
                by: by.to_string(),
                container: container(),
                limit: least,
                wanted: bounded(wanted, least, &policy),
            }));
        }
        let since = pods.iter().map(|(pod, _, sized)| sized.resized.unwrap_or(pod.created));
        if since.max().is_some_and(|since| at < since.plus(SETTLED)) {
            let container = container();
            return Err(unrelieved(Unrelieved::Unsettled {
                container,
                watched: SETTLED,
            }));
        }
        Ok(Self {
            workload: id,
            container: name,
            pods,
            least,
            wanted,
            policy,
            template,
        })
    }

    /// The steps, within the policy and the nodes' room, which they take.
    fn sized(&self, room: &mut Room) -> Result<Sized, RefusalReason> {
        let to = self.figure(room)?;
        let fewer =
            |(_, _, sized): &&(&'a Pod, &'a NodeName, &'a Container)| sized.limits.cpu.is_some_and(|limit| limit < to);
        let raised: Vec<_> = self.pods.iter().filter(fewer).collect();
        let restarts = raised.iter().any(|(_, _, sized)| sized.restarts_for_cpu);
        if restarts && self.template.is_none() && !self.policy.resize_restarts {
            return Err(unrelieved(Unrelieved::Restarts {
                container: self.container.clone(),
                wanted: to,
            }));
        }
        let with_requests = raised.iter().any(|(pod, _, _)| is_guaranteed(pod));
        let (mut actions, restarted) = match &self.template {
            Some(says) => {
                let all = self.pods.iter().map(|(pod, _, sized)| (*sized, is_guaranteed(pod)));
                let figures = figures(to, with_requests);
                let written = in_template::written(self.workload, self.container, says, &figures, all);
                // Every pod is rolled out.
                (vec![written.map_err(unrelieved)?], self.pods.len())
            }
            None => (
                vec![self.rule(to, with_requests)],
                if restarts { raised.len() } else { 0 },
            ),
        };
        for (pod, node, sized) in &raised {
            let from = sized.sizing();
            let mut then = from;
            then.limits.cpu = Some(to);
            if is_guaranteed(pod) {
                then.requests.cpu = Some(to);
                room.take(node, to.0.saturating_sub(from.requests.cpu.map_or(0, |cpu| cpu.0)));
            }
            if self.template.is_none() {
                actions.push(Action::Resize {
                    workload: self.workload.clone(),
                    pod: pod.uid.clone(),
                    pod_name: pod.name.clone(),
                    container: self.container.clone(),
                    from,
                    to: then,
                });
            }
        }
        let mut at_start = raised.iter().filter_map(|(_, _, sized)| sized.at_start.clone());
        Ok(Sized {
            actions,
            to,
            restarted: restarted as u64,
            at_start: at_start.next().filter(|_| restarted == 0),
        })
    }

    /// The limit, within the policy and the nodes' room.
    fn figure(&self, room: &Room) -> Result<Millicores, RefusalReason> {
        let container = || self.container.clone();
        let to = bounded(self.wanted, self.least, &self.policy);
        if !is_worth(self.least.0, to.0) {
            let ceiling = self.policy.max_cpu;
            let container = container();
            return Err(unrelieved(Unrelieved::Ceiling { container, ceiling }));
        }
        let Some((fits, node)) = self.fits(room).filter(|(fits, _)| *fits < to) else {
            return Ok(to);
        };
        if !is_worth(self.least.0, fits.0) {
            let node = node.clone();
            let container = container();
            return Err(unrelieved(Unrelieved::NodeFull { container, node }));
        }
        Ok(fits)
    }

    /// First: a pod that is created while the others are being resized would else come with the old figures and stay so.
    fn rule(&self, to: Millicores, with_requests: bool) -> Action {
        Action::Size {
            workload: self.workload.clone(),
            container: self.container.clone(),
            to: figures(to, with_requests),
            instead: Sizing::default(),
            form: PlaceForm::Admission,
        }
    }

    /// The highest limit that the nodes have room for where requests go with limits, and the node that has least.
    fn fits(&self, room: &Room) -> Option<(Millicores, &'a NodeName)> {
        let mut by_node: BTreeMap<&'a NodeName, (u64, u64)> = BTreeMap::new();
        for (_, node, sized) in self.pods.iter().filter(|(pod, _, _)| is_guaranteed(pod)) {
            let (pods, requests) = by_node.entry(*node).or_default();
            *pods += 1;
            *requests = requests.saturating_add(sized.requests.cpu.map_or(0, |cpu| cpu.0));
        }
        let fits = by_node.into_iter().map(|(node, (pods, requests))| {
            let each = requests.saturating_add(room.at(node)) / pods.max(1);
            (within(Millicores(each)), node)
        });
        fits.min_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(b.1)))
    }
}

/// A cpu limit, and a request that goes with it.
fn figures(to: Millicores, with_requests: bool) -> Sizing {
    let cpu = Compute {
        cpu: Some(to),
        memory: None,
    };
    Sizing {
        requests: if with_requests { cpu } else { Compute::default() },
        limits: cpu,
    }
}

/// What is wanted, within one step and under the ceiling. Who has more already keeps it.
fn bounded(wanted: Millicores, from: Millicores, policy: &NamespacePolicy) -> Millicores {
    let step = within(Millicores(from.0.saturating_mul(policy.cpu_step.max(100)) / 100));
    wanted.min(step).min(within(policy.max_cpu)).max(from)
}

pub(super) fn is_worth(from: u64, to: u64) -> bool {
    to as f64 >= from as f64 * (1.0 + WORTH)
}

/// The pod's QoS class is Guaranteed, as far as its lasting containers show: then requests and limits must stay equal, or the API
/// server refuses the change of class.
pub(super) fn is_guaranteed(pod: &Pod) -> bool {
    let equal = |container: &Container| {
        let Sizing { requests, limits } = container.sizing();
        limits.cpu.is_some() && limits.memory.is_some() && requests == limits
    };
    !pod.containers.is_empty() && pod.containers.iter().all(equal)
}
