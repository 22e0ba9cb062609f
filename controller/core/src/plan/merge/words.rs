//! The words of merging.

use super::{Privilege, Same, Selecting, Side, Unknown, Unmergeable, Way};
use crate::cluster::Rerouting;

impl Side {
    /// For machines: equals the JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
        }
    }
}

impl Way {
    /// For machines: equals the JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Proxied => "proxied",
            Self::Direct => "direct",
        }
    }
    /// For people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Proxied => "through the caller's own proxy, with the callee's Service to fall back on",
            Self::Direct => "over loopback, with no proxy and nothing to fall back on",
        }
    }
}

impl Same {
    fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Volume => "volume",
        }
    }
}

impl Selecting {
    /// The Kubernetes kind: equals the JSON.
    pub fn kind(self) -> &'static str {
        match self {
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::Service => "Service",
        }
    }
}

impl Rerouting {
    /// For people, after the route's name.
    fn sentence(self) -> &'static str {
        match self {
            Self::Elsewhere => {
                "sends calls to the callee's Service elsewhere, in whole or in part; inside the pod none would go there"
            }
            Self::Subset => {
                "sends calls to a subset of the callee's pods; those that fall back from inside the pod would go to all of them"
            }
            Self::Answers => {
                "answers calls to the callee's Service itself, or redirects them; inside the pod the callee would answer"
            }
            Self::SentOnce => {
                "says that no call to the callee's Service is sent twice; inside the pod that would not hold"
            }
            Self::SentAgain | Self::Stands => {
                "tells proxies what to do with calls to the callee's Service; over loopback none is there to do it (the direct way only)"
            }
        }
    }
}

impl Unknown {
    /// For machines: equals the JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Ports => "ports",
            Self::StartUp => "startUp",
            Self::Callers => "callers",
            Self::Grants => "grants",
            Self::Cloud => "cloud",
            Self::MeshPolicies => "meshPolicies",
            Self::Routes => "routes",
        }
    }
    fn sentence(self, whose: Side) -> String {
        let whose = whose.label();
        match self {
            Self::Template => format!("what the {whose}'s template says is not known"),
            Self::Ports => {
                format!("on which ports the {whose} listens is not known: none is declared, and no Service names one")
            }
            Self::StartUp => format!("how long the {whose} takes to start is not known: none of its pods is ready"),
            Self::Callers => "nobody's calls to the callee were measured".to_owned(),
            Self::Grants => "which rights the callee's service account has may not be read here".to_owned(),
            Self::Cloud => "whether a cloud knows the callee's service account may not be read here".to_owned(),
            Self::MeshPolicies => "which rules the mesh holds for the callee may not be read here".to_owned(),
            Self::Routes => "which routes the mesh has for the callee's calls may not be read here".to_owned(),
        }
    }
    fn remedy(self, whose: Side) -> String {
        match self {
            Self::Template => "Let a controller of this version write the dump, or read its log for what it left out.".to_owned(),
            Self::Ports => format!("Declare the {}'s containerPorts in its template.", whose.label()),
            Self::StartUp => "Wait until a pod of it is ready.".to_owned(),
            Self::Callers => "Let it be called, or wait for more requests.".to_owned(),
            Self::Grants => {
                "Let Huddle read bindings: `kubectl create clusterrolebinding huddle-read-grants --clusterrole=huddle-read-grants \
                 --serviceaccount=huddle-system:huddle-controller`."
                    .to_owned()
            }
            Self::Cloud | Self::MeshPolicies | Self::Routes => {
                "Install again: this version's ClusterRole huddle-read has the right.".to_owned()
            }
        }
    }
}

/// A field's value, where unset means the default.
fn or_default(value: Option<&String>) -> &str {
    value.map_or("the default", String::as_str)
}

impl Unmergeable {
    /// For machines: equals the JSON tag.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Itself => "itself",
            Self::OtherNamespace => "otherNamespace",
            Self::ObserveOnly => "observeOnly",
            Self::OptedOut { .. } => "optedOut",
            Self::NotDeployment { .. } => "notDeployment",
            Self::Stateful { .. } => "stateful",
            Self::Singleton { .. } => "singleton",
            Self::Outbound { .. } => "outbound",
            Self::OtherCallers { .. } => "otherCallers",
            Self::Unmeshed { .. } => "unmeshed",
            Self::MeshPolicy { .. } => "meshPolicy",
            Self::Rerouted { .. } => "rerouted",
            Self::Granted { .. } => "granted",
            Self::CloudIdentity { .. } => "cloudIdentity",
            Self::Token { .. } => "token",
            Self::IdentityVolume { .. } => "identityVolume",
            Self::Privileged { .. } => "privileged",
            Self::HostNamespace { .. } => "hostNamespace",
            Self::Port { .. } => "port",
            Self::ProxyPort { .. } => "proxyPort",
            Self::Name { .. } => "name",
            Self::User { .. } => "user",
            Self::PodSetting { .. } => "podSetting",
            Self::PullSecret { .. } => "pullSecret",
            Self::DownwardApi { .. } => "downwardApi",
            Self::OutOfMemory { .. } => "outOfMemory",
            Self::InitContainer { .. } => "initContainer",
            Self::NoCommand { .. } => "noCommand",
            Self::NodeNeeds { .. } => "nodeNeeds",
            Self::Architecture { .. } => "architecture",
            Self::NoRoom { .. } => "noRoom",
            Self::SelectedTwice { .. } => "selectedTwice",
            Self::AutoscalerBlind { .. } => "autoscalerBlind",
            Self::SlowStart { .. } => "slowStart",
            Self::PortMapped { .. } => "portMapped",
            Self::Headless { .. } => "headless",
            Self::SharedService { .. } => "sharedService",
            Self::OwnNames { .. } => "ownNames",
            Self::CallerWaits { .. } => "callerWaits",
            Self::ManyServices { .. } => "manyServices",
            Self::Unseen => "unseen",
            Self::CannotTell { .. } => "cannotTell",
            Self::Inexpressible { .. } => "inexpressible",
        }
    }

    /// For people.
    #[allow(clippy::too_many_lines, reason = "one sentence per reason, to be read as a list")]
    pub fn sentence(&self) -> String {
        match self {
            Self::Itself => "a workload is not merged with itself.".to_owned(),
            Self::OtherNamespace => {
                "they live in two namespaces: a pod can use the secrets, settings and accounts of one only.".to_owned()
            }
            Self::ObserveOnly => "the namespace's policy says Observe: nothing is proposed there.".to_owned(),
            Self::OptedOut { whose } => format!("the {} is annotated huddle.dev/opt-out.", whose.label()),
            Self::NotDeployment { whose, kind } => {
                format!(
                    "the {} is a {}; only Deployments are merged.",
                    whose.label(),
                    kind.as_str()
                )
            }
            Self::Stateful { volume } => {
                format!("the callee claims volume {volume}: its data cannot be in each of the caller's pods.")
            }
            Self::Singleton { sign } => {
                format!(
                    "the callee {}: its owner wants no second copy beside the first.",
                    sign.sentence()
                )
            }
            Self::Outbound { to } => {
                format!("the callee calls {to}; from the caller's pods it would do so with the caller's identity.")
            }
            Self::OtherCallers { share } => {
                format!("this caller makes {share} of the callee's calls; the others would still go over the network.")
            }
            Self::Unmeshed { whose } => format!("the {} has pods without a sidecar.", whose.label()),
            Self::MeshPolicy { policy } => format!(
                "{policy} is about the callee, and the caller does not surely pass it for every call; inside the pod nobody would \
                 hold it."
            ),
            Self::Rerouted { route, does } => format!("{route} {}.", does.sentence()),
            Self::Granted { binding } => {
                format!("{binding} gives the callee's service account rights, which its copies would not have.")
            }
            Self::CloudIdentity { annotation } => format!(
                "the callee's service account is known outside the cluster ({annotation}); its copies would act as the caller."
            ),
            Self::Token { volume } => {
                format!("the callee mounts a token in volume {volume}; in the caller's pods it would be the caller's.")
            }
            Self::IdentityVolume { volume, driver } => format!(
                "the callee's volume {volume} is made by {driver} for its pod's identity; in the caller's pods it would be the caller's."
            ),
            Self::Privileged { privilege } => privilege.sentence(),
            Self::HostNamespace { whose, namespace } => {
                format!("the {} sets {}.", whose.label(), namespace.field())
            }
            Self::Port { port, protocol } => format!("both listen on port {port} ({protocol})."),
            Self::ProxyPort { port } => format!("the callee listens on port {port}, which the proxy keeps for itself."),
            Self::Name { what, name } => format!("both have a {} {name}.", what.word()),
            Self::User { container, field } => format!(
                "the caller's pods set {field}, which the callee's container {container} would take over: it sets none itself."
            ),
            Self::PodSetting { field, caller, callee } => format!(
                "a pod has one {field}: the caller's is {}, the callee's {}.",
                or_default(caller.as_ref()),
                or_default(callee.as_ref())
            ),
            Self::PullSecret { name } => {
                format!("the callee's image is pulled with secret {name}, which the caller's pods do not have.")
            }
            Self::DownwardApi { by, field } => {
                format!("the callee's {by} is told {field} of its pod; that would be the caller's pod.")
            }
            Self::OutOfMemory { container } => format!(
                "container {container} was killed for want of memory: in the caller's pods that may end all its processes at once, and the pod would \
                 be unready until it is back."
            ),
            Self::InitContainer { container } => format!(
                "the callee's init container {container} would run before the caller starts: if it waits for the caller, neither \
                 starts."
            ),
            Self::NoCommand { container } => format!(
                "the callee's container {container} names no command, so that only its image knows the program: a companion's program is \
                 started, and started again, by another one, which must be told it."
            ),
            Self::NodeNeeds { node, field } => {
                format!("the caller may run on {node}, and the callee's {field} forbids it.")
            }
            Self::Architecture { architecture } => format!(
                "the caller may run on {} nodes, and no pod of the callee runs on one.",
                if architecture.is_empty() {
                    "unlabelled"
                } else {
                    architecture
                }
            ),
            Self::NoRoom { node, resource } => format!(
                "no node has room for what both ask for together; {node} comes closest and is short of {resource}."
            ),
            Self::SelectedTwice { by, name } => {
                format!("{} {name} would select the merged pods as both.", by.kind())
            }
            Self::AutoscalerBlind { autoscaler, container } => format!(
                "HorizontalPodAutoscaler {autoscaler} counts the caller's pods by their cpu, and cannot where a container asks for none, \
                 as the callee's {container} does."
            ),
            Self::SlowStart { caller, callee } => format!(
                "the callee takes {:.0} s to be ready, the caller {:.0} s: each new pod would be without it for long.",
                callee.as_secs_f64(),
                caller.as_secs_f64()
            ),
            Self::PortMapped { port, target } => format!(
                "the callee's Service leads from port {port} to {target}, and over loopback nobody does (the direct way only)."
            ),
            Self::Headless { service } => format!(
                "Service {service} is headless: who looks it up wants the addresses of the callee's pods (the direct way only)."
            ),
            Self::SharedService { service, with } => format!(
                "Service {service} leads to {with} too, which over loopback would get no calls of the caller (the direct way only)."
            ),
            Self::OwnNames { field } => format!(
                "the caller's {field} says what names mean in its pods, and a companion's names might mean something else there (the direct \
                 way only)."
            ),
            Self::CallerWaits { container } => format!(
                "the caller's init container {container} runs before any companion does, and for it the callee's names mean its own pod: if it waits \
                 for the callee, it waits for ever (the direct way only)."
            ),
            Self::ManyServices { services, most } => format!(
                "{services} Services lead to the callee, and a companion names at most {most} (the direct way only)."
            ),
            Self::Unseen => "nobody's calls to the caller are measured: over loopback no proxy sees its own, so nothing would tell whether they \
                 got faster, or fail (the direct way only)."
                .to_owned(),
            Self::CannotTell { whose, what } => format!("it cannot be told: {}.", what.sentence(*whose)),
            Self::Inexpressible { by, field } => {
                format!("the callee's {by} sets {field} to what a companion cannot be given.")
            }
        }
    }

    /// What would have to change for it, for people.
    #[allow(clippy::too_many_lines, reason = "one sentence per reason, to be read as a list")]
    pub fn remedy(&self) -> String {
        let never = || "Nothing: leave the two apart.".to_owned();
        match self {
            Self::Itself => never(),
            Self::OtherNamespace => "Move one of the two into the other's namespace.".to_owned(),
            Self::ObserveOnly => "Set spec.automation of the namespace's Policy to Recommend, Approve or Auto.".to_owned(),
            Self::OptedOut { whose } => format!("Remove the annotation huddle.dev/opt-out from the {}.", whose.label()),
            Self::NotDeployment { .. } => "Run it as a Deployment, if it can be one.".to_owned(),
            Self::Stateful { .. } => "Keep the data elsewhere, or leave the two apart.".to_owned(),
            Self::Singleton { .. } => {
                "If two copies may run at once, roll it out by RollingUpdate with a surge; if not, leave the two apart.".to_owned()
            }
            Self::Outbound { .. } => "Leave the two apart, or merge what it calls instead.".to_owned(),
            Self::OtherCallers { .. } => "Merge it with the caller that makes most of its calls.".to_owned(),
            Self::Unmeshed { whose } => format!("Let the sidecar be injected into all pods of the {}.", whose.label()),
            Self::Rerouted { route, does } if does.is_kept() => {
                format!("Take the proxied way (`mergeWay: Proxied` in the namespace's Policy), or delete {route} if it is not needed.")
            }
            Self::Rerouted { route, .. } => {
                format!("Let {route} send all calls to the Service as such, or leave the two apart while it does not.")
            }
            Self::MeshPolicy { .. } => {
                "Admit the caller by its principal or namespace without further conditions, if its owner agrees; rules that ask or tell \
                 others cannot be kept."
                    .to_owned()
            }
            Self::Granted { .. } => "Take the rights away if it does not use them, or leave the two apart.".to_owned(),
            Self::CloudIdentity { .. } => "Take the annotation away if it is not used, or leave the two apart.".to_owned(),
            Self::Token { .. } | Self::IdentityVolume { .. } => {
                "Take the volume away if it is not used, or leave the two apart.".to_owned()
            }
            Self::Privileged { .. } => "Take it from the template if it is not used, or leave the two apart.".to_owned(),
            Self::HostNamespace { .. } => never(),
            Self::Port { .. } | Self::ProxyPort { .. } => "Let one of them listen elsewhere.".to_owned(),
            Self::Name { what, .. } => format!("Rename the {} in one of the two templates.", what.word()),
            Self::User { field, .. } => {
                format!("Set {} for the callee's container in its template.", field.replace("spec.", "containers[]."))
            }
            Self::PodSetting { .. } => "Let both templates say the same, if both owners agree.".to_owned(),
            Self::PullSecret { name } => format!("Add {name} to the caller's imagePullSecrets, or to its service account."),
            Self::DownwardApi { .. } => "Take the field from the callee's template if it is not used.".to_owned(),
            Self::OutOfMemory { .. } => {
                "Raise its memory limit until it is not met any more, or let it use less; pods that were killed are forgotten when they are replaced.".to_owned()
            }
            Self::InitContainer { .. } => "Do its work in the image or in the program itself.".to_owned(),
            Self::NoCommand { .. } => {
                "Write the image's entry point into the container's command; it runs the same program then as now.".to_owned()
            }
            Self::NodeNeeds { .. } => "Let both say the same of the nodes that they may run on.".to_owned(),
            Self::Architecture { .. } => {
                "Keep the caller from these nodes, or let a pod of the callee run on one.".to_owned()
            }
            Self::NoRoom { node, resource } => format!("Free {resource} on {node}, lower a request, or add a node."),
            Self::SelectedTwice { by, .. } => format!("Narrow the selectors, so that the {} tells the two apart.", by.kind()),
            Self::AutoscalerBlind { container, .. } => format!("Give container {container} a cpu request."),
            Self::SlowStart { .. } => "Let the callee start sooner, or leave the two apart.".to_owned(),
            Self::PortMapped { target, .. } => {
                format!("Let the Service's port be {target} too, or take the proxied way, which maps ports.")
            }
            Self::Headless { .. } | Self::SharedService { .. } | Self::ManyServices { .. } => {
                "Take the proxied way (`mergeWay: Proxied` in the namespace's Policy), or let one Service of its own lead to the callee."
                    .to_owned()
            }
            Self::OwnNames { .. } => {
                "Take the proxied way (`mergeWay: Proxied` in the namespace's Policy), or the field from the caller's template.".to_owned()
            }
            Self::CallerWaits { .. } => {
                "Take the proxied way (`mergeWay: Proxied` in the namespace's Policy), or do the container's work in the caller's own program.".to_owned()
            }
            Self::Unseen => {
                "Take the proxied way (`mergeWay: Proxied` in the namespace's Policy), or let the filter be in what calls the caller.".to_owned()
            }
            Self::CannotTell { whose, what } => what.remedy(*whose),
            Self::Inexpressible { .. } => "Take it from the template if it is not used, or leave the two apart.".to_owned(),
        }
    }
}

impl Privilege {
    fn sentence(&self) -> String {
        match self {
            Self::Security { container, field } => {
                format!("the callee's container {container} sets {field}, which no companion may have.")
            }
            Self::HostPath { volume } => {
                format!("the callee's volume {volume} is a path of the node, which no companion may have.")
            }
            Self::ProxyUser { container } => {
                format!(
                    "the callee's container {container} runs as the proxy's user: its traffic would pass the mesh by."
                )
            }
        }
    }
}
