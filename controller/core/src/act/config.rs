//! How patient act is.

use crate::time::Span;

/// Spans and limits of acting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActConfig {
    /// How long a pod that left its Services' endpoints still serves. Proxies learn of the change well within a second.
    pub drain: Span,
    /// How long a rule may take from its creation until it is seen in force.
    pub rule: Span,
    /// How long a new pod may stay without a node.
    pub schedule: Span,
    /// How long a new pod may take until it is ready.
    pub ready: Span,
    /// How long a step waits for its turn: budgets, rollouts, readiness.
    pub patience: Span,
    /// How long a route waits for its guard.
    pub guard: Span,
    /// How long a kubelet may take to resize a container.
    pub resize: Span,
    /// How long the end of an old pod, or its return to its ReplicaSet, is waited for.
    pub gone: Span,
    /// How long a move may take in all.
    pub whole: Span,
    /// How long after a roll-out the rules may still be asked of what was there before it. Chosen: several looks of the engine, which come every two seconds.
    pub told: Span,
    /// How long what a caller's pods call is put down to the caller itself, from its roll-out on: what a version calls shows within that time. Chosen: an hour
    /// holds what is done each hour.
    pub learning: Span,
    /// How long new pods warm up before the after window begins.
    pub settle: Span,
    /// After so many failed steps the rest of the plan is left out.
    pub max_failures: usize,
}

impl Default for ActConfig {
    fn default() -> Self {
        Self {
            drain: Span::seconds(2),
            rule: Span::seconds(60),
            schedule: Span::seconds(15),
            ready: Span::seconds(180),
            patience: Span::seconds(300),
            guard: Span::seconds(120),
            resize: Span::seconds(60),
            gone: Span::seconds(60),
            whole: Span::seconds(900),
            told: Span::seconds(15),
            learning: Span::seconds(3_600),
            settle: Span::seconds(30),
            max_failures: 3,
        }
    }
}
