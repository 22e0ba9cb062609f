//! Asking before changing something.

use anyhow::bail;
use std::io::{BufRead, IsTerminal, Write};

/// Whether the user agrees: by `--yes`, or asked on a terminal.
///
/// # Errors
/// If nobody can be asked.
pub(super) fn agreed(yes: bool, question: &str) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        bail!("nobody can be asked here: give --yes to go ahead");
    }
    print!("{question} [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
