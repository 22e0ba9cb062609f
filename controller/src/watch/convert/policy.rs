//! Huddle's own objects: policies, rules and plans.

use super::quantity::{bytes, millicores};
use super::{Invalid, namespace_of};
use huddle_api::{ANNOTATION_FADED, LABEL_CONTAINER, LABEL_PLAN, LABEL_WORKLOAD, Policy, Rule};
use huddle_core::cluster::{Automation, Fade, GiveBack, Labels, NamespacePolicy};
use huddle_core::id::{Namespace, WorkloadId, WorkloadKind};
use huddle_core::plan::merge::Way;
use huddle_core::plan::{Objective, ZonePrice};
use huddle_core::time::Span;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use std::collections::BTreeSet;

/// A steady rule in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFacts {
    /// Whose pods it is about.
    pub workload: WorkloadId,
    /// It places them; else it sizes one of their containers.
    pub places: bool,
    /// The plan that placed it.
    pub plan: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Next to which pods: their namespace and labels; `None` where it wishes for none.
    pub beside: Option<(Namespace, Labels)>,
    /// Older rules whose place it takes, by name.
    pub outranks: BTreeSet<String>,
    /// What is noted on it of its use.
    pub fade: Option<Fade>,
}

/// Reads a Policy. Whether Huddle may act is not the policy's to say: that is the namespace's label, next to the rights.
///
/// # Errors
/// If a limit is negative or no quantity.
pub fn policy(policy: &Policy) -> Result<Option<(Namespace, NamespacePolicy)>, Invalid> {
    let limit = |value: Option<i64>, default: u64, field: &str| match value {
        None => Ok(default),
        Some(value) => u64::try_from(value).map_err(|_| Invalid::new(field, "negative")),
    };
    let defaults = NamespacePolicy::default();
    let spec = &policy.spec;
    let automation = match spec.automation.unwrap_or_default() {
        huddle_api::Automation::Observe => Automation::Observe,
        huddle_api::Automation::Recommend => Automation::Recommend,
        huddle_api::Automation::Approve => Automation::Approve,
        huddle_api::Automation::Auto => Automation::Auto,
    };
    let read = NamespacePolicy {
        automation,
        may_act: false,
        form: defaults.form,
        cells: defaults.cells,
        may_merge: defaults.may_merge,
        merges: spec.merges.unwrap_or(defaults.merges),
        merge_way: match spec.merge_way {
            None => defaults.merge_way,
            Some(huddle_api::CompanionWay::Proxied) => Way::Proxied,
            Some(huddle_api::CompanionWay::Direct) => Way::Direct,
        },
        consents_to: spec
            .consents_to
            .iter()
            .map(|name| Namespace::new(name.as_str()))
            .collect(),
        max_moves: limit(spec.max_moves, defaults.max_moves, "spec.maxMoves")?,
        proof_requests: limit(spec.proof_requests, defaults.proof_requests, "spec.proofRequests")?,
        cooldown: match spec.cooldown_minutes {
            None => defaults.cooldown,
            minutes => Span::seconds(60 * limit(minutes, 0, "spec.cooldownMinutes")?),
        },
        max_cpu: match &spec.max_cpu {
            None => defaults.max_cpu,
            Some(text) => {
                millicores(&Quantity(text.clone())).map_err(|problem| Invalid::new("spec.maxCpu", problem))?
            }
        },
        cpu_step: limit(spec.cpu_step_percent, defaults.cpu_step, "spec.cpuStepPercent")?,
        faded_after: match spec.faded_after_minutes {
            None => defaults.faded_after,
            minutes => Span::seconds(60 * limit(minutes, 0, "spec.fadedAfterMinutes")?),
        },
        payback: match spec.payback_minutes {
            None => defaults.payback,
            minutes => Span::seconds(60 * limit(minutes, 0, "spec.paybackMinutes")?),
        },
        resize_restarts: spec.resize_restarts.unwrap_or(defaults.resize_restarts),
        template_sizes: spec.template_sizes.unwrap_or(defaults.template_sizes),
        max_memory: match &spec.max_memory {
            None => defaults.max_memory,
            Some(text) => bytes(&Quantity(text.clone())).map_err(|problem| Invalid::new("spec.maxMemory", problem))?,
        },
        give_back: match spec.give_back.unwrap_or_default() {
            huddle_api::GiveBack::Never => GiveBack::Never,
            huddle_api::GiveBack::Given => GiveBack::Given,
            huddle_api::GiveBack::BelowTemplate => GiveBack::BelowTemplate,
            huddle_api::GiveBack::LimitsToo => GiveBack::LimitsToo,
        },
        give_back_after: match spec.give_back_after_minutes {
            None => defaults.give_back_after,
            minutes => Span::seconds(60 * limit(minutes, 0, "spec.giveBackAfterMinutes")?),
        },
        give_back_step: limit(
            spec.give_back_step_percent,
            defaults.give_back_step,
            "spec.giveBackStepPercent",
        )?,
        give_back_floor: limit(
            spec.give_back_floor_percent,
            defaults.give_back_floor,
            "spec.giveBackFloorPercent",
        )?,
        give_back_memory: spec.give_back_memory.unwrap_or(defaults.give_back_memory),
        objective: match &spec.objective {
            None => defaults.objective,
            Some(wanted) => objective(wanted)?,
        },
    };
    Ok(Some((namespace_of(policy)?, read)))
}

/// Reads what plans are to bring. Refused where a number is negative or too large, or a price does not name two zones.
fn objective(wanted: &huddle_api::Objective) -> Result<Objective, Invalid> {
    let part = |value: Option<i64>, field: &str| {
        let field = format!("spec.objective.{field}");
        u32::try_from(value.unwrap_or_default()).map_err(|_| Invalid::new(&field, "not between 0 and 1000000"))
    };
    let price = |value: i64, field: &str| u64::try_from(value).map_err(|_| Invalid::new(field, "negative"));
    let defaults = Objective::default();
    let prices = wanted.prices.iter().map(|known| match known.zones.as_slice() {
        [one, other] => Ok(ZonePrice {
            zones: (one.as_str().into(), other.as_str().into()),
            thousandths_per_gb: price(known.thousandths_per_gb, "spec.objective.prices.thousandthsPerGb")?,
        }),
        _ => Err(Invalid::new("spec.objective.prices.zones", "not two zones")),
    });
    Ok(Objective {
        thousandths_per_gb: match wanted.thousandths_per_gb {
            None => defaults.thousandths_per_gb,
            Some(value) => price(value, "spec.objective.thousandthsPerGb")?,
        },
        prices: prices.collect::<Result<_, _>>()?,
        ..Objective::of(
            part(wanted.latency, "latency")?,
            part(wanted.traffic, "traffic")?,
            part(wanted.money, "money")?,
        )
    })
}

/// Reads a rule in force. What is noted of its use and cannot be read is left out: it is noted anew.
///
/// # Errors
/// If a label is missing.
pub fn rule(rule: &Rule) -> Result<Option<RuleFacts>, Invalid> {
    let namespace = namespace_of(rule)?;
    let near = rule
        .spec
        .preferred_pod_affinity
        .first()
        .map(|near| &near.pod_affinity_term);
    let label = |key: &str| {
        rule.labels()
            .get(key)
            .cloned()
            .ok_or_else(|| Invalid::missing(&format!("metadata.labels[{key}]")))
    };
    Ok(Some(RuleFacts {
        workload: WorkloadId {
            namespace: namespace.clone(),
            kind: WorkloadKind::Deployment,
            name: label(LABEL_WORKLOAD)?,
        },
        name: rule.name_any(),
        uid: rule.uid().ok_or_else(|| Invalid::missing("metadata.uid"))?,
        beside: near.map(|near| {
            let there = near
                .namespaces
                .first()
                .map_or(namespace, |named| Namespace::new(named.as_str()));
            let labels = near.label_selector.match_labels.iter();
            (
                there,
                labels.map(|(key, value)| (key.clone(), value.0.clone())).collect(),
            )
        }),
        outranks: rule.spec.outranks.iter().map(|older| older.rule.clone()).collect(),
        fade: rule
            .annotations()
            .get(ANNOTATION_FADED)
            .and_then(|noted| serde_json::from_str(noted).ok()),
        places: !rule.labels().contains_key(LABEL_CONTAINER),
        plan: label(LABEL_PLAN)?,
    }))
}
