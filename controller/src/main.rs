//! The huddle binary: hands over, nothing else.

use clap::Parser;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    huddle::cli::main(huddle::args::Args::parse()).await
}
