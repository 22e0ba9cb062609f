//! Laws of the wire contract: the buckets are HdrHistogram's, and decoders take any bytes.

use huddle_proto::{Batch, Histogram, Reply, buckets};
use proptest::prelude::*;
use prost::Message as _;

fn reference() -> hdrhistogram::Histogram<u64> {
    hdrhistogram::Histogram::new_with_bounds(1, buckets::HIGHEST_US, 2).expect("valid bounds")
}

/// Every bucket there is, edge to edge: with this, the mapping is right for every value, not only for drawn ones.
#[test]
fn every_bucket_is_hdrhistograms() {
    let reference = reference();
    let mut lowest = 0;
    for number in 0..u64::from(buckets::COUNT) {
        let index = buckets::Index::new(number).expect("an index");
        assert_eq!(index.lowest_us(), lowest, "buckets leave no gap");
        assert_eq!(index.lowest_us(), reference.lowest_equivalent(lowest));
        assert_eq!(index.highest_us(), reference.highest_equivalent(lowest));
        assert_eq!(buckets::index_of(index.lowest_us()), index);
        if index.highest_us() <= buckets::HIGHEST_US {
            assert_eq!(buckets::index_of(index.highest_us()), index);
        }
        lowest = index.highest_us() + 1;
    }
    assert!(lowest > buckets::HIGHEST_US, "the last bucket holds the highest value");
    assert_eq!(buckets::Index::new(u64::from(buckets::COUNT)), None);
    assert_eq!(buckets::index_of(u64::MAX), buckets::index_of(buckets::HIGHEST_US));
}

fn sparse() -> impl Strategy<Value = Vec<(buckets::Index, u64)>> {
    proptest::collection::btree_map(0..u64::from(buckets::COUNT), 1_u64..1 << 40, 0..120).prop_map(|map| {
        map.into_iter()
            .filter_map(|(index, count)| Some((buckets::Index::new(index)?, count)))
            .collect()
    })
}

proptest! {
    #[test]
    fn a_value_lands_where_hdrhistogram_puts_it(value in 0..=buckets::HIGHEST_US) {
        let index = buckets::index_of(value);
        prop_assert_eq!(index.lowest_us(), reference().lowest_equivalent(value));
        prop_assert_eq!(index.highest_us(), reference().highest_equivalent(value));
    }

    #[test]
    fn decode_undoes_encode(buckets in sparse()) {
        prop_assert_eq!(buckets::decode(&buckets::encode(buckets.clone())), Ok(buckets));
    }

    #[test]
    fn decode_takes_any_numbers(gaps_and_counts in proptest::collection::vec(any::<u64>(), 0..64)) {
        if let Ok(buckets) = buckets::decode(&Histogram { gaps_and_counts: gaps_and_counts.clone() }) {
            prop_assert_eq!(buckets::encode(buckets).gaps_and_counts, gaps_and_counts);
        }
    }

    #[test]
    fn decoders_take_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        if let Ok(batch) = Batch::decode(bytes.as_slice()) {
            prop_assert_eq!(Batch::decode(batch.encode_to_vec().as_slice()), Ok(batch));
        }
        if let Ok(reply) = Reply::decode(bytes.as_slice()) {
            prop_assert_eq!(Reply::decode(reply.encode_to_vec().as_slice()), Ok(reply));
        }
    }
}
