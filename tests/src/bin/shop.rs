//! The command `shop`; see the library's module of that name.

use anyhow::Result;
use clap::Parser;

// One thread: a pod of the shop answers some dozens of requests per second and shares the machine with fifty others.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    huddle_tests::shop::cli::Cli::parse().run().await
}
