//! A Deployment's template, as far as merging asks: names and kinds. Values of the environment are not read.

use super::constraints::constraints;
use super::pod::requests;
use super::quantity::compute;
use super::{Invalid, selector::labels};
use huddle_core::cluster::{HostNamespace, OneAtATime, Port, Role, Template, TemplateContainer, Volume, VolumeKind};
use huddle_core::id::ContainerName;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::{BTreeMap, BTreeSet};

/// Fields that the downward API gives alike in any pod on the node.
const OF_THE_NODE: [&str; 3] = ["spec.nodeName", "status.hostIP", "status.hostIPs"];

/// Reads a template.
///
/// # Errors
/// If the spec is missing, or a port or a quantity is none.
pub fn template(object: &Deployment) -> Result<Template, Invalid> {
    let deployment = object.spec.as_ref().ok_or_else(|| Invalid::missing("spec"))?;
    let pods = &deployment.template;
    let spec = pods
        .spec
        .as_ref()
        .ok_or_else(|| Invalid::missing("spec.template.spec"))?;
    let security = spec.security_context.as_ref();
    let (user, group) = (
        security.and_then(|security| security.run_as_user),
        security.and_then(|security| security.run_as_group),
    );
    let confined = security.map(confined_by_pod).unwrap_or_default();
    let init = spec.init_containers.iter().flatten().map(|container| {
        let sidecar = container.restart_policy.as_deref() == Some("Always");
        (container, if sidecar { Role::Sidecar } else { Role::Init })
    });
    let ordinary = spec.containers.iter().map(|container| (container, Role::Ordinary));
    let labels = labels(pods.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref()));
    Ok(Template {
        containers: ordinary
            .chain(init)
            .map(|(read, role)| container(read, role, (user, group), &confined))
            .collect::<Result<_, _>>()?,
        volumes: spec.volumes.iter().flatten().map(volume).collect(),
        account: spec
            .service_account_name
            .clone()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "default".to_owned()),
        host: host(spec),
        user,
        group,
        confined: confined.clone(),
        settings: settings(spec),
        pull_secrets: spec
            .image_pull_secrets
            .iter()
            .flatten()
            .map(|secret| secret.name.clone())
            .collect(),
        requests: requests(spec)?,
        constraints: constraints(spec, &labels)?.constraints,
        one_at_a_time: one_at_a_time(deployment),
        budgets: BTreeSet::new(),
        start_up: None,
    })
}

fn host(spec: &v1::PodSpec) -> BTreeSet<HostNamespace> {
    let shared = [
        (HostNamespace::Network, spec.host_network),
        (HostNamespace::Pid, spec.host_pid),
        (HostNamespace::Ipc, spec.host_ipc),
    ];
    let shared = shared.into_iter().filter(|(_, set)| *set == Some(true));
    shared.map(|(namespace, _)| namespace).collect()
}

fn one_at_a_time(spec: &DeploymentSpec) -> Option<OneAtATime> {
    let strategy = spec.strategy.as_ref()?;
    let surge = strategy
        .rolling_update
        .as_ref()
        .and_then(|rolling| rolling.max_surge.as_ref());
    let none = match surge {
        Some(IntOrString::Int(surge)) => *surge == 0,
        Some(IntOrString::String(percent)) => percent == "0%",
        None => false,
    };
    match strategy.type_.as_deref() {
        Some("Recreate") => Some(OneAtATime::Recreate),
        _ if none && spec.replicas.unwrap_or(1) <= 1 => Some(OneAtATime::NoSurge),
        _ => None,
    }
}

/// What a pod has once for all its containers, where it is not what the API server would set by itself.
fn settings(spec: &v1::PodSpec) -> BTreeMap<String, String> {
    let security = spec.security_context.as_ref();
    let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    let but = |value: &Option<String>, default: &str| text(value).filter(|text| text != default);
    let all = [
        ("spec.runtimeClassName", text(&spec.runtime_class_name)),
        ("spec.schedulerName", but(&spec.scheduler_name, "default-scheduler")),
        ("spec.priorityClassName", text(&spec.priority_class_name)),
        ("spec.dnsPolicy", but(&spec.dns_policy, "ClusterFirst")),
        ("spec.dnsConfig", written(spec.dns_config.as_ref())),
        ("spec.hostAliases", written(spec.host_aliases.as_ref())),
        ("spec.hostname", text(&spec.hostname)),
        ("spec.subdomain", text(&spec.subdomain)),
        ("spec.os.name", spec.os.as_ref().map(|os| os.name.clone())),
        (
            "spec.hostUsers",
            spec.host_users.filter(|own| !own).map(|own| own.to_string()),
        ),
        (
            "spec.shareProcessNamespace",
            spec.share_process_namespace
                .filter(|shared| *shared)
                .map(|shared| shared.to_string()),
        ),
        (
            "spec.securityContext.fsGroup",
            security
                .and_then(|security| security.fs_group)
                .map(|group| group.to_string()),
        ),
        (
            "spec.securityContext.supplementalGroups",
            written(security.and_then(|security| security.supplemental_groups.as_ref())),
        ),
        (
            "spec.securityContext.sysctls",
            written(security.and_then(|security| security.sysctls.as_ref())),
        ),
    ];
    let set = all
        .into_iter()
        .filter_map(|(field, value)| Some((field.to_owned(), value?)));
    set.filter(|(_, value)| value != "[]").collect()
}

/// A value as text, to be compared.
fn written<T: serde::Serialize>(value: Option<&T>) -> Option<String> {
    serde_json::to_string(value?).ok()
}

fn container(
    read: &v1::Container,
    role: Role,
    (user, group): (Option<i64>, Option<i64>),
    by_pod: &BTreeSet<String>,
) -> Result<TemplateContainer, Invalid> {
    let at = |problem: Invalid| {
        let field = format!("spec.template.spec.containers[{}].{}", read.name, problem.field);
        Invalid::new(field, problem.problem)
    };
    let asked = read.resources.as_ref().and_then(|asked| asked.requests.as_ref());
    let security = read.security_context.as_ref();
    Ok(TemplateContainer {
        name: ContainerName::new(&*read.name),
        role,
        ports: ports(read).map_err(at)?,
        requests: compute(asked, "requests").map_err(at)?,
        pod_fields: read
            .env
            .iter()
            .flatten()
            .filter_map(|env| env.value_from.as_ref()?.field_ref.as_ref())
            .map(|field| field.field_path.clone())
            .filter(|path| !OF_THE_NODE.contains(&path.as_str()))
            .collect(),
        privileges: security.map(privileges).unwrap_or_default(),
        names_command: read.command.as_ref().is_some_and(|command| !command.is_empty()),
        user: security.and_then(|security| security.run_as_user).or(user),
        group: security.and_then(|security| security.run_as_group).or(group),
        confined: security
            .map(confined_by_itself)
            .unwrap_or_default()
            .union(by_pod)
            .cloned()
            .collect(),
    })
}

/// How the pod confines containers that say nothing themselves. That it does not ask for a non-root user confines nobody.
fn confined_by_pod(security: &v1::PodSecurityContext) -> BTreeSet<String> {
    said([
        security.run_as_non_root == Some(true),
        security.seccomp_profile.is_some(),
        security.se_linux_options.is_some(),
        security.app_armor_profile.is_some(),
    ])
}

fn confined_by_itself(security: &v1::SecurityContext) -> BTreeSet<String> {
    said([
        security.run_as_non_root.is_some(),
        security.seccomp_profile.is_some(),
        security.se_linux_options.is_some(),
        security.app_armor_profile.is_some(),
    ])
}

/// Of the fields that confine containers, those of which something is said.
fn said(of: [bool; 4]) -> BTreeSet<String> {
    let fields = ["runAsNonRoot", "seccompProfile", "seLinuxOptions", "appArmorProfile"];
    let said = fields.into_iter().zip(of).filter(|(_, said)| *said);
    said.map(|(field, _)| format!("spec.securityContext.{field}")).collect()
}

/// Ports that it declares, and those where the kubelet probes it.
fn ports(read: &v1::Container) -> Result<BTreeSet<Port>, Invalid> {
    let number =
        |value: i32, field: &str| u16::try_from(value).map_err(|_| Invalid::new(field, format!("{value} is no port")));
    let mut ports = BTreeSet::new();
    for port in read.ports.iter().flatten() {
        ports.insert(Port {
            port: number(port.container_port, "ports[].containerPort")?,
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            name: port.name.clone(),
        });
    }
    let probes = [&read.liveness_probe, &read.readiness_probe, &read.startup_probe];
    for probe in probes.into_iter().flatten() {
        let asked = [
            probe.http_get.as_ref().map(|get| get.port.clone()),
            probe.tcp_socket.as_ref().map(|socket| socket.port.clone()),
            probe.grpc.as_ref().map(|grpc| IntOrString::Int(grpc.port)),
        ];
        for port in asked.into_iter().flatten() {
            // A name is one of the declared ports.
            let IntOrString::Int(port) = port else { continue };
            let port = number(port, "probe.port")?;
            if !ports
                .iter()
                .any(|known: &Port| known.port == port && known.protocol == "TCP")
            {
                ports.insert(Port {
                    port,
                    protocol: "TCP".to_owned(),
                    name: None,
                });
            }
        }
    }
    Ok(ports)
}

fn privileges(security: &v1::SecurityContext) -> BTreeSet<String> {
    let added = security.capabilities.as_ref().and_then(|all| all.add.as_ref());
    let beyond = [
        ("securityContext.privileged", security.privileged == Some(true)),
        (
            "securityContext.capabilities.add",
            added.is_some_and(|added| !added.is_empty()),
        ),
        (
            "securityContext.procMount",
            security.proc_mount.as_ref().is_some_and(|mount| mount != "Default"),
        ),
    ];
    let beyond = beyond.into_iter().filter(|(_, set)| *set);
    beyond.map(|(field, _)| field.to_owned()).collect()
}

fn volume(read: &v1::Volume) -> Volume {
    let projected = || {
        let sources = read
            .projected
            .iter()
            .flat_map(|projected| projected.sources.iter().flatten());
        sources.collect::<Vec<_>>()
    };
    let is = if read.persistent_volume_claim.is_some() || read.ephemeral.is_some() {
        VolumeKind::Claim
    } else if read.host_path.is_some() {
        VolumeKind::HostPath
    } else if let Some(csi) = &read.csi {
        VolumeKind::Csi {
            driver: csi.driver.clone(),
        }
    } else if projected().iter().any(|source| source.service_account_token.is_some()) {
        VolumeKind::Token
    } else if read.downward_api.is_some() || projected().iter().any(|source| source.downward_api.is_some()) {
        VolumeKind::Downward
    } else {
        VolumeKind::Plain
    };
    Volume {
        name: read.name.clone(),
        is,
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
