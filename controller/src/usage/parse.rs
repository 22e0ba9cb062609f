//! The Prometheus text format, as far as it is needed: a handful of series of containers, line by line.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// One container, as one answer tells of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Its pod's namespace.
    pub namespace: String,
    /// Its pod's name.
    pub pod: String,
    /// Its name.
    pub container: String,
    /// When cAdvisor looked, by the node's clock, in ms since the epoch; where Prometheus does not keep that (`honor_timestamps: false`),
    /// when it asked the kubelet, by its own clock.
    pub at: Option<i64>,
    /// The series, by the place they have in [`SERIES`]; seconds and bytes as told.
    values: [Option<f64>; SERIES.len()],
}

/// All that an answer tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// Containers, ordered by namespace, pod and name.
    pub rows: Vec<Row>,
    /// Lines of wanted series that could not be read.
    pub unreadable: u64,
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Series {
    Cpu,
    Periods,
    ThrottledPeriods,
    Throttled,
    WorkingSet,
    Kills,
    Started,
    CpuWaiting,
    MemoryStalled,
}

pub(super) const SERIES: [(&str, Series); 9] = [
    ("container_cpu_usage_seconds_total", Series::Cpu),
    ("container_cpu_cfs_periods_total", Series::Periods),
    ("container_cpu_cfs_throttled_periods_total", Series::ThrottledPeriods),
    ("container_cpu_cfs_throttled_seconds_total", Series::Throttled),
    ("container_memory_working_set_bytes", Series::WorkingSet),
    ("container_oom_events_total", Series::Kills),
    ("container_start_time_seconds", Series::Started),
    ("container_pressure_cpu_waiting_seconds_total", Series::CpuWaiting),
    ("container_pressure_memory_stalled_seconds_total", Series::MemoryStalled),
];

impl Row {
    /// Whether nothing is told of it but when it started.
    pub(super) fn has_no_figures(&self) -> bool {
        let mut figures = SERIES.iter().filter(|(_, series)| *series != Series::Started);
        figures.all(|(_, series)| self.value(*series).is_none())
    }
    pub(super) fn value(&self, series: Series) -> Option<f64> {
        self.values.get(series as usize).copied().flatten()
    }
    /// Of two containers of one name, the one that started later, and of equals the one seen later: the other is what is left of the one
    /// before it.
    fn is_newer_than(&self, other: &Self) -> bool {
        let age = |row: &Self| (row.value(Series::Started).unwrap_or(0.0), row.at.unwrap_or(0));
        age(self) > age(other)
    }
}

/// Reads an answer. What is not understood is left out; a line of a wanted series that cannot be read is counted.
pub fn parse(text: &str) -> Parsed {
    let mut unreadable = 0;
    // One name may stand for two containers, the running one and one that has ended, and in Prometheus one container for two, if two jobs
    // ask its kubelet: what else stands in their labels tells them apart.
    let mut rows: BTreeMap<(String, String, String, u64), Row> = BTreeMap::new();
    for line in text.lines() {
        let Some((series, rest)) = wanted(line) else {
            continue;
        };
        let Some(sample) = sample(rest) else {
            unreadable += 1;
            continue;
        };
        // Sums over a pod, the pod's own sandbox, or one processor of several.
        let whole = sample.cpu.is_none_or(|cpu| cpu == "total");
        if sample.container.is_empty() || sample.container == "POD" || sample.pod.is_empty() || !whole {
            continue;
        }
        let key = (sample.namespace, sample.pod, sample.container, sample.others.finish());
        let row = rows.entry(key).or_default();
        if let Some(value) = row.values.get_mut(series as usize) {
            *value = Some(sample.value);
        }
        // It is told without a time, and Prometheus gives it that of its own look.
        if series != Series::Started {
            row.at = row.at.max(sample.at);
        }
    }
    let mut newest: BTreeMap<(String, String, String), Row> = BTreeMap::new();
    for ((namespace, pod, container, _), mut row) in rows {
        (row.namespace, row.pod, row.container) = (namespace.clone(), pod.clone(), container.clone());
        let known = newest.entry((namespace, pod, container)).or_insert_with(|| row.clone());
        if row.is_newer_than(known) {
            *known = row;
        }
    }
    Parsed {
        rows: newest.into_values().collect(),
        unreadable,
    }
}

/// The series of a line, if it is wanted, and what follows its name.
fn wanted(line: &str) -> Option<(Series, &str)> {
    let line = line.trim_start();
    if !line.starts_with("container_") {
        return None;
    }
    let end = line.find(['{', ' ', '\t'])?;
    let (name, rest) = line.split_at_checked(end)?;
    let (_, series) = SERIES.iter().find(|(known, _)| *known == name)?;
    Some((*series, rest))
}

#[derive(Default)]
struct Sample {
    namespace: String,
    pod: String,
    container: String,
    /// Of the other labels but `cpu`, which not all series have: the same for all series of a container.
    others: DefaultHasher,
    cpu: Option<String>,
    value: f64,
    at: Option<i64>,
}

/// `{label="value",…} value [timestamp]`; `None` where that is not what stands there.
fn sample(text: &str) -> Option<Sample> {
    let mut sample = Sample::default();
    let mut rest = text.trim_start();
    if let Some(labels) = rest.strip_prefix('{') {
        rest = labels.trim_start();
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (name, after) = rest.split_once('=')?;
            let (value, after) = quoted(after.trim_start())?;
            match name.trim() {
                "namespace" => sample.namespace = value,
                "pod" => sample.pod = value,
                "container" => sample.container = value,
                "cpu" => sample.cpu = Some(value).filter(|cpu| !cpu.is_empty()),
                other => (other, value).hash(&mut sample.others),
            }
            rest = after.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
    }
    let mut words = rest.split_whitespace();
    let value: f64 = words.next()?.parse().ok()?;
    if !value.is_finite() || value < 0.0 {
        return None;
    }
    sample.value = value;
    sample.at = match words.next() {
        Some(at) => Some(at.parse().ok()?),
        None => None,
    };
    words.next().is_none().then_some(sample)
}

/// A quoted value, its escapes resolved, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
