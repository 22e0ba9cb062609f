//! One pod of the shop: answers requests by computing, calling its callees and sending bytes back.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, future, stream};
use http_body_util::BodyExt;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, LogNormal};
use serde::{Deserialize, Serialize};
use tonic::Status;

use super::{
    clients::{Addresses, CallError, Clients, TOOK, payload},
    codec::RawCodec,
    graph::{Call, Compute, Endpoint, Graph, Protocol, Service},
    timer,
    witness::Witness,
};

/// A fault told to this pod at run time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Share of the requests, 0 to 1, answered with an error at once: HTTP 500, or gRPC INTERNAL.
    #[serde(default)]
    pub errors: f64,
    /// Extra wait of every request, microseconds.
    #[serde(default)]
    pub delay_us: u64,
    /// Extra processor time of every request, microseconds: takes longer where the pod gets less of the processor.
    #[serde(default)]
    pub work_us: u64,
    /// How far that differs from request to request: the sigma of a lognormal with `work_us` as its mean. 0: not at all.
    #[serde(default)]
    pub work_sigma: f64,
    /// Memory held beside what the pod needs, MiB: more than its limit leaves ends it.
    #[serde(default)]
    pub hold_mib: usize,
}

/// One running pod.
#[derive(Debug)]
pub(super) struct App {
    service: Service,
    pub(super) pod: String,
    pub(super) witness: Witness,
    clients: Clients,
    draws: Mutex<StdRng>,
    fault: Mutex<Fault>,
    held: Mutex<Vec<u8>>,
}

/// A request that could not be answered well.
#[derive(Debug)]
enum Failed {
    Unknown,
    Fault,
    Call(CallError),
    Timer(io::Error),
}

impl App {
    /// A pod called `pod` playing `service`; its draws depend on the graph's seed and on its name.
    pub(super) fn new(graph: &Graph, service: &Service, pod: &str, addresses: &Addresses) -> Result<Self, CallError> {
        let mut salt = DefaultHasher::new();
        (graph.seed(), service.name.as_str(), pod).hash(&mut salt);
        Ok(Self {
            service: service.clone(),
            pod: pod.to_owned(),
            witness: Witness::default(),
            clients: Clients::new(graph, service, addresses)?,
            draws: Mutex::new(StdRng::seed_from_u64(salt.finish())),
            fault: Mutex::new(Fault::default()),
            held: Mutex::default(),
        })
    }

    pub(super) fn service(&self) -> &Service {
        &self.service
    }

    pub(super) fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_fault(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        // Written and not only reserved: pages count once they are touched.
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = vec![1; fault.hold_mib << 20];
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.draws.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Microseconds whose logarithm is normal; nothing where that is no time.
    fn lognormal(&self, mean_of_ln: f64, sigma: f64) -> Option<Duration> {
        let of = LogNormal::new(mean_of_ln, sigma).ok()?;
        Duration::try_from_secs_f64(self.draw(|draws| of.sample(draws)) / 1e6).ok()
    }

    fn compute_time(&self, compute: &Compute) -> Duration {
        let median = compute.median.get() as f64;
        // A median of 0 has no logarithm and takes no time.
        self.lognormal(median.ln(), compute.sigma).unwrap_or(Duration::ZERO)
    }

    /// Processor time of one request under a fault.
    fn work_of(&self, fault: &Fault) -> Duration {
        let (mean, sigma) = (fault.work_us as f64, fault.work_sigma);
        // A sigma that is no number, or below 0, is none.
        let time = self.lognormal(mean.ln() - sigma * sigma / 2.0, sigma);
        time.unwrap_or(Duration::from_micros(fault.work_us))
    }

    /// Plays the endpoint up to its response.
    async fn play(&self, name: &str) -> Result<&Endpoint, Failed> {
        let endpoint = self
            .service
            .endpoints
            .iter()
            .find(|endpoint| endpoint.name.as_str() == name);
        let endpoint = endpoint.ok_or(Failed::Unknown)?;
        let played = self.steps(endpoint).await;
        self.witness.served(&endpoint.name, played.is_err());
        played.map(|()| endpoint)
    }

    async fn steps(&self, endpoint: &Endpoint) -> Result<(), Failed> {
        let fault = self.fault();
        timer::sleep(Duration::from_micros(fault.delay_us))
            .await
            .map_err(Failed::Timer)?;
        if fault.errors > 0.0 && self.draw(|draws| draws.random::<f64>()) < fault.errors {
            return Err(Failed::Fault);
        }
        timer::work(self.work_of(&fault)).map_err(Failed::Timer)?;
        let time = self.compute_time(&endpoint.compute);
        let busy = time.mul_f64(endpoint.compute.spin);
        timer::spin(busy);
        timer::sleep(time.saturating_sub(busy)).await.map_err(Failed::Timer)?;
        for step in &endpoint.steps {
            future::try_join_all(step.calls().iter().map(|call| self.calls(call)))
                .await
                .map_err(Failed::Call)?;
        }
        Ok(())
    }

    async fn calls(&self, call: &Call) -> Result<(), CallError> {
        for _ in 0..call.times {
            self.clients.call(call, &self.witness).await?;
        }
        Ok(())
    }
}

impl Failed {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Fault | Self::Call(_) | Self::Timer(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Unknown => "no such endpoint".to_owned(),
            Self::Fault => "told to fail".to_owned(),
            Self::Call(error) => error.to_string(),
            Self::Timer(error) => error.to_string(),
        }
    }
}

/// The router of the application's port.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new().fallback(answer).with_state(app)
}

async fn answer(State(app): State<Arc<App>>, request: Request) -> Response {
    let began = Instant::now();
    let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    match app.service().protocol {
        Protocol::Http => http_answer(&app, &name, request.into_body(), began).await,
        Protocol::Grpc => {
            let mut server = tonic::server::Grpc::new(RawCodec);
            server
                .server_streaming(Unary { app, name, began }, request)
                .await
                .into_response()
        }
    }
}

/// How long this pod has had a request.
fn taken(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}

async fn http_answer(app: &App, name: &str, mut body: Body, began: Instant) -> Response {
    while let Some(Ok(_)) = body.frame().await {}
    match app.play(name).await {
        Ok(endpoint) => {
            let late = late_body(endpoint.body_after, payload(endpoint.response.get() as usize));
            let mut response = match late {
                Some(stream) => Body::from_stream(stream).into_response(),
                None => payload(endpoint.response.get() as usize).into_response(),
            };
            response.headers_mut().insert(TOOK, taken(began).into());
            response
        }
        Err(failed) => (failed.status(), failed.text()).into_response(),
    }
}

/// The payload as a stream that keeps quiet for `after`; none if it is to be sent with the headers.
fn late_body(after: Duration, payload: Bytes) -> Option<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
    let later = async move { timer::sleep(after).await.map(|()| payload) };
    (!after.is_zero()).then(|| stream::once(later))
}

/// One gRPC call: a unary call's single answer is a stream of one message, which may come late.
struct Unary {
    app: Arc<App>,
    name: String,
    began: Instant,
}

type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl tonic::server::ServerStreamingService<Bytes> for Unary {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Messages>, Status>> + Send>>;

    fn call(&mut self, _request: tonic::Request<Bytes>) -> Self::Future {
        let (app, name, began) = (Arc::clone(&self.app), std::mem::take(&mut self.name), self.began);
        Box::pin(async move {
            let endpoint = app.play(&name).await.map_err(|failed| match failed {
                Failed::Unknown => Status::unimplemented(failed.text()),
                // Not UNAVAILABLE: Istio's default retries would hide it.
                Failed::Fault | Failed::Call(_) | Failed::Timer(_) => Status::internal(failed.text()),
            })?;
            let message = payload(endpoint.response.get() as usize);
            let messages: Messages = match late_body(endpoint.body_after, message.clone()) {
                Some(late) => {
                    Box::pin(late.map(|message| message.map_err(|error| Status::internal(error.to_string()))))
                }
                None => Box::pin(stream::once(future::ready(Ok(message)))),
            };
            let mut response = tonic::Response::new(messages);
            response.metadata_mut().insert(TOOK, taken(began).into());
            Ok(response)
        })
    }
}
