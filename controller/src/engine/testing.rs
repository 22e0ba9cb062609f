//! Engines for tests.

use super::*;
use crate::testing::cluster;

/// An engine that knows one pod of `web` and two of `db`, and a window of a minute.
pub(crate) fn engine() -> Engine {
    let config = Config {
        name: "test".to_owned(),
        window: Span::seconds(60),
        patience: Patience::default(),
        graph: GraphConfig::default(),
        diagnose: DiagnoseConfig::default(),
    };
    let mut engine = Engine::new(config.clone(), Graph::new(config.graph), Arc::default(), Timestamp(0));
    engine.know(Arc::new(cluster(&[
        ("web-1", "node-1"),
        ("db-1", "node-1"),
        ("db-2", "node-2"),
    ])));
    engine
}
