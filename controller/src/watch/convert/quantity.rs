//! Kubernetes quantities (apimachinery's `resource.Quantity`), rounded up as the scheduler rounds.

use super::Invalid;
use huddle_core::cluster::{Compute, Resources};
use huddle_core::units::{Bytes, Millicores};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

/// Cpu.
///
/// # Errors
/// If the text is no quantity, or negative.
pub fn millicores(quantity: &Quantity) -> Result<Millicores, String> {
    milli(&quantity.0).map(|milli| Millicores(narrow(milli)))
}

/// Bytes, and every other whole number.
///
/// # Errors
/// If the text is no quantity, or negative.
pub fn bytes(quantity: &Quantity) -> Result<Bytes, String> {
    milli(&quantity.0).map(|milli| Bytes(narrow(milli.div_ceil(1000))))
}

/// A list of resources such as `requests` or `allocatable`. `pods` is left to the caller.
pub(super) fn resources(list: Option<&BTreeMap<String, Quantity>>, field: &str) -> Result<Resources, Invalid> {
    let mut resources = Resources::default();
    for (name, quantity) in list.into_iter().flatten() {
        let at = |problem: String| Invalid::new(format!("{field}[{name}]"), problem);
        match name.as_str() {
            "cpu" => resources.cpu = millicores(quantity).map_err(at)?,
            "memory" => resources.memory = bytes(quantity).map_err(at)?,
            "ephemeral-storage" => resources.ephemeral = bytes(quantity).map_err(at)?,
            "pods" => resources.pods = bytes(quantity).map_err(at)?.0,
            _ => {
                resources.extended.insert(name.clone(), bytes(quantity).map_err(at)?.0);
            }
        }
    }
    Ok(resources)
}

/// Cpu and memory of one container, of its `field`: `requests` or `limits`.
///
/// # Errors
/// If one of them is no quantity.
pub fn compute(list: Option<&BTreeMap<String, Quantity>>, field: &str) -> Result<Compute, Invalid> {
    let at = |name: &str, problem: String| Invalid::new(format!("resources.{field}[{name}]"), problem);
    let named = |name: &str| list.and_then(|list| list.get(name));
    let (cpu, memory) = (named("cpu").map(millicores), named("memory").map(bytes));
    Ok(Compute {
        cpu: cpu.transpose().map_err(|problem| at("cpu", problem))?,
        memory: memory.transpose().map_err(|problem| at("memory", problem))?,
    })
}

fn narrow(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Thousandths, rounded up.
fn milli(text: &str) -> Result<u128, String> {
    let bad = || format!("{text:?} is not a quantity");
    if text.starts_with('-') {
        return Err(format!("{text:?} is negative"));
    }
    let text_abs = text.strip_prefix('+').unwrap_or(text);
    let end = text_abs
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text_abs.len());
    let (number, suffix) = text_abs.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || number.len() > 24 {
        return Err(bad());
    }
    let digits: u128 = format!("0{whole}{fraction}").parse().map_err(|_| bad())?;
    let decimals = u32::try_from(fraction.len()).map_err(|_| bad())?;
    let (factor, exponent) = scale(suffix).ok_or_else(bad)?;
    // digits × factor × 10^(exponent − decimals + 3)
    let power = exponent + 3 - i64::from(decimals);
    let scaled = digits.saturating_mul(factor);
    let ten = |power: i64| 10_u128.saturating_pow(u32::try_from(power).unwrap_or(u32::MAX));
    Ok(if power >= 0 {
        scaled.saturating_mul(ten(power))
    } else {
        scaled.div_ceil(ten(-power))
    })
}

/// A suffix as a factor and a power of ten.
fn scale(suffix: &str) -> Option<(u128, i64)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => {
            let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (1, exponent.clamp(-40, 40))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both(text: &str) -> (u64, u64) {
        let quantity = Quantity(text.to_owned());
        (millicores(&quantity).unwrap().0, bytes(&quantity).unwrap().0)
    }

    #[test]
    fn every_form_of_the_api_is_read() {
        assert_eq!(both("1"), (1_000, 1));
        assert_eq!(both("250m"), (250, 1));
        assert_eq!(both("1.5"), (1_500, 2));
        assert_eq!(both(".5"), (500, 1));
        assert_eq!(both("100n"), (1, 1));
        assert_eq!(both("128Mi").1, 128 << 20);
        assert_eq!(both("1.5Gi").1, 3 << 29);
        assert_eq!(both("1e3").1, 1_000);
        assert_eq!(both("2E").1, 2_000_000_000_000_000_000);
        assert_eq!(both("128974848000m").1, 128_974_848);
        assert_eq!(both("9999Ei").1, u64::MAX);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[+-]?[0-9.]{0,30}[a-zA-Z0-9-]{0,6}") {
            let quantity = Quantity(text);
            let _ = (millicores(&quantity), bytes(&quantity));
        }
        #[test]
        fn whole_numbers_are_exact(value in 0_u64..1 << 50) {
            prop_assert_eq!(both(&value.to_string()).1, value);
            prop_assert_eq!(both(&format!("{value}m")).0, value);
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "x", "1.2.3", "-1", "1Q", "e3", "--1"] {
            assert!(milli(text).is_err(), "{text}");
        }
    }
}
