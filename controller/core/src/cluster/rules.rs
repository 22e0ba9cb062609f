//! What selectors, tolerations and requests mean, as the scheduler reads them.

use super::{Labels, Operator, Requirement, Resources, Selector, Taint, TaintEffect, Toleration};

impl Requirement {
    /// Whether labels meet it. `Gt` and `Lt` compare integers; what is no integer meets neither.
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let number = |text: Option<&String>| text.and_then(|text| text.parse::<i64>().ok());
        let compared = || Some((number(value)?, number(self.values.first())?));
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => compared().is_some_and(|(value, bound)| value > bound),
            Operator::Lt => compared().is_some_and(|(value, bound)| value < bound),
        }
    }
}

impl Selector {
    /// Whether labels meet all of it; the empty selector is met by all.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.requirements.iter().all(|requirement| requirement.matches(labels))
    }
}

impl Toleration {
    /// Whether it tolerates the taint.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
            && self.effect.is_none_or(|effect| effect == taint.effect)
    }
}

impl Taint {
    /// Whether it keeps untolerating pods away for good.
    pub fn is_hard(&self) -> bool {
        match self.effect {
            TaintEffect::NoSchedule | TaintEffect::NoExecute => true,
            TaintEffect::PreferNoSchedule => false,
        }
    }
}

impl Resources {
    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.cpu.0 = self.cpu.0.saturating_add(other.cpu.0);
        self.memory.0 = self.memory.0.saturating_add(other.memory.0);
        self.ephemeral.0 = self.ephemeral.0.saturating_add(other.ephemeral.0);
        self.pods = self.pods.saturating_add(other.pods);
        for (name, amount) in &other.extended {
            let slot = self.extended.entry(name.clone()).or_default();
            *slot = slot.saturating_add(*amount);
        }
    }
    /// Takes `other` away; never below nothing.
    pub fn subtract(&mut self, other: &Self) {
        self.cpu.0 = self.cpu.0.saturating_sub(other.cpu.0);
        self.memory.0 = self.memory.0.saturating_sub(other.memory.0);
        self.ephemeral.0 = self.ephemeral.0.saturating_sub(other.ephemeral.0);
        self.pods = self.pods.saturating_sub(other.pods);
        for (name, amount) in &other.extended {
            if let Some(slot) = self.extended.get_mut(name) {
                *slot = slot.saturating_sub(*amount);
            }
        }
    }
    /// Whether `more` fits beside `used` into this; else the resource that is short first. A resource that is not asked for
    /// is never short, as in the scheduler.
    pub fn room_for(&self, used: &Self, more: &Self) -> Result<(), String> {
        let short = |used: u64, more: u64, all: u64| more > 0 && used.saturating_add(more) > all;
        let known = [
            ("cpu", used.cpu.0, more.cpu.0, self.cpu.0),
            ("memory", used.memory.0, more.memory.0, self.memory.0),
            (
                "ephemeral-storage",
                used.ephemeral.0,
                more.ephemeral.0,
                self.ephemeral.0,
            ),
            ("pods", used.pods, more.pods, self.pods),
        ];
        if let Some((name, ..)) = known.into_iter().find(|(_, used, more, all)| short(*used, *more, *all)) {
            return Err(name.to_owned());
        }
        let of = |resources: &Self, name: &String| resources.extended.get(name).copied().unwrap_or(0);
        match more
            .extended
            .iter()
            .find(|(name, more)| short(of(used, name), **more, of(self, name)))
        {
            Some((name, _)) => Err(name.clone()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(operator: Operator, values: &[&str]) -> Requirement {
        Requirement {
            key: "disk".to_owned(),
            operator,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        }
    }

    #[test]
    fn requirements_read_as_in_kubernetes() {
        let ssd: Labels = [("disk".to_owned(), "7".to_owned())].into();
        let none = Labels::new();
        for (operator, values, with, without) in [
            (Operator::In, vec!["7"], true, false),
            (Operator::NotIn, vec!["7"], false, true),
            (Operator::Exists, vec![], true, false),
            (Operator::DoesNotExist, vec![], false, true),
            (Operator::Gt, vec!["6"], true, false),
            (Operator::Lt, vec!["6"], false, false),
            (Operator::Gt, vec!["x"], false, false),
        ] {
            let requirement = requirement(operator, &values);
            assert_eq!(requirement.matches(&ssd), with, "{requirement:?}");
            assert_eq!(requirement.matches(&none), without, "{requirement:?}");
        }
    }
}
