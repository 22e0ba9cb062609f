//! The histogram's buckets, in one place for both ends.
//!
//! HdrHistogram's layout (Gil Tene, hdrhistogram.org) for lowest value 1, highest 60 000 000, 2 significant digits: values below
//! 256 have a bucket each; above, every doubling is cut into 128 equal buckets, so that a bucket is at most 1/128 of its value
//! wide. A law in the tests holds it equal to the `hdrhistogram` crate for every value.

use crate::Histogram;

/// Values above this many microseconds (60 s) are counted as this many.
pub const HIGHEST_US: u64 = 60_000_000;

/// Number of buckets that values from 0 to [`HIGHEST_US`] can fall into: indexes are below it.
pub const COUNT: u16 = 2_533;

/// Index of a bucket: always below [`COUNT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(u16);

impl Index {
    /// Takes a number from the wire; none if there is no such bucket.
    pub fn new(index: u64) -> Option<Self> {
        u16::try_from(index).ok().filter(|&index| index < COUNT).map(Self)
    }

    /// The bucket as a number below [`COUNT`].
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The smallest value, in microseconds, that this bucket counts.
    pub const fn lowest_us(self) -> u64 {
        let index = self.0 as u64;
        let exponent = self.exponent();
        // index − exponent × 128 is in 0..256, so the shift keeps all bits.
        (index - exponent as u64 * HALF) << exponent
    }

    /// The largest value, in microseconds, that this bucket counts (the last bucket counts everything above as well).
    pub const fn highest_us(self) -> u64 {
        self.lowest_us() + (1 << self.exponent()) - 1
    }

    const fn exponent(self) -> u32 {
        ((self.0 as u32) / HALF as u32).saturating_sub(1)
    }
}

/// Buckets per doubling: half of 256, the power of two at or above 2 × 10² (two significant digits).
const HALF: u64 = 128;

/// The bucket of a value in microseconds. Values above [`HIGHEST_US`] go where [`HIGHEST_US`] goes.
pub const fn index_of(value_us: u64) -> Index {
    let value = if value_us > HIGHEST_US { HIGHEST_US } else { value_us };
    let bits = u64::BITS - value.leading_zeros();
    let exponent = bits.saturating_sub(8);
    // At most 18 × 128 + 228 = COUNT − 1, which fits; the law in the tests holds it.
    Index((exponent as u64 * HALF + (value >> exponent)) as u16)
}

/// Why a histogram from the wire was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A gap without a count.
    OddLength,
    /// A gap of 0 after the first, or a count of 0.
    Zero,
    /// An index beyond the last bucket.
    Beyond,
    /// The counts add up to more than 2⁶⁴ − 1.
    Overflow,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OddLength => "a gap without a count",
            Self::Zero => "a gap or a count of 0",
            Self::Beyond => "an index beyond the last bucket",
            Self::Overflow => "counts beyond 64 bits",
        })
    }
}

impl std::error::Error for Malformed {}

/// Writes buckets for the wire. The buckets must come in ascending order without repeats and with counts of at least 1; one that
/// does not is left out rather than written wrongly.
pub fn encode(buckets: impl IntoIterator<Item = (Index, u64)>) -> Histogram {
    let mut gaps_and_counts = Vec::new();
    let mut last: Option<u16> = None;
    for (index, count) in buckets {
        let gap = match last {
            None => index.0,
            Some(before) if before < index.0 => index.0 - before,
            Some(_) => continue,
        };
        if count == 0 {
            continue;
        }
        gaps_and_counts.push(u64::from(gap));
        gaps_and_counts.push(count);
        last = Some(index.0);
    }
    Histogram { gaps_and_counts }
}

/// Reads a histogram from the wire into buckets in ascending order, each with a count of at least 1. The sum of the counts is
/// sure to fit 64 bits.
///
/// # Errors
/// Says what is wrong with the first pair at fault; nothing of such a histogram should be used.
pub fn decode(histogram: &Histogram) -> Result<Vec<(Index, u64)>, Malformed> {
    let (pairs, rest) = histogram.gaps_and_counts.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Malformed::OddLength);
    }
    // No more than there are buckets: a liar cannot make us reserve memory.
    let mut buckets = Vec::with_capacity(pairs.len().min(usize::from(COUNT)));
    let mut last: Option<u64> = None;
    let mut total = 0_u64;
    for &[gap, count] in pairs {
        if count == 0 || (gap == 0 && last.is_some()) {
            return Err(Malformed::Zero);
        }
        let number = last.unwrap_or(0).checked_add(gap).ok_or(Malformed::Beyond)?;
        let index = Index::new(number).ok_or(Malformed::Beyond)?;
        total = total.checked_add(count).ok_or(Malformed::Overflow)?;
        buckets.push((index, count));
        last = Some(number);
    }
    Ok(buckets)
}
