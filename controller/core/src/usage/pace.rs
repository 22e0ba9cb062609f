//! How often and how late readings come.

use crate::time::Span;

/// What may be expected of the readings of a source. cAdvisor looks at a container every 10 to 15 s, whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// What is older when it is read is left over from a container that has ended.
    pub oldest: Span,
    /// Readings farther apart are not made a difference of, see [`UsageConfig::longest`](super::UsageConfig::longest).
    pub longest: Span,
    /// A slot so old gets nothing more.
    pub settled: Span,
}

impl Pace {
    /// Kubelets, asked every 10 s. A minute apart is six readings missed.
    pub const KUBELETS: Self = Self {
        oldest: Span::seconds(60),
        longest: Span::seconds(60),
        settled: Span::seconds(30),
    };
    /// A Prometheus that looks at kubelets every minute (its own default; kube-prometheus: 30 s) and is asked every 10 s. Two of its looks
    /// are 45 to 75 s apart by cAdvisor's clock. One that fails is borne as far as age goes, and is a gap in the figures where the next one
    /// comes after a minute. The second of two looks is known up to 15 (cAdvisor) + 10 (the round) + 8 s (the answer) after it.
    pub const PROMETHEUS: Self = Self {
        oldest: Span::seconds(150),
        longest: Span::seconds(90),
        settled: Span::seconds(120),
    };
}
