//! Usage: what containers use and lack, read from the kubelets, or from a Prometheus that reads them.
//!
//! ```text
//! published state ─► which nodes ─┬► kubelet /metrics/cadvisor, node by node ─┬► parse ─► readings ─► engine
//!                                 └► Prometheus /federate, many nodes at once ┘
//! ```
//!
//! Every node that holds a pod of the graph is asked about every 10 s, nodes spread over that time. One of which nothing is told costs
//! nothing but its own figures: it is named in the published state, with what to do.

mod answer;
mod blind;
mod kubelet;
mod parse;
mod prometheus;
mod readings;
mod selector;
mod source;

pub use answer::Answer;
pub use blind::{Blind, Blindness, Cause};
pub use kubelet::Kubelets;
pub use parse::{Parsed, Row, parse};
pub use prometheus::{Address, Prometheus, PrometheusArgs};
pub use readings::Names;
pub use source::Source;

use crate::engine::Published;
use huddle_core::id::{NodeName, PodUid};
use huddle_core::usage::Reading;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// How often a node is asked, in ticks. cAdvisor itself looks about as often.
const EVERY: u64 = 10;
/// A tick: each node has one of its own in [`EVERY`].
const TICK: Duration = Duration::from_secs(1);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// Answers read at a time: each may be several MB.
const AT_ONCE: usize = 8;

/// What became of asking one node.
#[derive(Debug)]
pub struct Looked {
    /// Which.
    pub node: NodeName,
    /// Readings of the containers asked for, or why there are none.
    pub outcome: Result<Vec<Reading>, Blind>,
}

/// Counters of usage.
#[derive(Debug, Default)]
pub struct Metrics {
    answers: Family<[(&'static str, &'static str); 1], Counter>,
    unreadable: Counter,
}

impl Metrics {
    /// Makes the counters visible under `huddle_usage_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("usage");
        registry.register("answers", "Nodes asked about, by outcome", self.answers.clone());
        registry.register(
            "unreadable_lines",
            "Lines of wanted series that could not be read",
            self.unreadable.clone(),
        );
    }
    fn count(&self, outcome: &Result<Vec<Reading>, Blind>) {
        let label = match outcome {
            Ok(_) => "read",
            Err(blind) => blind.label(),
        };
        self.answers.get_or_create(&[("outcome", label)]).inc();
    }
    fn count_unreadable(&self, lines: u64) {
        self.unreadable.inc_by(lines);
    }
}

/// A node to ask about, and whose pods are of interest there.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which.
    pub node: NodeName,
    /// Where its kubelet listens.
    pub address: SocketAddr,
    /// The pods of interest.
    pub pods: Names,
}

/// Asks about nodes until the receiver of what is told is gone.
pub async fn run(
    source: Source,
    states: watch::Receiver<Arc<Published>>,
    looked: mpsc::Sender<Looked>,
    metrics: Arc<Metrics>,
) {
    let source = Arc::new(source);
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked: BTreeSet<NodeName> = BTreeSet::new();
    let mut asking: JoinSet<Vec<Looked>> = JoinSet::new();
    let mut now = 0_u64;
    loop {
        tokio::select! {
            _ = tick.tick() => {
                now = now.wrapping_add(1);
                let targets = targets(&states.borrow());
                source.keep(&targets);
                let due = targets.into_values().filter(|target| phase(&target.node) == now % EVERY);
                // One that is still being asked about is not asked about again.
                let due = due.filter(|target| asked.insert(target.node.clone()));
                for batch in source.batches(due) {
                    let (source, at_once, metrics) = (Arc::clone(&source), Arc::clone(&at_once), Arc::clone(&metrics));
                    asking.spawn(async move {
                        let _permit = at_once.acquire().await;
                        source.ask(batch, &metrics).await
                    });
                }
            }
            Some(done) = asking.join_next() => match done {
                Ok(done) => for node in done {
                    asked.remove(&node.node);
                    metrics.count(&node.outcome);
                    if looked.send(node).await.is_err() {
                        return;
                    }
                },
                Err(error) => {
                    tracing::error!(%error, "an answer of usage could not be worked through");
                    // Which one it was is not known; all are asked again.
                    asked.clear();
                }
            },
            () = looked.closed() => return,
        }
    }
}

/// The nodes that hold pods of the graph, and the names of these.
fn targets(published: &Published) -> BTreeMap<NodeName, Target> {
    let ends = published.snapshot.edges.keys();
    let workloads: BTreeSet<_> = ends.flat_map(|edge| [&edge.source, &edge.destination]).collect();
    let mut targets: BTreeMap<NodeName, Target> = BTreeMap::new();
    let cluster = &published.cluster;
    for pod in cluster
        .view
        .pods
        .values()
        .filter(|pod| workloads.contains(&pod.workload))
    {
        let Some((node, address)) = pod
            .node
            .as_ref()
            .and_then(|node| Some((node, cluster.kubelets.get(node)?)))
        else {
            continue;
        };
        let target = targets.entry(node.clone()).or_insert_with(|| Target {
            node: node.clone(),
            address: *address,
            pods: Names::default(),
        });
        let name = (pod.workload.namespace.to_string(), pod.name.clone());
        target.pods.insert(name, PodUid::clone(&pod.uid));
    }
    targets
}

/// The tick of a node, the same after a restart: FNV-1a of its name, so that neighbours do not fall together.
fn phase(node: &NodeName) -> u64 {
    let hash = node.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash % EVERY
}

#[cfg(test)]
mod tests;
