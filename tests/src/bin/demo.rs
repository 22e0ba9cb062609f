//! `make demo` and `make demo-check`.

use clap::Parser;
use huddle_tests::demo;
use std::process::ExitCode;

/// Huddle's main job on the bed: measure a mesh, understand it, improve it, prove it.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    options: demo::Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match demo::run(&args.options).await {
        Ok(report) if args.options.check && !args.options.no_act => {
            let short = report.shortfalls();
            for line in &short {
                println!("   short of the promise: {line}");
            }
            if short.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(3)
            }
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
