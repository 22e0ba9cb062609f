//! One packet's way: where it goes, how long it takes, whether it arrives.

use std::net::Ipv4Addr;

use super::queue::Nanos;
use super::settings::Link;

/// Flows told apart per link; two flows that share a number keep their order between them, which harms nothing.
const FLOWS: usize = 256;

/// The addresses of a packet, and a number that all packets of its flow share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub destination: Ipv4Addr,
    pub flow: usize,
}

impl Envelope {
    /// Reads an IPv4 packet's header; nothing for anything else.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let first = *packet.first()?;
        if first >> 4 != 4 {
            return None;
        }
        let destination: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
        let protocol = *packet.get(9)?;
        // Only TCP and UDP have ports, and only the first fragment shows them.
        let fragment = u16::from_be_bytes([*packet.get(6)? & 0x3f, *packet.get(7)?]);
        let start = usize::from(first & 0xf) * 4;
        let ports = if matches!(protocol, 6 | 17) && fragment == 0 {
            packet.get(start..start + 4).unwrap_or_default()
        } else {
            &[]
        };
        let mut hash = u32::from(protocol) ^ 0x811c_9dc5;
        for byte in packet.get(12..20)?.iter().chain(ports) {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
        Some(Self {
            destination: destination.into(),
            flow: (hash ^ (hash >> 15)) as usize % FLOWS,
        })
    }
}

/// One direction between two ports, with the memory that keeps flows in order.
pub(super) struct Line {
    /// What it is set to.
    pub link: Link,
    /// When the last packet of each flow is due; made when first needed, as most pairs never speak.
    last: Vec<Nanos>,
}

/// A fast generator of random numbers (splitmix64: Steele, Lea and Flood, 2014), seeded, so that a wire can be repeated.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly between 0 and 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly between two bounds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the value lies between the two bounds"
    )]
    fn between(&mut self, from: u64, to: u64) -> u64 {
        from + (self.unit() * (to.saturating_sub(from)) as f64) as u64
    }
}

impl Line {
    pub(super) fn new(link: Link) -> Self {
        Self { link, last: Vec::new() }
    }

    /// When a packet of that flow, read now, is due; nothing when it is lost.
    pub(super) fn due(&mut self, flow: usize, now: Nanos, random: &mut Random) -> Option<Nanos> {
        let link = self.link;
        if link == Link::default() && self.last.is_empty() {
            return Some(now);
        }
        if link.loss.get() > 0.0 && random.unit() < link.loss.get() {
            return None;
        }
        let mut wait = u64::from(link.delay_us) * 1_000;
        if link.jitter_us > 0 {
            wait += random.between(0, u64::from(link.jitter_us) * 1_000);
        }
        if link.tail.share.get() > 0.0 && random.unit() < link.tail.share.get() {
            wait += random.between(u64::from(link.tail.from_us) * 1_000, u64::from(link.tail.to_us) * 1_000);
        }
        if self.last.is_empty() {
            self.last.resize(FLOWS, 0);
        }
        let last = self.last.get_mut(flow % FLOWS)?;
        *last = (*last).max(now + wait);
        Some(*last)
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Share, Tail};
    use super::*;
    use proptest::prelude::*;

    fn packet(protocol: u8, source: [u8; 4], destination: [u8; 4], ports: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0];
        bytes.extend(source.iter().chain(&destination).chain(&ports));
        bytes
    }

    #[test]
    fn an_envelope_names_the_destination_and_keeps_a_flow_together() {
        let one = Envelope::read(&packet(6, [10, 244, 1, 2], [10, 244, 2, 3], [1, 2, 3, 4])).unwrap();
        let again = Envelope::read(&packet(6, [10, 244, 1, 2], [10, 244, 2, 3], [1, 2, 3, 4])).unwrap();
        assert_eq!(one, again);
        assert_eq!(one.destination, Ipv4Addr::new(10, 244, 2, 3));
    }

    #[test]
    fn what_is_no_ipv4_has_no_envelope() {
        assert_eq!(Envelope::read(&[]), None);
        assert_eq!(Envelope::read(&[0x60; 60]), None);
        assert_eq!(Envelope::read(&[0x45; 10]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Envelope::read(&bytes);
        }

        #[test]
        fn a_flow_keeps_its_order_whatever_the_link(delay in 0u32..1000, jitter in 0u32..1000, share in 0.0f64..1.0, seed: u64) {
            let tail = Tail { share: Share::try_from(share).unwrap(), from_us: 100, to_us: 5_000 };
            let mut line = Line::new(Link { delay_us: delay, jitter_us: jitter, tail, loss: Share::NONE });
            let mut random = Random::new(seed);
            let mut last = 0;
            for now in (0..100_000_u64).step_by(1_000) {
                let due = line.due(3, now, &mut random).unwrap();
                prop_assert!(due >= last && due >= now + u64::from(delay) * 1_000);
                last = due;
            }
        }
    }

    #[test]
    fn flows_pass_each_other_and_shares_are_met() {
        let tail = Tail {
            share: "10%".parse().unwrap(),
            from_us: 2_000,
            to_us: 5_000,
        };
        let mut line = Line::new(Link {
            delay_us: 100,
            jitter_us: 0,
            tail,
            loss: "20%".parse().unwrap(),
        });
        let mut random = Random::new(1);
        // A new flow number and long gaps, so that no packet waits for another.
        let dues: Vec<Option<u64>> = (0..10_000_u64)
            .map(|i| {
                line.due(i as usize, i * 10_000_000, &mut random)
                    .map(|due| due - i * 10_000_000)
            })
            .collect();
        let lost = dues.iter().filter(|due| due.is_none()).count();
        let slow = dues.iter().flatten().filter(|due| **due >= 2_100_000).count();
        assert!((1_900..2_100).contains(&lost), "{lost} lost of 10000 at 20 %");
        assert!((700..900).contains(&slow), "{slow} slow of 8000 at 10 %");
        assert!(
            dues.iter()
                .flatten()
                .all(|due| *due == 100_000 || (2_100_000..=5_100_000).contains(due))
        );
    }
}
