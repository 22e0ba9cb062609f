//! What merging asks of a workload beside where it may run: its template, and what its identity is trusted with. Names only: no values
//! of environment variables, and nothing out of secrets.

use super::{Compute, Constraints, Labels, Resources};
use crate::id::{ContainerName, Namespace};
use crate::time::Span;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A port that a container declares or is probed at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Port {
    /// The port.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Its name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// When a container of a template runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// As long as its pod.
    Ordinary,
    /// As long as its pod, and started before the ordinary ones (an init container that restarts always).
    Sidecar,
    /// Once, before the ordinary ones.
    Init,
}

/// A container of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemplateContainer {
    /// Its name.
    pub name: ContainerName,
    /// When it runs.
    pub role: Role,
    /// Ports that it declares or is probed at.
    #[serde(default)]
    pub ports: BTreeSet<Port>,
    /// What it asks for.
    #[serde(default)]
    pub requests: Compute,
    /// Fields of its pod that it reads through the downward API, as field paths; the node's are left out: they are the same in any pod.
    #[serde(default)]
    pub pod_fields: BTreeSet<String>,
    /// What its securityContext asks for beyond an ordinary process, as field paths.
    #[serde(default)]
    pub privileges: BTreeSet<String>,
    /// The template names its program; else only its image knows it.
    #[serde(default)]
    pub names_command: bool,
    /// The user it runs as, by itself or by its pod.
    #[serde(default)]
    pub user: Option<i64>,
    /// Its group, the same way.
    #[serde(default)]
    pub group: Option<i64>,
    /// Fields of [`Template::confined`] that it, or its pod, says something of.
    #[serde(default)]
    pub confined: BTreeSet<String>,
}

/// What a volume is, as far as merging tells volumes apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", rename_all_fields = "camelCase")]
pub enum VolumeKind {
    /// Of the pod alone: emptyDir, configMap, secret and the like.
    Plain,
    /// A claim, or an ephemeral one.
    Claim,
    /// A path of the node.
    HostPath,
    /// Holds a service account's token.
    Token,
    /// Of a CSI driver, mounted for this pod's identity.
    Csi {
        /// Which driver.
        driver: String,
    },
    /// Holds fields of its pod.
    Downward,
}

/// A volume of a template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// What it is.
    pub is: VolumeKind,
}

/// A namespace of the node that a pod may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HostNamespace {
    /// `hostNetwork`.
    Network,
    /// `hostPID`.
    Pid,
    /// `hostIPC`.
    Ipc,
}

impl HostNamespace {
    /// Its field in a pod's spec.
    pub fn field(self) -> &'static str {
        match self {
            Self::Network => "spec.hostNetwork",
            Self::Pid => "spec.hostPID",
            Self::Ipc => "spec.hostIPC",
        }
    }
}

/// Signs that an owner does not want a second copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OneAtATime {
    /// `strategy: Recreate`: the old pod is gone before the new one comes.
    Recreate,
    /// One replica and `maxSurge: 0`: a rollout never runs two.
    NoSurge,
}

impl OneAtATime {
    /// For people, as the end of "it …".
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Recreate => "is rolled out by strategy Recreate",
            Self::NoSurge => "has one replica and a rollout with maxSurge 0",
        }
    }
}

/// A Deployment's template, and what the assembly knows of its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Template {
    /// Its containers; what is injected later is not among them.
    pub containers: Vec<TemplateContainer>,
    /// Its volumes.
    pub volumes: BTreeSet<Volume>,
    /// Its service account, in its own namespace.
    pub account: String,
    /// Namespaces of the node that it shares.
    pub host: BTreeSet<HostNamespace>,
    /// The user and group that containers run as which say nothing themselves: `spec.securityContext`.
    pub user: Option<i64>,
    /// The same for the group.
    pub group: Option<i64>,
    /// Fields by which its pods confine containers that say nothing themselves: non-root users, seccomp, SELinux, AppArmor.
    pub confined: BTreeSet<String>,
    /// Settings that a pod has once, for all its containers, by field path; only those that differ from the default.
    pub settings: BTreeMap<String, String>,
    /// Secrets that images are pulled with, by name.
    pub pull_secrets: BTreeSet<String>,
    /// What one pod asks for, without what is injected.
    pub requests: Resources,
    /// Where its pods may run.
    pub constraints: Constraints,
    /// Whether its owner wants no second copy.
    pub one_at_a_time: Option<OneAtATime>,
    /// PodDisruptionBudgets that select its pods, by name.
    pub budgets: BTreeSet<String>,
    /// From a pod's start to its being ready: the quickest of the pods that are ready now, since a pod that was unready for a while
    /// looks slow. `None` where none is ready.
    pub start_up: Option<Span>,
}

impl Template {
    /// The containers that end before the others start.
    pub fn initial(&self) -> impl Iterator<Item = &TemplateContainer> {
        self.containers.iter().filter(|container| container.role == Role::Init)
    }
    /// The containers that run as long as a pod.
    pub fn running(&self) -> impl Iterator<Item = &TemplateContainer> {
        self.containers.iter().filter(|container| match container.role {
            Role::Ordinary | Role::Sidecar => true,
            Role::Init => false,
        })
    }
}

/// A port of a Service, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServicePort {
    /// The Service's port.
    pub port: u16,
    /// The pods' port, by number or by name.
    pub target: Target,
}

/// A port of pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// By number.
    Port(u16),
    /// By the name that a container declares.
    Named(String),
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountId {
    /// Where it lives.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
}

/// Whom a binding names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Grantee {
    /// One service account.
    Account(AccountId),
    /// All of a namespace: the group `system:serviceaccounts:NAMESPACE`.
    AllOf(Namespace),
    /// All of the cluster: the group `system:serviceaccounts`.
    All,
}

impl Grantee {
    /// Whether the account is among them.
    pub fn includes(&self, account: &AccountId) -> bool {
        match self {
            Self::Account(own) => own == account,
            Self::AllOf(namespace) => *namespace == account.namespace,
            Self::All => true,
        }
    }
}

/// A binding that names service accounts. A companion has no token: what its account is granted, it cannot use, by itself or by a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// To whom.
    pub to: Grantee,
    /// The binding's kind and name.
    pub binding: String,
}

/// A service account that something outside the cluster knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CloudIdentity {
    /// Whose.
    pub account: AccountId,
    /// The annotation that says so.
    pub annotation: String,
}

/// What a rule of the mesh does with the requests that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MeshAction {
    /// AuthorizationPolicy ALLOW: what no such policy admits is turned away.
    Allow,
    /// AuthorizationPolicy DENY.
    Deny,
    /// AuthorizationPolicy CUSTOM or AUDIT: somebody else is asked or told.
    Other,
    /// RequestAuthentication: tokens of requests are checked.
    Tokens,
}

/// Who a rule's source may be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// One of these principals; `*` stands at one end or alone.
    Principals(BTreeSet<String>),
    /// One of these namespaces, written the same way.
    Namespaces(BTreeSet<String>),
    /// One of these service accounts: `name`, or `namespace/name`.
    Accounts(BTreeSet<String>),
    /// Anything else, or several conditions at once.
    Other,
}

/// One rule of an AuthorizationPolicy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MeshRule {
    /// Any of these; empty = anyone.
    pub from: Vec<Source>,
    /// Only some requests: the rule has `to` or `when`.
    pub partial: bool,
}

/// An AuthorizationPolicy or a RequestAuthentication that sidecars carry out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MeshPolicy {
    /// Where it lives.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// What it does.
    pub action: MeshAction,
    /// The pods that it is about; empty = all of its namespace.
    pub selector: Labels,
    /// Its rules: any of them.
    pub rules: Vec<MeshRule>,
}

/// What identities are trusted with; `None` where Huddle may not read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Trust {
    /// RoleBindings and ClusterRoleBindings.
    pub grants: Option<BTreeSet<Grant>>,
    /// Identities outside the cluster, as service accounts tell.
    pub cloud: Option<BTreeSet<CloudIdentity>>,
    /// The mesh's rules.
    pub mesh: Option<BTreeSet<MeshPolicy>>,
}
