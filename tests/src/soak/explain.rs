//! What `huddle explain` says of edges of the shop.

use super::catalogue::CLEAN;
use crate::demo::Demo;
use huddle_core::view::EdgeView;
use serde::Serialize;

/// Causes that call for something: what is wrong where nothing was done.
const ACTIONABLE: [&str; 3] = ["pressure", "distance", "downstream"];

/// What is said of an edge.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Said {
    /// `a-front → a-work`.
    pub(super) edge: String,
    /// The finding's cause; empty without one.
    pub(super) cause: String,
    /// Its sentence.
    pub(super) sentence: String,
}

impl Said {
    /// Nothing is said to be wrong, on enough data.
    pub(super) fn is_clean(&self) -> bool {
        CLEAN.contains(&self.cause.as_str())
    }
    pub(super) fn is_actionable(&self) -> bool {
        ACTIONABLE.contains(&self.cause.as_str())
    }
}

/// Asks for one edge; what goes wrong then is what is said, without a cause.
pub(super) async fn explain(demo: &Demo, source: &str, destination: &str) -> Said {
    let ends = [source, destination].map(|name| format!("shop/{name}"));
    let words = ["explain", &ends[0], &ends[1], "-o", "json"];
    let asked: anyhow::Result<EdgeView> = demo.huddle.json(&words).await;
    let (cause, sentence) = match asked {
        Ok(edge) => edge
            .finding
            .map(|found| (found.cause, found.sentence))
            .unwrap_or_default(),
        Err(error) => (String::new(), format!("{error:#}")),
    };
    Said {
        edge: format!("{source} → {destination}"),
        cause,
        sentence,
    }
}
