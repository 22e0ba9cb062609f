//! A callee's containers that join the pods of one caller as these are created. The schema is closed: it has no field for anything
//! privileged, a path or namespace of the node, an added capability, a probe, a hook, or a token of a service account.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// By which way the caller's calls come to the companion. Proxied: through the caller's own proxy, with the callee's Service to fall back on, so
/// that no call fails for want of a companion. Direct: over loopback, the fastest way, which the mesh neither secures nor measures; calls fail
/// from a companion's end until it listens again, and in each new pod until its companion listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CompanionWay {
    /// Through the caller's own proxy, with the callee's Service to fall back on.
    Proxied,
    /// Over loopback, with nothing to fall back on.
    Direct,
}

/// One key of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyOf {
    /// The Secret's or ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Which key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// Whether it may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// Where a variable's value comes from. Fields of the pod are left out: they would be the caller's.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)").message("one of secretKeyRef and configMapKeyRef"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValueFrom {
    /// A Secret's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyOf>,
    /// A ConfigMap's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyOf>,
}

/// A variable of the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its value, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub value: Option<String>,
    /// Or where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
}

/// Protocols of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// TCP.
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
    /// SCTP.
    #[serde(rename = "SCTP")]
    Sctp,
}

/// A port that a container listens on. It has no name: names of ports are the caller's, for its Services.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("self.containerPort < 15000 || self.containerPort > 15099").message("ports 15000 to 15099 are the proxy's"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompanionPort {
    /// Which.
    #[schemars(range(min = 1, max = 65535))]
    pub container_port: i32,
    /// By which protocol.
    pub protocol: Protocol,
}

/// What a container asks for, and may use at most; quantities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Amounts {
    /// Cpu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[0-9]{1,10}(\\.[0-9]{1,3})?m?$", "maxLength" = 15))]
    pub cpu: Option<String>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[0-9]{1,16}(Ki|Mi|Gi|Ti|k|M|G|T)?$", "maxLength" = 18))]
    pub memory: Option<String>,
    /// Scratch space of the node.
    #[serde(default, rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[0-9]{1,16}(Ki|Mi|Gi|Ti|k|M|G|T)?$", "maxLength" = 18))]
    pub ephemeral_storage: Option<String>,
}

/// A container's resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompanionResources {
    /// What it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Amounts>,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Amounts>,
}

/// Where a volume is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompanionMount {
    /// The companion's volume.
    #[schemars(extend("pattern" = "^huddle-[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength" = 63))]
    pub name: String,
    /// Where.
    #[schemars(length(min = 1, max = 1024))]
    pub mount_path: String,
    /// Which part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub sub_path: Option<String>,
    /// Whether it may not be written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}

/// Capabilities that a container gives up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dropped {
    /// Their names.
    #[schemars(length(max = 64), inner(length(max = 64)))]
    pub drop: Vec<String>,
}

/// The only seccomp profile that a companion may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SeccompKind {
    /// The container runtime's own.
    RuntimeDefault,
}

/// A seccomp profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seccomp {
    /// Which.
    #[serde(rename = "type")]
    pub kind: SeccompKind,
}

/// Restrictions of a container; nothing here gives it more than an ordinary process has.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.runAsUser) || self.runAsUser != 1337").message("user 1337 is the proxy's: its traffic passes the mesh by"),
    validation = Rule::new("!has(self.runAsGroup) || self.runAsGroup != 1337").message("group 1337 is the proxy's: its traffic passes the mesh by"),
    validation = Rule::new("!has(self.allowPrivilegeEscalation) || !self.allowPrivilegeEscalation").message("a companion gains no privileges")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restrictions {
    /// Its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub run_as_user: Option<i64>,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub run_as_group: Option<i64>,
    /// Whether it may not be root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_non_root: Option<bool>,
    /// Whether its image may not be written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only_root_filesystem: Option<bool>,
    /// Never true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_privilege_escalation: Option<bool>,
    /// What it gives up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Dropped>,
    /// Its seccomp profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp_profile: Option<Seccomp>,
}

/// One container of the callee as the caller's pods get it. It has no probes: it never says whether the pod is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompanionContainer {
    /// Its name in the caller's pods.
    #[schemars(extend("pattern" = "^huddle-[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength" = 63))]
    pub name: String,
    /// Its image.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// When the image is pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^(Always|IfNotPresent|Never)$"))]
    pub image_pull_policy: Option<String>,
    /// Instead of the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(max = 32768)))]
    pub command: Vec<String>,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(max = 32768)))]
    pub args: Vec<String>,
    /// Where it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub working_dir: Option<String>,
    /// Its environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub env: Vec<Variable>,
    /// What it listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub ports: Vec<CompanionPort>,
    /// What it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<CompanionResources>,
    /// What it mounts.
    #[schemars(length(min = 1, max = 32))]
    pub volume_mounts: Vec<CompanionMount>,
    /// How it is restricted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<Restrictions>,
}

/// The callee's names in the caller's pods, which mean the pod itself there: the direct way.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.hostnames.all(h, h.split('.').size() == 1 || self.hostnames.exists(s, s == h.split('.')[0]))").message("each longer name is one of a Service that is named by itself too")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Loopback {
    /// The pod itself, and nothing else.
    #[schemars(extend("pattern" = "^127\\.0\\.0\\.1$", "maxLength" = 9))]
    pub ip: String,
    /// Names of Services: `service`, `service.namespace`, `service.namespace.svc`, `service.namespace.svc.cluster.local`.
    #[schemars(
        length(min = 4, max = 64),
        inner(
            length(max = 147),
            regex(
                pattern = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.svc(\\.cluster\\.local)?)?)?$"
            )
        )
    )]
    pub hostnames: Vec<String>,
}

/// One key as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileOf {
    /// Which key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// The file.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
    /// Its mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 511))]
    pub mode: Option<i32>,
}

/// A ConfigMap as files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigFiles {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Which keys; all where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub items: Vec<FileOf>,
    /// The files' mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 511))]
    pub default_mode: Option<i32>,
    /// Whether it may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A Secret as files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretFiles {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Which keys; all where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub items: Vec<FileOf>,
    /// The files' mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 511))]
    pub default_mode: Option<i32>,
    /// Whether it may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// Scratch space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scratch {
    /// `Memory` where it is memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^Memory$"))]
    pub medium: Option<String>,
    /// Most that fits in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[0-9]{1,16}(Ki|Mi|Gi|Ti|k|M|G|T)?$", "maxLength" = 18))]
    pub size_limit: Option<String>,
}

/// A ConfigMap or Secret within a projected volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Projection {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Which keys; all where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub items: Vec<FileOf>,
    /// Whether it may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// One source of a projected volume. Tokens and fields of the pod are none.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.secret) != has(self.configMap)").message("one of secret and configMap"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// A Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Projection>,
    /// A ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<Projection>,
}

/// Several in one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Projected {
    /// What is in it.
    #[schemars(length(min = 1, max = 16))]
    pub sources: Vec<Source>,
    /// The files' mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 511))]
    pub default_mode: Option<i32>,
}

/// A volume of the companion's, of one of four kinds.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("[has(self.configMap), has(self.secret), has(self.emptyDir), has(self.projected)].filter(is, is).size() == 1").message("one of configMap, secret, emptyDir and projected"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompanionVolume {
    /// Its name in the caller's pods.
    #[schemars(extend("pattern" = "^huddle-[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength" = 63))]
    pub name: String,
    /// A ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigFiles>,
    /// A Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretFiles>,
    /// Scratch space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<Scratch>,
    /// Several ConfigMaps and Secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projected: Option<Projected>,
}

/// A callee's containers for the pods of one caller. Its spec never changes (a new version is a new object), so that undo is a deletion.
/// Only Huddle's controller may create one (`manifests/admission/companion-privilege.yaml`). It holds the callee's environment: it is
/// for those to read who may read the callee's Deployment, and no role that Huddle installs shows it to people.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "huddle.dev",
    version = "v1alpha1",
    kind = "Companion",
    plural = "companions",
    namespaced,
    derive = "PartialEq",
    validation = Rule::new("size(self.metadata.name) <= 63").message("its name is a label's value, of at most 63 characters"),
    printcolumn(name = "Caller", type_ = "string", json_path = ".spec.caller"),
    printcolumn(name = "Callee", type_ = "string", json_path = ".spec.callee"),
    printcolumn(name = "Way", type_ = "string", json_path = ".spec.way"),
    printcolumn(name = "State", type_ = "string", json_path = ".metadata.labels.huddle\\.dev/state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("self == oldSelf").message("a companion's spec never changes: make a new Companion"),
    validation = Rule::new("self.caller != self.callee").message("a workload is not merged with itself"),
    validation = Rule::new("self.containers.all(c, c.volumeMounts.all(m, self.volumes.exists_one(v, v.name == m.name)))").message("a companion mounts its own volumes only"),
    validation = Rule::new("self.containers.all(c, c.volumeMounts.exists_one(m, m.mountPath == '/var/run/secrets/kubernetes.io/serviceaccount' && self.volumes.exists(v, v.name == m.name && has(v.emptyDir))))").message("each container mounts an emptyDir at /var/run/secrets/kubernetes.io/serviceaccount, so that it gets no token there"),
    validation = Rule::new("!has(self.installer) || self.installer.volumeMounts.all(m, self.volumes.exists_one(v, v.name == m.name))").message("a companion mounts its own volumes only"),
    validation = Rule::new("!has(self.installer) || self.installer.volumeMounts.exists_one(m, m.mountPath == '/var/run/secrets/kubernetes.io/serviceaccount' && self.volumes.exists(v, v.name == m.name && has(v.emptyDir)))").message("the installer mounts an emptyDir at /var/run/secrets/kubernetes.io/serviceaccount, so that it gets no token there"),
    validation = Rule::new("self.containers.all(c, self.containers.exists_one(d, d.name == c.name))").message("containers differ in name"),
    validation = Rule::new("has(self.loopback) == (self.way == 'Direct')").message("the direct way, and no other, names the callee's Services")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompanionSpec {
    /// The Deployment whose new pods get the containers.
    #[schemars(length(min = 1, max = 253))]
    pub caller: String,
    /// The Deployment whose containers they are.
    #[schemars(length(min = 1, max = 253))]
    pub callee: String,
    /// By which way calls come to them.
    pub way: CompanionWay,
    /// The containers, finished: admission adds them as they are.
    #[schemars(length(min = 1, max = 4))]
    pub containers: Vec<CompanionContainer>,
    /// Their volumes.
    #[schemars(length(min = 1, max = 32))]
    pub volumes: Vec<CompanionVolume>,
    /// Runs to its end before the pod's containers start, and leaves in a volume of the companion's what starts their programs again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installer: Option<CompanionContainer>,
    /// The direct way: the names of the callee's Services, which mean the pod itself in the caller's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loopback: Option<Loopback>,
    /// SHA-256 of the callee's template that this was made from, in hex.
    #[schemars(extend("pattern" = "^[0-9a-f]{64}$", "maxLength" = 64))]
    pub template_hash: String,
    /// `metadata.generation` of the callee then.
    #[schemars(range(min = 1))]
    pub generation: i64,
}
