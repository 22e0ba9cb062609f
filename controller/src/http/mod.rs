//! HTTP: one router for the cluster (8080: health, metrics, the filter module) and one for people (127.0.0.1:8081: state, page).
//!
//! No sockets here: routers are built from what they read, so that tests call them directly.

mod api;
mod merge;
mod module;
mod public;
mod series;

pub use api::{people, same_state};
pub use merge::{Answered, Asked, workload};
pub use module::Module;
pub use public::{Readiness, public};
pub use series::Series;
