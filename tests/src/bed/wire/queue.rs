//! Packets by the time they are due.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Nanoseconds on the machine's monotonic clock.
pub(super) type Nanos = u64;

/// A packet on its way to a port.
pub(super) struct Packet {
    /// When it is due.
    pub due: Nanos,
    /// Index of the port it goes to.
    pub to: usize,
    /// The packet as read from the device.
    pub bytes: Vec<u8>,
    /// Arrival number: packets due at once leave in the order they came.
    number: u64,
}

impl PartialEq for Packet {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Packet {}

impl PartialOrd for Packet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Packet {
    /// The next one due is the greatest, because the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

/// Packets that wait, the next one due first; bounded, so that a flood costs memory only up to a limit.
pub(super) struct Queue {
    heap: BinaryHeap<Packet>,
    next_number: u64,
    limit: usize,
    /// Buffers of packets that have left, to be used again.
    spare: Vec<Vec<u8>>,
}

/// Largest packet the devices carry, with room to spare.
pub(super) const PACKET: usize = 2048;

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            heap: BinaryHeap::new(),
            next_number: 0,
            limit,
            spare: Vec::new(),
        }
    }

    /// A buffer to read a packet into, [`PACKET`] bytes long.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.resize(PACKET, 0);
        buffer
    }

    /// Takes back a buffer that is not needed any more.
    pub(super) fn give_back(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < 4096 {
            self.spare.push(buffer);
        }
    }

    /// Keeps the packet until it is due; false when there is no room.
    pub(super) fn push(&mut self, due: Nanos, to: usize, bytes: Vec<u8>) -> bool {
        if self.heap.len() >= self.limit {
            self.give_back(bytes);
            return false;
        }
        self.heap.push(Packet {
            due,
            to,
            bytes,
            number: self.next_number,
        });
        self.next_number += 1;
        true
    }

    /// When the next packet is due.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        self.heap.peek().map(|packet| packet.due)
    }

    /// The next packet, if it is due by then.
    pub(super) fn pop_due(&mut self, now: Nanos) -> Option<Packet> {
        if self.next_due()? > now {
            return None;
        }
        self.heap.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packets_leave_when_due_and_in_order_of_arrival_when_due_at_once(dues in prop::collection::vec(0u64..20, 0..200)) {
            let mut queue = Queue::new(1000);
            for (i, due) in dues.iter().enumerate() {
                prop_assert!(queue.push(*due, i, Vec::new()));
            }
            let mut left = Vec::new();
            for now in 0..20 {
                while let Some(packet) = queue.pop_due(now) {
                    prop_assert_eq!(packet.due, now);
                    left.push((packet.due, packet.to));
                }
            }
            let mut expected: Vec<(u64, usize)> = dues.iter().copied().zip(0..).collect();
            expected.sort();
            prop_assert_eq!(left, expected);
        }
    }

    #[test]
    fn a_full_queue_refuses_and_keeps_what_it_has() {
        let mut queue = Queue::new(1);
        assert!(queue.push(1, 0, Vec::new()));
        assert!(!queue.push(0, 1, Vec::new()));
        assert_eq!(queue.pop_due(5).map(|packet| packet.to), Some(0));
    }
}
