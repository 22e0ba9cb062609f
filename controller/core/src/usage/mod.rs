//! What containers use and lack: readings of their kernel counters, kept in the graph's slots of time.
//!
//! A [`Reading`] is one look at one container; [`UsageStore`] makes differences of successive readings and spreads them over the
//! slots they cover; [`Usage`] is what it knows of one window, slot by slot, so that it can be laid beside the served times of the
//! same slots. [`Habits`] are what containers used over days.

mod figures;
mod habit;
mod pace;
mod reading;
mod store;
pub use figures::*;
pub use habit::*;
pub use pace::*;
pub use reading::*;
pub use store::*;
