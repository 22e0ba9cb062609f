//! Ingest's counters. Labels come from closed enums only.

use huddle_proto::Reason;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

type Label = [(&'static str, &'static str); 1];

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Applied,
    Duplicate,
    Refused,
    UnknownReporter,
    NotReady,
    Busy,
    Limited,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Refused => "refused",
            Self::UnknownReporter => "unknown_reporter",
            Self::NotReady => "not_ready",
            Self::Busy => "busy",
            Self::Limited => "limited",
        }
    }
}

/// Ingest's counters.
#[derive(Debug, Default)]
pub struct Metrics {
    batches: Family<Label, Counter>,
    refused: Family<Label, Counter>,
    rejected: Family<Label, Counter>,
    requests: Family<Label, Counter>,
    dropped: Counter,
    gaps: Counter,
}

impl Metrics {
    /// Makes the counters visible under `huddle_ingest_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("ingest");
        registry.register("batches", "Batches by outcome", self.batches.clone());
        registry.register(
            "refused_batches",
            "Batches refused for good, by reason",
            self.refused.clone(),
        );
        registry.register(
            "rejected_entries",
            "Entries refused one by one, by reason",
            self.rejected.clone(),
        );
        registry.register("requests", "Calls reported, by where they went", self.requests.clone());
        registry.register(
            "dropped_requests",
            "Calls that reporters know they did not report",
            self.dropped.clone(),
        );
        registry.register(
            "missing_batches",
            "Batches that reporters gave up (gaps in the sequence)",
            self.gaps.clone(),
        );
    }
    pub(super) fn batch(&self, outcome: Outcome) {
        self.batches.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }
    pub(super) fn refused(&self, reason: Reason) {
        self.refused.get_or_create(&[("reason", label(reason))]).inc();
    }
    pub(super) fn rejected(&self, reason: Reason) {
        self.rejected.get_or_create(&[("reason", label(reason))]).inc();
    }
    pub(super) fn joined(&self, requests: u64) {
        self.requests.get_or_create(&[("to", "pod")]).inc_by(requests);
    }
    pub(super) fn outside(&self, nowhere: bool, requests: u64) {
        let to = if nowhere { "nowhere" } else { "outside" };
        self.requests.get_or_create(&[("to", to)]).inc_by(requests);
    }
    pub(super) fn dropped(&self, requests: u64) {
        self.dropped.inc_by(requests);
    }
    pub(super) fn gap(&self, batches: u64) {
        self.gaps.inc_by(batches);
    }
}

fn label(reason: Reason) -> &'static str {
    match reason {
        Reason::Unspecified => "unspecified",
        Reason::ContractUnknown => "contract_unknown",
        Reason::VmIdMalformed => "vm_id_malformed",
        Reason::SequenceMalformed => "sequence_malformed",
        Reason::TooManyEdges => "too_many_edges",
        Reason::ReporterUnknown => "reporter_unknown",
        Reason::AddressMalformed => "address_malformed",
        Reason::ClusterMalformed => "cluster_malformed",
        Reason::ClassUnknown => "class_unknown",
        Reason::HistogramMalformed => "histogram_malformed",
        Reason::CountsContradict => "counts_contradict",
        Reason::EdgeRepeated => "edge_repeated",
    }
}
