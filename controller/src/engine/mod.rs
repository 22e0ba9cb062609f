//! Engine: the one task that owns the decision state. Others send it events or watch what it publishes.
//!
//! ```text
//! ingest ──Delivery──►┐
//! watch ──Cluster────►├─ graph ─► snapshot ─► findings ─► State ──► watch channel ─► dashboard, CLI, act
//! usage ──Looked─────►│
//! clock ──tick───────►┘
//! ```

mod evidence;
mod habits;
mod memory;
mod planning;
pub mod proposals;
mod publish;
mod silent;
mod unseen;

pub use evidence::Answers;
pub use silent::{Patience, Silence, silent};

use crate::clock;
use crate::ingest::Delivery;
use crate::usage::{Blindness, Looked};
use crate::watch::Cluster;
use huddle_core::act::Hold;
use huddle_core::diagnose::{DiagnoseConfig, Finding, Seen, diagnose_with};
use huddle_core::graph::{GraphConfig, Snapshot, TrafficGraph};
use huddle_core::id::PodUid;
use huddle_core::plan::Plan;
use huddle_core::time::{Span, Timestamp, Window};
use huddle_core::usage::{Pace, Usage, UsageConfig, UsageStore};
use huddle_core::view::{PlanView, State, StepView};
pub(crate) use planning::with_use;
use planning::{Ground, Planning};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

/// How the engine is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// What people call the cluster.
    pub name: String,
    /// How far back the graph that people and the planner see reaches.
    pub window: Span,
    /// When a pod counts as silent.
    pub patience: Patience,
    /// The graph's bounds.
    pub graph: GraphConfig,
    /// Diagnose's thresholds.
    pub diagnose: DiagnoseConfig,
    /// How often and how late readings of usage come.
    pub pace: Pace,
}

/// What the engine publishes, whole and unchanging.
#[derive(Clone, Debug)]
pub struct Published {
    /// As people see it.
    pub state: State,
    /// The same as JSON, written once for all readers.
    pub json: Arc<str>,
    /// The graph behind it.
    pub snapshot: Arc<Snapshot>,
    /// What containers used in the graph's window, as far as it was told.
    pub usage: Arc<Usage>,
    /// What diagnose says.
    pub findings: Arc<Vec<Finding>>,
    /// The cluster behind it.
    pub cluster: Arc<Cluster>,
    /// What the planner would do, `at` being when that began to stand; `None` while too little was measured.
    pub plan: Option<Arc<Plan>>,
    /// What it would do beside that: a merge, what is given back.
    pub beside: Vec<Arc<Plan>>,
}

/// The graph: written by the engine alone, read for windows of their own choice by those who prove.
#[derive(Clone, Debug)]
pub struct Graph(Arc<RwLock<TrafficGraph>>);

impl Graph {
    /// An empty graph.
    pub fn new(config: GraphConfig) -> Self {
        Self(Arc::new(RwLock::new(TrafficGraph::new(config))))
    }
    /// Reads it; the engine waits meanwhile, so be brief.
    pub fn read<T>(&self, f: impl FnOnce(&TrafficGraph) -> T) -> T {
        f(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
    fn write<T>(&self, f: impl FnOnce(&mut TrafficGraph) -> T) -> T {
        f(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Gauges of the engine.
#[derive(Debug, Default)]
pub struct Metrics {
    edges: Gauge,
    workloads: Gauge,
    reporting: Gauge,
    silent: Gauge,
    findings: Gauge,
    containers: Gauge,
    blind: Gauge,
    look_us: Gauge,
}

impl Metrics {
    /// Makes the gauges visible under `huddle_graph_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("graph");
        registry.register("edges", "Edges in the window", self.edges.clone());
        registry.register("workloads", "Workloads on the graph", self.workloads.clone());
        registry.register("reporting_pods", "Pods that have reported", self.reporting.clone());
        registry.register("silent_pods", "Pods that should report and do not", self.silent.clone());
        registry.register("findings", "Findings of diagnose", self.findings.clone());
        registry.register(
            "read_containers",
            "Containers whose use is known",
            self.containers.clone(),
        );
        registry.register(
            "blind_nodes",
            "Nodes of whose containers nothing is known",
            self.blind.clone(),
        );
        registry.register(
            "publish_microseconds",
            "How long the last snapshot, diagnosis and publication took",
            self.look_us.clone(),
        );
    }
}

/// What comes in.
#[derive(Debug)]
pub struct Inputs {
    /// From ingest.
    pub deliveries: mpsc::Receiver<Delivery>,
    /// From the watches.
    pub cluster: watch::Receiver<Arc<Cluster>>,
    /// From the kubelets, or Prometheus.
    pub usage: mpsc::Receiver<Looked>,
}

/// The engine's state.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    graph: Graph,
    usage: UsageStore,
    habits: habits::Watching,
    blind: Blindness,
    cluster: Arc<Cluster>,
    heard: BTreeMap<PodUid, Timestamp>,
    first: Option<Timestamp>,
    measured: Option<Measured>,
    planning: Planning,
    unseen: unseen::Unseen,
    started: Timestamp,
    metrics: Arc<Metrics>,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(config: Config, graph: Graph, metrics: Arc<Metrics>, started: Timestamp) -> Self {
        let bounds = UsageConfig::beside(config.graph.slot, config.graph.retention, config.pace);
        Self {
            habits: habits::Watching::new(config.pace),
            config,
            graph,
            usage: UsageStore::new(bounds),
            blind: Blindness::default(),
            cluster: Arc::default(),
            heard: BTreeMap::new(),
            first: None,
            measured: None,
            planning: Planning::default(),
            unseen: unseen::Unseen::default(),
            started,
            metrics,
        }
    }
    /// Takes in one batch's samples.
    pub fn deliver(&mut self, delivery: &Delivery) {
        self.heard.insert(delivery.reporter.pod.clone(), delivery.at);
        if !delivery.samples.is_empty() {
            self.first.get_or_insert(delivery.at);
        }
        self.graph.write(|graph| {
            for sample in &delivery.samples {
                graph.absorb(sample);
            }
        });
    }
    /// Takes in what was told of a node, or that nothing was.
    pub fn used(&mut self, looked: Looked) {
        let blind = match looked.outcome {
            Ok(readings) => {
                readings.into_iter().for_each(|reading| self.usage.absorb(reading));
                None
            }
            Err(blind) => Some(blind),
        };
        self.blind.note(&looked.node, blind);
    }
    /// Takes in a new view of the cluster.
    pub fn know(&mut self, cluster: Arc<Cluster>) {
        if cluster.waiting_for.is_empty() {
            self.heard.retain(|pod, _| cluster.view.pods.contains_key(pod));
            self.blind.keep(|node| cluster.kubelets.contains_key(node));
            self.graph
                .write(|graph| graph.retire(|workload| cluster.view.workloads.contains_key(workload)));
        }
        self.cluster = cluster;
    }
    /// Looks at everything as of `now`.
    pub fn look(&mut self, now: Timestamp) -> Published {
        let start = Instant::now();
        let Measured {
            snapshot,
            usage,
            findings,
            inside,
        } = self.measure(now);
        let ground = Ground {
            snapshot: Arc::clone(&snapshot),
            findings: Arc::clone(&findings),
            cluster: Arc::clone(&self.cluster),
            usage: Arc::clone(&usage),
            habits: self.habits.known(),
        };
        self.plan(&ground, now);
        let silent = silent(&self.cluster, &self.heard, self.started, now, self.config.patience);
        let state = publish::state(
            &snapshot,
            publish::Parts {
                at: now,
                name: &self.config.name,
                cluster: &self.cluster,
                heard: &self.heard,
                findings: &findings,
                inside: &inside,
                diagnose: &self.config.diagnose,
                silent,
                blind: self.blind.views(),
                usage: &usage,
                plans: plans(&self.cluster, now),
                totals: self.graph.read(publish::totals),
                unrelieved: self.planning.unrelieved().iter().map(StepView::from).collect(),
            },
        );
        self.metrics.edges.set(gauge(state.edges.len()));
        self.metrics.workloads.set(gauge(state.workloads.len()));
        self.metrics.reporting.set(gauge(self.heard.len()));
        self.metrics.silent.set(gauge(state.silent.len()));
        self.metrics.findings.set(gauge(findings.len()));
        self.metrics.containers.set(gauge(self.usage.containers()));
        self.metrics.blind.set(gauge(state.blind.len()));
        self.metrics
            .look_us
            .set(i64::try_from(start.elapsed().as_micros()).unwrap_or(i64::MAX));
        let json = serde_json::to_string(&state).unwrap_or_else(|error| {
            tracing::error!(%error, "the state cannot be written as JSON");
            "{}".to_owned()
        });
        Published {
            json: json.into(),
            state,
            snapshot,
            usage,
            findings,
            cluster: Arc::clone(&self.cluster),
            plan: self.planning.standing(now),
            beside: self.planning.beside(now),
        }
    }
    /// The graph over the window and what diagnose says of it, at most so often; the cluster and the plans in what is published
    /// are always of now.
    fn measure(&mut self, now: Timestamp) -> Measured {
        let recent = |measured: &&Measured| now.since(measured.snapshot.at) < MEASURE_EVERY;
        if let Some(measured) = self.measured.as_ref().filter(recent) {
            return measured.clone();
        }
        let window = Window {
            from: now.minus(self.config.window),
            to: now,
        };
        let mut snapshot = self.graph.write(|graph| {
            graph.forget(now);
            graph.snapshot(window, now)
        });
        let inside = self.unseen.put(&self.cluster, &mut snapshot);
        self.usage.forget(now);
        self.habits.look(&self.usage, &self.cluster, now);
        let (usage, config) = (self.usage.window(window), &self.config.diagnose);
        let view = &self.cluster.view;
        let seen = self
            .graph
            .read(|graph| Seen::of(graph, &self.usage, window, view, config));
        let measured = Measured {
            findings: Arc::new(diagnose_with(&snapshot, &seen, config)),
            snapshot: Arc::new(snapshot),
            usage: Arc::new(usage),
            inside: Arc::new(inside),
        };
        self.measured = Some(measured.clone());
        measured
    }
    /// Plans anew from time to time, once the cluster is read and enough time was measured.
    fn plan(&mut self, ground: &Ground, now: Timestamp) {
        let measured = self.first.is_some_and(|first| now.since(first) >= LEARN);
        if measured && self.cluster.waiting_for.is_empty() {
            self.planning.look(ground, now);
        }
    }
}

/// The last snapshot and its diagnosis.
#[derive(Clone, Debug)]
struct Measured {
    snapshot: Arc<Snapshot>,
    usage: Arc<Usage>,
    findings: Arc<Vec<Finding>>,
    inside: Arc<unseen::Inside>,
}

/// How often the graph is merged and diagnosed, at most: proxies report every 5 s.
const MEASURE_EVERY: Span = Span(1_900);
/// Measured at least this long before the first plan: several reports of every proxy.
const LEARN: Span = Span::seconds(60);

/// The plans as people see them; one that cannot be read is left out and logged.
fn plans(cluster: &Cluster, now: Timestamp) -> Vec<PlanView> {
    let view = |object: &huddle_api::Plan| match crate::act::view(object) {
        Ok(mut view) => {
            match crate::act::held(object, &cluster.view, &cluster.plans, now) {
                None | Some(Ok(()) | Err(Hold::NotAuto { .. })) => {}
                Some(Err(hold)) => {
                    let because = crate::act::plan_of(object).map(|plan| crate::act::because(&plan));
                    view.summary = format!("{}{}", hold.sentence(), because.unwrap_or_default());
                }
            }
            Some(view)
        }
        Err(error) => {
            tracing::warn!(plan = object.metadata.name, %error, "plan left out");
            None
        }
    };
    cluster.plans.iter().filter_map(view).collect()
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// How often the state is published, at most.
const TICK: Duration = Duration::from_secs(1);
/// Publishing takes at most about one part in this of the engine's time.
const SHARE: u32 = 5;

/// Runs the engine until its inputs end.
pub async fn run(mut engine: Engine, mut inputs: Inputs, published: watch::Sender<Arc<Published>>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rest = Instant::now();
    loop {
        tokio::select! {
            delivery = inputs.deliveries.recv() => match delivery {
                Some(delivery) => engine.deliver(&delivery),
                None => return,
            },
            changed = inputs.cluster.changed() => {
                if changed.is_err() {
                    return;
                }
                let cluster = Arc::clone(&inputs.cluster.borrow_and_update());
                engine.know(cluster);
            }
            Some(looked) = inputs.usage.recv() => engine.used(looked),
            _ = tick.tick() => {
                let start = Instant::now();
                if start >= rest {
                    published.send_replace(Arc::new(engine.look(clock::now())));
                    rest = start + start.elapsed() * SHARE;
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
