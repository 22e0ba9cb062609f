//! Faults in kube's client stack: the controller's process dies after write n, answers are lost, refused or late.

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use kube::client::{Body, ClientBuilder, DynBody};
use kube::{Client, Config};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tower::{BoxError, Layer, Service};

/// What befalls the controller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// After this many writes its process is gone: nothing is sent any more. The last write's answer is lost.
    Dies(u64),
    /// Every so many requests something goes wrong; the kinds take turns.
    Troubled(u64),
}

/// The fault layer: one for each life of the controller.
#[derive(Clone)]
pub(crate) struct Faults {
    fault: Fault,
    requests: Arc<AtomicU64>,
    writes: Arc<AtomicU64>,
}

impl Faults {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            fault,
            requests: Arc::default(),
            writes: Arc::default(),
        }
    }
    /// A client that suffers them.
    pub(crate) fn client(&self, config: Config) -> Client {
        ClientBuilder::try_from(config)
            .expect("a client is made")
            .with_layer(self)
            .build()
    }
    /// Whether the process is gone.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.fault, Fault::Dies(after) if self.writes.load(Ordering::SeqCst) >= after)
    }
}

impl<S> Layer<S> for Faults {
    type Service = Faulty<S>;
    fn layer(&self, inner: S) -> Faulty<S> {
        Faulty {
            inner,
            faults: self.clone(),
        }
    }
}

/// The service with faults.
#[derive(Clone)]
pub(crate) struct Faulty<S> {
    inner: S,
    faults: Faults,
}

/// Writes that change something: not dry runs, leases and events.
fn is_write(request: &Request<Body>) -> bool {
    let uri = request.uri().to_string();
    let idle = ["dryRun", "/events", "/leases/", "/leases"]
        .iter()
        .any(|word| uri.contains(word));
    request.method() != Method::GET && !idle
}

type Answer = Response<Box<DynBody>>;

fn refusal(code: u16, reason: &str) -> Answer {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "a fault of the test", "reason": reason, "code": code,
    });
    let body = Full::from(status.to_string()).map_err(BoxError::from);
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(Box::new(body) as Box<DynBody>)
        .expect("a response")
}

impl<S> Service<Request<Body>> for Faulty<S>
where
    S: Service<Request<Body>, Response = Answer, Error = BoxError> + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let faults = self.faults.clone();
        if faults.is_dead() {
            return Box::pin(async { Err("the process is gone".into()) });
        }
        let write = is_write(&request);
        let number = faults.requests.fetch_add(1, Ordering::SeqCst);
        let turn = match faults.fault {
            Fault::Troubled(every) if number % every == every - 1 => Some(number / every % 6),
            Fault::None | Fault::Dies(_) | Fault::Troubled(_) => None,
        };
        let refused = match turn {
            Some(0) => Some(Ok(refusal(409, "Conflict"))),
            Some(1) => Some(Ok(refusal(429, "TooManyRequests"))),
            Some(2) => Some(Ok(refusal(500, "InternalError"))),
            Some(3) => Some(Ok(refusal(410, "Expired"))),
            Some(4) => Some(Err("the connection was cut before the request was sent".into())),
            _ => None,
        };
        if let Some(refused) = refused {
            return Box::pin(async { refused });
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            if write {
                faults.writes.fetch_add(1, Ordering::SeqCst);
            }
            if turn == Some(5) || faults.is_dead() {
                return Err("the connection was cut before the answer came".into());
            }
            answer
        })
    }
}
