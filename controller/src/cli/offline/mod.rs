//! `huddle plan --cluster FILE`: plans from files, with no cluster near.

mod budget;
mod edges;
mod file;
mod free;
mod rasa;

use super::{Outcome, pairs};
use crate::args::Connection;
use anyhow::Context;
use file::Format;
use std::path::PathBuf;
use std::time::Duration;

/// Planning from files.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "offline", multiple = true)]
#[command(next_help_heading = "Planning from files, with no cluster near")]
pub struct Args {
    /// Plan from this file: RASA's published format (ServiceList, MachineList, TrafficList), or a folder with one such file.
    #[arg(long, value_name = "PATH", conflicts_with = "plan")]
    cluster: Option<PathBuf>,
    /// Take the traffic (TrafficList) from this file instead.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    graph: Option<PathBuf>,
    /// How much cpu time to spend: 500ms, 10s, 2m. Nine tenths go to the layout, one tenth to the curve.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = pairs::span, requires = "cluster")]
    budget: Duration,
    /// Where the random choices begin.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "cluster")]
    seed: u64,
    /// Stop after so many steps (of about a millisecond) instead of after a time: equal input, seed and steps then give an equal
    /// layout on every machine.
    #[arg(long, value_name = "N", requires = "cluster", conflicts_with = "budget")]
    steps: Option<u64>,
    /// Move at most so many pods: 400, or 20% of them.
    #[arg(long, value_name = "N|N%", requires = "cluster")]
    moves: Option<Moves>,
    /// Write the layout there as JSON: container → index of its machine in MachineList, from 0.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    layout: Option<PathBuf>,
}

/// A limit on moves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moves {
    Pods(u64),
    Percent(f64),
}

impl std::str::FromStr for Moves {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no number of moves: write 400, or 20%");
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Pods).map_err(|_| wrong()),
            Some(percent) => match percent.trim().parse() {
                Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
        }
    }
}

impl Moves {
    /// In pods, of so many.
    fn of(self, pods: u64) -> u64 {
        match self {
            Self::Pods(moves) => moves,
            Self::Percent(percent) => (pods as f64 * percent / 100.0) as u64,
        }
    }
}

impl Args {
    /// Whether files were named.
    pub(super) fn wanted(&self) -> bool {
        self.cluster.is_some()
    }
}

pub(super) fn run(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    let named = args.cluster.as_deref().context("--cluster is missing")?;
    let path = file::only(named)?;
    match file::format(&path)? {
        Format::Rasa => free::run(connection, args, &path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_a_number_or_a_part() {
        assert_eq!("400".parse(), Ok(Moves::Pods(400)));
        assert_eq!("20%".parse(), Ok(Moves::Percent(20.0)));
        assert_eq!("2.5 %".parse(), Ok(Moves::Percent(2.5)));
        assert_eq!(Moves::Percent(20.0).of(3_485), 697);
        for wrong in ["", "%", "-1", "101%", "NaN%", "many"] {
            assert!(wrong.parse::<Moves>().is_err(), "{wrong}");
        }
    }
}
