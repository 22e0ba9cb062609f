//! The free assignment of pods to nodes: how much traffic could be local if every pod could be put anywhere it may run.
//!
//! This is the layer below the plan: a bound of what rules can reach, a guide to which services belong together, and the form
//! in which published systems state their results. It knows nothing of Kubernetes: services, nodes and amounts are numbers.
//!
//! ```text
//! Problem ─► Core (services with traffic) ─► State ◄─ Annealer          Layout
//!    │                                          └─► settle (the others) ─►│ gain, moves
//!    └─► rules: the layout for same-node-first routing ─► a rule per service ─► what the stock scheduler makes of it
//! ```
//!
//! Equal problems, wishes and numbers of steps give equal layouts.

mod anneal;
mod bound;
mod calls;
mod cool;
mod core;
mod crew;
mod curve;
mod generate;
mod layout;
mod limited;
mod parts;
mod problem;
mod random;
mod rasa;
mod renew;
mod rules;
mod search;
mod settle;
mod state;
mod table;
mod whole;

pub use bound::bound;
pub use calls::NearFirst;
pub use crew::{Alone, Crew, Piece};
pub use curve::{Share, curve};
pub use generate::{Generated, InvalidRecipe, Recipe};
pub use layout::Layout;
pub use problem::{Amount, Apart, InvalidProblem, Problem, RESOURCES, Service, Traffic};
pub use rasa::{Compatible, InvalidRasa, RasaCluster, RasaMachine, RasaService, RasaTraffic};
pub use renew::renew;
pub use rules::{Means, NearAnswer, NearWish, Rule, RuledAnswer, assign_by_rules, assign_near, recreate, rules};
pub use search::{Answer, Budget, Steps, Unit, Wish, assign, assign_with};
