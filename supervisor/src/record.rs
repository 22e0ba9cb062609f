//! How runs ended: counted, told on stderr, kept in a file.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It never began: the system's error number, 0 where it gave none.
    NoStart(i32),
}

/// SIGKILL, by which the kernel ends what has run out of memory.
const KILLED: i32 = 9;

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with code {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::NoStart(error) => write!(f, "cannot be started (error {error})"),
        }
    }
}

/// The counts since this process began.
#[derive(Debug)]
pub(crate) struct Record {
    starts: u64,
    exits: u64,
    failed_starts: u64,
    out_of_memory: u64,
    last: Option<End>,
    file: Option<PathBuf>,
    memory_events: PathBuf,
    kills: Option<u64>,
}

impl Record {
    /// Nothing yet; counts go into the file, where there is one.
    pub(crate) fn new(file: Option<PathBuf>, memory_events: PathBuf) -> Self {
        let kills = kills(&memory_events);
        Self {
            starts: 0,
            exits: 0,
            failed_starts: 0,
            out_of_memory: 0,
            last: None,
            file,
            memory_events,
            kills,
        }
    }

    /// A run began.
    pub(crate) fn started(&mut self) {
        self.starts = self.starts.saturating_add(1);
        self.write();
    }

    /// A run ended, or could not begin. Whether it was likely for want of memory: it was killed, and the kernel counts a kill of
    /// that kind in this container since the last look.
    pub(crate) fn ended(&mut self, end: End) -> bool {
        let kills = kills(&self.memory_events);
        let more = matches!((self.kills, kills), (Some(before), Some(now)) if now > before);
        self.kills = kills;
        let starved = more && end == End::Signal(KILLED);
        match end {
            End::NoStart(_) => self.failed_starts = self.failed_starts.saturating_add(1),
            End::Code(_) | End::Signal(_) => self.exits = self.exits.saturating_add(1),
        }
        self.out_of_memory = self.out_of_memory.saturating_add(u64::from(starved));
        self.last = Some(end);
        self.write();
        starved
    }

    /// How often it ended or could not begin.
    pub(crate) fn ends(&self) -> u64 {
        self.exits.saturating_add(self.failed_starts)
    }

    fn json(&self) -> String {
        let last = match self.last {
            None => "null".to_owned(),
            Some(End::Code(code)) => format!("{{\"code\":{code}}}"),
            Some(End::Signal(signal)) => format!("{{\"signal\":{signal}}}"),
            Some(End::NoStart(error)) => format!("{{\"noStart\":{error}}}"),
        };
        format!(
            "{{\"starts\":{},\"exits\":{},\"failedStarts\":{},\"outOfMemory\":{},\"last\":{last}}}\n",
            self.starts, self.exits, self.failed_starts, self.out_of_memory
        )
    }

    fn write(&self) {
        let Some(file) = &self.file else { return };
        // Whole or not at all, and never a reason to stop: the file is for whoever looks.
        let new = file.with_extension("new");
        let _unwritable = fs::write(&new, self.json()).and_then(|()| fs::rename(&new, file));
    }
}

fn kills(memory_events: &Path) -> Option<u64> {
    let text = fs::read_to_string(memory_events).ok()?;
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_that_the_kernel_counts_is_want_of_memory() {
        let directory = tempfile::tempdir().unwrap();
        let events = directory.path().join("memory.events");
        let count =
            |kills: u64| fs::write(&events, format!("low 0\noom 9\noom_kill {kills}\noom_group_kill 0\n")).unwrap();
        count(3);
        let file = directory.path().join("state");
        let mut record = Record::new(Some(file.clone()), events.clone());
        record.started();
        assert!(!record.ended(End::Signal(9)), "somebody else killed it");
        count(4);
        assert!(record.ended(End::Signal(9)));
        count(5);
        assert!(!record.ended(End::Code(1)), "another of its processes was killed");
        assert!(!record.ended(End::NoStart(2)));
        fs::remove_file(&events).unwrap();
        assert!(!record.ended(End::Signal(9)), "nobody counts");
        assert_eq!(
            fs::read_to_string(file).unwrap(),
            "{\"starts\":1,\"exits\":4,\"failedStarts\":1,\"outOfMemory\":1,\"last\":{\"signal\":9}}\n"
        );
    }
}
