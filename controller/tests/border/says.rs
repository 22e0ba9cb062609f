//! What a story wants measured; the stages that measure have tests of their own.

use huddle::act::{Before, Evidence, Proof};
use huddle_core::act::GuardReason;
use huddle_core::cluster::RoutingMode;
use huddle_core::id::{EdgeId, PodUid, ServiceId, WorkloadId};
use huddle_core::plan::merge::{Standing, Unmergeable, Usual, Way};
use huddle_core::plan::{Faded, Percent, Plan, Use};
use huddle_core::time::{Span, Timestamp, Window};
use huddle_core::units::Ratio;
use huddle_core::verify::{Harm, Sign, Verdict, Waiting};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

/// Evidence as the test wants it; the stages that measure have tests of their own.
#[derive(Default)]
pub(crate) struct Says {
    pub(crate) regressed: AtomicBool,
    pub(crate) harming: AtomicBool,
    pub(crate) overload: AtomicBool,
    pub(crate) missed: AtomicBool,
    pub(crate) outside: AtomicBool,
    pub(crate) idle: AtomicBool,
}

impl Says {
    fn inside(&self) -> Option<Percent> {
        let outside = self.outside.load(Ordering::SeqCst);
        Some(Percent(if outside { 10 } else { 100 }))
    }
}

fn errors(plan: &Plan) -> Option<Verdict> {
    let destination = plan.actions.first()?.workload().clone();
    let source = destination.clone();
    let edge = EdgeId { source, destination };
    let (before, after) = (Ratio::ZERO, Ratio::ONE);
    Some(Verdict::Regressed {
        harm: Harm::Errors { edge, before, after },
    })
}

fn proof(verdict: Verdict) -> Proof {
    Proof {
        verdict,
        edges: Vec::new(),
        together: None,
        spread: Vec::new(),
    }
}

impl Evidence for Says {
    fn now(&self) -> Timestamp {
        Timestamp(k8s_openapi::jiff::Timestamp::now().as_millisecond())
    }
    fn before(&self, _: &Plan, from: Timestamp) -> Result<Before, Waiting> {
        Ok(Before {
            window: Window { from, to: self.now() },
            memory: json!({"p50": 1.25}),
        })
    }
    fn verdict(&self, plan: &Plan, before: &Before, _: Timestamp) -> Proof {
        assert_eq!(
            before.memory,
            json!({"p50": 1.25}),
            "what was measured before comes back as it was"
        );
        let regressed = self.regressed.load(Ordering::SeqCst);
        proof(regressed.then(|| errors(plan)).flatten().unwrap_or(Verdict::Improved))
    }
    fn harm(&self, plan: &Plan, _: &Before) -> Option<Proof> {
        let harming = self.harming.load(Ordering::SeqCst);
        harming.then(|| errors(plan)).flatten().map(proof)
    }
    fn routing(&self, _: &ServiceId, _: &WorkloadId, _: RoutingMode) -> Result<(), GuardReason> {
        let safe = !self.overload.load(Ordering::SeqCst);
        safe.then_some(()).ok_or(GuardReason::Overload { factor: 210 })
    }
    fn against_merging(&self, _: &EdgeId) -> Vec<Unmergeable> {
        Vec::new()
    }
    fn against_way(&self, _: &EdgeId, _: Way) -> Vec<Unmergeable> {
        Vec::new()
    }
    fn usual(&self, _: &EdgeId) -> Option<Usual> {
        serde_json::from_value(json!({"at": 1, "calls": 1_000, "others": 100, "answered": 1_000})).ok()
    }
    fn merged(&self, _: &EdgeId, _: Option<&Usual>, _: Timestamp) -> (Option<Percent>, Option<Percent>) {
        (self.inside(), Some(Percent(10)))
    }
    fn inside_of(&self, _: &EdgeId, _: &PodUid, _: Option<&Usual>, _: Timestamp) -> Option<Percent> {
        self.inside()
    }
    fn calls(&self, _: &WorkloadId) -> BTreeSet<WorkloadId> {
        BTreeSet::new()
    }
    fn standing(&self, _: &EdgeId) -> Standing {
        Standing {
            of_use: match self.idle.load(Ordering::SeqCst) {
                true => Use::Gone(Faded::NotCalled),
                false => Use::Of,
            },
            calls: None,
            patience: Span(1_500),
        }
    }
    fn missed(&self, plan: &Plan) -> Option<Sign> {
        let missed = self.missed.load(Ordering::SeqCst) && !plan.given_back.is_empty();
        missed.then(|| Sign::Killed {
            pod: "starved-1".to_owned(),
        })
    }
}
