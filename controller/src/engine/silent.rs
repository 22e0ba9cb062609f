//! Which pods should report and do not, and why.

use crate::watch::Cluster;
use huddle_core::cluster::Pod;
use huddle_core::id::{PodUid, WorkloadKind};
use huddle_core::time::{Span, Timestamp};
use huddle_core::view::SilentView;
use std::collections::BTreeMap;

/// Why a pod is silent. A closed set: label and sentence come from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Silence {
    /// Its namespace is injected and it has no sidecar.
    NoSidecar,
    /// It has a sidecar and was never heard of.
    NeverReported,
    /// It was heard of, and is not any more.
    Stopped {
        /// For how long.
        silent: Span,
    },
}

impl Silence {
    /// The JSON label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoSidecar => "noSidecar",
            Self::NeverReported => "neverReported",
            Self::Stopped { .. } => "stopped",
        }
    }
    /// What it means and what to do.
    pub fn sentence(self) -> String {
        match self {
            Self::NoSidecar => {
                "has no sidecar although its namespace is injected: it was created before injection was switched \
                                on, or opts out; restart it if it should be measured"
                    .to_owned()
            }
            Self::NeverReported => {
                "has a sidecar that never reported: look for huddle in the logs of its istio-proxy container \
                                    (can it fetch the filter, does its Sidecar resource export huddle-system?)"
                    .to_owned()
            }
            Self::Stopped { silent } => format!(
                "reported before and has been silent for {} s: its proxy cannot reach the controller, or hangs",
                silent.0 / 1000
            ),
        }
    }
}

/// How long is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A new pod, or a new controller, is given this long.
    pub first: Span,
    /// A pod that was heard of is given this long. More than a reporter's longest pause between heartbeats and repeats.
    pub again: Span,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Span::seconds(90),
            again: Span::seconds(180),
        }
    }
}

/// Judges one pod; `None` if it reports, or nothing is expected of it.
fn silence(
    pod: &Pod,
    injected: bool,
    heard: Option<Timestamp>,
    started: Timestamp,
    now: Timestamp,
    patience: Patience,
) -> Option<Silence> {
    if !pod.ready || pod.deleting {
        return None;
    }
    if !pod.meshed {
        // Jobs often run without a sidecar on purpose.
        return (injected && pod.workload.kind != WorkloadKind::Job).then_some(Silence::NoSidecar);
    }
    match heard {
        Some(heard) => {
            let silent = now.since(heard);
            (silent > patience.again).then_some(Silence::Stopped { silent })
        }
        None => (now.since(pod.created.max(started)) > patience.first).then_some(Silence::NeverReported),
    }
}

/// All silent pods of the namespaces that have the filter, ordered. `started`: when this controller began to listen.
pub fn silent(
    cluster: &Cluster,
    heard: &BTreeMap<PodUid, Timestamp>,
    started: Timestamp,
    now: Timestamp,
    patience: Patience,
) -> Vec<SilentView> {
    let mut found: Vec<SilentView> = cluster
        .view
        .pods
        .values()
        .filter_map(|pod| {
            let coverage = cluster.namespaces.get(&pod.workload.namespace)?;
            if !coverage.filtered {
                return None;
            }
            let heard = heard.get(&pod.uid).copied();
            let silence = silence(pod, coverage.injected, heard, started, now, patience)?;
            Some(SilentView {
                namespace: pod.workload.namespace.to_string(),
                pod: pod.name.clone(),
                reason: silence.label().to_owned(),
                sentence: silence.sentence(),
            })
        })
        .collect();
    found.sort_by(|a, b| (&a.namespace, &a.pod).cmp(&(&b.namespace, &b.pod)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    fn judge(change: fn(&mut Pod), heard: Option<i64>, now: i64) -> Option<Silence> {
        let mut pod = pod("web-1", "node-1");
        change(&mut pod);
        silence(
            &pod,
            true,
            heard.map(Timestamp),
            Timestamp(0),
            Timestamp(now),
            Patience::default(),
        )
    }

    #[test]
    fn a_pod_is_given_time_first() {
        assert_eq!(judge(|_| (), None, 60_000), None);
        assert_eq!(judge(|_| (), None, 100_000), Some(Silence::NeverReported));
        assert_eq!(judge(|pod| pod.created = Timestamp(50_000), None, 100_000), None);
        assert_eq!(judge(|_| (), Some(10_000), 100_000), None);
        let silent = Span(190_000);
        assert_eq!(judge(|_| (), Some(10_000), 200_000), Some(Silence::Stopped { silent }));
    }

    #[test]
    fn nothing_is_expected_of_pods_that_cannot_report() {
        assert_eq!(judge(|pod| pod.ready = false, None, 1_000_000), None);
        assert_eq!(judge(|pod| pod.deleting = true, None, 1_000_000), None);
        assert_eq!(judge(|pod| pod.meshed = false, None, 0), Some(Silence::NoSidecar));
        assert_eq!(
            judge(
                |pod| {
                    pod.meshed = false;
                    pod.workload.kind = WorkloadKind::Job;
                },
                None,
                0
            ),
            None
        );
    }
}
