//! Composition root of the controller: builds the parts, spawns each once, waits for the first end or a signal.

use crate::act;
use crate::clock;
use crate::dashboard;
use crate::engine::{self, Answers, Engine, Graph, Inputs, Patience, Published};
use crate::http::{self, Module, Readiness};
use crate::ingest::{self, Reporters, Service, TrustPeer};
use crate::shutdown::{Shutdown, Signals, Trigger, shutdown};
use crate::usage::{self, PrometheusArgs, Source};
use crate::watch::{self, Cluster, SharedBook, Skipped};
use anyhow::Context;
use huddle_core::act::ActConfig;
use huddle_core::diagnose::DiagnoseConfig;
use huddle_core::graph::GraphConfig;
use huddle_core::time::Span;
use huddle_proto::telemetry::v1::ingest_server::IngestServer;
use kube::{Client, Config};
use prometheus_client::registry::Registry;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch as channel};
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;

/// Flags of `huddle controller`.
#[derive(Clone, Debug, clap::Args)]
pub struct ControllerArgs {
    /// Where proxies report (gRPC).
    #[arg(long, env = "HUDDLE_INGEST", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9000)))]
    pub ingest: SocketAddr,
    /// Health, metrics and the filter module (HTTP).
    #[arg(long, env = "HUDDLE_PUBLIC", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)))]
    pub public: SocketAddr,
    /// State, stream and dashboard (HTTP); keep it on the loopback address, it has no access control of its own.
    #[arg(long, env = "HUDDLE_PEOPLE", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)))]
    pub people: SocketAddr,
    /// The filter's Wasm module, served to proxies.
    #[arg(long, env = "HUDDLE_FILTER_MODULE", value_name = "PATH")]
    pub filter_module: Option<PathBuf>,
    /// Huddle's own image, from which companions get what starts their programs; without it nothing is merged.
    #[arg(long, env = "HUDDLE_SUPERVISOR_IMAGE", value_name = "IMAGE")]
    pub supervisor_image: Option<String>,
    /// What people call this cluster.
    #[arg(long, env = "HUDDLE_CLUSTER_NAME", default_value = "kubernetes")]
    pub cluster_name: String,
    /// How far back the graph reaches, in seconds.
    #[arg(long, env = "HUDDLE_WINDOW", default_value_t = 120, value_parser = clap::value_parser!(u64).range(20..=1800))]
    pub window: u64,
    /// How often proxies are to report, in seconds.
    #[arg(long, env = "HUDDLE_REPORT_INTERVAL", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub report_interval: u32,
    /// Where a reporter's address comes from.
    #[arg(long, env = "HUDDLE_TRUST_PEER", value_enum, default_value_t, hide = true)]
    pub trust_peer: TrustPeer,
    /// Take whatever certificate a kubelet shows. For clusters whose kubelets sign their own (kubeadm's default); whoever stands at
    /// a node's address then gets the controller's token.
    #[arg(long, env = "HUDDLE_KUBELET_INSECURE_TLS")]
    pub kubelet_insecure_tls: bool,
    /// Which Prometheus to read usage from.
    #[command(flatten)]
    pub prometheus: PrometheusArgs,
    /// How many edges, the busiest first, /metrics names. It asks nobody who he is: whoever reaches the port then reads that much of the
    /// graph.
    #[arg(long, env = "HUDDLE_EDGE_METRICS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub edge_metrics: u32,
    /// Write logs as JSON.
    #[arg(long, env = "HUDDLE_LOG_JSON")]
    pub log_json: bool,
}

/// Batches that wait for the engine, at most.
const DELIVERIES: usize = 1024;
/// Answers of usage that wait for the engine, at most.
const LOOKS: usize = 64;
/// How long open requests may go on after the signal.
const DRAIN: Duration = Duration::from_secs(10);

/// Sockets, bound before anything else so that a taken port ends the start at once.
#[derive(Debug)]
pub struct Sockets {
    ingest: TcpListener,
    public: TcpListener,
    people: TcpListener,
}

impl Sockets {
    /// Binds all three.
    ///
    /// # Errors
    /// If one is taken or not permitted; the flag is named.
    pub async fn bind(args: &ControllerArgs) -> anyhow::Result<Self> {
        let bind = async |flag: &str, address: SocketAddr| {
            TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on --{flag} {address}"))
        };
        Ok(Self {
            ingest: bind("ingest", args.ingest).await?,
            public: bind("public", args.public).await?,
            people: bind("people", args.people).await?,
        })
    }
    /// The addresses in use: ingest, public, people.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn addresses(&self) -> std::io::Result<[SocketAddr; 3]> {
        Ok([
            self.ingest.local_addr()?,
            self.public.local_addr()?,
            self.people.local_addr()?,
        ])
    }
}

/// Runs until a signal comes.
///
/// # Errors
/// If it cannot start, or a part ends on its own; the part is named.
pub async fn controller(config: Config, args: ControllerArgs) -> anyhow::Result<()> {
    let mut signals = Signals::catch()?;
    let sockets = Sockets::bind(&args).await?;
    let (trigger, stop) = shutdown();
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping");
        trigger.begin();
        // The first signal lets open work end; the second one does not.
        signals.next().await;
        std::process::exit(130);
    });
    serve(config, args, sockets, stop).await
}

/// Runs until `stop` begins. `config` says how the API server and the kubelets are reached.
///
/// # Errors
/// If it cannot start, or a part ends on its own; the part is named.
pub async fn serve(access: Config, args: ControllerArgs, sockets: Sockets, stop: Shutdown) -> anyhow::Result<()> {
    let source = Source::new(access.clone(), args.kubelet_insecure_tls, &args.prometheus)?;
    let client = Client::try_from(access).context("the configuration of the cluster cannot be used")?;
    let module = match &args.filter_module {
        Some(path) => Some(Module::read(path).await?),
        None => None,
    };
    let config = engine::Config {
        name: args.cluster_name.clone(),
        window: Span::seconds(args.window),
        patience: Patience::default(),
        graph: GraphConfig::default(),
        diagnose: DiagnoseConfig::default(),
        pace: source.pace(),
    };
    let graph = Graph::new(config.graph);
    let mut registry = Registry::with_prefix("huddle");
    let (ingest_metrics, engine_metrics) = (Arc::<ingest::Metrics>::default(), Arc::<engine::Metrics>::default());
    let usage_metrics = Arc::<usage::Metrics>::default();
    ingest_metrics.register(&mut registry);
    usage_metrics.register(&mut registry);
    engine_metrics.register(&mut registry);
    let skipped = Skipped::default();
    registry.sub_registry_with_prefix("watch").register(
        "skipped_objects",
        "Objects left out because they could not be read, by kind",
        skipped.clone(),
    );

    let (deliveries, delivered) = mpsc::channel(DELIVERIES);
    let (looked, looks) = mpsc::channel(LOOKS);
    let (cluster, clusters) = channel::channel(Arc::<Cluster>::new(starting()));
    let mut engine = Engine::new(config, graph.clone(), engine_metrics, clock::now());
    engine.know(Arc::clone(&clusters.borrow()));
    let (published, states) = channel::channel(Arc::<Published>::new(engine.look(clock::now())));
    let named = usize::try_from(args.edge_metrics).unwrap_or(0);
    registry.register_collector(Box::new(http::Series::new(states.clone(), named)));
    let book = SharedBook::default();
    let reporters = Arc::<Reporters>::default();
    let service = Service {
        book: book.clone(),
        reporters: Arc::clone(&reporters),
        deliveries,
        trust: args.trust_peer,
        interval_ms: args.report_interval.saturating_mul(1000),
        metrics: ingest_metrics,
    };
    let readiness = Readiness {
        cluster: clusters.clone(),
        shutdown: stop.clone(),
    };
    let page = dashboard::page::router();
    let answers = Arc::new(Answers::new(graph.clone(), states.clone()));

    let mut parts = Parts::default();
    let inputs = Inputs {
        deliveries: delivered,
        cluster: clusters,
        usage: looks,
    };
    parts.spawn("engine", async move {
        engine::run(engine, inputs, published).await;
        Ok(())
    });
    let seen = states.clone();
    parts.spawn("usage", async move {
        usage::run(source, seen, looked, usage_metrics).await;
        Ok(())
    });
    let (acting, proposing, stopping) = (client.clone(), client.clone(), stop.clone());
    let asking = client.clone();
    let identity = identity();
    let supervisor = args.supervisor_image.clone();
    parts.spawn("act", async move {
        let until = stopping.clone().begun();
        act::run(acting, identity, answers, (ActConfig::default(), supervisor), until).await;
        ended(&stopping)
    });
    let (planned, stopping) = (states.clone(), stop.clone());
    parts.spawn("propose", async move {
        engine::proposals::run(proposing, planned, stopping.clone()).await;
        ended(&stopping)
    });
    parts.spawn("watch", async move {
        let updates = watch::streams(&client, &skipped).await;
        watch::run(updates, book, cluster).await;
        Ok(())
    });
    parts.spawn("forget", async move {
        let mut tick = tokio::time::interval(Duration::from_secs(60));
        loop {
            tick.tick().await;
            reporters.forget(clock::now());
        }
    });
    let [ingest_at, public_at, people_at] = sockets.addresses()?;
    tracing::info!(ingest = %ingest_at, public = %public_at, people = %people_at, "listening");
    parts.spawn("ingest", grpc(sockets.ingest, service, stop.clone()));
    let public = http::public(readiness, Arc::new(registry), module);
    parts.spawn("public http", axum_on(sockets.public, public, stop.clone()));
    let people = http::people(states, asking, graph, stop.clone(), page);
    parts.spawn("people http", axum_on(sockets.people, people, stop.clone()));
    parts.until(stop).await
}

/// A part that ends by itself at the stop, and at no other time.
fn ended(stop: &Shutdown) -> anyhow::Result<()> {
    anyhow::ensure!(stop.has_begun(), "ended although nobody asked it to");
    Ok(())
}

/// Who holds the lease: the pod's name, or this process.
fn identity() -> String {
    std::env::var("HOSTNAME").unwrap_or_else(|_| format!("huddle-{}", std::process::id()))
}

/// The cluster before anything was read.
fn starting() -> Cluster {
    Cluster {
        waiting_for: watch::Store::default().waiting_for(),
        ..Cluster::default()
    }
}

async fn grpc(listener: TcpListener, service: Service, stop: Shutdown) -> anyhow::Result<()> {
    tonic::transport::Server::builder()
        // A proxy that vanished must not hold its connection for ever.
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .concurrency_limit_per_connection(64)
        .add_service(IngestServer::new(service))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.begun())
        .await?;
    Ok(())
}

async fn axum_on(listener: TcpListener, router: axum::Router, stop: Shutdown) -> anyhow::Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.begun())
        .await?;
    Ok(())
}

/// The parts of the process. None may end before the stop.
#[derive(Debug, Default)]
struct Parts(JoinSet<(&'static str, anyhow::Result<()>)>);

impl Parts {
    fn spawn(&mut self, name: &'static str, part: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.0.spawn(async move { (name, part.await) });
    }
    /// Waits for the stop, then for the servers to drain, within the deadline.
    async fn until(mut self, stop: Shutdown) -> anyhow::Result<()> {
        let mut early = 0;
        tokio::select! {
            biased;
            () = stop.clone().begun() => {}
            ended = self.0.join_next() => match ended {
                // It heard of the stop sooner than this task did.
                Some(Ok((_, Ok(())))) if stop.has_begun() => early = 1,
                ended => return Err(unexpected(ended)),
            },
        }
        let drained = async {
            // These end by themselves; the others are stopped with the process.
            let mut left = 5 - early;
            while left > 0 {
                match self.0.join_next().await {
                    Some(Ok((name, Err(error)))) => tracing::warn!(part = name, %error, "ended badly while stopping"),
                    Some(Ok((name, Ok(())))) => {
                        tracing::debug!(part = name, "drained");
                        left -= 1;
                    }
                    Some(Err(_)) | None => return,
                }
            }
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("open requests were cut after {} s", DRAIN.as_secs());
        }
        self.0.shutdown().await;
        Ok(())
    }
}

fn unexpected(ended: Option<Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>>) -> anyhow::Error {
    match ended {
        Some(Ok((name, Ok(())))) => anyhow::anyhow!("{name} ended although nobody asked it to"),
        Some(Ok((name, Err(error)))) => error.context(format!("{name} failed")),
        Some(Err(error)) => anyhow::anyhow!("a part panicked: {error}"),
        None => anyhow::anyhow!("no part is running"),
    }
}

/// Begins the stop when dropped; for tests that run the controller in their own process.
pub type StopGuard = Trigger;
