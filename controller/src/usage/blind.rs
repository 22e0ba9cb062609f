//! Why nothing is known of a node's containers.

use huddle_core::id::NodeName;
use huddle_core::view::BlindView;
use std::collections::BTreeMap;

/// Why a kubelet told nothing. A closed set: label and sentence come from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blind {
    /// No connection.
    Unreachable,
    /// Its certificate is not signed by the cluster's authority.
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
    /// An answer without any of the wanted series.
    Nothing,
}

impl Blind {
    /// The JSON label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Untrusted => "untrusted",
            Self::Refused => "refused",
            Self::Odd { .. } => "odd",
            Self::Slow => "slow",
            Self::Nothing => "nothing",
        }
    }
    /// What it means and what to do.
    pub fn sentence(self) -> String {
        match self {
            Self::Unreachable => {
                "its kubelet cannot be reached from the controller: does a firewall or a network policy keep pods from \
                                  the nodes' port 10250?"
                    .to_owned()
            }
            Self::Untrusted => {
                "its kubelet shows a certificate that the cluster's authority has not signed: let kubelets ask for \
                                serving certificates (serverTLSBootstrap), or accept any with --kubelet-insecure-tls"
                    .to_owned()
            }
            Self::Refused => "its kubelet does not let the controller read: is the right to get nodes/metrics missing \
                              (manifests/controller/rbac.yaml), or webhook authorization off there?"
                .to_owned(),
            Self::Odd { status } => format!("its kubelet answers {status} to /metrics/cadvisor"),
            Self::Slow => "its kubelet did not answer in time".to_owned(),
            Self::Nothing => "its kubelet answers, and tells nothing of any container".to_owned(),
        }
    }
}

/// The nodes of which nothing is known: one failure may be a restart and is not named yet.
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
        let named = self.0.iter().filter(|(_, (failures, _))| *failures >= 2);
        named
            .map(|(node, (_, blind))| BlindView {
                node: node.to_string(),
                reason: blind.label().to_owned(),
                sentence: blind.sentence(),
            })
            .collect()
    }
}
