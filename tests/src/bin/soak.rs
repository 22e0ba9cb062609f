//! `make soak-faults`, `make soak-pressure` and `make soak-merge`.

use clap::{Parser, Subcommand};
use huddle_tests::soak;
use std::process::ExitCode;

/// What is too long for CI, on a bed of its own. Exit code 3: all was done, and a figure fell short.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Twenty faults, one at a time and in pairs: named rightly or not, and when.
    Faults(soak::Options),
    /// A callee under a limit of 1.2 × its mean use, resized in place, against unlimited runs; the same far away; the same under an HPA.
    Pressure(soak::Options),
    /// Two small services merged and split: three layouts, half an hour of all that may happen, eight kinds of pairs.
    Merge(soak::merge::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Args::parse().what {
        What::Faults(options) => soak::faults::run(&options).await.map(|report| report.holds()),
        What::Pressure(options) => soak::pressure::run(&options).await.map(|report| report.holds()),
        What::Merge(options) => soak::merge::run(&options).await.map(|report| report.holds()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn each_soak_can_be_asked_for() {
        Args::command().debug_assert();
        let asked = Args::try_parse_from(["soak", "merge", "--report", "r", "--minutes", "12", "steady"]);
        let Ok(Args {
            what: What::Merge(options),
        }) = asked
        else {
            panic!("not taken")
        };
        assert_eq!((options.minutes, options.common.only), (12, vec!["steady".to_owned()]));
    }
}
