//! The bed's own control groups: how its processes are found again, and what the kubelets put their pods into.
//!
//! Version 1 has one tree per controller and the kubelet needs its root in every one; version 2 has one tree. Which of the two
//! this machine has is read from the mounts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The control group trees of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trees {
    version: Version,
    roots: Vec<PathBuf>,
    /// A version 2 tree beside version 1 trees: it has no controllers, but runc makes its groups there too.
    beside: Option<PathBuf>,
}

/// Which generation of control groups a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One tree per controller.
    One,
    /// One tree for all.
    Two,
}

/// Weight of all the bed's containers together against single processes of the host, in version 1's shares (1024 is one
/// process): below the root a group weighs as much as one process, whatever it holds.
const SHARES: &str = "8192";

impl Trees {
    /// Reads this machine's mounts.
    ///
    /// # Errors
    /// When no control groups are mounted.
    pub fn detect() -> Result<Self> {
        Self::parse(&fs::read_to_string("/proc/self/mounts")?)
    }

    fn parse(mounts: &str) -> Result<Self> {
        let mut one = BTreeSet::new();
        let mut two = BTreeSet::new();
        for line in mounts.lines() {
            let mut words = line.split(' ').skip(1);
            let (Some(place), Some(kind)) = (words.next(), words.next()) else {
                continue;
            };
            match kind {
                "cgroup" => one.insert(PathBuf::from(place)),
                "cgroup2" => two.insert(PathBuf::from(place)),
                _ => false,
            };
        }
        let (version, roots, beside) = if one.is_empty() {
            (Version::Two, two, None)
        } else {
            (Version::One, one, two.pop_first())
        };
        ensure!(
            !roots.is_empty(),
            "no control groups are mounted on this machine; a bed with nodes needs them"
        );
        Ok(Self {
            version,
            roots: roots.into_iter().collect(),
            beside,
        })
    }

    /// Which generation this is.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Makes the group in every tree, ready to take processes and children.
    ///
    /// # Errors
    /// When the kernel refuses, which mostly means: not root.
    pub fn make(&self, group: &str) -> Result<()> {
        for root in &self.roots {
            let mut path = root.clone();
            for part in group.split('/').filter(|part| !part.is_empty()) {
                let parent = path.clone();
                path.push(part);
                if !path.exists() {
                    fs::create_dir(&path)
                        .with_context(|| format!("cannot make the control group {}", path.display()))?;
                }
                match self.version {
                    // A cpuset without cpus takes no process, and children start without any.
                    Version::One => {
                        for file in ["cpuset.cpus", "cpuset.mems"] {
                            if let Ok(value) = fs::read_to_string(parent.join(file)) {
                                fs::write(path.join(file), value.trim())?;
                            }
                        }
                    }
                    Version::Two => enable_controllers(&parent),
                }
            }
        }
        Ok(())
    }

    /// Gives the group the weight of several processes of the host.
    pub fn weigh(&self, group: &str) {
        for root in &self.roots {
            let _ = fs::write(root.join(group).join("cpu.shares"), SHARES);
            let _ = fs::write(root.join(group).join("cpu.weight"), "800");
        }
    }

    /// Puts this process into the group, in the one tree that is used for finding processes: the other trees would change
    /// its share of the machine.
    ///
    /// # Errors
    /// When the group does not exist or takes no processes.
    pub fn join(&self, group: &str) -> Result<()> {
        let place = self.tracker().join(group).join("cgroup.procs");
        fs::write(&place, std::process::id().to_string())
            .with_context(|| format!("cannot join the control group {}", place.display()))
    }

    fn tracker(&self) -> &Path {
        let found = self
            .roots
            .iter()
            .find(|root| root.ends_with("pids"))
            .or(self.roots.first());
        found.map_or(Path::new("/sys/fs/cgroup"), PathBuf::as_path)
    }

    fn everywhere(&self) -> impl Iterator<Item = &PathBuf> {
        self.roots.iter().chain(&self.beside)
    }

    /// Every process in the group or below it, in any tree.
    #[must_use]
    pub fn processes(&self, group: &str) -> BTreeSet<i32> {
        let mut found = BTreeSet::new();
        for root in self.everywhere() {
            visit(&root.join(group), &mut |dir| {
                let listed = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
                found.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()));
            });
        }
        found
    }

    /// Removes the group and all below it, as far as they are empty, and says whether nothing is left.
    #[must_use]
    pub fn remove(&self, group: &str) -> bool {
        for root in self.everywhere() {
            visit(&root.join(group), &mut |dir| {
                let _ = fs::remove_dir(dir);
            });
        }
        !self.exists(group)
    }

    /// Removes the group where nothing is below it.
    pub fn remove_empty(&self, group: &str) {
        for root in self.everywhere() {
            let _ = fs::remove_dir(root.join(group));
        }
    }

    /// Whether the group exists in any tree.
    #[must_use]
    pub fn exists(&self, group: &str) -> bool {
        self.everywhere().any(|root| root.join(group).exists())
    }
}

/// In version 2 a parent hands out controllers only when told to; one that is refused is simply not there.
fn enable_controllers(parent: &Path) {
    let available = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
    for controller in available.split_whitespace() {
        let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Calls back for every folder, the innermost first.
fn visit(dir: &Path, each: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            visit(&entry.path(), each);
        }
    }
    each(dir);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_one_beside_an_empty_version_two_counts_as_one() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let trees = Trees::parse(mounts).unwrap();
        assert_eq!(trees.version(), Version::One);
        assert_eq!(trees.roots.len(), 2);
        assert_eq!(trees.tracker(), Path::new("/sys/fs/cgroup/pids"));
    }

    #[test]
    fn a_single_version_two_tree_is_found() {
        let trees = Trees::parse("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n").unwrap();
        assert_eq!(
            (trees.version(), trees.tracker()),
            (Version::Two, Path::new("/sys/fs/cgroup"))
        );
    }

    #[test]
    fn a_machine_without_control_groups_is_told_so() {
        assert!(Trees::parse("proc /proc proc rw 0 0\n").is_err());
    }
}
