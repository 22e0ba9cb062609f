//! What a plan says of pods that are starved: what more cpu is to bring, or why they get none.

use crate::cluster::AtStart;
use crate::diagnose::Lack;
use crate::id::{ContainerName, EdgeId, NodeName};
use crate::time::Span;
use crate::units::{Bytes, Micros, Millicores, Ratio};
use serde::{Deserialize, Serialize};

/// What an edge into resized pods is expected to gain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Relief {
    /// Which edge.
    pub edge: EdgeId,
    /// Which container of the callee.
    pub container: ContainerName,
    /// Share of the periods in which its limit stopped it, or of the time in which it waited or stalled.
    pub throttled_before: Ratio,
    /// The same expected under the new figure.
    pub throttled_after: Ratio,
    /// Served p99 today.
    pub served_p99_before: Micros,
    /// Served p99 expected: low where nothing stops it any more, high where the tail shrinks only as the stopped periods do.
    pub served_p99: (Micros, Micros),
    /// The container's program reads its limits only as it starts; `None` where nothing shows that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_start: Option<AtStart>,
    /// What the container lacks.
    #[serde(default = "cpu_limit", skip_serializing_if = "is_cpu_limit")]
    pub lack: Lack,
}

/// What plans of before the field are about.
fn cpu_limit() -> Lack {
    Lack::CpuLimit
}

fn is_cpu_limit(lack: &Lack) -> bool {
    *lack == Lack::CpuLimit
}

impl Relief {
    /// For people: what the container lacks, and what becomes of that.
    pub fn because(&self) -> String {
        let Self {
            container,
            throttled_before: before,
            throttled_after: after,
            ..
        } = self;
        match self.lack {
            Lack::CpuLimit => {
                format!("the cpu limit of container {container} stops it in {before} of the periods, then in {after}")
            }
            Lack::CpuShare => format!(
                "container {container} waits for a processor in {before} of the time; with a larger share of its node it waits less"
            ),
            Lack::Memory if *before == Ratio::ZERO => {
                format!(
                    "container {container} was killed for want of memory; with more it is not, as far as it does not leak"
                )
            }
            Lack::Memory => format!(
                "container {container} stalls on memory in {before} of the time; with more it does not, as far as it does not leak"
            ),
        }
    }
}

/// Why starved pods are not given more. A closed set: label, JSON and sentence come from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "why", rename_all_fields = "camelCase")]
pub enum Unrelieved {
    /// There is no figure of its own to raise: it has none, it asks already for what it uses, or the figure goes with others.
    OtherLack {
        /// Which container.
        container: ContainerName,
        /// What it lacks instead.
        lack: Lack,
    },
    /// Only Deployments are resized: a size rule works on the pods of ReplicaSets.
    NotDeployment,
    /// Rules are written into templates there, and a template's figures are its owner's: the policy does not give them away.
    Templates,
    /// Rules are written into templates there, and the container is not in its template: it is injected.
    NotInTemplate {
        /// Which container.
        container: ContainerName,
    },
    /// Its template says as much already, and its running pods have less by somebody's hand.
    InTemplate {
        /// Which container.
        container: ContainerName,
    },
    /// Somebody else decides over its cpu. What would be set is a recommendation.
    CpuOwned {
        /// Who.
        by: String,
        /// Which container.
        container: ContainerName,
        /// Its limit today.
        limit: Millicores,
        /// The limit that would be set.
        wanted: Millicores,
    },
    /// Its `resizePolicy` restarts it.
    Restarts {
        /// Which container.
        container: ContainerName,
        /// The limit that would be set.
        wanted: Millicores,
    },
    /// It has what the policy allows.
    Ceiling {
        /// Which container.
        container: ContainerName,
        /// The policy's ceiling.
        ceiling: Millicores,
    },
    /// Its requests go with its limits, and a node that holds one of its pods has no room for that.
    NodeFull {
        /// Which container.
        container: ContainerName,
        /// The node.
        node: NodeName,
    },
    /// Its pods have more than the limit that these figures were measured under.
    Raised {
        /// Which container.
        container: ContainerName,
    },
    /// Its limit is too new: how often it stops the container is not known well enough to reckon another from it.
    Unsettled {
        /// Which container.
        container: ContainerName,
        /// How long it is watched first.
        watched: Span,
    },
    /// One plan takes no more steps.
    PlanFull {
        /// How many.
        steps: u64,
    },
    /// It lacks two things, and gets the other one first.
    OneAtATime {
        /// Which container.
        container: ContainerName,
    },
    /// Somebody else decides over its memory, or may. What would be set is a recommendation.
    MemoryOwned {
        /// Who.
        by: String,
        /// Which container.
        container: ContainerName,
        /// Its limit today.
        limit: Bytes,
        /// The limit that would be set.
        wanted: Bytes,
    },
    /// It has the memory that the policy allows.
    MemoryCeiling {
        /// Which container.
        container: ContainerName,
        /// The policy's ceiling.
        ceiling: Bytes,
    },
    /// Its `resizePolicy` restarts it when its memory changes.
    MemoryRestarts {
        /// Which container.
        container: ContainerName,
        /// The limit that would be set.
        wanted: Bytes,
    },
    /// A node that holds one of its pods has no room for more memory.
    MemoryNodeFull {
        /// Which container.
        container: ContainerName,
        /// The node.
        node: NodeName,
        /// The limit that would be set.
        wanted: Bytes,
    },
    /// Somebody else decides over its cpu. The request that would be set is a recommendation.
    ShareOwned {
        /// Who.
        by: String,
        /// Which container.
        container: ContainerName,
        /// Its request today.
        request: Millicores,
        /// The request that would be set.
        wanted: Millicores,
    },
    /// Its `resizePolicy` restarts it when its cpu request changes.
    ShareRestarts {
        /// Which container.
        container: ContainerName,
        /// The request that would be set.
        wanted: Millicores,
    },
    /// A node that holds one of its pods has no room for a higher cpu request.
    ShareNodeFull {
        /// Which container.
        container: ContainerName,
        /// The node.
        node: NodeName,
        /// The request that would be set.
        wanted: Millicores,
    },
}

impl Unrelieved {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::OtherLack { .. } => "otherLack",
            Self::NotDeployment => "notDeployment",
            Self::Templates => "templates",
            Self::NotInTemplate { .. } => "notInTemplate",
            Self::InTemplate { .. } => "inTemplate",
            Self::CpuOwned { .. } => "cpuOwned",
            Self::Restarts { .. } => "restarts",
            Self::Ceiling { .. } => "ceiling",
            Self::NodeFull { .. } => "nodeFull",
            Self::Raised { .. } => "raised",
            Self::Unsettled { .. } => "unsettled",
            Self::PlanFull { .. } => "planFull",
            Self::OneAtATime { .. } => "oneAtATime",
            Self::MemoryOwned { .. } => "memoryOwned",
            Self::MemoryCeiling { .. } => "memoryCeiling",
            Self::MemoryRestarts { .. } => "memoryRestarts",
            Self::MemoryNodeFull { .. } => "memoryNodeFull",
            Self::ShareOwned { .. } => "shareOwned",
            Self::ShareRestarts { .. } => "shareRestarts",
            Self::ShareNodeFull { .. } => "shareNodeFull",
        }
    }
    /// For people.
    pub fn sentence(&self) -> String {
        match self {
            Self::OtherLack { container, lack } => {
                let lacks = match lack {
                    Lack::CpuLimit => "a higher cpu limit",
                    Lack::CpuShare => "its turn on the node's processors",
                    Lack::Memory => "memory",
                };
                format!("its container {container} lacks {lacks}, and has no figure of its own that could be raised for it.")
            }
            Self::NotDeployment => "it is starved, but only pods of Deployments are resized.".to_owned(),
            Self::Templates => {
                "it is starved, but rules are written into templates there, and the figures in a template are its owner's."
                    .to_owned()
            }
            Self::NotInTemplate { container } => format!(
                "figures are written into templates there, and its container {container} is not in its template: it is injected into each pod."
            ),
            Self::InTemplate { container } => format!(
                "its template gives its container {container} as much already; its running pods have less."
            ),
            Self::CpuOwned {
                by,
                container,
                limit,
                wanted,
            } => format!(
                "{by} decides over its cpu, so this is a recommendation: container {container} is stopped by its cpu limit of \
                 {limit}; {wanted} would let it run."
            ),
            Self::Restarts { container, wanted } => {
                format!("its container {container} would be restarted by the new cpu limit of {wanted}: its resizePolicy says so.")
            }
            Self::Ceiling { container, ceiling } => {
                format!("its container {container} has as much cpu as the policy allows ({ceiling}).")
            }
            Self::NodeFull { container, node } => format!(
                "the cpu request of its container {container} goes with its limit, and {node} has no room for more (a tenth of \
                 a node is left free)."
            ),
            Self::Raised { container } => {
                format!("the cpu limit of its container {container} was raised since it was measured.")
            }
            Self::Unsettled { container, watched } => {
                let seconds = watched.0 / 1000;
                format!("the cpu limit of its container {container} is new: how much is missing shows once it has been watched for {seconds} s.")
            }
            Self::PlanFull { steps } => format!("one plan takes {steps} steps, and these are used."),
            Self::OneAtATime { container } => {
                format!("its container {container} lacks two things; the plan gives it the other one first.")
            }
            Self::MemoryOwned {
                by,
                container,
                limit,
                wanted,
            } => format!(
                "{by} may decide over its memory, so this is a recommendation: container {container} comes to its end with a memory \
                 limit of {limit}; {wanted} would let it run."
            ),
            Self::MemoryCeiling { container, ceiling } => {
                format!("its container {container} has as much memory as the policy allows ({ceiling}).")
            }
            Self::MemoryRestarts { container, wanted } => format!(
                "its container {container} would be restarted by the new memory limit of {wanted}: its resizePolicy says so."
            ),
            Self::MemoryNodeFull {
                container,
                node,
                wanted,
            } => format!(
                "its container {container} lacks memory, and {node} has no room for a limit of {wanted} (a tenth of a node is left free, \
                 and what may be used counts like what is asked for)."
            ),
            Self::ShareOwned {
                by,
                container,
                request,
                wanted,
            } => format!(
                "{by} decides over its cpu, so this is a recommendation: container {container} waits for a processor with a cpu request of \
                 {request}; {wanted} would give it the share that it uses."
            ),
            Self::ShareRestarts { container, wanted } => format!(
                "its container {container} would be restarted by the new cpu request of {wanted}: its resizePolicy says so."
            ),
            Self::ShareNodeFull {
                container,
                node,
                wanted,
            } => format!(
                "its container {container} waits for a processor, and {node} has no room for a cpu request of {wanted} (a tenth of a node \
                 is left free)."
            ),
        }
    }
    /// What would have to change for it, for people.
    pub fn remedy(&self) -> String {
        match self {
            Self::OtherLack { lack, .. } => match lack {
                Lack::CpuLimit => "Wait for the next plan.".to_owned(),
                Lack::CpuShare => "Raise its cpu request, or move it or its neighbours to another node.".to_owned(),
                Lack::Memory => "Raise its memory limit, or find out what holds the memory.".to_owned(),
            },
            Self::NotDeployment => "Raise the cpu limit where the pods are defined.".to_owned(),
            Self::Templates => {
                "Set spec.templateSizes of the namespace's Policy to true (each change rolls its workload out), or install with `--rules \
                 admission` (Kubernetes 1.36)."
                    .to_owned()
            }
            Self::NotInTemplate { container } if container.as_str() == "istio-proxy" => {
                "Annotate the template: sidecar.istio.io/proxyCPU and proxyMemory are what the proxy asks for, proxyCPULimit and \
                 proxyMemoryLimit what it may use."
                    .to_owned()
            }
            Self::NotInTemplate { .. } => "Raise its figures where it is injected.".to_owned(),
            Self::InTemplate { .. } => {
                "Roll the workload out (`kubectl rollout restart`): its pods then come with what the template says.".to_owned()
            }
            Self::CpuOwned { by, wanted, .. } => format!(
                "Set the limit to {wanted} where the pods are defined, or let {by} go by something else than cpu."
            ),
            Self::Restarts { .. } => {
                "Set spec.resizeRestarts of the namespace's Policy to true, or the container's resizePolicy for cpu to NotRequired."
                    .to_owned()
            }
            Self::Ceiling { ceiling, .. } => format!("Raise spec.maxCpu of the namespace's Policy above {ceiling}."),
            Self::NodeFull { node, .. } => format!(
                "Free cpu on {node}, or let the container's request be lower than its limit where the pods are defined."
            ),
            Self::Raised { .. } | Self::Unsettled { .. } => "Wait for new figures.".to_owned(),
            Self::PlanFull { .. } => "Wait: the next plan goes on from there.".to_owned(),
            Self::OneAtATime { .. } => "Approve the plan; the next one looks at the rest.".to_owned(),
            Self::MemoryOwned { wanted, .. } => {
                format!("Set the memory limit to {wanted} where the pods are defined, or find out what holds the memory.")
            }
            Self::MemoryCeiling { ceiling, .. } => format!(
                "Raise spec.maxMemory of the namespace's Policy above {ceiling}, or find out what holds the memory."
            ),
            Self::MemoryRestarts { .. } => {
                "Set spec.resizeRestarts of the namespace's Policy to true, or the container's resizePolicy for memory to NotRequired."
                    .to_owned()
            }
            Self::MemoryNodeFull { node, .. } => format!("Free memory on {node}, or move one of its pods to another node."),
            Self::ShareOwned { by, wanted, .. } => format!(
                "Set the cpu request to {wanted} where the pods are defined, or let {by} go by something else than cpu."
            ),
            Self::ShareRestarts { .. } => {
                "Set spec.resizeRestarts of the namespace's Policy to true, or the container's resizePolicy for cpu to NotRequired."
                    .to_owned()
            }
            Self::ShareNodeFull { node, .. } => {
                format!("Free cpu on {node}, or move it or its neighbours to another node.")
            }
        }
    }
}
