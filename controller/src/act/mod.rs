//! Act's I/O half: carries out, in the cluster, what `huddle_core::act` decides, one write at a time.
//!
//! ```text
//! run ─► (holds the Lease) ─► round of a plan: read ─► huddle_core::act ─► write
//!  │                               observe.rs              carry.rs, trial.rs, binding.rs
//!  └─► guard: a FailedCreate in a covered namespace unbinds rules and companions at once
//! ```
//!
//! Everything is read fresh for the step under way, and every write names the uid and resourceVersion it was decided on.

mod alone;
mod binding;
mod carry;
mod cell;
mod companion;
mod convert;
mod error;
mod events;
mod evidence;
mod guard;
mod inverse;
mod lease;
mod lingering;
mod observe;
mod outrank;
mod pods;
mod propose;
mod resize;
mod round;
mod rule;
mod run;
mod template;
mod template_size;
mod trial;
mod view;
mod withdraw;

pub use alone::{held, take_up};
pub use binding::{Binding, bind, is_bound, unbind};
pub use companion::{Again, Check, Inside, Speaks, Stage, advance, companion_of, filters, names};
pub use convert::{digest, plan_of, progress_of, spec_of};
pub use error::ActError;
pub use evidence::{Before, Evidence, Proof};
pub use lease::Lease;
pub use observe::goes_another_way;
pub use propose::{approve, propose, request_rollback};
pub(crate) use round::unboxed;
pub use round::{Actor, Round};
pub use run::{client, run};
pub(crate) use view::because;
pub use view::view;
pub use withdraw::note_fade;
