//! When to send what, so that every recorded request is counted exactly once.

use huddle_proto::{Batch, CONTRACT, Reply, VM_ID_BYTES};
use prost::Message as _;

use crate::{
    Exchange, Limits, Recorder,
    backoff::Backoff,
    limits::{LONGEST_INTERVAL_MS, SHORTEST_INTERVAL_MS},
};

/// Names one life of one reporter: random, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmId(pub [u8; VM_ID_BYTES]);

/// A recorder and its way to the controller.
///
/// The caller asks [`Reporter::poll`] from time to time. If it says [`Next::Send`], the caller sends those bytes and tells how it
/// went by exactly one of [`Reporter::on_reply`] and [`Reporter::on_failure`]. A batch once sent is kept, byte by byte, until it
/// is answered, because a failed call may have been applied; requests that end meanwhile wait in the next window.
///
/// All times are milliseconds of one wall clock. It may be set: a step costs at most one interval.
#[derive(Debug)]
pub struct Reporter {
    recorder: Recorder,
    limits: Limits,
    interval_ms: u64,
    id: VmId,
    sequence: u64,
    backoff: Backoff,
    pending: Option<Pending>,
    /// Not before this.
    due_ms: u64,
    /// When something was last answered, for heartbeats.
    answered_ms: u64,
    seen_traffic: bool,
    last_now_ms: u64,
}

/// A batch without an answer.
#[derive(Debug)]
struct Pending {
    bytes: Vec<u8>,
    requests: u64,
    /// Set while a call with it is under way.
    sent_ms: Option<u64>,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// Nothing.
    Wait,
    /// Send these bytes (an encoded [`Batch`]).
    Send(&'a [u8]),
}

impl Reporter {
    /// A reporter that has seen nothing yet. `seed` spreads the first report over one interval, and later the pauses after
    /// failures, so that a thousand proxies that start together do not call together.
    pub fn new(id: VmId, seed: u64, limits: Limits, now_ms: u64) -> Self {
        let mut backoff = Backoff::new(seed);
        let interval_ms = limits.interval_ms.clamp(SHORTEST_INTERVAL_MS, LONGEST_INTERVAL_MS);
        let due_ms = now_ms.saturating_add(backoff.below_ms(interval_ms));
        Self {
            recorder: Recorder::new(limits, now_ms),
            limits,
            interval_ms,
            id,
            sequence: 0,
            backoff,
            pending: None,
            due_ms,
            answered_ms: now_ms,
            seen_traffic: false,
            last_now_ms: now_ms,
        }
    }

    /// Counts one exchange.
    pub fn record(&mut self, exchange: &Exchange<'_>) {
        self.seen_traffic = true;
        self.recorder.record(exchange);
    }

    /// The present interval between reports, in milliseconds.
    pub fn interval_ms(&self) -> u64 {
        self.interval_ms
    }

    /// Has this reporter ever recorded a request? One that has not (the proxy's main thread, a pod that calls nobody) sends
    /// nothing by itself; see [`Reporter::beat`].
    pub fn seen_traffic(&self) -> bool {
        self.seen_traffic
    }

    /// Takes a new configuration; what is recorded stays.
    pub fn set_limits(&mut self, limits: Limits) {
        self.interval_ms = limits.interval_ms.clamp(SHORTEST_INTERVAL_MS, LONGEST_INTERVAL_MS);
        self.limits = limits;
        self.recorder.set_limits(limits);
    }

    /// What to do at `now_ms`. After [`Next::Send`] the batch counts as under way.
    pub fn poll(&mut self, now_ms: u64) -> Next<'_> {
        self.follow_clock(now_ms);
        if self.is_under_way() {
            let lost = self.pending.as_ref().and_then(|pending| pending.sent_ms);
            if lost.is_some_and(|sent| now_ms >= sent.saturating_add(self.limits.answer_ms)) {
                self.on_failure(now_ms);
            }
            return Next::Wait;
        }
        if now_ms < self.due_ms {
            return Next::Wait;
        }
        if self.pending.is_none() {
            let idle = self.recorder.is_empty();
            let beat = self.seen_traffic && now_ms >= self.answered_ms.saturating_add(self.limits.heartbeat_ms);
            if idle && !beat {
                return Next::Wait;
            }
            self.seal(now_ms);
        }
        self.send(now_ms)
    }

    /// Makes the next [`Reporter::poll`] send a heartbeat, unless something else is on its way: for a proxy none of whose
    /// reporters has seen traffic, so that it is known to be idle rather than silent.
    pub fn beat(&mut self, now_ms: u64) {
        if self.pending.is_none() {
            self.seal(now_ms);
        }
    }

    /// Sends what is left, whatever the time: the reporter is about to end. [`Next::Wait`] if a call is under way (ask again
    /// when it is answered) or nothing is left (then [`Reporter::is_settled`]).
    pub fn flush(&mut self, now_ms: u64) -> Next<'_> {
        if self.is_under_way() {
            return Next::Wait;
        }
        if self.pending.is_none() {
            if self.recorder.is_empty() {
                return Next::Wait;
            }
            self.seal(now_ms);
        }
        self.send(now_ms)
    }

    /// Is everything recorded so far answered?
    pub fn is_settled(&self) -> bool {
        self.pending.is_none() && self.recorder.is_empty()
    }

    /// Is a call under way?
    pub fn is_under_way(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.sent_ms.is_some())
    }

    /// The call under way was answered with gRPC status OK: the batch is dealt with, whatever the answer says. Bytes that are no
    /// [`Reply`] change nothing else.
    pub fn on_reply(&mut self, now_ms: u64, reply: &[u8]) {
        let Some(pending) = self.pending.take() else { return };
        self.backoff.reset();
        self.answered_ms = now_ms;
        let reply = Reply::decode(reply).unwrap_or_default();
        if reply.refused.is_some() {
            self.recorder.count_lost(pending.requests);
        }
        if reply.interval_ms > 0 {
            self.interval_ms = u64::from(reply.interval_ms).clamp(SHORTEST_INTERVAL_MS, LONGEST_INTERVAL_MS);
        }
        self.due_ms = now_ms.saturating_add(self.interval_ms);
    }

    /// The call under way failed, or could not even be started. The same bytes go again after a pause.
    pub fn on_failure(&mut self, now_ms: u64) {
        let Some(pending) = self.pending.as_mut() else { return };
        pending.sent_ms = None;
        self.recorder.count_failed_send();
        self.due_ms = now_ms.saturating_add(self.backoff.pause_ms(self.interval_ms));
    }

    fn seal(&mut self, now_ms: u64) {
        let cut = self.recorder.cut(now_ms);
        self.sequence = self.sequence.saturating_add(1);
        let batch = Batch {
            contract: CONTRACT,
            vm_id: self.id.0.to_vec(),
            sequence: self.sequence,
            window: Some(cut.window),
            edges: cut.edges,
            drops: Some(cut.drops),
            reporter_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.pending = Some(Pending {
            bytes: batch.encode_to_vec(),
            requests: cut.requests,
            sent_ms: None,
        });
    }

    fn send(&mut self, now_ms: u64) -> Next<'_> {
        match self.pending.as_mut() {
            None => Next::Wait,
            Some(pending) => {
                pending.sent_ms = Some(now_ms);
                Next::Send(&pending.bytes)
            }
        }
    }

    /// If the clock was set back, what was planned on the old one is planned anew.
    fn follow_clock(&mut self, now_ms: u64) {
        if now_ms < self.last_now_ms {
            self.due_ms = self.due_ms.min(now_ms.saturating_add(self.interval_ms));
            self.answered_ms = self.answered_ms.min(now_ms);
            if let Some(sent) = self.pending.as_mut().and_then(|pending| pending.sent_ms.as_mut()) {
                *sent = (*sent).min(now_ms);
            }
        }
        self.last_now_ms = now_ms;
    }
}
