//! For how long nobody listens where the command should, and how many connections are refused meanwhile: counted, and told on stderr. Whoever is
//! called over loopback has no proxy before it that would know.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// The kernel's tables of sockets, of the network namespace that the pod's containers share.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/// A socket that accepts connections (the kernel's TCP_LISTEN).
const LISTENS: &str = "0A";
/// Local addresses that are reached at 127.0.0.1, as the tables write them on either byte order.
const REACHED: [&str; 5] = [
    "00000000",
    "0100007F",
    "7F000001",
    "00000000000000000000000000000000",
    "0000000000000000FFFF00000100007F",
];
/// How often is looked at first, and at last: what does not listen after a while may never do.
const LOOK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// A look comes after this part of the time away, so that the time told is right to about a twentieth.
const PART: u32 = 20;

/// The kernel's counters of the same network namespace …
const COUNTERS: &str = "/proc/self/net/snmp";
/// … and the one of connections that were asked for and did not come about (RFC 4022, tcpAttemptFails): whoever calls over loopback where nobody
/// listens adds to it. So does who in the pod calls anybody else in vain at that moment.
const REFUSED: &str = "AttemptFails";
/// How often what is known is told again, so that the end of a log holds it.
const AGAIN: Duration = Duration::from_secs(600);

/// A time in which nobody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Absence {
    since: Instant,
    /// What [`REFUSED`] was then; `None` where the kernel does not say.
    refused: Option<u64>,
}

/// How long, and how many connections were refused; several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    time: Duration,
    refused: u64,
}

impl Counted {
    fn add(&mut self, other: Self) {
        self.time = self.time.saturating_add(other.time);
        self.refused = self.refused.saturating_add(other.refused);
    }
}

/// What is known of the time in which nobody listened.
#[derive(Debug)]
pub(crate) struct Away {
    ports: Vec<u16>,
    absence: Option<Absence>,
    start: Option<Counted>,
    times: u64,
    all: Counted,
    told: Instant,
}

impl Away {
    /// Nobody listens yet. Where no port is named there is nothing to look for.
    pub(crate) fn new(ports: Vec<u16>, now: Instant) -> Self {
        let mut away = Self {
            ports,
            absence: None,
            start: None,
            times: 0,
            all: Counted::default(),
            told: now,
        };
        away.ended(now);
        away
    }

    /// The command ended.
    pub(crate) fn ended(&mut self, now: Instant) {
        if self.absence.is_none() && !self.ports.is_empty() {
            self.absence = Some(Absence {
                since: now,
                refused: refused(),
            });
        }
    }

    /// When to look next; `None` where nothing is waited for.
    pub(crate) fn look_in(&self, now: Instant) -> Option<Duration> {
        if self.ports.is_empty() {
            return None;
        }
        let Some(absence) = self.absence else {
            return Some(AGAIN.saturating_sub(now.saturating_duration_since(self.told)));
        };
        let away = now.saturating_duration_since(absence.since);
        Some(away.checked_div(PART).unwrap_or(LOOK.1).clamp(LOOK.0, LOOK.1))
    }

    /// Looks; what there is to tell once all ports are listened at, and from time to time from then on.
    pub(crate) fn look(&mut self, now: Instant) -> Option<String> {
        let Some(absence) = self.absence else {
            return self.again(now);
        };
        let tables = TABLES.map(|table| fs::read_to_string(Path::new(table)).unwrap_or_default());
        if !self
            .ports
            .iter()
            .all(|port| tables.iter().any(|table| listens(table, *port)))
        {
            return None;
        }
        let counted = Counted {
            time: now.saturating_duration_since(absence.since),
            refused: match (absence.refused, refused()) {
                (Some(before), Some(after)) => after.saturating_sub(before),
                (None, _) | (_, None) => 0,
            },
        };
        Some(self.back(counted, now))
    }

    fn again(&mut self, now: Instant) -> Option<String> {
        let due = !self.ports.is_empty() && now.saturating_duration_since(self.told) >= AGAIN;
        due.then(|| {
            self.told = now;
            self.in_all()
        })
    }

    fn back(&mut self, counted: Counted, now: Instant) -> String {
        self.absence = None;
        self.told = now;
        let ms = counted.time.as_millis();
        if self.start.is_none() {
            self.start = Some(counted);
            return format!("the command listens, {ms} ms after this began; {}", self.in_all());
        }
        self.times = self.times.saturating_add(1);
        self.all.add(counted);
        format!("the command listens again, {ms} ms after its end; {}", self.in_all())
    }

    /// Read by `huddle companions` (`controller/src/cli/companions/told.rs`): both are held to `supervisor/tests/told.txt`.
    fn in_all(&self) -> String {
        let start = self.start.unwrap_or_default();
        format!(
            "in all: start {} ms, {} refused; away {} times, {} ms, {} refused",
            start.time.as_millis(),
            start.refused,
            self.times,
            self.all.time.as_millis(),
            self.all.refused
        )
    }
}

/// Connections asked for in vain, as the kernel counts them.
fn refused() -> Option<u64> {
    counter(&fs::read_to_string(COUNTERS).ok()?)
}

/// The counters stand below their names, line below line.
fn counter(counters: &str) -> Option<u64> {
    let mut tcp = counters.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (tcp.next()?.split_whitespace(), tcp.next()?.split_whitespace());
    let (_, value) = names.zip(values).find(|(name, _)| *name == REFUSED)?;
    value.parse().ok()
}

/// Whether the kernel's table has a socket that accepts connections to 127.0.0.1 at the port.
fn listens(table: &str, port: u16) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace();
        let (local, state) = (fields.nth(1), fields.nth(1));
        let local = local.and_then(|local| local.split_once(':'));
        local.is_some_and(|(address, at)| {
            REACHED.contains(&address) && u16::from_str_radix(at, 16) == Ok(port) && state == Some(LISTENS)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_accepts_connections_to_the_pod_itself_listens() {
        let line = |local: &str, state: &str| {
            format!(
                "  sl  local_address rem_address   st tx_queue rx_queue\n   0: {local} 00000000:0000 {state} 00000000:00000000\n"
            )
        };
        assert!(listens(&line("00000000:1F90", "0A"), 8080));
        assert!(listens(&line("0100007F:1F90", "0A"), 8080));
        assert!(listens(&line("00000000000000000000000000000000:1F90", "0A"), 8080));
        assert!(!listens(&line("0100007F:1F90", "01"), 8080), "a connection");
        assert!(!listens(&line("0100007F:1F91", "0A"), 8080), "another port");
        assert!(!listens(&line("0500000A:1F90", "0A"), 8080), "the pod's address alone");
        assert!(!listens("", 8080));
    }

    #[test]
    fn refused_connections_are_read_from_below_their_name() {
        let counters =
            "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: RtoAlgorithm MaxConn AttemptFails EstabResets\nTcp: 1 -1 37 9\n";
        assert_eq!(counter(counters), Some(37));
        assert_eq!(counter("Tcp: RtoAlgorithm\nTcp: 1\n"), None);
        assert_eq!(counter(""), None);
        assert!(refused().is_some(), "this kernel says so");
    }

    /// The lines that the command line of Huddle reads, in their order.
    #[test]
    fn times_away_are_counted_from_the_end_to_the_next_look_that_finds_it() {
        let ms = Duration::from_millis;
        let counted = |time, refused| Counted {
            time: ms(time),
            refused,
        };
        let start = Instant::now();
        let mut away = Away::new(vec![80], start);
        assert_eq!(away.look_in(start + ms(40)), Some(ms(10)));
        assert_eq!(away.look_in(start + ms(2_000)), Some(ms(100)));
        assert_eq!(away.look_in(start + ms(90_000)), Some(ms(1_000)));
        let mut told = vec![away.back(counted(300, 4), start)];
        away.ended(start);
        away.ended(start + ms(50));
        assert_eq!(
            away.absence.map(|it| it.since),
            Some(start),
            "it never listened in between"
        );
        told.push(away.back(counted(100, 0), start));
        away.ended(start + ms(400));
        told.push(away.back(counted(250, 9), start));
        assert_eq!(away.look_in(start + ms(1_000)), Some(AGAIN - ms(1_000)));
        assert_eq!(away.look(start + ms(1_000)), None);
        told.extend(away.look(start + AGAIN));
        assert_eq!(away.look(start + AGAIN), None, "once each time");
        let known: Vec<&str> = include_str!("../tests/told.txt").lines().collect();
        assert_eq!(told, known);
        let mut silent = Away::new(Vec::new(), start);
        silent.ended(start);
        assert_eq!((silent.look_in(start), silent.look(start + AGAIN)), (None, None));
    }
}
