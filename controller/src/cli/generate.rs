//! `huddle generate`: a cluster made up, with a layout of known worth planted in it and scrambled.

use super::Outcome;
use crate::args::Connection;
use anyhow::Context;
use huddle_core::assign::{Layout, Recipe};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// How large, and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The file, in the format that RASA published: `huddle plan --cluster` reads it.
    path: PathBuf,
    /// Nodes.
    #[arg(long, value_name = "N", default_value_t = 96)]
    nodes: usize,
    /// Pods of all services together: at least 4 per service, at most 100 per node.
    #[arg(long, value_name = "N", default_value_t = 3_500)]
    pods: usize,
    /// Services, at least 16.
    #[arg(long, value_name = "N", default_value_t = 550)]
    services: usize,
    /// Where the random choices begin: equal numbers give equal clusters.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write the planted layout there: container → index of its machine in MachineList, from 0.
    #[arg(long, value_name = "FILE")]
    planted: Option<PathBuf>,
}

/// What was made up.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    nodes: usize,
    pods: u64,
    services: usize,
    edges: usize,
    seed: u64,
    /// Shares of all traffic that are local: as written, and in the planted layout.
    local: f64,
    local_planted: f64,
}

pub(super) fn run(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    let made = make(args)?;
    match connection.output.structured(&made)? {
        Some(text) => print!("{text}"),
        None => print!("{}", render(&made, &args.path)),
    }
    Ok(Outcome::Done)
}

fn make(args: &Args) -> anyhow::Result<Made> {
    let recipe = Recipe {
        seed: args.seed,
        nodes: args.nodes,
        pods: args.pods,
        services: args.services,
    };
    let made = recipe.generate()?;
    let problem = made.cluster.problem()?;
    write(&args.path, &made.cluster)?;
    if let Some(planted) = &args.planted {
        write(planted, &made.cluster.containers(&made.planted))?;
    }
    Ok(Made {
        nodes: problem.nodes(),
        pods: problem.pods(),
        services: problem.services(),
        edges: made.cluster.traffic_list.len(),
        seed: args.seed,
        local: Layout::home(&problem).gain(&problem),
        local_planted: made.planted.gain(&problem),
    })
}

fn write(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value)? + "\n";
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

fn render(made: &Made, path: &Path) -> String {
    format!(
        "{}: {} nodes, {} pods, {} services, {} edges, seed {}.\n\
         Local as it stands: {:.2} % of the traffic; in the layout that was planted and scrambled: {:.2} %.\n\
         Plan from it with `huddle plan --cluster {0}`.\n",
        path.display(),
        made.nodes,
        made.pods,
        made.services,
        made.edges,
        made.seed,
        100.0 * made.local,
        100.0 * made.local_planted,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_cluster_for_people() {
        let made = Made {
            nodes: 96,
            pods: 3_500,
            services: 550,
            edges: 340,
            seed: 1,
            local: 0.0301,
            local_planted: 0.8512,
        };
        insta::assert_snapshot!(render(&made, Path::new("made-up.json")), @r"
        made-up.json: 96 nodes, 3500 pods, 550 services, 340 edges, seed 1.
        Local as it stands: 3.01 % of the traffic; in the layout that was planted and scrambled: 85.12 %.
        Plan from it with `huddle plan --cluster made-up.json`.
        ");
    }
}
