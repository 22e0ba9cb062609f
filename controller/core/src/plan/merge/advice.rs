//! The recommendation: gain, what it costs each pod, what changes, and every reason against it.

use super::pair::Pair;
use super::{Gain, RULES, Unmergeable, Way, gain, routed};
use crate::cluster::{ClusterView, Rerouting, Resources};
use crate::diagnose::{Cause, DiagnoseConfig, Finding};
use crate::graph::Snapshot;
use crate::id::{ContainerName, EdgeId, WorkloadId};
use crate::units::{Bytes, Millicores, Ratio};
use crate::usage::Usage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a container used at its height, in the pod that used most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Use {
    /// Cpu.
    pub cpu: Millicores,
    /// Its working set.
    pub memory: Bytes,
}

/// What containers used, by workload.
pub type Uses = BTreeMap<WorkloadId, BTreeMap<ContainerName, Use>>;

/// What kubelets told, by workload.
pub fn uses(usage: &Usage, cluster: &ClusterView) -> Uses {
    let mut uses = Uses::new();
    for (uid, containers) in &usage.pods {
        let Some(pod) = cluster.pods.get(uid) else { continue };
        let of = uses.entry(pod.workload.clone()).or_default();
        for (name, used) in containers {
            let known = of.entry(name.clone()).or_default();
            known.cpu = known.cpu.max(used.highest());
            known.memory = known.memory.max(used.total().memory_peak);
        }
    }
    uses
}

/// What each of the caller's pods would hold more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extra {
    /// The callee's containers; its sidecar is not among them: the caller's serves both.
    pub containers: Vec<ContainerName>,
    /// What they ask for: this much the scheduler sets aside in each pod.
    pub requests: Resources,
    /// What they used at their height in a pod of the callee; `None` where the kubelets did not tell of each of them.
    pub used: Option<Use>,
    /// Pods of the caller today.
    pub pods: u64,
}

/// What would be different, for security and for scaling. A closed set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "effect", rename_all_fields = "camelCase")]
pub enum Effect {
    /// The callee's proxy no longer stands before it.
    Unguarded,
    /// What a copy does not take, the callee's own pods do: the proxied way.
    FallsBack,
    /// Neither does the caller's, and nothing takes a call that its companion does not: the direct way.
    NoFallback,
    /// What an owner's route says of retries is replaced: the proxied way.
    OwnRetries {
        /// The route's kind and name.
        route: String,
    },
    /// What its containers do would be done by the caller's pod.
    OneIdentity {
        /// The caller's service account.
        account: String,
    },
    /// Its containers would get no token.
    NoToken,
    /// Pods live and die together.
    OneFate,
    /// There would be a copy in each of the caller's pods, scaled with them.
    ScaledTogether {
        /// Pods of the caller today.
        pods: u64,
        /// The autoscaler that would count them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        autoscaler: Option<String>,
    },
    /// The callee's own pods go on serving the rest, and stand in.
    OwnPodsStay {
        /// Of its calls, what comes from others.
        others: Ratio,
        /// Its replicas today.
        replicas: u64,
        /// Whether they stand in depends on it.
        #[serde(default, skip_serializing_if = "Way::is_default")]
        way: Way,
    },
}

/// Whether to run a callee inside its caller's pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// Which edge.
    pub edge: EdgeId,
    /// By which way its calls would come to it: what the namespace's Policy says.
    #[serde(default, skip_serializing_if = "Way::is_default")]
    pub way: Way,
    /// Diagnose calls the edge chatter.
    pub chatter: bool,
    /// What its calls would gain; `None` where too few were measured on one node.
    pub gain: Option<Gain>,
    /// What it costs each pod.
    pub extra: Extra,
    /// What else changes.
    pub effects: Vec<Effect>,
    /// Every reason against it.
    pub against: Vec<Unmergeable>,
}

impl Advice {
    /// Whether nothing stands against this way in, and there is a measured reason to do it.
    pub fn recommends(&self, way: Way) -> bool {
        self.chatter && self.gain.is_some() && !self.against.iter().any(|reason| reason.forbids(way))
    }
}

/// Gives advice on edges of one graph and cluster.
#[derive(Clone, Copy, Debug)]
pub struct Adviser<'a> {
    /// The cluster.
    pub cluster: &'a ClusterView,
    /// The graph.
    pub snapshot: &'a Snapshot,
    /// What containers used, where kubelets told.
    pub uses: &'a Uses,
    /// What diagnose asks for, and the measured ratios.
    pub config: &'a DiagnoseConfig,
}

impl Adviser<'_> {
    /// All reasons against running the edge's destination inside its source's pods.
    pub fn against(&self, edge: &EdgeId) -> Vec<Unmergeable> {
        let pair = Pair::new(self.cluster, self.snapshot, edge);
        RULES.iter().flat_map(|rule| (rule.check)(&pair)).collect()
    }

    /// Everything there is to say of an edge, chatter or not. `findings`: what diagnose says.
    pub fn advise(&self, edge: &EdgeId, findings: &[Finding]) -> Advice {
        let seconds = self.snapshot.window.span().as_secs_f64();
        let stats = self.snapshot.edges.get(edge);
        let chatter = |finding: &Finding| &finding.edge == edge && matches!(finding.cause, Cause::Chatter { .. });
        Advice {
            edge: edge.clone(),
            way: self.cluster.policy(&edge.source.namespace).merge_way,
            chatter: findings.iter().any(chatter),
            gain: stats.and_then(|stats| gain(stats, seconds, self.config.min_part, &self.config.chatter)),
            extra: self.extra(edge),
            effects: self.effects(edge),
            against: self.against(edge),
        }
    }

    fn extra(&self, edge: &EdgeId) -> Extra {
        let pods = self.cluster.pods_of(&edge.source).count() as u64;
        let Some(template) = self.cluster.templates.get(&edge.destination) else {
            return Extra {
                pods,
                ..Extra::default()
            };
        };
        let containers: Vec<ContainerName> = template.running().map(|container| container.name.clone()).collect();
        let known = self.uses.get(&edge.destination);
        let used = |name: &ContainerName| known.and_then(|known| known.get(name)).copied();
        let all: Option<Vec<Use>> = containers.iter().map(used).collect();
        let sum = |uses: Vec<Use>| {
            uses.iter().fold(Use::default(), |sum, used| Use {
                cpu: Millicores(sum.cpu.0.saturating_add(used.cpu.0)),
                memory: Bytes(sum.memory.0.saturating_add(used.memory.0)),
            })
        };
        Extra {
            requests: Resources {
                pods: 0,
                ..template.requests.clone()
            },
            used: all.filter(|uses| !uses.is_empty()).map(sum),
            containers,
            pods,
        }
    }

    fn effects(&self, edge: &EdgeId) -> Vec<Effect> {
        let (caller, callee) = (&edge.source, &edge.destination);
        let pair = Pair::new(self.cluster, self.snapshot, edge);
        let own = pair.caller_share().map_or(0.0, Ratio::get);
        let workload = |id: &WorkloadId| self.cluster.workloads.get(id);
        let account = self
            .cluster
            .templates
            .get(caller)
            .map(|template| template.account.clone());
        let way = self.cluster.policy(&caller.namespace).merge_way;
        let first = match way {
            Way::Proxied => {
                let always = [Effect::Unguarded, Effect::FallsBack];
                always.into_iter().chain(own_retries(&pair)).collect()
            }
            Way::Direct => vec![Effect::Unguarded, Effect::NoFallback],
        };
        let others = [
            Effect::OneIdentity {
                account: account.unwrap_or_default(),
            },
            Effect::NoToken,
            Effect::OneFate,
            Effect::ScaledTogether {
                pods: self.cluster.pods_of(caller).count() as u64,
                autoscaler: workload(caller).and_then(|workload| workload.autoscaler.clone()),
            },
            Effect::OwnPodsStay {
                others: Ratio::clamped(1.0 - own),
                replicas: workload(callee).map_or(0, |workload| workload.replicas),
                way,
            },
        ];
        first.into_iter().chain(others).collect()
    }
}

fn own_retries(pair: &Pair<'_>) -> Vec<Effect> {
    let routes = routed::of(pair).into_iter().flatten();
    let again = routes.filter(|route| route.does == Rerouting::SentAgain);
    again
        .map(|route| Effect::OwnRetries {
            route: route.by.clone(),
        })
        .collect()
}
