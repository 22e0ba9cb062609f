//! The shop's own load driver: an open loop at a constant rate, beside fortio, for counting by moment.
//!
//! Every request has an intended start, and its latency runs from there: a stalled shop delays the answers, never the
//! questions, so nothing is omitted. Requests are booked on the second in which they should have started, which lets a
//! test ask for exactly the time of one phase. What fortio does better is being somebody else's.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post},
};
use hdrhistogram::Histogram;
use http::Uri;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    clients::{CallError, http_answer, http_client, http_request},
    graph::{EndpointName, Entry, Graph},
    serve::ServeError,
    timer,
    witness::{histogram, record, sparse},
};

/// One second of one entry: requests that should have started in it.
#[derive(Debug, Default)]
struct Second {
    started: u64,
    failed: u64,
    causes: BTreeMap<String, u64>,
    latencies_us: Vec<u64>,
}

impl Second {
    fn fail(&mut self, error: &CallError) {
        self.failed += 1;
        *self.causes.entry(error.to_string()).or_default() += 1;
    }
}

/// What the driver has seen, by entry and second (since the epoch), and whether it is to go on.
#[derive(Debug, Default)]
struct Book {
    seconds: Mutex<BTreeMap<(EndpointName, u64), Second>>,
    paused: AtomicBool,
    flying: AtomicU64,
}

impl Book {
    fn note(&self, entry: &EndpointName, second: u64, note: impl FnOnce(&mut Second)) {
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        note(seconds.entry((entry.clone(), second)).or_default());
    }

    fn report(&self, window: Window) -> Vec<EntryReport> {
        let seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries: BTreeMap<&EndpointName, (EntryReport, Histogram<u64>)> = BTreeMap::new();
        for ((name, second), seen) in seconds.iter().filter(|((_, second), _)| window.holds(*second)) {
            let new = || (EntryReport::empty(name), histogram());
            let (report, latencies) = entries.entry(name).or_insert_with(new);
            report.requests += seen.started;
            report.failed += seen.failed;
            if seen.failed > 0 {
                report.failed_at.push((*second, seen.failed));
            }
            for (cause, times) in &seen.causes {
                *report.causes.entry(cause.clone()).or_default() += times;
            }
            seen.latencies_us.iter().for_each(|us| record(latencies, *us, 1));
        }
        entries
            .into_values()
            .map(|(report, latencies)| report.with(&latencies))
            .collect()
    }
}

/// A span of whole seconds since the epoch, `from` included, `to` not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First second; the beginning of time if left out.
    pub from: Option<u64>,
    /// First second no longer in it; the end of time if left out.
    pub to: Option<u64>,
}

impl Window {
    fn holds(self, second: u64) -> bool {
        self.from.is_none_or(|from| second >= from) && self.to.is_none_or(|to| second < to)
    }
}

/// What happened to the requests of one entry in a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryReport {
    /// The entry.
    pub name: EndpointName,
    /// Requests whose intended start lay in the window.
    pub requests: u64,
    /// Those that failed: refused, broken off, or not answered in time.
    pub failed: u64,
    /// Seconds with failures, and how many.
    pub failed_at: Vec<(u64, u64)>,
    /// Why they failed, and how often.
    pub causes: BTreeMap<String, u64>,
    /// Median time from intended start to the end of the body, microseconds.
    pub p50_us: u64,
    /// 99th percentile of it.
    pub p99_us: u64,
    /// All of it: (microseconds, count).
    pub latencies_us: Vec<(u64, u64)>,
}

impl EntryReport {
    fn empty(name: &EndpointName) -> Self {
        let name = name.clone();
        Self {
            name,
            requests: 0,
            failed: 0,
            failed_at: Vec::new(),
            causes: BTreeMap::new(),
            p50_us: 0,
            p99_us: 0,
            latencies_us: Vec::new(),
        }
    }

    fn with(self, latencies: &Histogram<u64>) -> Self {
        let at = |quantile| {
            if latencies.is_empty() {
                0
            } else {
                latencies.value_at_quantile(quantile)
            }
        };
        Self {
            p50_us: at(0.5),
            p99_us: at(0.99),
            latencies_us: sparse(latencies),
            ..self
        }
    }
}

/// Which entries to drive, how hard, and where the shop is.
#[derive(Clone, Debug)]
pub struct Drive {
    /// The entries with their rates.
    pub entries: Vec<Entry>,
    /// Host and port of the service behind the entries.
    pub authority: String,
    /// Time after which a request counts as failed.
    pub timeout: Duration,
}

impl Drive {
    /// The graph's entries but those named in `without`, at `authority`.
    pub fn new(graph: &Graph, authority: String, without: &[EndpointName]) -> Self {
        let entries = graph
            .entries()
            .iter()
            .filter(|entry| !without.contains(&entry.name))
            .cloned()
            .collect();
        Self {
            entries,
            authority,
            timeout: graph.timeout(),
        }
    }

    /// Drives until `stop` ends, answering `GET /report?from=…&to=…` (seconds since the epoch) on `admin`.
    ///
    /// # Errors
    /// [`ServeError`] if an entry has no proper address or the admin port cannot be served.
    pub async fn run(self, admin: TcpListener, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let book = Arc::new(Book::default());
        let router = Router::new()
            .route("/report", get(report))
            .route("/pause", post(pause))
            .route("/resume", post(resume))
            .route("/readyz", get(async || "ok"))
            .with_state(Arc::clone(&book));
        let mut loops = JoinSet::new();
        for entry in &self.entries {
            let uri = Uri::try_from(format!("http://{}/{}", self.authority, entry.to.endpoint));
            let uri = uri.map_err(|error| CallError::Address(error.to_string()))?;
            loops.spawn(drive(entry.clone(), uri, self.timeout, Arc::clone(&book)));
        }
        tokio::select! {
            () = stop => {}
            served = axum::serve(admin, router) => served?,
        }
        // In-flight requests are cut: who wants the last counts reads them before stopping.
        loops.shutdown().await;
        Ok(())
    }
}

async fn report(State(book): State<Arc<Book>>, Query(window): Query<Window>) -> Json<Vec<EntryReport>> {
    Json(book.report(window))
}

/// Stops asking, and answers when every answer is in.
async fn pause(State(book): State<Arc<Book>>) -> StatusCode {
    book.paused.store(true, Ordering::SeqCst);
    while book.flying.load(Ordering::SeqCst) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    StatusCode::NO_CONTENT
}

async fn resume(State(book): State<Arc<Book>>) -> StatusCode {
    book.paused.store(false, Ordering::SeqCst);
    StatusCode::NO_CONTENT
}

/// Starts one request every `1 ÷ rate` seconds, whatever became of the others.
async fn drive(entry: Entry, uri: Uri, timeout: Duration, book: Arc<Book>) {
    let client = http_client();
    let (begin, epoch) = (Instant::now(), SystemTime::now());
    let mut flying = JoinSet::new();
    for number in 0_u32.. {
        let intended = Duration::from_secs_f64(f64::from(number) / entry.rate);
        // Without timers nothing can be driven; the pod's counts then stand still, which tests notice.
        if timer::sleep(intended.saturating_sub(begin.elapsed())).await.is_err() {
            return;
        }
        let second = (epoch + intended)
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        // What falls into a pause is not owed: nothing was meant to be asked then.
        if book.paused.load(Ordering::SeqCst) {
            continue;
        }
        book.flying.fetch_add(1, Ordering::SeqCst);
        book.note(&entry.name, second, |seen| seen.started += 1);
        let (client, uri, book, name) = (client.clone(), uri.clone(), Arc::clone(&book), entry.name.clone());
        flying.spawn(async move {
            let page = async { http_answer(http_request(&client, uri, 0).await?).await };
            let answer = tokio::time::timeout(timeout, page)
                .await
                .unwrap_or(Err(CallError::Timeout));
            let us = u64::try_from((begin.elapsed() - intended).as_micros()).unwrap_or(u64::MAX);
            if let Err(error) = &answer {
                tracing::warn!(entry = %name, %error, "failed");
            }
            book.note(&name, second, |seen| match answer {
                Ok(()) => seen.latencies_us.push(us),
                Err(error) => seen.fail(&error),
            });
            book.flying.fetch_sub(1, Ordering::SeqCst);
        });
        while flying.try_join_next().is_some() {}
    }
}
