//! How results are printed.

use serde::Serialize;
use std::io::IsTerminal;

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For people who like it, and for kubectl.
    Yaml,
}

impl Output {
    /// The value as JSON or YAML; `None` where a table is wanted.
    ///
    /// # Errors
    /// If the value cannot be written in that form.
    pub fn structured(self, value: &impl Serialize) -> anyhow::Result<Option<String>> {
        Ok(match self {
            Self::Table => None,
            Self::Json => Some(serde_json::to_string_pretty(value)? + "\n"),
            Self::Yaml => Some(serde_saphyr::to_string(value)?),
        })
    }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    coloured: bool,
}

impl Style {
    /// Colours on a terminal whose user did not refuse them (no-color.org).
    pub fn detect() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            coloured: std::io::stdout().is_terminal() && !refused,
        }
    }
    /// No colours.
    pub const fn plain() -> Self {
        Self { coloured: false }
    }
    fn paint(self, code: &str, text: &str) -> String {
        if self.coloured {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
    /// Headings.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }
    /// What matters less.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
    /// Good news.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }
    /// What needs attention.
    pub fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }
    /// What is wrong.
    pub fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }
}
