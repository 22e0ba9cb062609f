//! A histogram that holds only the buckets in use.

use huddle_proto::{Histogram, buckets};

/// Bytes of one bucket in memory.
pub(crate) const BUCKET_BYTES: usize = size_of::<Bucket>();

/// Buckets added whenever the room is used up: a steady edge fills 30 to 80.
const GROWTH: usize = 16;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    index: buckets::Index,
    count: u32,
}

/// Counts per bucket, in ascending order of buckets. A count holds 32 bits: at a million requests per second in one bucket it
/// lasts for an hour without a report.
#[derive(Debug, Default)]
pub(crate) struct Sparse {
    buckets: Vec<Bucket>,
}

/// A value did not fit: no memory left for a new bucket, or a count that cannot grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Sparse {
    /// Adds a value, taking memory for new buckets from `budget` (bytes).
    pub(crate) fn record(&mut self, value_us: u64, budget: &mut usize) -> Result<(), NoRoom> {
        let index = buckets::index_of(value_us);
        match self.buckets.binary_search_by_key(&index, |bucket| bucket.index) {
            Ok(at) => {
                let bucket = self.buckets.get_mut(at).ok_or(NoRoom)?;
                bucket.count = bucket.count.checked_add(1).ok_or(NoRoom)?;
            }
            Err(at) => {
                if self.buckets.len() == self.buckets.capacity() {
                    let left = budget.checked_sub(GROWTH.saturating_mul(BUCKET_BYTES)).ok_or(NoRoom)?;
                    self.buckets.reserve_exact(GROWTH);
                    *budget = left;
                }
                self.buckets.insert(at, Bucket { index, count: 1 });
            }
        }
        Ok(())
    }

    /// Bytes of memory held, used or not.
    pub(crate) fn bytes(&self) -> usize {
        self.buckets.capacity().saturating_mul(BUCKET_BYTES)
    }

    /// Empties the histogram and keeps its memory for the next window.
    pub(crate) fn clear(&mut self) {
        self.buckets.clear();
    }

    /// The histogram for the wire; none if it is empty.
    pub(crate) fn encode(&self) -> Option<Histogram> {
        if self.buckets.is_empty() {
            return None;
        }
        Some(buckets::encode(
            self.buckets
                .iter()
                .map(|bucket| (bucket.index, u64::from(bucket.count))),
        ))
    }
}
