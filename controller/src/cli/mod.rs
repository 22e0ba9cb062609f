//! The command line: one module per verb, output made for people or for programs.

pub mod approve;
mod ask;
pub mod check;
pub mod companions;
pub mod connect;
pub mod dashboard;
pub mod dump;
pub mod explain;
pub mod generate;
pub mod graph;
pub mod install;
pub mod merge;
pub mod offline;
mod output;
pub mod pairs;
pub mod plan;
mod status;
mod story;
mod table;
mod undo;
pub mod uninstall;
mod wait;

pub use output::{Output, Style};
pub use table::Table;

use crate::args::{Args, Command};
use std::io::IsTerminal;
use std::process::ExitCode;

/// How a verb ended. The numbers are part of the interface (see `huddle --help`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Done, and something needs attention.
    Attention,
    /// The user did not agree.
    NotAgreed,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Attention => 3,
            Outcome::NotAgreed => 5,
        })
    }
}

/// Runs what was asked for; errors are printed with their causes.
pub async fn main(args: Args) -> ExitCode {
    start_log(&args.command);
    match run(args).await {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            eprintln!("huddle: {error:#}");
            if error.is::<connect::Unreachable>() {
                ExitCode::from(4)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

async fn run(args: Args) -> anyhow::Result<Outcome> {
    let connection = args.connection;
    match args.command {
        Command::Controller(controller) => {
            let config = connect::config(&connection).await?;
            crate::run::controller(config, *controller).await?;
            Ok(Outcome::Done)
        }
        Command::Install(args) => install::run(&connection, &args).await,
        Command::Uninstall(args) => uninstall::run(&connection, &args).await,
        Command::Graph(args) => graph::run(&connection, &args).await,
        Command::Explain(args) => explain::run(&connection, &args).await,
        Command::Check(args) => check::run(&connection, &args).await,
        Command::Plan(args) => plan::run(&connection, &args).await,
        Command::Dump(args) => dump::run(&connection, &args).await,
        Command::Generate(args) => generate::run(&connection, &args),
        Command::Merge(args) => merge::run(&connection, &args).await,
        Command::Companions(args) => companions::run(&connection, &args).await,
        Command::Approve(args) => approve::approve(&connection, &args).await,
        Command::Rollback(args) => approve::rollback(&connection, &args).await,
        Command::Status => status::run(&connection).await,
        Command::Dashboard(args) => dashboard::run(&connection, &args).await,
    }
}

/// Logs go to standard error: those of the controller from `info` on, those of the other verbs only where asked for. The watch library's own lines say
/// what ours say, at every try.
fn start_log(command: &Command) {
    let (default, json) = if let Command::Controller(args) = command {
        ("info,kube_runtime::watcher=error", args.log_json)
    } else {
        ("off", false)
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("HUDDLE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if json {
        log.json().init();
    } else {
        log.init();
    }
}
