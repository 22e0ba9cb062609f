//! The command line: flags, their defaults, their documentation.

use crate::cli;
use crate::run::ControllerArgs;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Huddle measures every edge of a service mesh, says which is slow because of distance, and brings together what talks together.
///
/// Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, and something needs attention (silent pods, findings asked for with
/// `--fail`); 4 the controller cannot be reached; 5 not agreed to.
#[derive(Debug, Parser)]
#[command(name = "huddle", version, max_term_width = 120)]
pub struct Args {
    /// Which cluster.
    #[command(flatten)]
    pub connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which cluster to talk to, and how to print.
#[derive(Clone, Debug, clap::Args)]
pub struct Connection {
    /// Path of the kubeconfig file; else $KUBECONFIG, ~/.kube/config, or the pod's own service account.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context within the kubeconfig file.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub output: cli::Output,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller: the server process, usually inside the cluster.
    Controller(Box<ControllerArgs>),
    /// Install Huddle, and the filter namespace by namespace; says first what it does and costs.
    Install(Box<cli::install::Args>),
    /// Undo what Huddle did and take away what it installed; works without a controller.
    Uninstall(cli::uninstall::Args),
    /// Show the service graph: every edge with its latency, by locality.
    Graph(cli::graph::Args),
    /// Show everything known of one edge: where its time goes, pod by pod and by distance, and why.
    Explain(cli::explain::Args),
    /// Say which pods report and which are silent, and why.
    Check(cli::check::Args),
    /// Show the plans, or one of them: what it does, what it expects, what it leaves alone, and why. Or plan from files.
    Plan(cli::plan::Args),
    /// Write the cluster and its graph, as the controller sees them, to a file from which can be planned elsewhere.
    Dump(cli::dump::Args),
    /// Make up a cluster with the statistics of real ones, in which a good layout was planted and scrambled, to try the planner on.
    Generate(cli::generate::Args),
    /// Ask for a callee to run inside its caller's pods: says what stands against it, or proposes a plan that waits for its approval.
    Merge(cli::merge::Args),
    /// Show how often the companions of a merge over loopback were away, for how long, and what was refused meanwhile.
    Companions(cli::companions::Args),
    /// Let a plan be done.
    Approve(cli::approve::Args),
    /// Undo a plan: its rules go, routing is as it was, what it merged is split again.
    Rollback(cli::approve::Args),
    /// Show in a few lines how the controller is.
    Status,
    /// Reach the dashboard from this machine, until interrupted.
    Dashboard(cli::dashboard::Args),
}
