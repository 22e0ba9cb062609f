//! Ingest: what proxies report, checked, de-duplicated and joined to pods.
//!
//! ```text
//! Batch ─► envelope ─► who (peer address → pod) ─► seen before? ─► entries ─► Sample + Endpoint ─► engine
//!             │              │                          │             │
//!          refused      UNAVAILABLE                 duplicate     rejected[]
//! ```
//!
//! A batch is applied wholly (apart from entries that are refused one by one) or not at all, and remembered as applied only once
//! the engine has it: a repeat never counts twice, and nothing is lost while the controller starts or the engine is behind.

mod convert;
mod metrics;
mod reporters;
#[cfg(test)]
mod wire;

pub use convert::{Entry, Envelope, Invalid, MAX_EDGES, Upstream, VmId, entry, envelope};
pub use metrics::Metrics;
pub use reporters::{Reporter, Reporters, Turn};

use crate::clock;
use crate::watch::SharedBook;
use huddle_core::sample::{Endpoint, Sample};
use huddle_core::time::{Span, Timestamp, Window};
use huddle_proto::telemetry::v1::ingest_server::Ingest;
use huddle_proto::{Batch, Refusal, Rejection, Reply, names};
use metrics::Outcome;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

/// What one applied batch brings to the engine.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// When it was taken in.
    pub at: Timestamp,
    /// Who reported.
    pub reporter: Arc<Endpoint>,
    /// What it saw.
    pub samples: Vec<Sample>,
    /// Calls to addresses that are no pods of this cluster, or to nowhere.
    pub outside: u64,
    /// Calls the reporter knows it could not report.
    pub dropped: u64,
}

/// Where the reporter's address comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TrustPeer {
    /// The header that the controller's own sidecar overwrites.
    #[default]
    Header,
    /// The socket: for set-ups without a sidecar in front of the controller, such as tests.
    Socket,
}

/// The gRPC service.
#[derive(Debug)]
pub struct Service {
    /// Where addresses are looked up.
    pub book: SharedBook,
    /// What was applied before.
    pub reporters: Arc<Reporters>,
    /// To the engine.
    pub deliveries: mpsc::Sender<Delivery>,
    /// Where the reporter's address comes from.
    pub trust: TrustPeer,
    /// What reporters are told to keep as their period, in milliseconds.
    pub interval_ms: u32,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Service {
    /// Deals with one batch.
    ///
    /// # Errors
    /// A temporary refusal, after which the reporter sends the same bytes again: `UNAVAILABLE` while the cluster is not known, the
    /// reporter's pod is not known (yet), or the engine is behind; `RESOURCE_EXHAUSTED` for a pod that sends too much. Nothing
    /// of the batch was applied.
    pub fn take(&self, now: Timestamp, peer: Option<IpAddr>, batch: &Batch) -> Result<Reply, Status> {
        let envelope = match envelope(batch) {
            Ok(envelope) => envelope,
            Err(invalid) => return Ok(self.refuse(invalid)),
        };
        // The reporter's window, on this clock, as far as it is plausible; a second for the way.
        let length = Span(envelope.length_ms.min(120_000) + 1_000);
        let window = Window {
            from: now.minus(length),
            to: now,
        };
        let reporter = self.reporter(peer, window)?;
        self.reporters.with(&reporter.pod, now, |state| {
            if !state.may_send(now) {
                self.metrics.batch(Outcome::Limited);
                return Err(Status::resource_exhausted(
                    "this pod sends more batches than the controller takes",
                ));
            }
            let Turn::New { gap } = state.turn(envelope.vm, envelope.sequence) else {
                self.metrics.batch(Outcome::Duplicate);
                return Ok(Reply {
                    duplicate: true,
                    interval_ms: self.interval_ms,
                    ..Reply::default()
                });
            };
            let Ok(permit) = self.deliveries.try_reserve() else {
                self.metrics.batch(Outcome::Busy);
                return Err(Status::unavailable("the controller is behind; send again later"));
            };
            let (delivery, reply) = self.read(now, window, &reporter, batch);
            state.applied(envelope.vm, envelope.sequence, now);
            permit.send(delivery);
            self.metrics.gap(gap);
            self.metrics.batch(Outcome::Applied);
            Ok(reply)
        })
    }

    fn refuse(&self, invalid: Invalid) -> Reply {
        self.metrics.batch(Outcome::Refused);
        self.metrics.refused(invalid.reason);
        Reply {
            interval_ms: self.interval_ms,
            refused: Some(Refusal {
                reason: invalid.reason.into(),
                field: invalid.field.to_owned(),
            }),
            ..Reply::default()
        }
    }

    /// The reporting pod. Unknown is temporary: at start-up reports overtake the watch.
    fn reporter(&self, peer: Option<IpAddr>, window: Window) -> Result<Arc<Endpoint>, Status> {
        let Some(peer) = peer else {
            self.metrics.batch(Outcome::UnknownReporter);
            return Err(Status::unavailable(format!(
                "unknown reporter: the request has no usable {} header; is Huddle's EnvoyFilter for the controller installed?",
                names::HEADER_PEER_ADDRESS
            )));
        };
        self.book.read(|book| {
            if !book.is_complete() {
                self.metrics.batch(Outcome::NotReady);
                return Err(Status::unavailable("the controller is still reading the cluster"));
            }
            book.holder(peer, window).ok_or_else(|| {
                self.metrics.batch(Outcome::UnknownReporter);
                Status::unavailable("unknown reporter: no pod of this cluster has the peer's address (yet)")
            })
        })
    }

    fn read(&self, now: Timestamp, window: Window, reporter: &Arc<Endpoint>, batch: &Batch) -> (Delivery, Reply) {
        let mut delivery = Delivery {
            at: now,
            reporter: Arc::clone(reporter),
            samples: Vec::with_capacity(batch.edges.len()),
            outside: 0,
            dropped: batch.drops.map_or(0, |drops| {
                drops
                    .overflow_requests
                    .saturating_add(drops.unrouted_requests)
                    .saturating_add(drops.lost_requests)
            }),
        };
        let mut reply = Reply {
            interval_ms: self.interval_ms,
            ..Reply::default()
        };
        let mut keys = HashSet::with_capacity(batch.edges.len());
        for (index, edge) in (0_u32..).zip(&batch.edges) {
            let fresh = keys.insert((edge.upstream_address.as_str(), edge.cluster.as_str(), edge.class));
            let entry = match entry(edge) {
                Ok(_) if !fresh => Err(Invalid {
                    reason: huddle_proto::Reason::EdgeRepeated,
                    field: "upstream_address",
                }),
                other => other,
            };
            match entry {
                Ok(entry) => {
                    reply.accepted += 1;
                    self.join(&mut delivery, window, entry);
                }
                Err(invalid) => {
                    self.metrics.rejected(invalid.reason);
                    reply.rejected.push(Rejection {
                        index,
                        reason: invalid.reason.into(),
                        field: invalid.field.to_owned(),
                    });
                }
            }
        }
        self.metrics.dropped(delivery.dropped);
        (delivery, reply)
    }

    /// Adds one entry to the delivery: as a sample where its address is a pod's, else as calls to the outside.
    fn join(&self, delivery: &mut Delivery, window: Window, entry: Entry) {
        let requests = entry.exchange.requests;
        let callee = match entry.upstream {
            // Only a proxy that was told of a companion calls its own loopback.
            Upstream::Address(address) if address.ip().to_canonical().is_loopback() => {
                self.book.read(|book| book.inside(&delivery.reporter.pod))
            }
            Upstream::Address(address) => self.book.read(|book| book.holder(address.ip(), window)),
            Upstream::Nowhere => None,
        };
        let Some(callee) = callee else {
            delivery.outside = delivery.outside.saturating_add(requests);
            self.metrics.outside(entry.upstream == Upstream::Nowhere, requests);
            return;
        };
        self.metrics.joined(requests);
        delivery.samples.push(Sample {
            at: delivery.at,
            caller: (*delivery.reporter).clone(),
            callee: (*callee).clone(),
            class: entry.class,
            exchange: entry.exchange,
        });
    }

    fn peer(&self, request: &Request<Batch>) -> Option<IpAddr> {
        match self.trust {
            TrustPeer::Socket => request.remote_addr().map(|address| address.ip().to_canonical()),
            TrustPeer::Header => request
                .metadata()
                .get(names::HEADER_PEER_ADDRESS)?
                .to_str()
                .ok()?
                .parse()
                .ok(),
        }
    }
}

#[tonic::async_trait]
impl Ingest for Service {
    async fn report(&self, request: Request<Batch>) -> Result<Response<Reply>, Status> {
        let peer = self.peer(&request);
        self.take(clock::now(), peer, request.get_ref()).map(Response::new)
    }
}

#[cfg(test)]
mod tests;
