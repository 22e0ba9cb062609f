//! Watch: the cluster's objects, read by Kubernetes watches, converted at the border, assembled into one view.
//!
//! ```text
//! watches ─► convert (pure) ─► Store ──(changes collected)──► ClusterView ─► watch channel
//!                                                     └────────► AddressBook  (shared with ingest)
//! ```

mod book;
pub mod convert;
mod history;
mod merging;
mod store;
mod streams;
mod table;

pub use book::{AddressBook, SharedBook, Tenant};
pub use store::{Store, Update};
pub use streams::{Skipped, streams};
pub use table::{Change, Table};

use crate::clock;
use futures::StreamExt;
use futures::stream::BoxStream;
use huddle_core::cluster::ClusterView;
use huddle_core::id::{Namespace, NodeName};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What the watches know.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// As planning sees it.
    pub view: ClusterView,
    /// Where the nodes' kubelets listen.
    pub kubelets: BTreeMap<NodeName, SocketAddr>,
    /// What telemetry needs to know of namespaces.
    pub namespaces: BTreeMap<Namespace, Coverage>,
    /// Huddle's plans, newest first.
    pub plans: Vec<huddle_api::Plan>,
    /// Kinds that were not read completely yet; empty once all were.
    pub waiting_for: Vec<&'static str>,
}

/// Whether reports are expected from a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Istio injects sidecars.
    pub injected: bool,
    /// Huddle's filter is installed.
    pub filtered: bool,
}

/// Changes are collected this long before the view is made anew, so that a rollout costs a few assemblies, not thousands.
const COLLECT: Duration = Duration::from_millis(200);
/// Assembling takes at most about one part in this of the time.
const SHARE: u32 = 10;

/// Feeds `updates` into a store and publishes what comes of it, until the updates end.
pub async fn run(mut updates: BoxStream<'static, Update>, book: SharedBook, published: watch::Sender<Arc<Cluster>>) {
    let mut store = Store::default();
    let mut due: Option<Instant> = None;
    let mut pause = COLLECT;
    loop {
        let wait = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(wait), if due.is_some() => {
                due = None;
                let took = publish(&store, &book, &published);
                pause = COLLECT.max(took * SHARE);
            }
            update = updates.next() => match update {
                Some(update) => {
                    if store.apply(update) && due.is_none() {
                        due = Some(Instant::now() + pause);
                    }
                }
                None => return,
            },
        }
    }
}

fn publish(store: &Store, book: &SharedBook, published: &watch::Sender<Arc<Cluster>>) -> Duration {
    let start = Instant::now();
    let waiting_for = store.waiting_for();
    let view = store.assemble();
    if waiting_for.is_empty() {
        book.sync(clock::now(), store.tenants(&view));
    }
    let namespaces = store
        .namespaces()
        .into_iter()
        .map(|(name, (facts, filtered))| {
            let coverage = Coverage {
                injected: facts.injected,
                filtered,
            };
            (name, coverage)
        })
        .collect();
    published.send_replace(Arc::new(Cluster {
        view,
        kubelets: store.kubelets(),
        namespaces,
        plans: store.plans(),
        waiting_for,
    }));
    start.elapsed()
}
