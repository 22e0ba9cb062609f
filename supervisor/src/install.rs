//! A copy of this program where other containers of the pod find it.

use std::{env, fs, io, os::unix::fs::PermissionsExt as _, path::Path};

/// Copies the running program to `supervisor` in this directory: whole or not at all, and again as often as one likes.
///
/// # Errors
/// What the directory refuses.
pub(crate) fn into(directory: &Path) -> io::Result<()> {
    let new = directory.join(".supervisor.new");
    fs::copy(env::current_exe()?, &new)?;
    // Readable and executable by whichever user the foreign image runs as.
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    fs::rename(&new, directory.join("supervisor"))
}
