//! Label selectors.

use super::Invalid;
use huddle_core::cluster::{Labels, Operator, Requirement, Selector};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels of an object that may have none.
pub fn labels(labels: Option<&Labels>) -> Labels {
    labels.cloned().unwrap_or_default()
}

/// A label selector; an absent one is empty, and an empty one selects everything.
///
/// # Errors
/// If an operator is not one of the four that label selectors have.
pub fn selector(selector: &LabelSelector, field: &str) -> Result<Selector, Invalid> {
    let requirements = selector
        .match_expressions
        .iter()
        .flatten()
        .map(|expression| {
            Ok(Requirement {
                key: expression.key.clone(),
                operator: operator(&expression.operator, field)?,
                values: expression.values.clone().unwrap_or_default(),
            })
        })
        .collect::<Result<_, Invalid>>()?;
    Ok(Selector {
        labels: labels(selector.match_labels.as_ref()),
        requirements,
    })
}

pub(super) fn operator(operator: &str, field: &str) -> Result<Operator, Invalid> {
    Ok(match operator {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::Gt,
        "Lt" => Operator::Lt,
        other => return Err(Invalid::new(field, format!("unknown operator {other:?}"))),
    })
}

/// Whether `labels` satisfy the selector, by the API server's rules.
pub fn matches(selector: &Selector, labels: &Labels) -> bool {
    let equal = selector
        .labels
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.requirements.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            let among = value.is_some_and(|value| requirement.values.contains(value));
            match requirement.operator {
                Operator::In => among,
                Operator::NotIn => !among,
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
                Operator::Gt | Operator::Lt => compare(requirement, value),
            }
        })
}

fn compare(requirement: &Requirement, value: Option<&String>) -> bool {
    let number = |text: &String| text.parse::<i64>().ok();
    let (Some(value), Some(bound)) = (value.and_then(number), requirement.values.first().and_then(number)) else {
        return false;
    };
    if requirement.operator == Operator::Gt {
        value > bound
    } else {
        value < bound
    }
}
