//! The command line.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    time::Duration,
};

use crate::backoff::Backoff;

/// What there is to say.
pub(crate) const HELP: &str = "usage: supervisor install DIRECTORY
       supervisor run [--state FILE] [--memory-events FILE] [--first-ms 100] [--most-ms 30000] [--steady-ms 60000] [--lingers-ms 0] [--listens PORT]… -- COMMAND [ARGUMENT…]";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Copy this program into a directory.
    Install(PathBuf),
    /// Run a command.
    Run(Options),
}

/// How a command is run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The program.
    pub(crate) program: OsString,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// Where the counts are written, if anywhere.
    pub(crate) state: Option<PathBuf>,
    /// Where the kernel counts the container's out-of-memory kills (control groups, version 2).
    pub(crate) memory_events: PathBuf,
    /// When the next start comes.
    pub(crate) backoff: Backoff,
    /// For how long the command still runs when the supervisor is told to stop, before it is told itself.
    pub(crate) lingers: Duration,
    /// Where it listens once it is there (TCP).
    pub(crate) listens: Vec<u16>,
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// The argument that is wrong or missing.
pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Order, String> {
    let verb = arguments.next().ok_or("neither install nor run")?;
    match verb.to_str() {
        Some("install") => match (arguments.next(), arguments.next()) {
            (Some(directory), None) => Ok(Order::Install(directory.into())),
            _ => Err("install: expected one directory".to_owned()),
        },
        Some("run") => run(arguments).map(Order::Run),
        _ => Err(format!("{}: expected install or run", verb.display())),
    }
}

fn run(mut arguments: impl Iterator<Item = OsString>) -> Result<Options, String> {
    let mut state = None;
    let mut memory_events = PathBuf::from("/sys/fs/cgroup/memory.events");
    let mut backoff = Backoff::default();
    let mut lingers = Duration::ZERO;
    let mut listens = Vec::new();
    loop {
        let name = arguments.next().ok_or("run: expected -- and a command")?;
        let mut value = || arguments.next().ok_or(format!("{}: expected a value", name.display()));
        match name.to_str() {
            Some("--") => break,
            Some("--state") => state = Some(value()?.into()),
            Some("--memory-events") => memory_events = value()?.into(),
            Some("--first-ms") => backoff.first = millis("--first-ms", &value()?)?,
            Some("--most-ms") => backoff.most = millis("--most-ms", &value()?)?,
            Some("--steady-ms") => backoff.steady = millis("--steady-ms", &value()?)?,
            Some("--lingers-ms") => lingers = millis("--lingers-ms", &value()?)?,
            Some("--listens") => listens.push(port(&value()?)?),
            _ => return Err(format!("{}: expected no such option", name.display())),
        }
    }
    if backoff.most < backoff.first {
        return Err("--most-ms: expected no less than --first-ms".to_owned());
    }
    Ok(Options {
        program: arguments.next().ok_or("run: expected a command after --")?,
        arguments: arguments.collect(),
        state,
        memory_events,
        backoff,
        lingers,
        listens,
    })
}

fn port(value: &OsStr) -> Result<u16, String> {
    let number = value.to_str().and_then(|text| text.parse::<u16>().ok());
    number
        .filter(|&port| port > 0)
        .ok_or("--listens: expected a port".to_owned())
}

fn millis(name: &str, value: &OsStr) -> Result<Duration, String> {
    // u32: what is added to a time must not overflow it.
    let number = value.to_str().and_then(|text| text.parse::<u32>().ok());
    let number = number.filter(|&ms| ms > 0);
    number
        .map(|ms| Duration::from_millis(u64::from(ms)))
        .ok_or(format!("{name}: expected milliseconds above 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(line: &str) -> Result<Order, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn what_is_said_is_taken() {
        let Ok(Order::Run(options)) = order(
            "run --state /s --first-ms 5 --most-ms 50 --lingers-ms 7 --listens 80 --listens 81 -- /app --state x",
        ) else {
            panic!("refused")
        };
        assert_eq!(options.state, Some("/s".into()));
        assert_eq!(options.backoff.first, Duration::from_millis(5));
        assert_eq!(
            (options.lingers, options.listens),
            (Duration::from_millis(7), vec![80, 81])
        );
        assert_eq!(
            (options.program, options.arguments),
            ("/app".into(), vec!["--state".into(), "x".into()])
        );
        assert_eq!(order("install /d"), Ok(Order::Install("/d".into())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, name) in [
            ("", "install"),
            ("go", "go"),
            ("install", "install"),
            ("install a b", "install"),
            ("run", "--"),
            ("run --", "command"),
            ("run /app", "/app"),
            ("run --state", "--state"),
            ("run --first-ms 0 -- a", "--first-ms"),
            ("run --most-ms soon -- a", "--most-ms"),
            ("run --most-ms 4294967296 -- a", "--most-ms"),
            ("run --first-ms 2 --most-ms 1 -- a", "--most-ms"),
            ("run --lingers-ms 2s -- a", "--lingers-ms"),
            ("run --listens 0 -- a", "--listens"),
            ("run --listens http -- a", "--listens"),
        ] {
            let why = order(line).unwrap_err();
            assert!(why.contains(name), "{line}: {why}");
        }
    }
}
