//! The demo's voice: sections, progress lines, tables; colour only on a terminal.

use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Prints what happens, with the seconds since the start.
pub(crate) struct Narrator {
    began: Instant,
    colour: bool,
}

impl Default for Narrator {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            colour: std::io::stdout().is_terminal(),
        }
    }
}

impl Narrator {
    /// A new chapter.
    pub(crate) fn section(&self, title: &str) {
        let (bold, plain) = if self.colour {
            ("\x1b[1;36m", "\x1b[0m")
        } else {
            ("", "")
        };
        println!("\n{bold}── {title}{plain}  ({} s)", self.began.elapsed().as_secs());
    }
    /// One line of progress.
    pub(crate) fn say(&self, line: impl AsRef<str>) {
        println!("   {}", line.as_ref());
        let _ = std::io::stdout().flush();
    }
    /// Output of a command, indented.
    pub(crate) fn show(&self, text: &str) {
        for line in text.lines() {
            println!("   {line}");
        }
    }
    /// A table with aligned columns; the first row is the head. Columns after the first are aligned right.
    pub(crate) fn table(&self, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
                if column == 0 {
                    line.push_str(&format!("{cell}{pad}"));
                } else {
                    line.push_str(&format!("  {pad}{cell}"));
                }
            }
            println!("   {}", line.trim_end());
        }
    }
}

/// `850 µs` or `2.35 ms`.
pub(crate) fn micros(us: u64) -> String {
    huddle_core::units::Micros(us).to_string()
}

/// `62 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
