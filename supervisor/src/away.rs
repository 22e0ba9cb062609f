//! For how long nobody listens where the command should: counted, and told on stderr. Whoever is called over loopback has no proxy before it
//! that would know.

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

/// What is known of the time in which nobody listened.
#[derive(Debug)]
pub(crate) struct Away {
    ports: Vec<u16>,
    since: Option<Instant>,
    begun: bool,
    times: u64,
    all: Duration,
}

impl Away {
    /// Nobody listens yet. Where no port is named there is nothing to look for.
    pub(crate) fn new(ports: Vec<u16>, now: Instant) -> Self {
        Self {
            since: (!ports.is_empty()).then_some(now),
            ports,
            begun: false,
            times: 0,
            all: Duration::ZERO,
        }
    }

    /// The command ended.
    pub(crate) fn ended(&mut self, now: Instant) {
        if self.since.is_none() && !self.ports.is_empty() {
            self.since = Some(now);
        }
    }

    /// When to look next; `None` where nothing is waited for.
    pub(crate) fn look_in(&self, now: Instant) -> Option<Duration> {
        let away = now.saturating_duration_since(self.since?);
        Some(away.checked_div(PART).unwrap_or(LOOK.1).clamp(LOOK.0, LOOK.1))
    }

    /// Looks; what there is to tell once all ports are listened at.
    pub(crate) fn look(&mut self, now: Instant) -> Option<String> {
        let since = self.since?;
        let tables = TABLES.map(|table| fs::read_to_string(Path::new(table)).unwrap_or_default());
        if !self
            .ports
            .iter()
            .all(|port| tables.iter().any(|table| listens(table, *port)))
        {
            return None;
        }
        Some(self.back(now.saturating_duration_since(since)))
    }

    fn back(&mut self, away: Duration) -> String {
        self.since = None;
        if !std::mem::replace(&mut self.begun, true) {
            return format!("the command listens, {} ms after this began", away.as_millis());
        }
        self.times = self.times.saturating_add(1);
        self.all = self.all.saturating_add(away);
        format!(
            "the command listens again, {} ms after its end; away {} times so far, {} ms in all",
            away.as_millis(),
            self.times,
            self.all.as_millis()
        )
    }
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
    fn times_away_are_counted_from_the_end_to_the_next_look_that_finds_it() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        let mut away = Away::new(vec![80], start);
        assert_eq!(away.look_in(start + ms(40)), Some(ms(10)));
        assert_eq!(away.look_in(start + ms(2_000)), Some(ms(100)));
        assert_eq!(away.look_in(start + ms(90_000)), Some(ms(1_000)));
        assert!(away.back(ms(300)).contains("300 ms after this began"));
        assert_eq!(away.look_in(start), None);
        away.ended(start);
        away.ended(start + ms(50));
        assert_eq!(away.since, Some(start), "it never listened in between");
        away.back(ms(100));
        away.ended(start + ms(400));
        let told = away.back(ms(250));
        assert!(
            told.contains("250 ms after its end; away 2 times so far, 350 ms in all"),
            "{told}"
        );
        let mut silent = Away::new(Vec::new(), start);
        silent.ended(start);
        assert_eq!((silent.look_in(start), silent.look(start)), (None, None));
    }
}
