//! Programs that read their limits only as they start, as far as their pods show it.

use serde::{Deserialize, Serialize};

/// What shows it. A closed set: label, JSON and sentence come from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StartSign {
    /// Its owner's annotation.
    Owner,
    /// An environment variable filled with the limit of when it started (`resourceFieldRef`).
    Downward,
    /// An option or a variable that sizes it for good, whatever its limits are later.
    Sized,
    /// Programs of that name do, as a rule: a hint.
    Program,
}

/// A container's program reads its limits only as it starts: what it sized by them stays so until it is started again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AtStart {
    /// What shows it.
    pub sign: StartSign,
    /// Which annotation, variable, option or name that is.
    pub seen: String,
}

impl StartSign {
    /// For machines: equals the JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Downward => "downward",
            Self::Sized => "sized",
            Self::Program => "program",
        }
    }
    /// It is so, and not only likely.
    pub fn is_certain(self) -> bool {
        match self {
            Self::Owner | Self::Downward | Self::Sized => true,
            Self::Program => false,
        }
    }
}

impl AtStart {
    /// For people, as the end of a sentence that names the container.
    pub fn sentence(&self) -> String {
        let Self { sign, seen } = self;
        let does = match sign {
            StartSign::Owner => format!("reads its limits only as it starts: its owner says so ({seen})"),
            StartSign::Downward => {
                format!("reads its limits only as it starts: its variable {seen} holds the limit that it had then")
            }
            StartSign::Sized => format!("was sized as it started ({seen})"),
            StartSign::Program => format!("may read its limits only as it starts, as {seen} usually does"),
        };
        let then = if sign.is_certain() {
            "what it sized by them (workers, threads, heap)"
        } else {
            "if so, what it sized by them (workers, threads, heap)"
        };
        format!(
            "{does}. More counts at once where the old limit stopped it; {then} stays as it is until it is started again."
        )
    }
}
