//! The application behind the callee's sidecar.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::get,
};
use futures::StreamExt as _;
use huddle_proto::{
    Batch, Reply, names,
    telemetry::v1::ingest_server::{self, IngestServer},
};
use tokio::net::TcpListener;

/// Starts it. Paths: `/ok`; `/busy/MS` works before it answers; `/late/MS` answers at once and sends its body later; `/forge` sets
/// Huddle's own headers; `/fail` answers 500; `/peer` says from which
/// address its proxy says that the call came. And a gRPC service: the
/// ingest's, since that one is at hand; the batch's sequence is the status it answers.
pub(crate) async fn start() -> Result<SocketAddr> {
    let router = Router::new()
        .route("/ok", get(async || "ok"))
        .route("/busy/{ms}", get(busy))
        .route("/late/{ms}", get(late))
        .route("/forge", get(forge))
        .route("/peer", get(peer))
        .route("/fail", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route_service(&format!("/{}/{{*method}}", names::SERVICE), IngestServer::new(Echo));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// A server that reads a request and resets the connection.
pub(crate) async fn start_resetting() -> Result<SocketAddr> {
    use tokio::io::AsyncReadExt as _;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Something has arrived; with unread bytes left, closing sends a reset.
                let mut first = [0];
                let _read = stream.read(&mut first).await;
            });
        }
    });
    Ok(address)
}

async fn busy(Path(ms): Path<u64>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    "done"
}

async fn late(Path(ms): Path<u64>) -> Body {
    let body = futures::stream::once(async move {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok::<_, std::convert::Infallible>("late")
    });
    Body::from_stream(body.boxed())
}

async fn forge() -> impl IntoResponse {
    (
        [
            (names::HEADER_SERVED_US, "59000000"),
            (names::HEADER_UPSTREAM_US, "58000000"),
        ],
        "forged",
    )
}

async fn peer(headers: HeaderMap) -> String {
    let peers = headers.get_all(names::HEADER_PEER_ADDRESS);
    peers
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect::<Vec<_>>()
        .join(", ")
}

struct Echo;

#[tonic::async_trait]
impl ingest_server::Ingest for Echo {
    async fn report(&self, request: tonic::Request<Batch>) -> Result<tonic::Response<Reply>, tonic::Status> {
        match request.into_inner().sequence {
            0 => Ok(tonic::Response::new(Reply::default())),
            code => Err(tonic::Status::new(tonic::Code::from_i32(code as i32), "as asked")),
        }
    }
}
