//! libFuzzer's program for one target, named by HUDDLE_FUZZ_TARGET. Built and run by `make fuzz` (tests/fuzz/run.sh).

#![no_main]
#![allow(
    unsafe_code,
    missing_docs,
    reason = "libFuzzer calls a C symbol, which its macro exports"
)]

use huddle_fuzz::{TARGETS, Target, named};
use std::sync::OnceLock;

static TARGET: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("HUDDLE_FUZZ_TARGET").unwrap_or_default();
    named(&name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("HUDDLE_FUZZ_TARGET is {name:?}, not one of {}", names.join(", "));
        std::process::exit(2)
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (TARGET.get_or_init(chosen).run)(bytes);
});
