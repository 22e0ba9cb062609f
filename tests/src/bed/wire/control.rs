//! Changing the wire while it runs: one request and one answer as JSON over a socket in the run folder.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::settings::Links;

/// What can be asked of a running wire.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// What is it set to, and what has passed?
    Show,
    /// From now on, packets read are delayed like this; those on their way keep their time.
    Set(Links),
}

/// What the wire answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    State { links: Links, counters: Counters },
    Refused(String),
}

/// What has passed since the wire was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets written to where they belong.
    pub delivered: u64,
    /// Packets lost because a link is set to lose some.
    pub lost: u64,
    /// Packets to nobody on this wire, or that are no IPv4.
    pub unknown: u64,
    /// Packets dropped because too many waited, or the receiving device was full.
    pub overrun: u64,
}

/// Counters and settings, shared between the wire and its control thread.
pub(super) struct Shared {
    pub nodes: Vec<String>,
    pub links: Mutex<Links>,
    /// Set after `links` was changed; the wire takes them over before its next packets.
    pub changed: AtomicBool,
    pub delivered: AtomicU64,
    pub lost: AtomicU64,
    pub unknown: AtomicU64,
    pub overrun: AtomicU64,
}

impl Shared {
    pub(super) fn new(nodes: Vec<String>, links: Links) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            nodes,
            links: Mutex::new(links),
            changed: AtomicBool::new(false),
            delivered: zero(),
            lost: zero(),
            unknown: zero(),
            overrun: zero(),
        }
    }

    pub(super) fn links(&self) -> Links {
        self.links
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    fn answer(&self, request: Request) -> Answer {
        if let Request::Set(links) = request {
            let nodes: Vec<&str> = self.nodes.iter().map(String::as_str).collect();
            if let Err(refusal) = links.check(&nodes) {
                return Answer::Refused(format!("{refusal:#}"));
            }
            *self.links.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = links;
            self.changed.store(true, Ordering::Release);
        }
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = Counters {
            delivered: read(&self.delivered),
            lost: read(&self.lost),
            unknown: read(&self.unknown),
            overrun: read(&self.overrun),
        };
        Answer::State {
            links: self.links(),
            counters,
        }
    }
}

/// Answers requests for as long as the process lives; a bad one is answered so, and the next is heard.
pub(super) fn serve(listener: &UnixListener, shared: &Shared) {
    for stream in listener.incoming().flatten() {
        if let Err(error) = serve_one(stream, shared) {
            eprintln!("wire: a request was not served: {error:#}");
        }
    }
}

fn serve_one(stream: UnixStream, shared: &Shared) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => shared.answer(request),
        Err(error) => Answer::Refused(error.to_string()),
    };
    writeln!(&stream, "{}", serde_json::to_string(&answer)?)?;
    Ok(())
}

/// Asks a running wire, by its socket. Returns what it is then set to, and its counters.
///
/// # Errors
/// When no wire answers there, or it refuses the request.
pub fn ask(socket: &Path, request: &Request) -> Result<(Links, Counters)> {
    let stream = UnixStream::connect(socket)
        .with_context(|| format!("no wire answers at {}: is the bed up?", socket.display()))?;
    writeln!(&stream, "{}", serde_json::to_string(request)?)?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    match serde_json::from_str(&line).context("the wire's answer")? {
        Answer::State { links, counters } => Ok((links, counters)),
        Answer::Refused(why) => bail!("the wire refused: {why}"),
    }
}
