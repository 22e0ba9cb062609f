//! Running pods: one in its container, or the whole shop in one process on loopback.

use std::{collections::BTreeMap, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, serve::ListenerExt};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tracing::info;

use super::{
    admin::{self, Readiness},
    app::{self, App},
    clients::{Addresses, CallError},
    graph::{Graph, Service, ServiceName},
};

/// How long connections may take to finish after the pod was asked to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Why a pod could not run.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The graph has no such service.
    #[error("the graph has no service `{0}`")]
    Unknown(ServiceName),
    /// A callee cannot be addressed.
    #[error(transparent)]
    Address(#[from] CallError),
    /// Listening or serving failed.
    #[error("serving: {0}")]
    Io(#[from] io::Error),
}

/// Plays `service` until `stop` ends: then readiness goes, requests in flight are answered, connections close.
///
/// # Errors
/// [`ServeError`] if it cannot start, or if a server ends before it was asked to.
pub async fn serve(
    graph: &Graph,
    service: &ServiceName,
    pod: &str,
    [listen, admin]: [TcpListener; 2],
    addresses: &Addresses,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let service = graph
        .service(service)
        .ok_or_else(|| ServeError::Unknown(service.clone()))?;
    let app = Arc::new(App::new(graph, service, pod, addresses)?);
    let readiness = Readiness::default();
    let (stopping, stopped) = watch::channel(false);
    let mut servers = JoinSet::new();
    servers.spawn(run(listen, app::router(Arc::clone(&app)), stopped.clone()));
    servers.spawn(run(admin, admin::router(app, readiness.clone()), stopped));
    let start = readiness.clone();
    let startup = service.startup;
    let starting = tokio::spawn(async move {
        tokio::time::sleep(startup).await;
        start.set(true);
    });
    info!(service = %service.name, pod, "serving");
    let ended = tokio::select! {
        () = stop => None,
        ended = servers.join_next() => ended,
    };
    starting.abort();
    readiness.set(false);
    if let Some(ended) = ended {
        return Err(ended
            .map_err(io::Error::other)?
            .err()
            .unwrap_or_else(|| io::Error::other("a server ended"))
            .into());
    }
    let _ = stopping.send(true);
    let drained = async { while servers.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN, drained).await;
    Ok(())
}

async fn run(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) -> io::Result<()> {
    // Small answers must not wait for Nagle's delay.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

/// The whole shop in this process, one pod per service, on loopback: for trying a graph, and for tests.
#[derive(Debug)]
pub struct Local {
    /// Where each service listens.
    pub services: BTreeMap<ServiceName, SocketAddr>,
    /// Where each service's admin port listens.
    pub admins: BTreeMap<ServiceName, SocketAddr>,
    stop: watch::Sender<bool>,
    pods: Vec<JoinHandle<Result<(), ServeError>>>,
}

impl Local {
    /// Starts every service of the graph on a free port.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(graph: Arc<Graph>) -> Result<Self, ServeError> {
        let free = async || TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await;
        let (mut services, mut admins, mut listeners) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for Service { name, .. } in graph.services() {
            let pair = [free().await?, free().await?];
            services.insert(name.clone(), pair[0].local_addr()?);
            admins.insert(name.clone(), pair[1].local_addr()?);
            listeners.push((name.clone(), pair));
        }
        let addresses = Addresses::Fixed(services.clone());
        let (stop, stopped) = watch::channel(false);
        let pod = |(name, pair): (ServiceName, [TcpListener; 2])| {
            let (graph, addresses, mut stopped) = (Arc::clone(&graph), addresses.clone(), stopped.clone());
            tokio::spawn(async move {
                let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
                serve(&graph, &name, name.as_str(), pair, &addresses, stop).await
            })
        };
        Ok(Self {
            services,
            admins,
            stop,
            pods: listeners.into_iter().map(pod).collect(),
        })
    }

    /// Stops every pod and waits for it.
    ///
    /// # Errors
    /// The first pod's error, if one had ended by itself.
    pub async fn stop(self) -> Result<(), ServeError> {
        let _ = self.stop.send(true);
        for pod in self.pods {
            pod.await.map_err(io::Error::other)??;
        }
        Ok(())
    }
}
