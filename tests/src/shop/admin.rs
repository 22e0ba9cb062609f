//! The admin port of a pod: readiness, the witness, faults. It is excluded from the sidecar's capture.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};

use super::{
    app::{App, Fault},
    witness::Report,
};

/// Port of the admin server in every pod of the shop.
pub const ADMIN_PORT: u16 = 9900;

/// Whether the pod wants requests: false until its start-up time is over, and again once it is asked to stop.
#[derive(Clone, Debug, Default)]
pub(super) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub(super) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn status(&self) -> StatusCode {
        if self.0.load(Ordering::Acquire) {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// The router of the admin port.
///
/// `GET /readyz`, `GET /healthz`, `GET /witness`, `POST /witness/reset`, `GET|POST /fault` (a [`Fault`] as JSON), `POST /kill`.
pub(super) fn router(app: Arc<App>, readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(async || StatusCode::OK))
        .route("/readyz", get(async move || readiness.status()))
        .route("/witness", get(report))
        .route("/witness/reset", post(reset))
        .route("/fault", get(fault).post(set_fault))
        .route("/kill", post(kill))
        .with_state(app)
}

async fn report(State(app): State<Arc<App>>) -> Json<Report> {
    Json(app.witness.report(&app.service().name, &app.pod))
}

async fn reset(State(app): State<Arc<App>>) -> StatusCode {
    app.witness.reset();
    StatusCode::NO_CONTENT
}

/// Ends the program in this moment, as somebody's SIGKILL does: nothing is answered or closed in order. There is no shell in a pod to do it by.
async fn kill() -> StatusCode {
    let _refused = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    // Of a container's first process the kernel takes no signal from inside. To its peers the end is the same.
    std::process::exit(137)
}

async fn fault(State(app): State<Arc<App>>) -> Json<Fault> {
    Json(app.fault())
}

async fn set_fault(State(app): State<Arc<App>>, Json(fault): Json<Fault>) -> StatusCode {
    app.set_fault(fault);
    StatusCode::NO_CONTENT
}
