//! A caller's and a callee's sidecar, and a client that calls through them.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

use super::{Callee, Caller, Envoy, Huddle, Upstream, sidecar};
use crate::wait;

/// The host name of the ingest Service in these tests.
pub const MESH: &str = "huddle.huddle-system.svc.cluster.local";

/// Gauges of listeners that do not serve yet, and of listeners and filter chains that others took the place of. Envoy exchanges only the
/// chains of a listener where nothing else of it changed. While all are nought, no connection belongs to a configuration of before.
pub const HELD: [&str; 3] = [
    "listener_manager.total_listeners_warming",
    "listener_manager.total_listeners_draining",
    "listener_manager.total_filter_chains_draining",
];

/// Two sidecars with the filter in the caller's.
#[derive(Debug)]
pub struct Mesh {
    /// The caller's sidecar.
    pub caller: Envoy,
    /// The callee's.
    pub callee: Envoy,
    /// Where the caller's application calls.
    pub outbound: SocketAddr,
    plan: Caller,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An HTTP answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: http::HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Mesh {
    /// Starts both. The Service `app` is the application behind the callee's sidecar; `more` are further Services, given the
    /// callee's inbound port.
    ///
    /// # Errors
    /// When an Envoy does not start, or the module has not been built.
    pub async fn start(
        application: SocketAddr,
        controller: SocketAddr,
        more: impl FnOnce(u16) -> Vec<(&'static str, Upstream)>,
    ) -> Result<Self> {
        let sidecar = Callee { application };
        let callee = Envoy::start(|_| sidecar.bootstrap()).await?;
        let inbound = callee.listener("inbound").await?;
        let mut upstreams = BTreeMap::from([
            ("app".to_owned(), Upstream::new([inbound])),
            (
                MESH.to_owned(),
                Upstream {
                    port: 9000,
                    http2: true,
                    ..Upstream::new([controller])
                },
            ),
        ]);
        upstreams.extend(
            more(inbound.port())
                .into_iter()
                .map(|(name, upstream)| (name.to_owned(), upstream)),
        );
        let plan = Caller {
            upstreams,
            huddle: Huddle::Filter(configuration(100)),
            module: module()?,
        };
        let caller = Envoy::start(|directory| plan.bootstrap(directory)).await?;
        let outbound = caller.listener("outbound").await?;
        Ok(Self {
            caller,
            callee,
            outbound,
            plan,
            client: client(),
        })
    }

    /// Calls `http://service/path` from the caller's application.
    ///
    /// # Errors
    /// When there is no answer at all.
    pub async fn get(&self, service: &str, path: &str) -> Result<Answer> {
        call(&self.client, self.outbound, service, path).await
    }

    /// The same with a header of the application's own.
    ///
    /// # Errors
    /// When there is no answer at all.
    pub async fn get_with(&self, service: &str, path: &str, header: (&str, &str)) -> Result<Answer> {
        let request = http::Request::get(format!("http://{}{path}", self.outbound)).header(header.0, header.1);
        send(&self.client, request.header(http::header::HOST, service)).await
    }

    /// Gives the caller's sidecar another configuration, and waits until it is in force and the
    /// one before is gone with its connections.
    ///
    /// # Errors
    /// When it is refused or does not come into force.
    pub async fn reconfigure(&mut self, huddle: Huddle) -> Result<()> {
        const MANAGER: &str = "listener_manager";
        let updates = self.caller.stat(&format!("{MANAGER}.lds.update_success")).await?;
        self.plan.huddle = huddle;
        self.plan.write_listener(self.caller.directory())?;
        let what = "the new configuration in force and the old one gone";
        wait::until(what, Duration::from_secs(60), async || {
            let rejected = self.caller.stat(&format!("{MANAGER}.lds.update_rejected")).await?;
            ensure!(rejected == 0, "refused: {}", self.caller.log());
            ensure!(
                self.caller.stat(&format!("{MANAGER}.lds.update_success")).await? > updates,
                "not read yet"
            );
            for gauge in HELD {
                ensure!(self.caller.stat(gauge).await? == 0, "{gauge}");
            }
            Ok(())
        })
        .await?;
        Ok(())
    }
}

/// A configuration of the filter that reports every so many milliseconds.
pub fn configuration(interval_ms: u64) -> Value {
    json!({
        "controller": {"host": MESH, "port": 9000},
        "interval_ms": interval_ms,
        "heartbeat_ms": 1_000,
        "timeout_ms": 1_000,
    })
}

/// The name of a Service's cluster.
pub fn cluster(service: &str) -> String {
    sidecar::cluster_name(service, 80)
}

/// The module that `make wasm` built, or `HUDDLE_WASM`.
///
/// # Errors
/// When it has not been built.
pub fn module() -> Result<PathBuf> {
    let built = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/wasm/huddle_filter.wasm"
    ));
    let path = std::env::var_os("HUDDLE_WASM").map_or(built, PathBuf::from);
    ensure!(path.exists(), "{} is missing: run `make wasm` first", path.display());
    path.canonicalize().context("the module's path")
}

/// One GET on a connection of its own.
pub(super) async fn get(at: SocketAddr, host: &str, path: &str) -> Result<Answer> {
    call(&client(), at, host, path).await
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn call(client: &Client<HttpConnector, Full<Bytes>>, at: SocketAddr, host: &str, path: &str) -> Result<Answer> {
    let request = http::Request::get(format!("http://{at}{path}")).header(http::header::HOST, host);
    send(client, request).await.with_context(|| format!("GET {host}{path}"))
}

async fn send(client: &Client<HttpConnector, Full<Bytes>>, request: http::request::Builder) -> Result<Answer> {
    let (parts, body) = client.request(request.body(Full::default())?).await?.into_parts();
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.collect().await?.to_bytes(),
    })
}
