//! The command `bed`; see the library's module of that name.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match huddle_tests::bed::cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
