//! Why a callee cannot run inside its caller's pods: a closed set. Label, JSON, sentence and remedy come from the variant (`words.rs`).

use super::Way;
use crate::cluster::{HostNamespace, OneAtATime, Rerouting};
use crate::id::{ContainerName, NodeName, WorkloadId, WorkloadKind};
use crate::time::Span;
use crate::units::Ratio;
use serde::{Deserialize, Serialize};

/// One end of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// Whose pods would hold both.
    Caller,
    /// Whose containers would join them.
    Callee,
}

/// What Huddle would have to know and does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unknown {
    /// The template: a dump of an older version, or one that could not be read.
    Template,
    /// Which ports its containers listen on: none is declared, and no Service names one.
    Ports,
    /// How long its pods take to start: none is ready.
    StartUp,
    /// Who calls the callee: nobody was measured.
    Callers,
    /// Which rights its service account has.
    Grants,
    /// Whether its service account is known outside the cluster.
    Cloud,
    /// Which rules the mesh holds for its calls.
    MeshPolicies,
    /// Which routes the mesh has for its calls.
    Routes,
}

/// What exists once in a pod, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Same {
    /// A container.
    Container,
    /// A volume.
    Volume,
}

/// What selects pods by their labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Selecting {
    /// Two of them make a pod impossible to evict.
    PodDisruptionBudget,
    /// It counts the pods that its target's selector selects.
    HorizontalPodAutoscaler,
    /// It sends calls to them.
    Service,
}

/// What a callee asks for that no companion may have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "what", rename_all_fields = "camelCase")]
pub enum Privilege {
    /// A field of its securityContext.
    Security {
        /// Which container.
        container: ContainerName,
        /// Which field.
        field: String,
    },
    /// A path of the node.
    HostPath {
        /// Which volume.
        volume: String,
    },
    /// The proxy's own user: its calls would pass the proxy by.
    ProxyUser {
        /// Which container.
        container: ContainerName,
    },
}

/// One reason against running the callee inside the caller's pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "reason", rename_all_fields = "camelCase")]
pub enum Unmergeable {
    /// Both ends are one workload.
    Itself,
    /// They live in two namespaces.
    OtherNamespace,
    /// A Policy says Observe: nothing is proposed there.
    ObserveOnly,
    /// An owner keeps Huddle away (`huddle.dev/opt-out`).
    OptedOut {
        /// Whose.
        whose: Side,
    },
    /// Only Deployments are merged.
    NotDeployment {
        /// Which end.
        whose: Side,
        /// What it is.
        kind: WorkloadKind,
    },
    /// It has volumes with a state of their own.
    Stateful {
        /// Which volume.
        volume: String,
    },
    /// Its owner wants no second copy of it.
    Singleton {
        /// The sign of it.
        sign: OneAtATime,
    },
    /// It makes calls of its own, which would carry the caller's identity.
    Outbound {
        /// To whom.
        to: WorkloadId,
    },
    /// Others make most of its calls, and would go on over the network.
    OtherCallers {
        /// This caller's share.
        share: Ratio,
    },
    /// A pod without a sidecar: its calls do not pass the mesh, or come from nobody the mesh knows.
    Unmeshed {
        /// Which end.
        whose: Side,
    },
    /// A rule of the mesh that the caller does not surely pass, and that nobody would hold inside the pod.
    MeshPolicy {
        /// Its kind and name.
        policy: String,
    },
    /// A route of the mesh does with its calls what would not be done inside the pod.
    Rerouted {
        /// Its kind and name.
        route: String,
        /// What it does.
        does: Rerouting,
    },
    /// Its service account has rights.
    Granted {
        /// By which binding.
        binding: String,
    },
    /// Its service account is known outside the cluster.
    CloudIdentity {
        /// By which annotation.
        annotation: String,
    },
    /// It mounts a token of its service account itself.
    Token {
        /// In which volume.
        volume: String,
    },
    /// It mounts what a CSI driver makes for its pod's identity.
    IdentityVolume {
        /// Which volume.
        volume: String,
        /// Whose driver.
        driver: String,
    },
    /// It asks for what no companion may have.
    Privileged {
        /// For what.
        #[serde(flatten)]
        privilege: Privilege,
    },
    /// A namespace of the node is shared.
    HostNamespace {
        /// By which end.
        whose: Side,
        /// Which.
        namespace: HostNamespace,
    },
    /// Both listen on one port.
    Port {
        /// Which.
        port: u16,
        /// `TCP`, `UDP` or `SCTP`.
        protocol: String,
    },
    /// It listens where the proxy does.
    ProxyPort {
        /// Which.
        port: u16,
    },
    /// Both have something of one name.
    Name {
        /// What.
        what: Same,
        /// The name.
        name: String,
    },
    /// The caller's pods run as a user or group that a container which names none would take over.
    User {
        /// The callee's container.
        container: ContainerName,
        /// Which field of the caller's pods.
        field: String,
    },
    /// A setting that a pod has once, and the two ends want differently.
    PodSetting {
        /// Which field.
        field: String,
        /// The caller's; `None` = the default.
        caller: Option<String>,
        /// The callee's.
        callee: Option<String>,
    },
    /// It pulls its image with a secret that the caller's pods do not have.
    PullSecret {
        /// Which.
        name: String,
    },
    /// It reads fields of its pod, which would be those of the caller's pod.
    DownwardApi {
        /// Which container, or the volume that holds them.
        by: String,
        /// Which field.
        field: String,
    },
    /// It was killed for want of memory, as far as its pods still tell.
    OutOfMemory {
        /// Which container.
        container: ContainerName,
    },
    /// It has containers that must end before the pod's others start.
    InitContainer {
        /// Which.
        container: ContainerName,
    },
    /// Its template does not say which program it runs.
    NoCommand {
        /// Which container.
        container: ContainerName,
    },
    /// It may not run where the caller may.
    NodeNeeds {
        /// On which node, one of them.
        node: NodeName,
        /// By which field of the callee.
        field: String,
    },
    /// The caller may run on processors that the callee was never seen on.
    Architecture {
        /// Which.
        architecture: String,
    },
    /// No node has room for what both ask for together.
    NoRoom {
        /// The node that comes closest.
        node: NodeName,
        /// What is short there.
        resource: String,
    },
    /// Both would be counted as one by what selects pods by labels.
    SelectedTwice {
        /// What selects.
        by: Selecting,
        /// Its name.
        name: String,
    },
    /// The caller's autoscaler goes by cpu, and cannot where a container asks for none.
    AutoscalerBlind {
        /// The autoscaler.
        autoscaler: String,
        /// The callee's container.
        container: ContainerName,
    },
    /// It takes much longer to start than the caller.
    SlowStart {
        /// How long the caller takes.
        caller: Span,
        /// How long the callee takes.
        callee: Span,
    },
    /// Its Service maps the port, and over loopback nobody does. Against the direct way only.
    PortMapped {
        /// The Service's.
        port: u16,
        /// The pods'.
        target: u16,
    },
    /// A headless Service leads to it: who looks it up wants the addresses of its pods. Against the direct way only.
    Headless {
        /// Which.
        service: String,
    },
    /// A Service leads to it and to others, whom over loopback no call reaches. Against the direct way only.
    SharedService {
        /// Which.
        service: String,
        /// To whom else, one of them.
        with: WorkloadId,
    },
    /// The caller's pods say by themselves what names mean. Against the direct way only.
    OwnNames {
        /// By which field of the caller.
        field: String,
    },
    /// The caller has containers that must end before a companion starts, and for which its callee's names mean the same. Against the direct way
    /// only.
    CallerWaits {
        /// Which.
        container: ContainerName,
    },
    /// More Services lead to it than a companion names. Against the direct way only.
    ManyServices {
        /// How many.
        services: u64,
        /// How many a companion names.
        most: u64,
    },
    /// Nobody's calls to the caller are measured, so that nothing would show what becomes of those inside its pods. Against the direct way
    /// only.
    Unseen,
    /// It cannot be told, and Huddle does not guess.
    CannotTell {
        /// Of which end.
        whose: Side,
        /// What.
        what: Unknown,
    },
    /// Its template says what a Companion has no field for.
    Inexpressible {
        /// Which container or volume.
        by: String,
        /// Which field of it.
        field: String,
    },
}

impl Unmergeable {
    /// Whether it stands against this way in.
    pub fn forbids(&self, way: Way) -> bool {
        match (self, way) {
            (
                Self::PortMapped { .. }
                | Self::Headless { .. }
                | Self::SharedService { .. }
                | Self::OwnNames { .. }
                | Self::CallerWaits { .. }
                | Self::ManyServices { .. }
                | Self::Unseen,
                Way::Proxied,
            ) => false,
            (Self::Rerouted { does, .. }, Way::Proxied) => !does.is_kept(),
            (_, Way::Proxied | Way::Direct) => true,
        }
    }
}
