//! Runs a companion's command inside its container, in whatever image that is.
//!
//! ```text
//! kubelet ─► supervisor (the container's process) ─► command
//!              │  restarts it, with a back-off that doubles up to a bound
//!              │  hands signals on; ends after the command only when it was told to stop
//!              └► tells why it ended: a line on stderr, counts in a file
//! ```
//!
//! A container that ends makes its pod unready, and with it the caller it was merged into (facts of the bed: half of the caller's requests
//! failed). So this process outlives its command: whatever the command does, the container goes on running.
//!
//! # What is promised
//!
//! * It ends only on SIGTERM, SIGINT or SIGQUIT, after the command has; with the command's exit code, or 128 + its signal.
//! * With `--lingers-ms` the command is told to stop so much later than the supervisor is, or at once when that is told again: whoever calls
//!   it may still be serving.
//! * Where it is told ports (`--listens`), it tells for how long nobody listened there, and how many connections were refused: each time, and in all,
//!   again every ten minutes.
//! * What a command leaves behind is killed before the next start, as the end of a container would, so that its ports are free.
//! * No panic: lints hold it. What cannot be written (stderr, the file) is left out.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects
    )
)]

mod away;
mod backoff;
mod family;
mod install;
mod options;
mod record;
mod run;

use std::{env, io::Write as _, process::ExitCode};

use options::Order;

/// sysexits.h: the command was used incorrectly.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    match options::parse(env::args_os().skip(1)) {
        Ok(Order::Install(directory)) => match install::into(&directory) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(&format!("{}: {error}", directory.display()));
                ExitCode::FAILURE
            }
        },
        Ok(Order::Run(options)) => match run::run(&options) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                say(&format!("signals cannot be taken: {error}"));
                ExitCode::FAILURE
            }
        },
        Err(why) => {
            say(&why);
            say(options::HELP);
            ExitCode::from(USAGE)
        }
    }
}

/// A line on stderr, if anybody reads it.
fn say(line: &str) {
    let _closed = writeln!(std::io::stderr(), "supervisor: {line}");
}
