//! The wire's process: read, wait, write.

use std::fs::File;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::clock_gettime;
use serde::{Deserialize, Serialize};

use super::control::{Shared, serve};
use super::device;
use super::line::{Envelope, Line, Random};
use super::queue::{Nanos, Queue};
use super::settings::{Link, Links};

/// One end of the wire.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Port {
    /// The node's name; empty for the control plane and the host, whose links never delay.
    pub node: String,
    /// Its zone.
    pub zone: String,
    /// The network namespace it is in; none for the host.
    pub namespace: Option<String>,
    /// The address of the node on the wire.
    pub address: Ipv4Addr,
    /// Third byte of its pods' addresses, 10.244.N.0/24.
    pub pods: Option<u8>,
}

/// All ends, and what the links between them are set to at first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wiring {
    /// The ends.
    pub ports: Vec<Port>,
    /// The first setting.
    pub links: Links,
    /// Seed of all chance on the wire.
    pub seed: u64,
}

/// Packets that may wait at once: at full size, 128 MB.
const LIMIT: usize = 1 << 16;
/// A wake-up later than this says how busy the machine is, not how late its timer, and is not counted.
const LATEST: Nanos = 200_000;
/// Packets read from one device before the others have their turn and due packets leave.
const TURN: usize = 64;

struct Wire {
    shared: Arc<Shared>,
    ports: Vec<Port>,
    devices: Vec<File>,
    /// Line from port i to port j at i * ports + j.
    lines: Vec<Line>,
    /// Port by the last byte of a node's address, and by the third byte of a pod's.
    by_node: [Option<usize>; 256],
    by_pod: [Option<usize>; 256],
    queue: Queue,
    random: Random,
    /// By how much the timer's wake-ups come late, smoothed.
    late: Nanos,
    /// The shortest delay of all lines that have one.
    shortest: Nanos,
}

/// Makes the devices, answers on the socket, and carries packets until the process is ended.
///
/// # Errors
/// When a device, the socket or the timer cannot be made, or waiting fails.
pub fn run(wiring: Wiring, socket: &Path) -> Result<()> {
    let devices = wiring
        .ports
        .iter()
        .map(|port| device::attach(port.namespace.as_deref(), port.address))
        .collect::<Result<Vec<_>>>()?;
    let nodes = wiring
        .ports
        .iter()
        .filter(|port| !port.node.is_empty())
        .map(|port| port.node.clone())
        .collect();
    let shared = Arc::new(Shared::new(nodes, wiring.links));
    let mut wire = Wire::new(shared.clone(), wiring.ports, devices, wiring.seed);
    let listener = UnixListener::bind(socket).with_context(|| format!("cannot listen at {}", socket.display()))?;
    std::thread::spawn(move || serve(&listener, &shared));
    // The default slack of 50 µs would be most of a short link's delay.
    nix::sys::prctl::set_timerslack(1)?;
    wire.carry()
}

fn now() -> Nanos {
    // The monotonic clock always exists; its zero would only make every packet due.
    clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(0, |time| Duration::from(time).as_nanos() as Nanos)
}

impl Wire {
    fn new(shared: Arc<Shared>, ports: Vec<Port>, devices: Vec<File>, seed: u64) -> Self {
        let (mut by_node, mut by_pod) = ([None; 256], [None; 256]);
        for (i, port) in ports.iter().enumerate() {
            let [.., last] = port.address.octets();
            by_node[usize::from(last)] = Some(i);
            if let Some(pods) = port.pods {
                by_pod[usize::from(pods)] = Some(i);
            }
        }
        let lines = (0..ports.len() * ports.len())
            .map(|_| Line::new(Link::default()))
            .collect();
        let mut wire = Self {
            shared,
            ports,
            devices,
            lines,
            by_node,
            by_pod,
            queue: Queue::new(LIMIT),
            random: Random::new(seed),
            late: 0,
            shortest: 0,
        };
        wire.take_links();
        wire
    }

    /// Takes over the settings; links of the control plane and the host stay without delay.
    fn take_links(&mut self) {
        let links = self.shared.links();
        for (i, from) in self.ports.iter().enumerate() {
            for (j, to) in self.ports.iter().enumerate() {
                let between_nodes = i != j && !from.node.is_empty() && !to.node.is_empty();
                if let Some(line) = self.lines.get_mut(i * self.ports.len() + j) {
                    line.link = if between_nodes {
                        links.link(&from.node, &to.node, from.zone == to.zone)
                    } else {
                        Link::default()
                    };
                }
            }
        }
        let delays = self.lines.iter().map(|line| Nanos::from(line.link.delay_us) * 1_000);
        self.shortest = delays.filter(|delay| *delay > 0).min().unwrap_or_default();
    }

    fn port_of(&self, address: Ipv4Addr) -> Option<usize> {
        match address.octets() {
            [172, 30, 0, last] => self.by_node[usize::from(last)],
            [10, 244, pods, _] => self.by_pod[usize::from(pods)],
            _ => None,
        }
    }

    fn carry(&mut self) -> Result<()> {
        let epoll = Epoll::new(EpollCreateFlags::empty())?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
        let timer_token = self.devices.len() as u64;
        for (i, device) in self.devices.iter().enumerate() {
            epoll.add(device, EpollEvent::new(EpollFlags::EPOLLIN, i as u64))?;
        }
        epoll.add(timer.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, timer_token))?;
        let mut events = vec![EpollEvent::empty(); self.devices.len() + 1];
        let (mut set_for, mut armed): (Option<Nanos>, Nanos) = (None, 0);
        loop {
            let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(error).context("waiting for packets"),
            };
            if self.shared.changed.swap(false, Ordering::AcqRel) {
                self.take_links();
            }
            for event in events.iter().take(count) {
                if event.data() == timer_token {
                    let _ = nix::unistd::read(timer.as_fd(), &mut [0; 8]);
                    set_for = None;
                    // Each wake-up is late by some tens of microseconds, which would be added to every delay.
                    let late = now().saturating_sub(armed);
                    if late < LATEST {
                        self.late = (self.late * 15 + late) / 16;
                    }
                } else {
                    self.read(event.data() as usize);
                }
            }
            self.write_due();
            let next = self.queue.next_due();
            if next != set_for {
                match next {
                    Some(due) => {
                        armed = due.saturating_sub(self.ahead()).max(1);
                        let at = TimeSpec::from_duration(Duration::from_nanos(armed));
                        timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
                    }
                    None => timer.unset()?,
                }
                set_for = next;
            }
        }
    }

    /// By how much packets are let go before they are due. At most half of the shortest delay: a packet let go as soon as it came would
    /// set no timer, and nothing would ever show that the timer is less late by now.
    fn ahead(&self) -> Nanos {
        self.late.min(self.shortest / 2)
    }

    /// Reads what one device has, up to a turn's worth.
    fn read(&mut self, from: usize) {
        for _ in 0..TURN {
            let mut buffer = self.queue.buffer();
            let Some(mut device) = self.devices.get(from) else {
                return;
            };
            let Ok(length @ 1..) = device.read(&mut buffer) else {
                self.queue.give_back(buffer);
                return;
            };
            buffer.truncate(length);
            self.accept(from, buffer);
        }
    }

    fn accept(&mut self, from: usize, packet: Vec<u8>) {
        let count = |counter: &std::sync::atomic::AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        let known = Envelope::read(&packet).and_then(|envelope| Some((envelope, self.port_of(envelope.destination)?)));
        let Some((envelope, to)) = known.filter(|(_, to)| *to != from) else {
            count(&self.shared.unknown);
            return self.queue.give_back(packet);
        };
        let Some(line) = self.lines.get_mut(from * self.ports.len() + to) else {
            return;
        };
        match line.due(envelope.flow, now(), &mut self.random) {
            None => {
                count(&self.shared.lost);
                self.queue.give_back(packet);
            }
            Some(due) => {
                if !self.queue.push(due, to, packet) {
                    count(&self.shared.overrun);
                }
            }
        }
    }

    fn write_due(&mut self) {
        while let Some(packet) = self.queue.pop_due(now() + self.ahead()) {
            let Some(mut device) = self.devices.get(packet.to) else {
                continue;
            };
            // A full device drops, as a full network card does; TCP sends again.
            let counter = match device.write(&packet.bytes) {
                Ok(_) => &self.shared.delivered,
                Err(_) => &self.shared.overrun,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            self.queue.give_back(packet.bytes);
        }
    }
}
