//! `make soak-faults`, `make soak-pressure` and `make soak-merge`: what is too long for CI, on a bed of its own.
//!
//! ```text
//!  soak faults    twenty faults, one at a time and in pairs, in the shop of tests/shop/faults.yaml: named rightly or not, and when
//!  soak pressure  Online Boutique's busiest callee under a limit of 1.2 × its mean use: named, resized in place, against unlimited runs
//!  soak merge     two small services merged and split: what a call's way takes, half an hour of all that may happen, eight kinds of pairs
//! ```
//!
//! What is done to the shop is checked by the kubelets' own counters, read here by other code than Huddle's.

mod catalogue;
mod explain;
pub mod faults;
mod giveback;
pub mod merge;
mod place;
pub mod pressure;
mod sizes;
mod template;

use anyhow::{Context, Result};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What each soak is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where the report goes; it is written anew after each part.
    #[arg(long)]
    pub report: PathBuf,
    /// The folder with the images that `make image` writes.
    #[arg(long, default_value = "target/image")]
    pub images: PathBuf,
    /// Use the bed that is up, with nothing on it, instead of starting one; it is left up.
    #[arg(long)]
    pub on_running_bed: bool,
    /// Only the parts whose names contain one of these words.
    pub only: Vec<String>,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }

    /// A demo on a bed of four nodes in two zones.
    fn demo(&self, graph: &str) -> crate::demo::Options {
        crate::demo::Options {
            check: true,
            no_act: false,
            pressure: false,
            merge: false,
            report: self.report.clone(),
            graph: PathBuf::from(graph),
            images: self.images.clone(),
            on_running_bed: self.on_running_bed,
        }
    }
}

/// Writes a report as JSON, making the folder where needed.
fn write(report: &impl Serialize, path: &Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let text = serde_json::to_string_pretty(report)?;
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
