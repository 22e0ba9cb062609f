//! A callee's template as a Companion says it. Nothing is left out but what the pod's readiness hangs on, and names of ports: what the schema
//! has no field for is a reason against it.

use super::super::lingering;
use crate::watch::convert::template;
use huddle_api as api;
use huddle_core::id::{EdgeId, WorkloadId};
use huddle_core::plan::merge::{MOST_SERVICES, Same, Unmergeable, Way, by_templates};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};
use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Longest name of a container or volume.
const NAME: usize = 63;
/// Digits of the hash that stands in for what a name has no room for.
const DIGITS: usize = 8;
/// The volume in the place of a token.
const NO_TOKEN: &str = "no-token";
/// The volume that holds what starts a companion's program, and where it is mounted.
const SUPERVISOR: &str = "supervisor";
const SUPERVISOR_PATH: &str = "/huddle-supervisor";
/// Where Huddle's image has it.
const IN_IMAGE: &str = "/usr/local/bin/supervisor";
/// What a companion does without: probes would own the pod's readiness, and who reads its last words finds them in its log.
const DROPPED: [&str; 5] = [
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "terminationMessagePath",
    "terminationMessagePolicy",
];

/// Where Services have their names, in a cluster that was not told otherwise. Elsewhere no route or name is met, no call goes inside, and the
/// merge is undone for that.
pub(super) const DOMAIN: &str = "svc.cluster.local";

/// The Companion that runs the callee inside the caller's pods. Deterministic: equal templates make equal specs. `services`: those that lead to
/// the callee, which the direct way makes mean the pod itself. `image`: Huddle's own, from which what starts the callee's programs is taken:
/// their ends must not be their containers', or the caller's pods would be unready.
///
/// # Errors
/// With all reasons against it that the two templates hold.
pub fn companion_of(
    caller: &Deployment,
    callee: &Deployment,
    (way, services): (Way, &[String]),
    image: &str,
) -> Result<api::CompanionSpec, Vec<Unmergeable>> {
    let id = |of: &Deployment| WorkloadId::deployment(&of.namespace().unwrap_or_default(), &of.name_any());
    let edge = EdgeId {
        source: id(caller),
        destination: id(callee),
    };
    let unread = |problem: crate::watch::convert::Invalid| vec![cannot("template", &problem.field)];
    let (one, other) = (template(caller).map_err(unread)?, template(callee).map_err(unread)?);
    let mut against = by_templates(&edge, &one, &other);
    against.retain(|reason| reason.forbids(way));
    if way == Way::Direct && services.len() > MOST_SERVICES {
        against.push(Unmergeable::ManyServices {
            services: services.len() as u64,
            most: MOST_SERVICES as u64,
        });
    }
    let pods = callee.spec.as_ref().map(|spec| &spec.template);
    let none = PodSpec::default();
    let spec = pods.and_then(|template| template.spec.as_ref()).unwrap_or(&none);
    let name = callee.name_any();
    let caller_pods = caller.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let lingers = lingering::option(caller_pods.unwrap_or(&none));
    for sidecar in spec.init_containers.iter().flatten() {
        if sidecar.restart_policy.as_deref() == Some("Always") {
            against.push(cannot(&format!("container {}", sidecar.name), "restartPolicy"));
        }
    }
    let mut keep = |found: Result<_, Vec<Unmergeable>>| found.map_err(|reasons| against.extend(reasons)).ok();
    let volumes = spec.volumes.iter().flatten();
    let volumes: Vec<_> = volumes.filter_map(|read| keep(volume(read, &name))).collect();
    let mut against_containers = Vec::new();
    let containers: Vec<api::CompanionContainer> = spec
        .containers
        .iter()
        .filter_map(|read| {
            let made = container(read, spec, (&name, way), &lingers);
            made.map_err(|reasons| against_containers.extend(reasons)).ok()
        })
        .collect();
    against.extend(against_containers);
    if !against.is_empty() {
        return Err(against);
    }
    let empty = |of: &str, size: &str| api::CompanionVolume {
        name: named(&name, of),
        empty_dir: Some(api::Scratch {
            medium: None,
            size_limit: Some(size.to_owned()),
        }),
        ..api::CompanionVolume::default()
    };
    // An empty directory takes a block of its file system, 4 KiB as a rule, and a kubelet evicts the pod whose volume takes more than it may.
    let own = [empty(NO_TOKEN, "1Mi"), empty(SUPERVISOR, "32Mi")];
    Ok(api::CompanionSpec {
        caller: caller.name_any(),
        installer: Some(installer(&name, image)),
        callee: name,
        way: match way {
            Way::Proxied => api::CompanionWay::Proxied,
            Way::Direct => api::CompanionWay::Direct,
        },
        containers,
        volumes: volumes.into_iter().chain(own).collect(),
        loopback: (way == Way::Direct).then(|| loopback(services, edge.source.namespace.as_str())),
        template_hash: template_hash(callee),
        generation: callee.metadata.generation.unwrap_or(1),
    })
}

/// All names by which a pod of the namespace knows these Services, as the pod itself.
fn loopback(services: &[String], namespace: &str) -> api::Loopback {
    let of = |service: &String| {
        [
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.{DOMAIN}"),
        ]
    };
    api::Loopback {
        ip: "127.0.0.1".to_owned(),
        hostnames: services.iter().flat_map(of).collect(),
    }
}

/// Copies the supervisor into its volume, as whoever the image says.
fn installer(callee: &str, image: &str) -> api::CompanionContainer {
    let amounts = |cpu: Option<&str>, memory: &str| api::Amounts {
        cpu: cpu.map(str::to_owned),
        memory: Some(memory.to_owned()),
        ephemeral_storage: None,
    };
    api::CompanionContainer {
        name: named(callee, SUPERVISOR),
        image: image.to_owned(),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: [IN_IMAGE, "install", SUPERVISOR_PATH].map(str::to_owned).to_vec(),
        args: Vec::new(),
        working_dir: None,
        env: Vec::new(),
        ports: Vec::new(),
        resources: Some(api::CompanionResources {
            requests: Some(amounts(Some("10m"), "16Mi")),
            limits: Some(amounts(None, "64Mi")),
        }),
        volume_mounts: vec![supervisor(callee, false), no_token(callee)],
        security_context: Some(api::Restrictions {
            run_as_non_root: Some(true),
            read_only_root_filesystem: Some(true),
            allow_privilege_escalation: Some(false),
            capabilities: Some(api::Dropped {
                drop: vec!["ALL".to_owned()],
            }),
            ..api::Restrictions::default()
        }),
    }
}

fn supervisor(callee: &str, read_only: bool) -> api::CompanionMount {
    api::CompanionMount {
        name: named(callee, SUPERVISOR),
        mount_path: SUPERVISOR_PATH.to_owned(),
        sub_path: None,
        read_only: Some(read_only),
    }
}

fn no_token(callee: &str) -> api::CompanionMount {
    api::CompanionMount {
        name: named(callee, NO_TOKEN),
        mount_path: api::TOKEN_PATH.to_owned(),
        sub_path: None,
        read_only: Some(true),
    }
}

/// SHA-256 of a Deployment's template, in hex.
pub(super) fn template_hash(of: &Deployment) -> String {
    let template = of.spec.as_ref().map(|spec| json!(spec.template).to_string());
    hex(&template.unwrap_or_default())
}

fn cannot(by: &str, field: &str) -> Unmergeable {
    Unmergeable::Inexpressible {
        by: by.to_owned(),
        field: field.to_owned(),
    }
}

fn hex(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name in the caller's pods. What does not fit, or is no label, is told apart by its hash.
fn named(callee: &str, name: &str) -> String {
    let whole = format!("{}{callee}-{name}", api::COMPANION_PREFIX);
    if whole.len() <= NAME && !whole.contains('.') {
        return whole;
    }
    let room = NAME - DIGITS - 1;
    let start: String = whole.replace('.', "-").chars().take(room).collect();
    let tail: String = hex(&whole).chars().take(DIGITS).collect();
    format!("{start}-{tail}")
}

/// Each field of a JSON object by itself, so that the reason names the one that cannot be said.
struct Fields {
    by: String,
    left: Map<String, Value>,
    against: Vec<Unmergeable>,
}

impl Fields {
    fn of<T: serde::Serialize>(by: String, object: &T) -> Self {
        let left = json!(object).as_object().cloned().unwrap_or_default();
        Self {
            by,
            left,
            against: Vec::new(),
        }
    }
    fn take<T: DeserializeOwned>(&mut self, field: &str) -> Option<T> {
        let value = self.left.remove(field)?;
        let read = serde_json::from_value(value);
        read.map_err(|_| self.against.push(cannot(&self.by, field))).ok()
    }
    /// All reasons, with one for each field that nobody took.
    fn against(mut self) -> Vec<Unmergeable> {
        let left: Vec<String> = self.left.keys().cloned().collect();
        self.against.extend(left.iter().map(|field| cannot(&self.by, field)));
        self.against
    }
}

fn container(
    read: &Container,
    pod: &PodSpec,
    (callee, way): (&str, Way),
    lingers: &[String],
) -> Result<api::CompanionContainer, Vec<Unmergeable>> {
    let mut fields = Fields::of(format!("container {}", read.name), read);
    for dropped in DROPPED {
        fields.left.remove(dropped);
    }
    if lingering::only_sleeps(read) {
        // So that its endpoints are forgotten; a companion is nobody's endpoint, and the supervisor does what is left of it.
        fields.left.remove("lifecycle");
    }
    for port in fields
        .left
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(port) = port.as_object_mut() {
            port.remove("name");
            port.entry("protocol").or_insert_with(|| json!("TCP"));
        }
    }
    let limits = read.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    if limits.is_some_and(|limits| limits.contains_key("ephemeral-storage")) {
        // As for a volume's size: beyond it the whole pod is evicted.
        fields
            .against
            .push(cannot(&fields.by.clone(), "resources.limits.ephemeral-storage"));
    }
    let security = restrictions(read, pod);
    fields.left.insert("securityContext".to_owned(), security);
    let mut mounts: Vec<api::CompanionMount> = fields.take("volumeMounts").unwrap_or_default();
    if mounts
        .iter()
        .any(|mount| [api::TOKEN_PATH, SUPERVISOR_PATH].contains(&mount.mount_path.trim_end_matches('/')))
    {
        fields.against.push(cannot(&fields.by.clone(), "volumeMounts"));
    }
    for mount in &mut mounts {
        mount.name = named(callee, &mount.name);
    }
    mounts.extend([no_token(callee), supervisor(callee, true)]);
    let mut run = [&format!("{SUPERVISOR_PATH}/supervisor"), "run"]
        .map(str::to_owned)
        .to_vec();
    run.extend_from_slice(lingers);
    if way == Way::Direct {
        run.extend(listens(read));
    }
    run.push("--".to_owned());
    let program: Vec<String> = fields.take("command").unwrap_or_default();
    fields.left.remove("name");
    let made = api::CompanionContainer {
        name: named(callee, &read.name),
        image: fields.take("image").unwrap_or_default(),
        image_pull_policy: fields.take("imagePullPolicy"),
        command: run.into_iter().chain(program).collect(),
        args: fields.take("args").unwrap_or_default(),
        working_dir: fields.take("workingDir"),
        env: fields.take("env").unwrap_or_default(),
        ports: fields.take("ports").unwrap_or_default(),
        resources: fields.take("resources"),
        volume_mounts: mounts,
        security_context: fields.take("securityContext"),
    };
    let against = fields.against();
    if against.is_empty() { Ok(made) } else { Err(against) }
}

/// Where it listens, so that the supervisor can tell for how long it did not: over loopback nobody else sees that.
fn listens(read: &Container) -> impl Iterator<Item = String> + '_ {
    let ports = read.ports.iter().flatten();
    let tcp = ports.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
    tcp.flat_map(|port| ["--listens".to_owned(), port.container_port.to_string()])
}

/// What the container says itself, and what its pod says for it.
fn restrictions(read: &Container, pod: &PodSpec) -> Value {
    let mut own = read.security_context.clone().unwrap_or_default();
    if let Some(all) = &pod.security_context {
        own.run_as_user = own.run_as_user.or(all.run_as_user);
        own.run_as_group = own.run_as_group.or(all.run_as_group);
        own.run_as_non_root = own.run_as_non_root.or(all.run_as_non_root);
        own.seccomp_profile = own.seccomp_profile.or_else(|| all.seccomp_profile.clone());
        own.se_linux_options = own.se_linux_options.or_else(|| all.se_linux_options.clone());
        own.app_armor_profile = own.app_armor_profile.or_else(|| all.app_armor_profile.clone());
    }
    own.privileged = own.privileged.filter(|privileged| *privileged);
    own.proc_mount = own.proc_mount.filter(|mount| mount != "Default");
    if let Some(capabilities) = &mut own.capabilities {
        capabilities.add = capabilities.add.take().filter(|added| !added.is_empty());
        capabilities.drop.get_or_insert_default();
    }
    json!(own)
}

fn volume(read: &Volume, callee: &str) -> Result<api::CompanionVolume, Vec<Unmergeable>> {
    if [NO_TOKEN, SUPERVISOR].contains(&read.name.as_str()) {
        return Err(vec![Unmergeable::Name {
            what: Same::Volume,
            name: read.name.clone(),
        }]);
    }
    let mut fields = Fields::of(format!("volume {}", read.name), read);
    fields.left.remove("name");
    // Who outgrows it has the kubelet evict the whole pod, the caller with it. In memory it is full before.
    let on_disk = read
        .empty_dir
        .as_ref()
        .filter(|dir| dir.medium.as_deref() != Some("Memory"));
    if on_disk.is_some_and(|dir| dir.size_limit.is_some()) {
        fields.against.push(cannot(&fields.by.clone(), "emptyDir.sizeLimit"));
    }
    let made = api::CompanionVolume {
        name: named(callee, &read.name),
        config_map: fields.take("configMap"),
        secret: fields.take("secret"),
        empty_dir: fields.take("emptyDir"),
        projected: fields.take("projected"),
    };
    let against = fields.against();
    if against.is_empty() { Ok(made) } else { Err(against) }
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
