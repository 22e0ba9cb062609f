//! Pressure other than a cpu limit: memory up to a higher limit, and a larger share of a busy node by a higher cpu request.
//!
//! The same machinery as for cpu limits ([`super::resize`]): a rule of sizes for the pods to come, then the running pods one by one, or
//! their template instead of both.
//! Nothing is ever lowered.

use super::relief::{Relief, Unrelieved};
use super::resize::{Eligible, Rooms, is_guaranteed, is_worth, refused, unrelieved};
use super::sizing::{memory_for, share_for, whole_mebibytes, within};
use super::{Action, PlaceForm, Plan, RefusalReason, in_template};
use crate::cluster::{AtStart, ClusterView, Container, CpuOwner, Sizing};
use crate::diagnose::{Cause, Finding, Lack};
use crate::id::{ContainerName, NodeName, WorkloadId};
use crate::units::{Bytes, Micros, Millicores, Ratio};
use std::collections::BTreeMap;

/// The figure that is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Figure {
    /// The memory limit.
    Memory,
    /// The cpu request.
    Share,
}

impl Figure {
    fn of(lack: Lack) -> Option<Self> {
        match lack {
            Lack::CpuLimit => None,
            Lack::CpuShare => Some(Self::Share),
            Lack::Memory => Some(Self::Memory),
        }
    }
    fn lack(self) -> Lack {
        match self {
            Self::Memory => Lack::Memory,
            Self::Share => Lack::CpuShare,
        }
    }
    /// What a container has of it: bytes, or thousandths of a processor.
    fn has(self, container: &Container) -> Option<u64> {
        match self {
            Self::Memory => container.limits.memory.map(|Bytes(bytes)| bytes),
            Self::Share => container.requests.cpu.map(|Millicores(cpu)| cpu),
        }
    }
    fn restarts(self, container: &Container) -> bool {
        match self {
            Self::Memory => container.restarts_for_memory,
            Self::Share => container.restarts_for_cpu,
        }
    }
    /// The figures with this one raised; of a Guaranteed pod what is asked for goes with what may be used.
    fn raised(self, mut sizing: Sizing, to: u64, guaranteed: bool) -> Sizing {
        match self {
            Self::Memory => {
                sizing.limits.memory = Some(Bytes(to));
                if guaranteed {
                    sizing.requests.memory = Some(Bytes(to));
                }
            }
            Self::Share => sizing.requests.cpu = Some(Millicores(to)),
        }
        sizing
    }
}

type Key<'a> = (&'a WorkloadId, &'a ContainerName, Figure);

/// What the findings say of one container, all edges into its workload together.
#[derive(Default)]
struct Lacking<'a> {
    findings: Vec<&'a Finding>,
    /// Most of it used: bytes held, or thousandths of a processor.
    peak: u64,
    cost: f64,
}

fn lacking(findings: &[Finding]) -> BTreeMap<Key<'_>, Lacking<'_>> {
    let mut lacking: BTreeMap<Key<'_>, Lacking<'_>> = BTreeMap::new();
    for finding in findings {
        let Cause::Pressure {
            container,
            lack,
            cpu_peak,
            memory_peak,
            ..
        } = &finding.cause
        else {
            continue;
        };
        let Some(figure) = Figure::of(*lack) else {
            continue;
        };
        let peak = match figure {
            Figure::Memory => memory_peak.0,
            Figure::Share => cpu_peak.0,
        };
        let one = lacking
            .entry((&finding.edge.destination, container, figure))
            .or_default();
        one.findings.push(finding);
        one.peak = one.peak.max(peak);
        one.cost += finding.cost.max(0.0);
    }
    lacking
}

/// Adds to a plan what containers get that lack memory or their turn, and the refusals of those that get nothing; `most`: steps that a
/// plan takes.
pub(super) fn relieve(findings: &[Finding], cluster: &ClusterView, rooms: &mut Rooms, plan: &mut Plan, most: usize) {
    let lacking = lacking(findings);
    let mut order: Vec<_> = lacking.iter().collect();
    order.sort_by(|a, b| b.1.cost.total_cmp(&a.1.cost).then_with(|| a.0.cmp(b.0)));
    for ((workload, container, figure), one) in order {
        let sized = |action: &Action| matches!(action, Action::Size { workload: whose, container: which, .. } if whose == *workload && which == *container);
        let done = if plan.actions.iter().any(sized) {
            let container = (*container).clone();
            Err(unrelieved(Unrelieved::OneAtATime { container }))
        } else {
            Raise::of(cluster, workload, container, *figure, one).and_then(|raise| raise.steps(rooms))
        };
        match done {
            Ok(done) if plan.actions.len() + done.actions.len() <= most => {
                plan.pods_restarted += done.restarted;
                plan.saved += one.cost;
                let reliefs = one.findings.iter();
                plan.relief
                    .extend(reliefs.filter_map(|finding| relief(finding, done.at_start.as_ref())));
                plan.actions.extend(done.actions);
            }
            Ok(_) => {
                let steps = most as u64;
                plan.refusals
                    .push(refused(workload, unrelieved(Unrelieved::PlanFull { steps })));
            }
            Err(reason) => plan.refusals.push(refused(workload, reason)),
        }
    }
}

/// What a plan's raises of this kind would save by other findings than those they were made of.
pub(super) fn relieved_now(plan: &Plan, findings: &[Finding]) -> f64 {
    let lacking = lacking(findings);
    let costs = plan.actions.iter().filter_map(|action| match action {
        Action::Size {
            workload,
            container,
            to,
            ..
        } => {
            let figure = match (to.limits.cpu, to.limits.memory) {
                (Some(_), _) => return None,
                (None, Some(_)) => Figure::Memory,
                (None, None) => Figure::Share,
            };
            lacking.get(&(workload, container, figure)).map(|one| one.cost)
        }
        Action::Place { .. }
        | Action::Move { .. }
        | Action::Route { .. }
        | Action::Resize { .. }
        | Action::Withdraw { .. }
        | Action::Cell { .. }
        | Action::Merge { .. } => None,
    });
    costs.sum()
}

/// Nothing is known to be served faster at p99 than calm calls are, and nothing is promised beyond that the lack goes.
fn relief(finding: &Finding, at_start: Option<&AtStart>) -> Option<Relief> {
    let Cause::Pressure {
        container,
        lack,
        share,
        served_p50,
        served_p99,
        calm_p99,
        ..
    } = &finding.cause
    else {
        return None;
    };
    let low: Micros = calm_p99.unwrap_or(*served_p50).min(*served_p99);
    Some(Relief {
        edge: finding.edge.clone(),
        container: container.clone(),
        throttled_before: *share,
        throttled_after: Ratio::ZERO,
        served_p99_before: *served_p99,
        served_p99: (low, *served_p99),
        at_start: at_start.cloned(),
        lack: *lack,
    })
}

/// A figure of a container to be raised in all pods of its workload.
struct Raise<'a> {
    workload: &'a WorkloadId,
    container: &'a ContainerName,
    figure: Figure,
    /// Those that have less, with what they have.
    pods: Vec<(&'a crate::cluster::Pod, &'a NodeName, &'a Container, u64)>,
    to: u64,
    restarts: bool,
    /// What the template says of the container, where the figures are written there.
    template: Option<Sizing>,
    /// All pods of the workload.
    replicas: u64,
}

/// The steps for one container.
struct Done {
    actions: Vec<Action>,
    restarted: u64,
    at_start: Option<AtStart>,
}

impl<'a> Raise<'a> {
    fn of(
        cluster: &'a ClusterView,
        id: &'a WorkloadId,
        name: &'a ContainerName,
        figure: Figure,
        one: &Lacking<'_>,
    ) -> Result<Self, RefusalReason> {
        let Eligible {
            workload,
            policy,
            containers,
            template,
        } = Eligible::of(cluster, id, name)?;
        let replicas = containers.len() as u64;
        let container = || name.clone();
        let other = || {
            unrelieved(Unrelieved::OtherLack {
                container: container(),
                lack: figure.lack(),
            })
        };
        let has = containers
            .iter()
            .filter_map(|(pod, node, sized)| Some((*pod, *node, *sized, figure.has(sized)?)));
        let pods: Vec<_> = has.collect();
        let least = pods.iter().map(|pod| pod.3).min().ok_or_else(other)?;
        let wanted = match figure {
            Figure::Memory => memory_for(Bytes(least), Bytes(one.peak)).0,
            Figure::Share => {
                if pods.iter().any(|(pod, ..)| is_guaranteed(pod)) {
                    return Err(other());
                }
                // It stays below the limit: a pod whose figures are all equal is of another QoS class.
                let limits = pods.iter().filter_map(|pod| pod.2.limits.cpu);
                let below = limits.map(|limit| within(Millicores(limit.0.saturating_sub(1)))).min();
                share_for(Millicores(one.peak))
                    .min(below.unwrap_or(Millicores(u64::MAX)))
                    .0
            }
        };
        let ceiling = match figure {
            Figure::Memory => whole_mebibytes(policy.max_memory).0,
            Figure::Share => within(policy.max_cpu).0,
        };
        let to = wanted.min(ceiling).max(least);
        if !is_worth(least, wanted) {
            // Only a request that already holds all that is used, or a limit that lets it ask for no more.
            return Err(other());
        }
        let owner = match figure {
            Figure::Share => workload.cpu_owner.as_ref().map(ToString::to_string),
            Figure::Memory => memory_owner(workload),
        };
        if let Some(by) = owner {
            return Err(unrelieved(figure.owned(by, container(), least, to)));
        }
        if !is_worth(least, to) {
            return Err(unrelieved(figure.ceiling(container(), ceiling)));
        }
        let pods: Vec<_> = pods.into_iter().filter(|pod| pod.3 < to).collect();
        let restarts = pods.iter().any(|pod| figure.restarts(pod.2));
        if restarts && template.is_none() && !policy.resize_restarts {
            return Err(unrelieved(figure.restarting(container(), to)));
        }
        Ok(Self {
            workload: id,
            container: name,
            figure,
            pods,
            to,
            restarts,
            template,
            replicas,
        })
    }

    /// The steps, where every node concerned has room for what its pods get; it is taken. What may be used counts like what is asked
    /// for: memory that a node does not have cannot be waited for.
    fn steps(&self, rooms: &mut Rooms) -> Result<Done, RefusalReason> {
        let room = match self.figure {
            Figure::Memory => &mut rooms.memory,
            Figure::Share => &mut rooms.cpu,
        };
        let mut more: BTreeMap<&NodeName, u64> = BTreeMap::new();
        for (_, node, _, has) in &self.pods {
            let sum = more.entry(*node).or_default();
            *sum = sum.saturating_add(self.to.saturating_sub(*has));
        }
        if let Some((node, _)) = more.iter().find(|(node, more)| room.at(node) < **more) {
            return Err(unrelieved(self.figure.full(
                self.container.clone(),
                (*node).clone(),
                self.to,
            )));
        }
        let (actions, restarted) = match &self.template {
            Some(says) => (vec![self.written(says).map_err(unrelieved)?], self.replicas),
            None => (self.in_place(), if self.restarts { self.pods.len() as u64 } else { 0 }),
        };
        more.iter().for_each(|(node, more)| room.take(node, *more));
        let at_start = self.pods.iter().find_map(|pod| pod.2.at_start.clone());
        Ok(Done {
            actions,
            restarted,
            at_start: at_start.filter(|_| restarted == 0),
        })
    }

    /// The figures for pods to come.
    fn figures(&self) -> Sizing {
        let guaranteed = self.pods.iter().any(|(pod, ..)| is_guaranteed(pod));
        self.figure.raised(Sizing::default(), self.to, guaranteed)
    }

    /// Into the template, whose roll-out gives them to all pods.
    fn written(&self, says: &Sizing) -> Result<Action, Unrelieved> {
        let pods = self.pods.iter().map(|(pod, _, sized, _)| (*sized, is_guaranteed(pod)));
        in_template::written(self.workload, self.container, says, &self.figures(), pods)
    }

    /// The rule, then the pods one by one.
    fn in_place(&self) -> Vec<Action> {
        let rule = Action::Size {
            workload: self.workload.clone(),
            container: self.container.clone(),
            to: self.figures(),
            instead: Sizing::default(),
            form: PlaceForm::Admission,
        };
        let resized = self.pods.iter().map(|(pod, _, sized, _)| Action::Resize {
            workload: self.workload.clone(),
            pod: pod.uid.clone(),
            pod_name: pod.name.clone(),
            container: self.container.clone(),
            from: sized.sizing(),
            to: self.figure.raised(sized.sizing(), self.to, is_guaranteed(pod)),
        });
        std::iter::once(rule).chain(resized).collect()
    }
}

/// Whoever may set or count by memory: a VerticalPodAutoscaler that acts, and any HorizontalPodAutoscaler, as its metrics may hold memory
/// today or tomorrow.
fn memory_owner(workload: &crate::cluster::Workload) -> Option<String> {
    match (&workload.cpu_owner, &workload.autoscaler) {
        (Some(owner @ CpuOwner::Vertical(_)), _) => Some(owner.to_string()),
        (_, Some(name)) => Some(CpuOwner::Horizontal(name.clone()).to_string()),
        (Some(CpuOwner::Horizontal(_)) | None, None) => None,
    }
}

/// Why not, with the figure in its unit.
impl Figure {
    fn owned(self, by: String, container: ContainerName, has: u64, wanted: u64) -> Unrelieved {
        match self {
            Self::Memory => Unrelieved::MemoryOwned {
                by,
                container,
                limit: Bytes(has),
                wanted: Bytes(wanted),
            },
            Self::Share => Unrelieved::ShareOwned {
                by,
                container,
                request: Millicores(has),
                wanted: Millicores(wanted),
            },
        }
    }
    fn ceiling(self, container: ContainerName, ceiling: u64) -> Unrelieved {
        match self {
            Self::Memory => Unrelieved::MemoryCeiling {
                container,
                ceiling: Bytes(ceiling),
            },
            Self::Share => Unrelieved::Ceiling {
                container,
                ceiling: Millicores(ceiling),
            },
        }
    }
    fn restarting(self, container: ContainerName, wanted: u64) -> Unrelieved {
        match self {
            Self::Memory => Unrelieved::MemoryRestarts {
                container,
                wanted: Bytes(wanted),
            },
            Self::Share => Unrelieved::ShareRestarts {
                container,
                wanted: Millicores(wanted),
            },
        }
    }
    fn full(self, container: ContainerName, node: NodeName, wanted: u64) -> Unrelieved {
        match self {
            Self::Memory => Unrelieved::MemoryNodeFull {
                container,
                node,
                wanted: Bytes(wanted),
            },
            Self::Share => Unrelieved::ShareNodeFull {
                container,
                node,
                wanted: Millicores(wanted),
            },
        }
    }
}
