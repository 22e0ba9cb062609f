//! Does the callee wait for its own callees? What it spends on them, request for request, against what it takes to answer.

use super::{Cause, DiagnoseConfig};
use crate::distribution::Distribution;
use crate::graph::{EdgeStats, Snapshot};
use crate::id::WorkloadId;
use crate::units::Ratio;
use std::collections::BTreeMap;

/// What each workload takes to answer, and what it spends on calls of its own, in µs over the window.
pub(super) struct Waits<'a>(BTreeMap<&'a WorkloadId, Account<'a>>);

#[derive(Default)]
struct Account<'a> {
    served: f64,
    requests: u64,
    calls: BTreeMap<&'a WorkloadId, f64>,
}

impl<'a> Waits<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        let mut accounts: BTreeMap<&WorkloadId, Account<'_>> = BTreeMap::new();
        let others = |stats: &&EdgeStats| stats.edge.source != stats.edge.destination;
        for stats in snapshot.edges.values().filter(others) {
            let callee = accounts.entry(&stats.edge.destination).or_default();
            callee.served += sum(&stats.total.served);
            callee.requests = callee.requests.saturating_add(stats.total.served.count());
            let caller = accounts.entry(&stats.edge.source).or_default();
            *caller.calls.entry(&stats.edge.destination).or_default() += sum(&stats.total.upstream);
        }
        Self(accounts)
    }

    /// Share of the time in which the callee of an edge answers that it spends on its own calls: the sum over them of (calls per
    /// request × mean upstream time) ÷ mean served time, all callers of the callee together, since a call does not say for which
    /// request it was made. Calls that run side by side count each for itself; the share is never above one.
    pub(super) fn share(&self, stats: &EdgeStats) -> Ratio {
        let account = self.0.get(&stats.edge.destination);
        account.map_or(Ratio::ZERO, |account| account.share(account.calls.values().sum()))
    }

    /// *Downstream*, if that share is large enough, for this edge too: its own requests take about as long as all callers' do, and the
    /// callee's time is what its tail consists of.
    pub(super) fn look(&self, stats: &EdgeStats, least: Ratio, config: &DiagnoseConfig) -> Option<Cause> {
        let account = self.0.get(&stats.edge.destination)?;
        let mean = account.served / account.requests.max(1) as f64;
        let usual = stats.total.served.mean()? >= mean / 2.0;
        let served = super::pressure::share_of_tail(&stats.total).get() >= 0.5;
        if !usual || !served || self.share(stats) < least || account.requests < config.min_requests {
            return None;
        }
        let (through, time) = account.calls.iter().max_by(|a, b| a.1.total_cmp(b.1))?;
        Some(Cause::Downstream {
            through: (*through).clone(),
            share: account.share(*time),
        })
    }
}

impl Account<'_> {
    fn share(&self, time: f64) -> Ratio {
        if self.served > 0.0 {
            Ratio::clamped(time / self.served)
        } else {
            Ratio::ZERO
        }
    }
}

fn sum(distribution: &Distribution) -> f64 {
    distribution.mean().unwrap_or(0.0) * distribution.count() as f64
}
