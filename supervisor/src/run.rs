//! The loop: start, wait, tell, pause.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::Pid,
};
use std::os::fd::AsFd as _;

use crate::{
    away::Away,
    family,
    options::Options,
    record::{End, Record},
    say,
};

/// Signals that mean: end. Kubelets send what the image names, SIGTERM where it names none.
const STOP: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];

/// Others that are the command's affair.
const PASSED: [Signal; 4] = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGWINCH];

/// How often what a command left behind is looked at while it does not go.
const CLEARING: Duration = Duration::from_millis(10);

/// How long it is waited for. What outlives SIGKILL hangs in the kernel, and no wait helps.
const CLEARED_BY: Duration = Duration::from_secs(5);

/// The supervisor was told to stop, by this signal.
struct Stop {
    signal: Signal,
    /// When the command is told; `None` once it was.
    due: Option<Instant>,
}

/// What the command is doing.
enum Phase {
    Running { pid: Pid, since: Instant },
    Pausing { until: Instant },
}

/// Runs the command for as long as nobody stops it; the exit code then.
///
/// # Errors
/// Where the kernel gives no way to take signals.
pub(crate) fn run(options: &Options) -> nix::Result<u8> {
    let mut set: SigSet = STOP.into_iter().chain(PASSED).collect();
    set.add(Signal::SIGCHLD);
    // Blocked here, and taken from the descriptor. The standard library empties the mask for the command.
    set.thread_block()?;
    let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    family::adopt();
    let mut loop_ = Loop {
        options,
        record: Record::new(options.state.clone(), options.memory_events.clone()),
        away: Away::new(options.listens.clone(), Instant::now()),
        pause: None,
        stop: None,
    };
    let mut phase = loop_.start();
    loop {
        wait(&signals, &phase, loop_.look_in(&phase));
        while let Ok(Some(signal)) = signals.read_signal() {
            loop_.take(&phase, signal.ssi_signo);
        }
        loop_.tell_to_stop(&phase);
        phase = match phase {
            Phase::Running { pid, since } => match family::reap(Some(pid)) {
                Some(end) if loop_.stop.is_some() => {
                    loop_.record.ended(end);
                    say(&format!("told to stop; the command {end}"));
                    clear(&signals);
                    return Ok(code(end));
                }
                Some(end) => {
                    let pause = loop_.ended(end, since.elapsed());
                    clear(&signals);
                    Phase::Pausing { until: later(pause) }
                }
                None => {
                    if let Some(told) = loop_.away.look(Instant::now()) {
                        say(&told);
                    }
                    Phase::Running { pid, since }
                }
            },
            Phase::Pausing { .. } if loop_.stop.is_some() => {
                say("told to stop while no command ran");
                return Ok(0);
            }
            Phase::Pausing { until } => {
                family::reap(None);
                if Instant::now() < until {
                    Phase::Pausing { until }
                } else {
                    loop_.start()
                }
            }
        };
    }
}

struct Loop<'a> {
    options: &'a Options,
    record: Record,
    away: Away,
    pause: Option<Duration>,
    stop: Option<Stop>,
}

impl Loop<'_> {
    fn start(&mut self) -> Phase {
        match Command::new(&self.options.program)
            .args(&self.options.arguments)
            .spawn()
        {
            Ok(child) => {
                // Linux' process ids are below 2^22.
                let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
                self.record.started();
                say(&format!("started {} as process {pid}", self.options.program.display()));
                let since = Instant::now();
                Phase::Running { pid, since }
            }
            Err(error) => {
                say(&format!("{}: {error}", self.options.program.display()));
                let pause = self.ended(End::NoStart(error.raw_os_error().unwrap_or(0)), Duration::ZERO);
                Phase::Pausing { until: later(pause) }
            }
        }
    }

    fn ended(&mut self, end: End, ran: Duration) -> Duration {
        let starved = self.record.ended(end);
        self.away.ended(Instant::now());
        let pause = self.options.backoff.next(self.pause, ran);
        self.pause = Some(pause);
        say(&format!(
            "the command {end}{} after {} ms; {} so far; again in {} ms",
            if starved { ", likely for want of memory," } else { "" },
            ran.as_millis(),
            self.record.ends(),
            pause.as_millis(),
        ));
        pause
    }

    /// When to look again at a command that runs: it is not seen to listen yet, or is to be told to stop.
    fn look_in(&self, phase: &Phase) -> Option<Duration> {
        let now = Instant::now();
        let due = self.stop.as_ref().and_then(|stop| stop.due);
        match phase {
            Phase::Running { .. } => {
                let listens = self.away.look_in(now);
                let stops = due.map(|due| due.saturating_duration_since(now));
                listens.into_iter().chain(stops).min()
            }
            Phase::Pausing { .. } => None,
        }
    }

    /// Those that mean "end" reach the command later, where it is to linger; the second one at once.
    fn take(&mut self, phase: &Phase, number: u32) {
        let Some(signal) = i32::try_from(number).ok().and_then(|it| Signal::try_from(it).ok()) else {
            return;
        };
        if STOP.contains(&signal) {
            let lingers = if self.stop.is_none() {
                self.options.lingers
            } else {
                Duration::ZERO
            };
            if !lingers.is_zero() {
                say(&format!(
                    "told to stop; the command is told in {} ms",
                    lingers.as_millis()
                ));
            }
            let due = Some(later(lingers));
            self.stop = Some(Stop { signal, due });
        } else if PASSED.contains(&signal) {
            send(phase, signal);
        }
    }

    fn tell_to_stop(&mut self, phase: &Phase) {
        let Some(stop) = &mut self.stop else { return };
        if stop.due.is_some_and(|due| due <= Instant::now()) {
            stop.due = None;
            send(phase, stop.signal);
        }
    }
}

fn send(phase: &Phase, signal: Signal) {
    if let Phase::Running { pid, .. } = phase {
        // Not reaped yet, so the id is still its own.
        let _ended = kill(*pid, signal);
    }
}

/// Until a signal comes, the pause is over, or it is time to look.
fn wait(signals: &SignalFd, phase: &Phase, look_in: Option<Duration>) {
    let left = match phase {
        Phase::Running { .. } => look_in,
        Phase::Pausing { until } => Some(until.saturating_duration_since(Instant::now())),
    };
    let timeout = left.map_or(PollTimeout::NONE, |left| {
        // A millisecond more: the rest of one must not be polled away.
        PollTimeout::try_from(left.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX)
    });
    let _interrupted = poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], timeout);
}

/// Ends what the command left behind: it may hold the ports that the next start needs.
fn clear(signals: &SignalFd) {
    let end = later(CLEARED_BY);
    while !family::clear() && Instant::now() < end {
        let until = later(CLEARING);
        wait(signals, &Phase::Pausing { until }, None);
    }
}

fn later(pause: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(pause).unwrap_or(now)
}

/// As a shell tells it.
fn code(end: End) -> u8 {
    match end {
        End::Code(code) => u8::try_from(code).unwrap_or(u8::MAX),
        End::Signal(signal) => u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX),
        End::NoStart(_) => 127,
    }
}
