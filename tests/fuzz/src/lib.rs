//! Fuzz targets: one function for each thing of Huddle that reads what others wrote. A target takes any bytes and panics where a
//! promise is broken; what it promises stands at the function.
//!
//! `make test` replays `corpus/` and a few thousand changed inputs through each (`tests/bounded.rs`, on any machine). `make fuzz` lets
//! libFuzzer search further (`src/fuzz.rs`), led by what the inputs reach.

mod figures;
mod files;
mod objects;
mod wire;

/// One target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is that of its folder in `corpus/`.
    pub name: &'static str,
    /// Takes any bytes; panics where a promise is broken.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 11] = [
    target("batch", wire::batch),
    target("histogram", wire::histogram),
    target("reply", wire::reply),
    target("attributes", wire::attributes),
    target("config", wire::config),
    target("metrics", figures::metrics),
    target("quantity", figures::quantity),
    target("dump", files::dump),
    target("plan", files::plan),
    target("rasa", files::rasa),
    target("objects", objects::objects),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// The target of this name.
pub fn named(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
