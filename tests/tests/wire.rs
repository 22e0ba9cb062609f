//! The wire against the clock: real packets through real devices between the nodes' network namespaces, without a cluster.
//! Needs root and TUN devices, nothing else; it may run beside a bed.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use huddle_tests::bed::Bed;

const NAME: &str = "wire-test";
const PORT: u16 = 7007;
/// Packets per measurement.
const PACKETS: usize = 300;
/// Turns they are taken in.
const TURNS: usize = 6;
/// How often a delay is taken at most.
const TRIES: usize = 10;

/// Takes the bed down however the test ends.
struct Guard(Bed);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.0.bed(&["down"]) {
            eprintln!("{error:#}");
        }
    }
}

#[test]
fn the_wire_does_what_it_is_set_to() -> Result<()> {
    let bed = Bed::named(Path::new(env!("CARGO_BIN_EXE_bed")), NAME)?;
    bed.bed(&["down"])?;
    bed.bed(&["up", "--no-cluster", "--nodes", "3", "--zones", "2"])?;
    let guard = Guard(bed.clone());
    ensure!(
        bed.bed(&["up", "--no-cluster"]).is_err(),
        "a second bed of one name was not refused"
    );

    delays_are_kept(&bed)?;
    profiles_follow_zones(&bed)?;
    jitter_keeps_the_order_of_a_flow(&bed)?;
    the_tail_hits_its_share(&bed)?;
    loss_hits_its_share(&bed)?;
    bad_settings_are_refused(&bed)?;
    a_killed_wire_starts_again_as_it_was(&bed)?;

    drop(guard);
    ensure!(bed.remains().is_empty(), "left behind: {:?}", bed.remains());
    Ok(())
}

/// What `on` adds to a pair's round trip against `flat`, by the medians of packets taken in turns: `wanted` ± (0.1 ms + 10 %), and later by what the machine's
/// wake-ups take just now. A round trip has four of them (wire, echo, wire, sender), and two more where the wire holds the packet. Taken again where it
/// is not so, since a busy machine may be in one of the two alone.
fn adds(bed: &Bed, (from, to): (u8, u8), what: &str, wanted: f64, on: impl Fn() -> Result<()>) -> Result<()> {
    // Of long delays fewer packets tell as much.
    let packets = if wanted > 3e-3 { PACKETS / 5 } else { PACKETS };
    for left in (0..TRIES).rev() {
        let (mut flat, mut held) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            bed.bed(&["wire", "profile", "flat"])?;
            flat.extend(round_trips(bed, from, to, packets / TURNS)?);
            on()?;
            held.extend(round_trips(bed, from, to, packets / TURNS)?);
        }
        let zero = median(flat);
        let added = median(held) - zero;
        println!(
            "node-{from} to node-{to}: at 0 {:.3} ms; {what}, seen {:.3} ms more",
            zero * 1e3,
            added * 1e3
        );
        let bound = 1e-4 + 0.1 * wanted;
        if (wanted - bound..=wanted + bound + zero / 2.0).contains(&added) {
            return Ok(());
        }
        ensure!(left > 0, "{what}: seen {added:.6} s more in the round trip");
    }
    Ok(())
}

fn delays_are_kept(bed: &Bed) -> Result<()> {
    for (from, to) in [(1, 2), (1, 3)] {
        for set_us in [100, 600, 2_000, 10_000] {
            let what = format!("set {:.3} ms one way", f64::from(set_us) / 1e3);
            adds(bed, (from, to), &what, 2.0 * f64::from(set_us) / 1e6, || {
                set(bed, from, to, &["--delay", &format!("{set_us}us")])
            })?;
        }
    }
    Ok(())
}

fn profiles_follow_zones(bed: &Bed) -> Result<()> {
    // Nodes take turns in the zones: 1 and 3 share one, 2 is in the other.
    for (to, one_way) in [(2, 600e-6), (3, 100e-6)] {
        adds(bed, (1, to), "profile cloud", 2.0 * one_way, || {
            bed.bed(&["wire", "profile", "cloud"]).map(drop)
        })?;
    }
    Ok(())
}

fn jitter_keeps_the_order_of_a_flow(bed: &Bed) -> Result<()> {
    bed.bed(&["wire", "profile", "flat"])?;
    set(bed, 1, 2, &["--jitter", "5ms", "--tail", "5%:5ms-9ms", "--one-way"])?;
    let received = burst(bed, 1, 2, 200)?;
    ensure!(received.len() == 200, "{} of 200 arrived", received.len());
    ensure!(received.is_sorted(), "packets of one flow overtook each other");
    Ok(())
}

fn the_tail_hits_its_share(bed: &Bed) -> Result<()> {
    bed.bed(&["wire", "profile", "flat"])?;
    set(bed, 1, 2, &["--tail", "10%:20ms-20ms", "--one-way"])?;
    let seen = round_trips(bed, 1, 2, 500)?;
    // Packets may leave a little ahead of their time; those without the tail take a hundredth of it.
    let slow = seen.iter().filter(|seconds| **seconds >= 0.015).count();
    println!("a tail of 10 %: {slow} of {} packets", seen.len());
    // Five standard deviations of 500 draws at 10 %.
    ensure!((17..=83).contains(&slow), "a tail of 10 % hit {slow} of 500");
    Ok(())
}

fn loss_hits_its_share(bed: &Bed) -> Result<()> {
    bed.bed(&["wire", "profile", "flat"])?;
    set(bed, 1, 2, &["--loss", "20%", "--one-way"])?;
    // A receiver's buffer holds about 270 packets; what overflows there is not lost on the wire.
    let arrived = burst(bed, 1, 2, 200)?.len() + burst(bed, 1, 2, 200)?.len();
    println!("a loss of 20 %: {arrived} of 400 packets arrived");
    // Five standard deviations of 400 draws at 20 %.
    ensure!(
        (280..=360).contains(&arrived),
        "at a loss of 20 % {arrived} of 400 arrived"
    );
    let back = burst(bed, 2, 1, 200)?.len();
    ensure!(back == 200, "the other direction lost {} packets", 200 - back);
    Ok(())
}

fn bad_settings_are_refused(bed: &Bed) -> Result<()> {
    let before = bed.bed(&["wire", "show"])?;
    for words in [
        ["wire", "set", "node-1", "node-9", "--delay", "1ms"],
        ["wire", "set", "node-1", "node-1", "--delay", "1ms"],
        ["wire", "set", "node-1", "node-2", "--delay", "5"],
        ["wire", "set", "node-1", "node-2", "--loss", "200%"],
    ] {
        ensure!(bed.bed(&words).is_err(), "not refused: {words:?}");
    }
    let links = |text: &str| serde_json::from_str::<serde_json::Value>(text).map(|state| state["links"].clone());
    ensure!(
        links(&before)? == links(&bed.bed(&["wire", "show"])?)?,
        "a refused setting changed something"
    );
    Ok(())
}

fn a_killed_wire_starts_again_as_it_was(bed: &Bed) -> Result<()> {
    bed.bed(&["wire", "profile", "flat"])?;
    set(bed, 1, 2, &["--delay", "10ms"])?;
    bed.bed(&["kill", "wire"])?;
    ensure!(round_trips(bed, 1, 2, 1).is_err(), "packets pass without a wire");
    bed.bed(&["start", "wire"])?;
    let seen = median(round_trips(bed, 1, 2, 20)?);
    // Packets leave ahead by what the timer is usually late, so that on an unsteady machine half of them may be a little early.
    ensure!(
        (0.018..0.03).contains(&seen),
        "after a restart the round trip is {seen} s and not the 20 ms set"
    );
    // Whose devices went only after their process would be in the next one's way.
    for _ in 0..10 {
        bed.bed(&["kill", "wire"])?;
        bed.bed(&["start", "wire"])?;
    }
    Ok(())
}

fn set(bed: &Bed, from: u8, to: u8, change: &[&str]) -> Result<()> {
    let (from, to) = (format!("node-{from}"), format!("node-{to}"));
    bed.bed(&[&["wire", "set", &from, &to], change].concat())?;
    Ok(())
}

fn address(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 30, 0, 10 + node)
}

/// Sends packets one after the other to an echo in another node; seconds of each round trip.
fn round_trips(bed: &Bed, from: u8, to: u8, packets: usize) -> Result<Vec<f64>> {
    let over = AtomicBool::new(false);
    let (listening, listens) = mpsc::channel();
    std::thread::scope(|scope| {
        let echo = scope.spawn(|| bed.inside(&format!("node-{to}"), || echo(to, &over, listening)));
        let measured = listens
            .recv_timeout(Duration::from_secs(10))
            .context("no echo in the other node")
            .and_then(|()| {
                bed.inside(&format!("node-{from}"), || {
                    in_time();
                    let socket = UdpSocket::bind((address(from), 0))?;
                    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
                    socket.connect((address(to), PORT))?;
                    let mut seen = Vec::with_capacity(packets);
                    for number in 0..packets {
                        let sent = Instant::now();
                        socket.send(&number.to_le_bytes())?;
                        socket.recv(&mut [0; 16]).context("no answer over the wire")?;
                        seen.push(sent.elapsed().as_secs_f64());
                    }
                    Ok(seen)
                })
            });
        over.store(true, Ordering::Relaxed);
        echo.join().map_err(|_| anyhow::Error::msg("the echo panicked"))??;
        measured
    })
}

/// Gives this thread priority over whatever else the machine does: else the measurement would measure that.
fn in_time() {
    let thread = nix::unistd::gettid().to_string();
    let given = Command::new("chrt").args(["--rr", "--pid", "5", &thread]).output();
    if !given.is_ok_and(|given| given.status.success()) {
        println!("no priority for the measurement: its figures vary with the load");
    }
}

fn echo(node: u8, over: &AtomicBool, listening: mpsc::Sender<()>) -> Result<()> {
    in_time();
    let socket = UdpSocket::bind((address(node), PORT))?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    listening.send(())?;
    let mut packet = [0; 64];
    while !over.load(Ordering::Relaxed) {
        if let Ok((length, sender)) = socket.recv_from(&mut packet) {
            socket.send_to(packet.get(..length).unwrap_or_default(), sender)?;
        }
    }
    Ok(())
}

/// Sends numbered packets of one flow quickly; the numbers as they arrive, until none has come for a second.
fn burst(bed: &Bed, from: u8, to: u8, packets: u32) -> Result<Vec<u32>> {
    let (listening, listens) = mpsc::channel();
    std::thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            bed.inside(&format!("node-{to}"), || {
                in_time();
                let socket = UdpSocket::bind((address(to), PORT))?;
                socket.set_read_timeout(Some(Duration::from_secs(1)))?;
                listening.send(())?;
                let (mut seen, mut packet) = (Vec::new(), [0; 4]);
                while seen.len() < packets as usize && socket.recv(&mut packet).is_ok() {
                    seen.push(u32::from_le_bytes(packet));
                }
                Ok(seen)
            })
        });
        listens
            .recv_timeout(Duration::from_secs(10))
            .context("no receiver in the other node")?;
        bed.inside(&format!("node-{from}"), || {
            let socket = UdpSocket::bind((address(from), 0))?;
            for number in 0..packets {
                socket.send_to(&number.to_le_bytes(), (address(to), PORT))?;
            }
            Ok(())
        })?;
        receiver
            .join()
            .map_err(|_| anyhow::Error::msg("the receiver panicked"))?
    })
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}
