//! What a pod's spec says about where it may run.

use super::{Invalid, node::effect, selector::operator, selector::selector};
use huddle_core::cluster::{
    Constraints, HostPort, Labels, PodTerm, Requirement, Selector, SpreadConstraint, Toleration,
};
use huddle_core::id::Namespace;
use k8s_openapi::api::core::v1::{
    ContainerPort, NodeSelectorTerm, PodAffinityTerm, PodSpec, Toleration as ApiToleration, TopologySpreadConstraint,
    Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeSet;

/// Constraints, and the namespace selectors of their terms, which only the assembly can resolve: index of the term, selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) constraints: Constraints,
    pub(super) affinity_namespaces: Vec<(usize, Selector)>,
    pub(super) anti_affinity_namespaces: Vec<(usize, Selector)>,
}

pub(super) fn constraints(spec: &PodSpec, labels: &Labels) -> Result<Read, Invalid> {
    let affinity = spec.affinity.as_ref();
    let node_terms = affinity
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref())
        .map(|required| required.node_selector_terms.iter().map(node_term).collect())
        .transpose()?
        .unwrap_or_default();
    let (together, affinity_namespaces) = terms(
        affinity
            .and_then(|affinity| affinity.pod_affinity.as_ref())
            .and_then(|pods| pods.required_during_scheduling_ignored_during_execution.as_ref()),
        "spec.affinity.podAffinity",
    )?;
    let (apart, anti_affinity_namespaces) = terms(
        affinity
            .and_then(|affinity| affinity.pod_anti_affinity.as_ref())
            .and_then(|pods| pods.required_during_scheduling_ignored_during_execution.as_ref()),
        "spec.affinity.podAntiAffinity",
    )?;
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    Ok(Read {
        constraints: Constraints {
            node_selector: spec.node_selector.clone().unwrap_or_default(),
            node_terms,
            affinity: together,
            anti_affinity: apart,
            spread: spec
                .topology_spread_constraints
                .iter()
                .flatten()
                .map(|constraint| spread(constraint, labels))
                .collect::<Result<_, _>>()?,
            tolerations: spec
                .tolerations
                .iter()
                .flatten()
                .map(toleration)
                .collect::<Result<_, _>>()?,
            host_ports: containers
                .flat_map(|container| container.ports.iter().flatten())
                .filter_map(host_port)
                .collect(),
            pinned_volumes: spec.volumes.iter().flatten().any(pins),
            unpredictable: unpredictable(spec).map(str::to_owned),
        },
        affinity_namespaces,
        anti_affinity_namespaces,
    })
}

/// The field that hands the pod's place to somebody whose ways are not known here.
fn unpredictable(spec: &PodSpec) -> Option<&'static str> {
    let scheduler = spec.scheduler_name.as_deref().unwrap_or_default();
    if !matches!(scheduler, "" | "default-scheduler") {
        return Some("spec.schedulerName");
    }
    spec.resource_claims
        .as_ref()
        .filter(|claims| !claims.is_empty())
        .map(|_| "spec.resourceClaims")
}

fn host_port(port: &ContainerPort) -> Option<HostPort> {
    let number = u16::try_from(port.host_port?).ok().filter(|&number| number > 0)?;
    let address = port.host_ip.clone().filter(|ip| !ip.is_empty() && ip != "0.0.0.0");
    Some(HostPort {
        address,
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        port: number,
    })
}

/// Volumes whose data stays behind when the pod leaves. Which claims could follow is not visible without reading volumes, so all
/// count.
fn pins(volume: &Volume) -> bool {
    volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some() || volume.host_path.is_some()
}

fn node_term(term: &NodeSelectorTerm) -> Result<Vec<Requirement>, Invalid> {
    const FIELD: &str = "spec.affinity.nodeAffinity";
    let expressions = term.match_expressions.iter().flatten();
    // The only field that matchFields supports is metadata.name; nodes carry it as a label.
    let fields = term.match_fields.iter().flatten();
    let read: Result<Vec<Requirement>, Invalid> = expressions
        .map(|expression| (expression.key.as_str(), expression))
        .chain(fields.map(|field| ("kubernetes.io/hostname", field)))
        .map(|(key, expression)| {
            Ok(Requirement {
                key: key.to_owned(),
                operator: operator(&expression.operator, FIELD)?,
                values: expression.values.clone().unwrap_or_default(),
            })
        })
        .collect();
    // A term that asks for nothing is met by no node.
    read.map(|term| {
        if term.is_empty() {
            vec![Requirement::never()]
        } else {
            term
        }
    })
}

/// An absent selector selects nothing here, unlike an empty one.
fn or_nothing(labels: Option<&LabelSelector>, field: &str) -> Result<Selector, Invalid> {
    labels.map_or_else(|| Ok(Selector::nothing()), |labels| selector(labels, field))
}

type Terms = (Vec<PodTerm>, Vec<(usize, Selector)>);

fn terms(terms: Option<&Vec<PodAffinityTerm>>, field: &str) -> Result<Terms, Invalid> {
    let mut read = Terms::default();
    for (index, term) in terms.into_iter().flatten().enumerate() {
        if let Some(namespaces) = &term.namespace_selector {
            read.1.push((index, selector(namespaces, field)?));
        }
        let named = term.namespaces.as_ref().filter(|named| !named.is_empty());
        let named = named.map(|named| named.iter().map(|name| Namespace::new(name.as_str())).collect());
        read.0.push(PodTerm {
            selector: or_nothing(term.label_selector.as_ref(), field)?,
            // What a namespace selector adds is filled in where the namespaces are known.
            namespaces: named.or_else(|| term.namespace_selector.as_ref().map(|_| BTreeSet::new())),
            topology_key: term.topology_key.clone(),
        });
    }
    Ok(read)
}

fn spread(constraint: &TopologySpreadConstraint, labels: &Labels) -> Result<SpreadConstraint, Invalid> {
    const FIELD: &str = "spec.topologySpreadConstraints";
    let mut counted = or_nothing(constraint.label_selector.as_ref(), FIELD)?;
    // matchLabelKeys: the pod's own values count (the API server merges them in only since 1.34).
    for key in constraint.match_label_keys.iter().flatten() {
        if let Some(value) = labels.get(key) {
            counted.labels.insert(key.clone(), value.clone());
        }
    }
    // The scheduler counts no pods for an empty selector (`countPodsMatchSelector`).
    let selects_all = counted.labels.is_empty() && counted.requirements.is_empty();
    Ok(SpreadConstraint {
        selector: if selects_all { Selector::nothing() } else { counted },
        topology_key: constraint.topology_key.clone(),
        max_skew: u64::try_from(constraint.max_skew).map_err(|_| Invalid::new(FIELD, "maxSkew is negative"))?,
        hard: constraint.when_unsatisfiable == "DoNotSchedule",
        min_domains: constraint
            .min_domains
            .and_then(|least| u64::try_from(least).ok())
            .unwrap_or(1),
        honors_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
        honors_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
    })
}

fn toleration(toleration: &ApiToleration) -> Result<Toleration, Invalid> {
    let exists = toleration.operator.as_deref() == Some("Exists");
    Ok(Toleration {
        key: toleration.key.clone().filter(|key| !key.is_empty()),
        value: (!exists).then(|| toleration.value.clone().unwrap_or_default()),
        effect: toleration
            .effect
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(|text| effect(text, "spec.tolerations.effect"))
            .transpose()?,
    })
}
