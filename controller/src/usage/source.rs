//! Whom usage is read from: every kubelet, or one Prometheus. The same readings come of both.

use super::parse::parse;
use super::prometheus::{Prometheus, PrometheusArgs};
use super::{Answer, Blind, Cause, Kubelets, Looked, Metrics, PATIENCE, Target, readings, selector};
use crate::clock;
use huddle_core::id::NodeName;
use huddle_core::usage::Pace;
use kube::Config;
use std::collections::BTreeMap;
use tokio::time::timeout;

/// Whom usage is read from.
pub enum Source {
    /// Each node's kubelet.
    Kubelets(Box<Kubelets>),
    /// One Prometheus, about many nodes at once.
    Prometheus(Prometheus),
}

impl Source {
    /// Prometheus where one is given, else the kubelets, with the credentials that `access` has for the API server.
    ///
    /// # Errors
    /// If what is said of Prometheus cannot be used; the flag is named.
    pub fn new(access: Config, kubelet_insecure_tls: bool, prometheus: &PrometheusArgs) -> anyhow::Result<Self> {
        Ok(match prometheus.check()? {
            None => Self::Kubelets(Box::new(Kubelets::new(access, kubelet_insecure_tls))),
            Some(address) => {
                tracing::info!(prometheus = %address, "usage is read from Prometheus, kubelets are not asked");
                Self::Prometheus(Prometheus::new(&address, prometheus)?)
            }
        })
    }

    /// How often and how late its readings come.
    pub fn pace(&self) -> Pace {
        match self {
            Self::Kubelets(_) => Pace::KUBELETS,
            Self::Prometheus(_) => Pace::PROMETHEUS,
        }
    }

    /// Lets go of what is kept for nodes that are not wanted any more.
    pub(super) fn keep(&self, targets: &BTreeMap<NodeName, Target>) {
        match self {
            Self::Kubelets(kubelets) => {
                kubelets.keep(|address| targets.values().any(|target| target.address == address));
            }
            Self::Prometheus(_) => {}
        }
    }

    /// Nodes that are asked about by one request.
    pub fn batches(&self, due: impl IntoIterator<Item = Target>) -> Vec<Vec<Target>> {
        match self {
            Self::Kubelets(_) => due.into_iter().map(|target| vec![target]).collect(),
            Self::Prometheus(_) => selector::batches(due),
        }
    }

    /// Asks about the nodes of one batch, and says what became of each.
    pub async fn ask(&self, batch: Vec<Target>, metrics: &Metrics) -> Vec<Looked> {
        let answer = timeout(PATIENCE, self.answer(&batch)).await;
        let answer = answer.unwrap_or(Err(Cause::Slow));
        self.looked(batch, answer, metrics)
    }

    async fn answer(&self, batch: &[Target]) -> Result<Answer, Cause> {
        match (self, batch) {
            (Self::Kubelets(kubelets), [target, ..]) => kubelets.cadvisor(target.address).await,
            (Self::Prometheus(prometheus), _) => prometheus.federate(batch).await,
            (Self::Kubelets(_), []) => Err(Cause::Nothing),
        }
    }

    /// One answer, node by node.
    fn looked(&self, batch: Vec<Target>, answer: Result<Answer, Cause>, metrics: &Metrics) -> Vec<Looked> {
        let told = answer.map(|answer| {
            let parsed = parse(&answer.text);
            metrics.count_unreadable(parsed.unreadable);
            (parsed.rows, answer.ahead)
        });
        let (now, oldest) = (clock::now(), self.pace().oldest);
        let of = |target: &Target| {
            let (rows, ahead) = told.as_ref().map_err(|cause| self.blind(*cause))?;
            let readings = readings::readings(rows, &target.pods, now, *ahead, oldest);
            // A kubelet tells of all its containers, and perhaps not yet of these; Prometheus was asked about these alone.
            let nothing = match self {
                Self::Kubelets(_) => rows.is_empty(),
                Self::Prometheus(_) => readings.is_empty(),
            };
            if nothing {
                return Err(self.blind(Cause::Nothing));
            }
            Ok(readings)
        };
        let looked = batch.into_iter().map(|target| Looked {
            outcome: of(&target),
            node: target.node,
        });
        looked.collect()
    }

    fn blind(&self, cause: Cause) -> Blind {
        match self {
            Self::Kubelets(_) => Blind::Kubelet(cause),
            Self::Prometheus(_) => Blind::Prometheus(cause),
        }
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
