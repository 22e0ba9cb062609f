//! Why nothing is known of a node's containers.

use huddle_core::id::NodeName;
use huddle_core::view::BlindView;
use std::collections::BTreeMap;

/// Why one who was asked told nothing. A closed set: label and sentence come from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No connection.
    Unreachable,
    /// Its certificate is not signed by an authority that is trusted: for kubelets the cluster's.
    Untrusted,
    /// It does not let the controller read.
    Refused,
    /// It answers something else than 200.
    Odd {
        /// The status.
        status: u16,
    },
    /// No answer in time, or one without end.
    Slow,
    /// An answer without what was asked for.
    Nothing,
}

/// Who told nothing of a node, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blind {
    /// The node's own kubelet.
    Kubelet(Cause),
    /// The Prometheus that is asked about all nodes.
    Prometheus(Cause),
}

impl Blind {
    /// The JSON label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Kubelet(Cause::Unreachable) => "unreachable",
            Self::Kubelet(Cause::Untrusted) => "untrusted",
            Self::Kubelet(Cause::Refused) => "refused",
            Self::Kubelet(Cause::Odd { .. }) => "odd",
            Self::Kubelet(Cause::Slow) => "slow",
            Self::Kubelet(Cause::Nothing) => "nothing",
            Self::Prometheus(Cause::Unreachable) => "prometheusUnreachable",
            Self::Prometheus(Cause::Untrusted) => "prometheusUntrusted",
            Self::Prometheus(Cause::Refused) => "prometheusRefused",
            Self::Prometheus(Cause::Odd { .. }) => "prometheusOdd",
            Self::Prometheus(Cause::Slow) => "prometheusSlow",
            Self::Prometheus(Cause::Nothing) => "prometheusNothing",
        }
    }
    /// What it means and what to do.
    pub fn sentence(self) -> String {
        match self {
            Self::Kubelet(cause) => of_kubelet(cause),
            Self::Prometheus(cause) => of_prometheus(cause),
        }
    }
    /// Failures in a row before it is named. One may be a restart; and of a pod that has just started, a Prometheus that looks every minute
    /// knows nothing before its second look.
    fn named_after(self) -> u32 {
        match self {
            Self::Prometheus(Cause::Nothing) => 12,
            Self::Prometheus(
                Cause::Unreachable | Cause::Untrusted | Cause::Refused | Cause::Odd { .. } | Cause::Slow,
            )
            | Self::Kubelet(_) => 2,
        }
    }
}

fn of_kubelet(cause: Cause) -> String {
    let text = match cause {
        Cause::Unreachable => {
            "its kubelet cannot be reached from the controller: does a firewall or a network policy keep pods from the nodes' port 10250?"
        }
        Cause::Untrusted => {
            "its kubelet shows a certificate that the cluster's authority has not signed: let kubelets ask for serving certificates \
             (serverTLSBootstrap), or accept any with --kubelet-insecure-tls"
        }
        Cause::Refused => {
            "its kubelet does not let the controller read: is the right to get nodes/metrics missing (manifests/controller/rbac.yaml), or \
             webhook authorization off there?"
        }
        Cause::Odd { status } => return format!("its kubelet answers {status} to /metrics/cadvisor"),
        Cause::Slow => "its kubelet did not answer in time",
        Cause::Nothing => "its kubelet answers, and tells nothing of any container",
    };
    text.to_owned()
}

fn of_prometheus(cause: Cause) -> String {
    let text = match cause {
        Cause::Unreachable => {
            "Prometheus cannot be reached from the controller: is --prometheus right, and does a network policy there let in pods of \
             huddle-system (kube-prometheus' own does not)?"
        }
        Cause::Untrusted => {
            "Prometheus shows a certificate that no known authority has signed: name the authority's file by --prometheus-ca-file"
        }
        Cause::Refused => {
            "Prometheus does not let the controller read: name a file with a bearer token by --prometheus-token-file, or see what that token \
             may do"
        }
        Cause::Odd { status } => {
            return format!(
                "Prometheus answers {status} to /federate: does --prometheus lack a path prefix, or is it another store (Thanos Query and Mimir \
                 have no /federate)?"
            );
        }
        Cause::Slow => "Prometheus did not answer in time",
        Cause::Nothing => {
            "Prometheus tells nothing new of its containers: does it scrape /metrics/cadvisor of this node's kubelet, at least once a minute, \
             and does relabeling there leave container_cpu_usage_seconds_total as it is?"
        }
    };
    text.to_owned()
}

/// The nodes of which nothing is known: what may pass by itself is not named yet.
#[derive(Clone, Debug, Default)]
pub struct Blindness(BTreeMap<NodeName, (u32, Blind)>);

impl Blindness {
    /// Takes in what became of asking a node.
    pub fn note(&mut self, node: &NodeName, blind: Option<Blind>) {
        match blind {
            None => {
                self.0.remove(node);
            }
            Some(blind) => {
                let entry = self.0.entry(node.clone()).or_insert((0, blind));
                *entry = (entry.0.saturating_add(1), blind);
            }
        }
    }
    /// Forgets nodes that are gone.
    pub fn keep(&mut self, is_there: impl Fn(&NodeName) -> bool) {
        self.0.retain(|node, _| is_there(node));
    }
    /// As people see it.
    pub fn views(&self) -> Vec<BlindView> {
        let named = self
            .0
            .iter()
            .filter(|(_, (failures, blind))| *failures >= blind.named_after());
        named
            .map(|(node, (_, blind))| BlindView {
                node: node.to_string(),
                reason: blind.label().to_owned(),
                sentence: blind.sentence(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_prometheus_has_not_seen_yet_blinds_nobody() {
        let node = NodeName::from("node-1");
        let named_after = |blind: Blind| {
            let mut blindness = Blindness::default();
            (1..).find(|_| {
                blindness.note(&node, Some(blind));
                !blindness.views().is_empty()
            })
        };
        assert_eq!(named_after(Blind::Prometheus(Cause::Nothing)), Some(12), "two minutes");
        assert_eq!(named_after(Blind::Prometheus(Cause::Unreachable)), Some(2));
        assert_eq!(named_after(Blind::Kubelet(Cause::Nothing)), Some(2));
    }

    #[test]
    fn labels_are_one_of_a_kind() {
        let causes = [
            Cause::Unreachable,
            Cause::Untrusted,
            Cause::Refused,
            Cause::Odd { status: 503 },
            Cause::Slow,
            Cause::Nothing,
        ];
        let both = causes
            .iter()
            .flat_map(|cause| [Blind::Kubelet(*cause), Blind::Prometheus(*cause)]);
        let told: BTreeMap<&str, String> = both.map(|blind| (blind.label(), blind.sentence())).collect();
        assert_eq!(told.len(), 12);
        for (label, sentence) in told {
            let prometheus = label.starts_with("prometheus");
            assert_eq!(sentence.starts_with("Prometheus "), prometheus, "{sentence}");
        }
    }
}
