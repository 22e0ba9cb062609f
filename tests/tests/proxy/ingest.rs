//! What stands where the controller does: counts what the contract says is to be counted, and fails when told to.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use huddle_proto::{
    Batch, Drops, Edge, Reply, RequestClass, buckets, is_accepted,
    telemetry::v1::ingest_server::{self, IngestServer},
};
use tokio::{
    net::TcpListener,
    runtime::{self, Runtime},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// The server, and what it has taken.
pub(crate) struct Ingest {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// A runtime of its own, so that its end is the end of every connection too.
    server: Option<Runtime>,
}

/// How it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should.
    #[default]
    Well,
    /// It applies the batch and then fails.
    AppliesAndFails,
    /// It fails.
    Fails,
}

#[derive(Default)]
struct State {
    mood: Mood,
    collected: Collected,
}

/// Everything taken so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collected {
    /// Sums by cluster, address and class.
    pub(crate) edges: BTreeMap<(String, String, RequestClass), Sum>,
    /// All drop counters.
    pub(crate) drops: Drops,
    /// Calls that brought a batch which had been applied.
    pub(crate) repeats: u64,
    /// Calls that were answered with an error.
    pub(crate) failures: u64,
    reporters: BTreeMap<Vec<u8>, Reporter>,
}

#[derive(Debug, Clone)]
struct Reporter {
    sequence: u64,
    idle: bool,
    heard: Instant,
}

/// A reporter that lives speaks every second in these tests; one that has been silent for so long is gone.
const GONE: Duration = Duration::from_secs(4);

/// One edge's counters and histograms.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sum {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) retries: u64,
    pub(crate) missing_served: u64,
    pub(crate) response_bytes: u64,
    pub(crate) upstream: Times,
    pub(crate) served: Times,
    pub(crate) network: Times,
    pub(crate) body: Times,
}

/// A histogram.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(BTreeMap<buckets::Index, u64>);

impl Ingest {
    pub(crate) async fn start() -> Result<Self> {
        let mut ingest = Self {
            address: "127.0.0.1:0".parse()?,
            state: Arc::default(),
            server: None,
        };
        ingest.up().await?;
        Ok(ingest)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the server and all its connections.
    pub(crate) async fn down(&mut self) -> Result<()> {
        if let Some(server) = self.server.take() {
            tokio::task::spawn_blocking(move || server.shutdown_timeout(Duration::from_secs(10))).await?;
        }
        Ok(())
    }

    /// Starts the server, at the same address as before.
    pub(crate) async fn up(&mut self) -> Result<()> {
        let server = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = server.spawn(TcpListener::bind(self.address)).await??;
        self.address = listener.local_addr()?;
        let service = IngestServer::new(Service(Arc::clone(&self.state)));
        let serve = tonic::transport::Server::builder().add_service(service);
        server.spawn(serve.serve_with_incoming(TcpListenerStream::new(listener)));
        self.server = Some(server);
        Ok(())
    }

    pub(crate) fn be(&self, mood: Mood) {
        lock(&self.state).mood = mood;
    }

    pub(crate) fn collected(&self) -> Collected {
        lock(&self.state).collected.clone()
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown_background();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Service(Arc<Mutex<State>>);

#[tonic::async_trait]
impl ingest_server::Ingest for Service {
    async fn report(&self, request: Request<Batch>) -> Result<Response<Reply>, Status> {
        let mut state = lock(&self.0);
        if state.mood == Mood::Fails {
            state.collected.failures += 1;
            return Err(Status::unavailable("told to fail"));
        }
        let reply = state.collected.take(request.into_inner());
        if state.mood == Mood::AppliesAndFails {
            state.collected.failures += 1;
            return Err(Status::unavailable("told to fail"));
        }
        Ok(Response::new(reply))
    }
}

impl Collected {
    fn take(&mut self, batch: Batch) -> Reply {
        assert!(is_accepted(batch.contract));
        assert_eq!(batch.vm_id.len(), huddle_proto::VM_ID_BYTES);
        let before = self.reporters.get(&batch.vm_id).map_or(0, |reporter| reporter.sequence);
        if batch.sequence <= before {
            self.repeats += 1;
            return Reply {
                duplicate: true,
                ..Reply::default()
            };
        }
        assert_eq!(batch.sequence, before + 1, "no gaps");
        let reporter = Reporter {
            sequence: batch.sequence,
            idle: batch.edges.is_empty(),
            heard: Instant::now(),
        };
        self.reporters.insert(batch.vm_id, reporter);
        let drops = batch.drops.unwrap_or_default();
        self.drops.overflow_requests += drops.overflow_requests;
        self.drops.dropped_times += drops.dropped_times;
        self.drops.unrouted_requests += drops.unrouted_requests;
        self.drops.lost_requests += drops.lost_requests;
        self.drops.failed_sends += drops.failed_sends;
        let accepted = batch.edges.len() as u32;
        batch.edges.into_iter().for_each(|edge| self.add(edge));
        Reply {
            accepted,
            interval_ms: 100,
            ..Reply::default()
        }
    }

    fn add(&mut self, edge: Edge) {
        let class = edge.class();
        let sum = self
            .edges
            .entry((edge.cluster, edge.upstream_address, class))
            .or_default();
        sum.requests += edge.requests;
        sum.errors += edge.errors;
        sum.retries += edge.retries;
        sum.missing_served += edge.missing_served;
        sum.response_bytes += edge.response_bytes;
        let pairs = [
            (&mut sum.upstream, edge.upstream),
            (&mut sum.served, edge.served),
            (&mut sum.network, edge.network),
            (&mut sum.body, edge.body),
        ];
        for (times, histogram) in pairs {
            for (index, count) in buckets::decode(&histogram.unwrap_or_default()).expect("well-formed") {
                *times.0.entry(index).or_default() += count;
            }
        }
    }

    /// Requests in all edges.
    pub(crate) fn requests(&self) -> u64 {
        self.edges.values().map(|sum| sum.requests).sum()
    }

    /// Has every reporter said that it has nothing more to say, or ended? False before the first report.
    pub(crate) fn quiet(&self) -> bool {
        !self.reporters.is_empty()
            && self
                .reporters
                .values()
                .all(|reporter| reporter.idle || reporter.heard.elapsed() > GONE)
    }

    /// The only edge of a Service and class.
    pub(crate) fn edge(&self, cluster: &str, class: RequestClass) -> &Sum {
        let mut found = self
            .edges
            .iter()
            .filter(|((name, _, kind), _)| name == cluster && *kind == class);
        match (found.next(), found.next()) {
            (Some((_, sum)), None) => sum,
            _ => panic!("not one edge of {cluster} {class:?}: {:?}", self.edges.keys()),
        }
    }
}

impl Times {
    pub(crate) fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The lowest value of the bucket in which the median is, in milliseconds.
    pub(crate) fn median_ms(&self) -> f64 {
        let half = self.count().div_ceil(2);
        let mut below = 0;
        for (index, count) in &self.0 {
            below += count;
            if below >= half {
                return index.lowest_us() as f64 / 1_000.0;
            }
        }
        f64::NAN
    }

    /// The highest value of the last bucket in use, in milliseconds.
    pub(crate) fn max_ms(&self) -> f64 {
        self.0
            .keys()
            .next_back()
            .map_or(f64::NAN, |index| index.highest_us() as f64 / 1_000.0)
    }
}
