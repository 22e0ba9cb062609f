//! A service's ordinary clients: keep-alive HTTP/1.1 and one HTTP/2 channel per gRPC callee, by Service DNS name.

use std::{
    collections::BTreeMap,
    future::Future,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Uri, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use thiserror::Error;
use tonic::transport::{Channel, Endpoint as Dial};

use super::{
    codec::RawCodec,
    graph::{Call, Graph, Protocol, Service, ServiceName, Step, Target},
    witness::Witness,
};

/// Where services are reached.
#[derive(Clone, Debug)]
pub enum Addresses {
    /// By the name of their Service and its port, in the caller's own namespace.
    ServiceDns,
    /// At fixed addresses: the shop on loopback.
    Fixed(BTreeMap<ServiceName, SocketAddr>),
}

impl Addresses {
    fn authority(&self, service: &Service) -> String {
        let dns = || format!("{}:{}", service.name, service.port);
        match self {
            Self::ServiceDns => dns(),
            Self::Fixed(map) => map.get(&service.name).map_or_else(dns, ToString::to_string),
        }
    }
}

/// Why a call failed, for logs; the witness only counts.
#[derive(Debug, Error)]
pub enum CallError {
    /// The address cannot be written as a URI, or the channel cannot be set up.
    #[error("address: {0}")]
    Address(String),
    /// No answer, or a connection that broke.
    #[error("transport: {0}")]
    Transport(String),
    /// The callee, or a proxy in its name, refused.
    #[error("status {0}")]
    Status(String),
    /// Not answered in time.
    #[error("no answer within the time-out")]
    Timeout,
}

/// Response header in which a callee says how long it had the request, in microseconds, by its own clock.
pub(super) const TOOK: &str = "shop-took-us";

/// What it says, if it does.
fn took(header: Option<&str>) -> Option<Duration> {
    header?.parse().ok().map(Duration::from_micros)
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

#[derive(Clone, Debug)]
enum Connection {
    Http { client: Box<HttpClient>, authority: String },
    Grpc(Channel),
}

/// The clients of one service, one for each service it calls.
#[derive(Debug)]
pub(super) struct Clients {
    connections: BTreeMap<ServiceName, Connection>,
    timeout: Duration,
}

impl Clients {
    /// Clients for all callees of `service`. Nothing is dialled yet.
    ///
    /// # Errors
    /// [`CallError::Address`] if a callee's address is no URI.
    pub(super) fn new(graph: &Graph, service: &Service, addresses: &Addresses) -> Result<Self, CallError> {
        let calls = service
            .endpoints
            .iter()
            .flat_map(|endpoint| endpoint.steps.iter().flat_map(Step::calls));
        let mut connections = BTreeMap::new();
        for callee in calls.filter_map(|call| graph.service(&call.to.service)) {
            if !connections.contains_key(&callee.name) {
                connections.insert(callee.name.clone(), connect(callee, addresses)?);
            }
        }
        Ok(Self {
            connections,
            timeout: graph.timeout(),
        })
    }

    /// Makes one call and tells the witness: sent, headers after so long, failed or not.
    ///
    /// # Errors
    /// Any [`CallError`]; the caller answers with an error in turn.
    pub(super) async fn call(&self, call: &Call, witness: &Witness) -> Result<(), CallError> {
        let Some(connection) = self.connections.get(&call.to.service) else {
            return Err(CallError::Address(call.to.to_string()));
        };
        witness.request(&call.to);
        let attempt = async || {
            let size = call.request.get() as usize;
            match connection {
                Connection::Http { client, authority } => http_call(client, authority, &call.to, size, witness).await,
                Connection::Grpc(channel) => grpc_call(channel, &call.to, size, witness).await,
            }
        };
        // A connection may close under a request, as when a proxy drains its listeners. Go's HTTP client and gRPC's transparent
        // retry send such a request once more on another connection; hyper and tonic leave it to their users.
        let answer = async {
            match attempt().await {
                Err(CallError::Transport(why)) => {
                    tracing::info!(to = %call.to, why, "asking once more");
                    attempt().await
                }
                answer => answer,
            }
        };
        let answer = within(self.timeout, answer).await;
        if answer.is_err() {
            witness.error(&call.to);
        }
        answer
    }
}

async fn within(timeout: Duration, call: impl Future<Output = Result<(), CallError>>) -> Result<(), CallError> {
    tokio::time::timeout(timeout, call)
        .await
        .unwrap_or(Err(CallError::Timeout))
}

/// An HTTP/1.1 client with keep-alive and without Nagle's delay.
pub(super) fn http_client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

fn connect(callee: &Service, addresses: &Addresses) -> Result<Connection, CallError> {
    let authority = addresses.authority(callee);
    match callee.protocol {
        Protocol::Http => Ok(Connection::Http {
            client: Box::new(http_client()),
            authority,
        }),
        Protocol::Grpc => {
            let dial = Dial::from_shared(format!("http://{authority}"));
            let dial = dial.map_err(|error| CallError::Address(error.to_string()))?;
            Ok(Connection::Grpc(dial.tcp_nodelay(true).connect_lazy()))
        }
    }
}

/// `size` bytes that say nothing.
pub(super) fn payload(size: usize) -> Bytes {
    Bytes::from(vec![b'.'; size])
}

async fn http_call(
    client: &HttpClient,
    authority: &str,
    to: &Target,
    size: usize,
    witness: &Witness,
) -> Result<(), CallError> {
    let uri = Uri::try_from(format!("http://{authority}/{}", to.endpoint));
    let uri = uri.map_err(|error| CallError::Address(error.to_string()))?;
    let sent = Instant::now();
    let response = http_request(client, uri, size).await?;
    if response.status().is_success() {
        witness.headers(
            to,
            sent.elapsed(),
            took(response.headers().get(TOOK).and_then(|value| value.to_str().ok())),
        );
    }
    http_answer(response).await
}

/// Sends a request (GET, or POST if it has a payload) and gives the response once its headers are there.
pub(super) async fn http_request(
    client: &HttpClient,
    uri: Uri,
    size: usize,
) -> Result<http::Response<hyper::body::Incoming>, CallError> {
    let method = if size == 0 { Method::GET } else { Method::POST };
    let request = http::Request::builder()
        .method(method)
        .uri(uri)
        .body(Full::new(payload(size)));
    let request = request.map_err(|error| CallError::Address(error.to_string()))?;
    client
        .request(request)
        .await
        .map_err(|error| CallError::Transport(error.to_string()))
}

/// Reads the body to its end; an error status is an error.
pub(super) async fn http_answer(response: http::Response<hyper::body::Incoming>) -> Result<(), CallError> {
    let status = response.status();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| CallError::Transport(error.to_string()))?;
    }
    if status.is_success() {
        Ok(())
    } else {
        Err(CallError::Status(status.to_string()))
    }
}

/// A unary call, made as a response stream: on the wire they are the same, and the stream shows when headers came.
async fn grpc_call(channel: &Channel, to: &Target, size: usize, witness: &Witness) -> Result<(), CallError> {
    let path = PathAndQuery::try_from(format!("/shop.{}/{}", to.service, to.endpoint));
    let path = path.map_err(|error| CallError::Address(error.to_string()))?;
    let mut client = tonic::client::Grpc::new(channel.clone());
    client
        .ready()
        .await
        .map_err(|error| CallError::Transport(error.to_string()))?;
    let sent = Instant::now();
    let response = client
        .server_streaming(tonic::Request::new(payload(size)), path, RawCodec)
        .await;
    let response = response.map_err(refused)?;
    let after = sent.elapsed();
    witness.headers(
        to,
        after,
        took(response.metadata().get(TOOK).and_then(|value| value.to_str().ok())),
    );
    let mut stream = response.into_inner();
    while stream.message().await.map_err(refused)?.is_some() {}
    Ok(())
}

/// A status with a source was made up here, because the connection broke; one without came over the wire.
fn refused(status: tonic::Status) -> CallError {
    match std::error::Error::source(&status) {
        Some(source) => CallError::Transport(format!("{status}: {source}")),
        None => CallError::Status(status.to_string()),
    }
}
