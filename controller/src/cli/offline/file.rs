//! Files as people name them: what they are, and errors that say which file and which field.

use crate::dump::from_json;
use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::path::{Path, PathBuf};

/// What a file of a cluster may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// ServiceList, MachineList, TrafficList.
    Rasa,
    /// What `huddle dump` wrote.
    Dump,
}

/// A file, or the only `.json` file of a folder.
pub(super) fn only(path: &Path) -> anyhow::Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    match files.as_slice() {
        [file] => Ok(file.clone()),
        several => bail!(
            "{} holds {} .json files, not one; name the file",
            path.display(),
            several.len()
        ),
    }
}

pub(super) fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Reads JSON; an error names the file, the field and the place.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    from_json(&bytes(path)?).with_context(|| path.display().to_string())
}

/// The fields by which formats are told apart.
#[derive(Deserialize)]
struct Probe {
    #[serde(rename = "ServiceList")]
    rasa: Option<IgnoredAny>,
    #[serde(rename = "huddleDump")]
    dump: Option<IgnoredAny>,
}

/// What a file is.
pub(super) fn format(path: &Path) -> anyhow::Result<Format> {
    let probe: Probe = read(path)?;
    match (probe.rasa, probe.dump) {
        (Some(_), _) => Ok(Format::Rasa),
        (None, Some(_)) => Ok(Format::Dump),
        (None, None) => bail!(
            "{}: this is neither a dump (there is no huddleDump) nor RASA's format (there is no ServiceList)",
            path.display()
        ),
    }
}
