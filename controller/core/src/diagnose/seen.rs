//! Which pods lack something, when, and how they served then and otherwise.

use super::{DiagnoseConfig, Lack, PressureConfig};
use crate::cluster::{ClusterView, Compute, Container, Pod};
use crate::graph::TrafficGraph;
use crate::id::{ContainerName, EdgeId, PodUid, WorkloadId};
use crate::sample::Exchange;
use crate::time::{Slots, Span, Timestamp, Window};
use crate::units::{Bytes, Millicores, Ratio};
use crate::usage::{ContainerUse, Figures, Usage, UsageStore};
use std::collections::{BTreeMap, BTreeSet};

/// Istio's name for a pod's proxy: pressure on it shows in the network time, not in the served time alone.
pub(super) const SIDECAR: &str = "istio-proxy";

/// How far before a window calm requests are looked for: long enough to hold the time before a fault, short enough that the
/// programs are still the same.
const CALM_BEFORE: Span = Span::seconds(8 * 60);

/// What a container lacks over some time, and in which share of it; `None` where nothing.
fn lacks(figures: &Figures, config: &PressureConfig) -> Option<(Lack, Ratio)> {
    let enough = figures.counted.periods.unwrap_or(0) >= config.min_periods;
    if enough && figures.throttled() >= config.throttled {
        Some((Lack::CpuLimit, figures.throttled()))
    } else if figures.stalled() >= config.stalled || figures.counted.kills.unwrap_or(0) > 0 {
        Some((Lack::Memory, figures.stalled()))
    } else if figures.waiting() >= config.waiting {
        Some((Lack::CpuShare, figures.waiting()))
    } else {
        None
    }
}

/// Nothing is lacked, clearly.
fn is_calm(figures: &Figures, config: &PressureConfig) -> bool {
    let below = |share: Ratio, threshold: Ratio| share.get() < threshold.get() * config.calm.get();
    below(figures.throttled(), config.throttled)
        && below(figures.stalled(), config.stalled)
        && below(figures.waiting(), config.waiting)
        && figures.counted.kills.unwrap_or(0) == 0
}

/// The pods of one workload under pressure: of the container that most of them have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Strain {
    pub(super) container: ContainerName,
    pub(super) lack: Lack,
    pub(super) share: Ratio,
    pub(super) pods: u64,
    pub(super) pods_seen: u64,
    pub(super) cpu_used: Millicores,
    pub(super) cpu_peak: Millicores,
    pub(super) memory_peak: Bytes,
    pub(super) limits: Compute,
    /// Processes killed for want of memory in the pods under pressure.
    pub(super) kills: u64,
}

/// An edge's requests to pods under pressure while they were, and those when and where nothing lacked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Split {
    pub(super) pressed: Exchange,
    pub(super) calm: Exchange,
}

/// What figures of use add to a snapshot, for diagnose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    strains: BTreeMap<WorkloadId, Strain>,
    splits: BTreeMap<EdgeId, Split>,
    /// Pods whose sidecar is under pressure: what is measured at either end of their requests is not the network.
    blurred: BTreeSet<PodUid>,
}

impl Seen {
    /// Lays use beside traffic; `usage` is cut as the graph is. Linear in the containers where nothing lacks; else also in the cells of
    /// the graph over the window and the eight minutes before it, where calm requests are looked for.
    pub fn of(
        graph: &TrafficGraph,
        usage: &UsageStore,
        window: Window,
        cluster: &ClusterView,
        config: &DiagnoseConfig,
    ) -> Self {
        let config = &config.pressure;
        let now = usage.window(window);
        let window = Window {
            from: now.slots.start(now.slots.up(window.from)),
            to: window.to,
        };
        let lacking = lacking(&now, window, cluster, config);
        let strains = strains(&now, &lacking, window, cluster);
        let blurred = lacking
            .iter()
            .filter(|(_, containers)| containers.keys().any(|name| name.as_str() == SIDECAR))
            .map(|(pod, _)| (*pod).clone())
            .collect();
        let splits = if strains.is_empty() {
            BTreeMap::new()
        } else {
            let long = Window {
                from: window.from.minus(CALM_BEFORE),
                to: window.to,
            };
            // Pods that are gone may have been calm: a fault often comes with a rollout.
            let concerned = |pod: &PodUid| {
                let pod = cluster.pods.get(pod);
                pod.is_none_or(|pod| strains.contains_key(&pod.workload))
            };
            let history = usage.window_of(long, concerned);
            let moments = moments(&history, config);
            let mut splits: BTreeMap<EdgeId, Split> = BTreeMap::new();
            let cells = graph
                .cells(long)
                .filter(|cell| strains.contains_key(&cell.1.destination));
            for (start, edge, callee, exchange) in cells {
                let load = moments.get(callee).and_then(|moments| moments.get(&start));
                let under = window.contains(start) && lacking.contains_key(callee);
                match load {
                    Some(Load::Pressed) if under => splits.entry(edge.clone()).or_default().pressed.merge(exchange),
                    Some(Load::Calm) => splits.entry(edge.clone()).or_default().calm.merge(exchange),
                    Some(Load::Pressed | Load::Between) | None => {}
                }
            }
            splits
        };
        Self {
            strains,
            splits,
            blurred,
        }
    }

    pub(super) fn strain(&self, workload: &WorkloadId) -> Option<&Strain> {
        self.strains.get(workload)
    }
    pub(super) fn split(&self, edge: &EdgeId) -> Option<&Split> {
        self.splits.get(edge)
    }
    pub(super) fn blurred(&self) -> &BTreeSet<PodUid> {
        &self.blurred
    }
}

type Lacking<'a> = BTreeMap<&'a PodUid, BTreeMap<&'a ContainerName, (Lack, Figures)>>;

/// Pods that lack something over the window as a whole, with the containers that do. What a container was given meanwhile it does not
/// lack: what was counted before its last resize, and the kills before it, are of other figures.
fn lacking<'a>(usage: &'a Usage, window: Window, cluster: &ClusterView, config: &PressureConfig) -> Lacking<'a> {
    let mut lacking = Lacking::new();
    for (pod, containers) in &usage.pods {
        for (name, used) in containers {
            let spec = cluster.pods.get(pod).and_then(|pod| spec_of(pod, name));
            let window = since_resize(window, spec, usage.slots);
            let mut figures = used.within(window);
            if spec.and_then(|spec| spec.killed).is_some_and(|at| window.contains(at)) {
                let told = figures.counted.kills.unwrap_or(0);
                figures.counted.kills = Some(told.max(1));
            }
            if let Some((lack, _)) = lacks(&figures, config) {
                lacking.entry(pod).or_default().insert(name, (lack, figures));
            }
        }
    }
    lacking
}

fn spec_of<'a>(pod: &'a Pod, name: &ContainerName) -> Option<&'a Container> {
    pod.containers.iter().find(|container| &container.name == name)
}

/// The whole slots of the window after the container's last resize.
fn since_resize(window: Window, spec: Option<&Container>, slots: Slots) -> Window {
    match spec.and_then(|spec| spec.resized) {
        Some(at) if at > window.from => Window {
            from: slots.start(slots.up(at)),
            to: window.to,
        },
        Some(_) | None => window,
    }
}

/// How a pod fared in one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    Pressed,
    Between,
    Calm,
}

/// How each pod fared slot by slot. Proxies report with a delay, so that a slot holds requests of the one before: calm are only slots
/// that follow a calm one.
fn moments<'a>(usage: &'a Usage, config: &PressureConfig) -> BTreeMap<&'a PodUid, BTreeMap<Timestamp, Load>> {
    let pod = |containers: &BTreeMap<ContainerName, ContainerUse>| {
        let mut moments: BTreeMap<Timestamp, Load> = BTreeMap::new();
        for (start, figures) in containers.values().flat_map(|used| &used.slots) {
            let load = match (lacks(figures, config), is_calm(figures, config)) {
                (Some(_), _) => Load::Pressed,
                (None, true) => Load::Calm,
                (None, false) => Load::Between,
            };
            moments
                .entry(*start)
                .and_modify(|known| *known = (*known).worse(load))
                .or_insert(load);
        }
        let calm_before = |start: &Timestamp| moments.get(&start.minus(usage.slots.length())) == Some(&Load::Calm);
        let settled = moments.iter().map(|(start, load)| match load {
            Load::Calm if !calm_before(start) => (*start, Load::Between),
            Load::Calm | Load::Between | Load::Pressed => (*start, *load),
        });
        settled.collect()
    };
    usage
        .pods
        .iter()
        .map(|(uid, containers)| (uid, pod(containers)))
        .collect()
}

impl Load {
    fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Pressed, _) | (_, Self::Pressed) => Self::Pressed,
            (Self::Between, _) | (_, Self::Between) => Self::Between,
            (Self::Calm, Self::Calm) => Self::Calm,
        }
    }
}

/// The strain of each workload that has pods under pressure.
fn strains(
    usage: &Usage,
    lacking: &Lacking<'_>,
    window: Window,
    cluster: &ClusterView,
) -> BTreeMap<WorkloadId, Strain> {
    let mut pods: BTreeMap<&WorkloadId, Vec<&PodUid>> = BTreeMap::new();
    for pod in usage.pods.keys().filter_map(|uid| cluster.pods.get(uid)) {
        pods.entry(&pod.workload).or_default().push(&pod.uid);
    }
    let strain = |(workload, pods): (&WorkloadId, Vec<&PodUid>)| {
        // What lacks in how many pods, and in which share of their time.
        let mut common: BTreeMap<(&ContainerName, Lack), (u64, Figures)> = BTreeMap::new();
        for (name, (lack, figures)) in pods.iter().filter_map(|pod| lacking.get(*pod)).flatten() {
            let (count, sum) = common.entry((name, *lack)).or_default();
            *count += 1;
            sum.merge(figures);
        }
        let share = |lack: Lack, sum: &Figures| match lack {
            Lack::CpuLimit => sum.throttled(),
            Lack::CpuShare => sum.waiting(),
            Lack::Memory => sum.stalled(),
        };
        let (container, lack, count, share, kills) = common
            .iter()
            .map(|((container, lack), (count, sum))| {
                let kills = sum.counted.kills.unwrap_or(0);
                (*container, *lack, *count, share(*lack, sum), kills)
            })
            .max_by(|a, b| (a.2.cmp(&b.2)).then(a.3.get().total_cmp(&b.3.get())))?;
        let of = |pod: &&PodUid| usage.pods.get(*pod).and_then(|containers| containers.get(container));
        let uses = || pods.iter().filter_map(of);
        let busiest = pods
            .iter()
            .max_by_key(|pod| of(pod).map(|used| used.within(window).cpu()));
        let specs = busiest
            .and_then(|pod| cluster.pods.get(*pod))
            .map(|pod| &pod.containers);
        let spec = specs.into_iter().flatten().find(|spec| &spec.name == container);
        Some((
            workload.clone(),
            Strain {
                container: container.clone(),
                lack,
                share,
                pods: count,
                pods_seen: pods.len() as u64,
                cpu_used: uses().map(|used| used.within(window).cpu()).max().unwrap_or_default(),
                cpu_peak: uses().map(|used| used.peak(window)).max().unwrap_or_default(),
                memory_peak: uses()
                    .map(|used| used.within(window).memory_peak)
                    .max()
                    .unwrap_or_default(),
                limits: spec.map(|spec| spec.limits).unwrap_or_default(),
                kills,
            },
        ))
    };
    pods.into_iter().filter_map(strain).collect()
}
