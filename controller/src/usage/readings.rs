//! Rows to readings: names to uids, the node's clock to the controller's, seconds to microseconds.

use super::parse::{Row, Series};
use huddle_core::id::{ContainerName, PodUid};
use huddle_core::time::{Span, Timestamp};
use huddle_core::units::Bytes;
use huddle_core::usage::{Counters, Reading};
use std::collections::BTreeMap;

/// The pods of interest on a node, by namespace and name.
pub type Names = BTreeMap<(String, String), PodUid>;

/// The readings of those pods. `ahead`: by how much the controller's clock is ahead of the node's, in ms; where it is not known, the node
/// counts as having looked just now. What is older than `oldest` is left over from a container that has ended.
pub(super) fn readings(rows: &[Row], pods: &Names, now: Timestamp, ahead: Option<i64>, oldest: Span) -> Vec<Reading> {
    let reading = |row: &Row| {
        let pod = pods.get(&(row.namespace.clone(), row.pod.clone()))?;
        // When it started is told as soon as it runs, and without a time; what it uses only after cAdvisor has looked.
        if row.has_no_figures() {
            return None;
        }
        let looked = row
            .at
            .zip(ahead)
            .map(|(at, ahead)| Timestamp(at.saturating_add(ahead)).min(now));
        let at = looked.unwrap_or(now);
        if now.since(at) > oldest {
            return None;
        }
        let us = |series| row.value(series).map(|seconds| (seconds * 1e6).round() as u64);
        let count = |series| row.value(series).map(|count| count.round() as u64);
        let started = us(Series::Started).and_then(|us| i64::try_from(us / 1000).ok());
        Some(Reading {
            pod: pod.clone(),
            container: ContainerName::from(row.container.as_str()),
            at,
            started: started.map(Timestamp),
            counters: Counters {
                cpu_us: us(Series::Cpu),
                periods: count(Series::Periods),
                throttled_periods: count(Series::ThrottledPeriods),
                throttled_us: us(Series::Throttled),
                cpu_waiting_us: us(Series::CpuWaiting),
                memory_stalled_us: us(Series::MemoryStalled),
                kills: count(Series::Kills),
            },
            working_set: Bytes(count(Series::WorkingSet).unwrap_or(0)),
        })
    };
    rows.iter().filter_map(reading).collect()
}
