//! Where the bed keeps what it builds and what it runs: outside the checkout, so that a clean checkout is a quick one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

/// The bed's folder: `$HUDDLE_CACHE/bed`, or `$HOME/.cache/huddle/bed`.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// Folders that a node covers with its own; a cache below them could not be seen from inside a node.
const COVERED_BY_NODES: [&str; 4] = ["/var/lib", "/var/log", "/run", "/var/run"];

impl Cache {
    /// Opens the cache named by the environment, creating it where needed.
    ///
    /// # Errors
    /// When neither `HUDDLE_CACHE` nor `HOME` is set, the folder cannot be made, or nodes could not see it.
    pub fn open() -> Result<Self> {
        let base = match (std::env::var_os("HUDDLE_CACHE"), std::env::var_os("HOME")) {
            (Some(cache), _) if !cache.is_empty() => PathBuf::from(cache),
            (_, Some(home)) if !home.is_empty() => PathBuf::from(home).join(".cache/huddle"),
            _ => bail!("neither HUDDLE_CACHE nor HOME is set: set HUDDLE_CACHE to a folder with 25 GB of room"),
        };
        Self::at(&base.join("bed"))
    }

    /// Opens the cache in a given folder.
    ///
    /// # Errors
    /// As for [`Cache::open`].
    pub fn at(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("cannot make the cache folder {}", root.display()))?;
        let root = root
            .canonicalize()
            .with_context(|| format!("cannot resolve {}", root.display()))?;
        for covered in COVERED_BY_NODES {
            ensure!(
                !root.starts_with(covered),
                "the cache folder {} lies below {covered}, which every node replaces by its own: set HUDDLE_CACHE elsewhere",
                root.display()
            );
        }
        Ok(Self { root })
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of one built part, named by what went into it.
    #[must_use]
    pub fn part(&self, name: &str, key: &Key) -> PathBuf {
        self.root.join("parts").join(format!("{name}-{}", key.0))
    }

    /// Folder where sources are laid out for a build.
    #[must_use]
    pub fn source(&self, name: &str) -> PathBuf {
        self.root.join("src").join(name)
    }

    /// Folder of one running bed.
    #[must_use]
    pub fn run(&self, name: &str) -> PathBuf {
        self.root.join("run").join(name)
    }

    /// Waits until no other build runs, and keeps others waiting until the returned file is dropped.
    ///
    /// # Errors
    /// When the lock file cannot be made or locked.
    pub fn lock(&self) -> Result<File> {
        let path = self.root.join("build.lock");
        let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }
}

/// What a part was built from, as a short hash: equal keys, equal parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Hashes the given inputs; their order and their borders count.
    pub fn of<I, B>(inputs: I) -> Self
    where
        I: IntoIterator<Item = B>,
        B: AsRef<[u8]>,
    {
        let mut hash = Sha256::new();
        for input in inputs {
            let bytes = input.as_ref();
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        Self(
            hash.finalize()
                .iter()
                .take(6)
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_inputs_and_their_borders_apart() {
        assert_eq!(Key::of(["a", "b"]), Key::of(["a", "b"]));
        assert_ne!(Key::of(["a", "b"]), Key::of(["ab", ""]));
        assert_ne!(Key::of(["a", "b"]), Key::of(["b", "a"]));
    }

    #[test]
    fn a_cache_below_what_nodes_cover_is_refused() {
        let refused = Cache::at(Path::new("/run/huddle-cache-test"));
        let _ = fs::remove_dir("/run/huddle-cache-test");
        assert!(refused.is_err());
    }
}
