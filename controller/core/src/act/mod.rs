//! Plan to ordered, guarded steps and their undo; the pure half of act.
//!
//! Everything here is level-triggered: from the recorded [`Progress`] (a plan's status in the API), what is seen in the
//! cluster now, and the time, follows the one next thing to do. Nothing else is remembered, so a controller that dies
//! between any two writes is replaced by one that goes on from the same place.
//!
//! ```text
//! plan::next ──► Record(progress)            put this down first
//!           ├──► Step(i) ──► step::next ──► Record(step) | Do(intent) | Wait(why, until) | Over
//!           ├──► Measure before / Judge      ask verify
//!           └──► Wait(why)
//! ```
//!
//! Two rules make it safe. A receipt with what undoes the step is recorded *before* the step's first write. And every
//! intent carries the uid and resourceVersion of what it was decided on, so that a late one is refused.

mod alone;
mod celling;
mod config;
mod inside;
mod intent;
mod life;
mod moving;
mod placing;
mod ranks;
mod record;
mod resizing;
mod routing;
mod seen;
mod stage_words;
mod step;
mod swapping;
mod template_sizing;
mod templating;
mod trouble;
mod waiting;
mod withdrawing;

pub use alone::*;
pub use config::*;
pub use inside::{is_outdated, kept};
pub use intent::*;
pub use life::{Lead, Situation, begin, judged, measured, next, watched};
pub use ranks::*;
pub use record::*;
pub use routing::distribution_of;
pub use seen::*;
pub use step::{Next, Turn, next as next_of_step};
pub use swapping::COMPANION_LABEL;
pub use trouble::*;
pub use waiting::*;

#[cfg(test)]
mod tests;
