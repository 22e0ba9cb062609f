//! Usage: what containers use and lack, read from the kubelets.
//!
//! ```text
//! published state ─► which nodes ─► kubelet /metrics/cadvisor ─► parse ─► readings ─► engine
//! ```
//!
//! Every node that holds a pod of the graph is asked about every 10 s, nodes spread over that time. A kubelet that does not answer
//! costs nothing but its own figures: it is named in the published state, with what to do.

mod blind;
mod kubelet;
mod parse;
mod readings;

pub use blind::{Blind, Blindness};
pub use kubelet::{Answer, Kubelets};
pub use parse::{Parsed, Row, parse};

use crate::clock;
use crate::engine::Published;
use huddle_core::id::{NodeName, PodUid};
use huddle_core::usage::Reading;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use readings::Names;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};

/// How often a node is asked, in ticks. cAdvisor itself looks about as often.
const EVERY: u64 = 10;
/// A tick: each node has one of its own in [`EVERY`].
const TICK: Duration = Duration::from_secs(1);
/// How long a kubelet may take for its answer.
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
        registry.register("answers", "Kubelets asked, by outcome", self.answers.clone());
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
}

/// A node to ask, and whose pods are of interest there.
#[derive(Clone, Debug)]
struct Target {
    node: NodeName,
    address: SocketAddr,
    pods: Names,
}

/// Asks kubelets until the receiver of what they say is gone.
pub async fn run(
    kubelets: Kubelets,
    states: watch::Receiver<Arc<Published>>,
    looked: mpsc::Sender<Looked>,
    metrics: Arc<Metrics>,
) {
    let kubelets = Arc::new(kubelets);
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked: BTreeSet<NodeName> = BTreeSet::new();
    let mut asking: JoinSet<Looked> = JoinSet::new();
    let mut now = 0_u64;
    loop {
        tokio::select! {
            _ = tick.tick() => {
                now = now.wrapping_add(1);
                let targets = targets(&states.borrow());
                kubelets.keep(|address| targets.values().any(|target| target.address == address));
                let due = targets.into_values().filter(|target| phase(&target.node) == now % EVERY);
                for target in due {
                    // One that is still being asked is not asked again.
                    if asked.insert(target.node.clone()) {
                        let (kubelets, at_once, metrics) = (Arc::clone(&kubelets), Arc::clone(&at_once), Arc::clone(&metrics));
                        asking.spawn(async move {
                            let _permit = at_once.acquire().await;
                            ask(&kubelets, target, &metrics).await
                        });
                    }
                }
            }
            Some(done) = asking.join_next() => match done {
                Ok(done) => {
                    asked.remove(&done.node);
                    metrics.count(&done.outcome);
                    if looked.send(done).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "a kubelet's answer could not be worked through");
                    // Which one it was is not known; all are asked again.
                    asked.clear();
                }
            },
            () = looked.closed() => return,
        }
    }
}

async fn ask(kubelets: &Kubelets, target: Target, metrics: &Metrics) -> Looked {
    let answer = match timeout(PATIENCE, kubelets.cadvisor(target.address)).await {
        Ok(answer) => answer,
        Err(_) => Err(Blind::Slow),
    };
    let outcome = answer.and_then(|answer| {
        let parsed = parse(&answer.text);
        metrics.unreadable.inc_by(parsed.unreadable);
        if parsed.rows.is_empty() {
            return Err(Blind::Nothing);
        }
        Ok(readings::readings(
            &parsed.rows,
            &target.pods,
            clock::now(),
            answer.ahead,
        ))
    });
    Looked {
        node: target.node,
        outcome,
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
