//! Values by number that differ in a few places from ones that are shared: a candidate's layout and loads beside those that it starts
//! from. In a cluster of 150 000 pods a copy of all of them costs more than what the candidate changes.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Patches are merged into a base of their own once they are more than one value in so many: to look them up costs more than a copy then.
const MERGED_AT: usize = 8;

/// Values by number. Copies share the base and hold what differs from it; a base that nobody shares is written in place.
#[derive(Clone, Debug)]
pub(crate) struct Patched<T> {
    base: Arc<Vec<T>>,
    /// Only values that differ from the base's.
    patches: BTreeMap<usize, T>,
}

impl<T: Copy + PartialEq> Patched<T> {
    pub(crate) fn new(base: Vec<T>) -> Self {
        Self {
            base: Arc::new(base),
            patches: BTreeMap::new(),
        }
    }

    pub(crate) fn get(&self, ix: usize) -> Option<T> {
        self.patches.get(&ix).or_else(|| self.base.get(ix)).copied()
    }

    /// Sets a value; `None` where there is no such number.
    pub(crate) fn set(&mut self, ix: usize, value: T) -> Option<()> {
        let before = *self.base.get(ix)?;
        if before == value {
            self.patches.remove(&ix);
        } else if let Some(base) = Arc::get_mut(&mut self.base).filter(|_| self.patches.is_empty()) {
            *base.get_mut(ix)? = value;
        } else {
            self.patches.insert(ix, value);
        }
        Some(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> + '_ {
        let mut patches = self.patches.iter().peekable();
        self.base.iter().enumerate().map(move |(ix, base)| {
            let patch = patches.next_if(|(patched, _)| **patched == ix);
            patch.map_or(*base, |(_, value)| *value)
        })
    }

    /// Numbers whose value differs from the base's, in their order.
    pub(crate) fn patched(&self) -> impl Iterator<Item = usize> + '_ {
        self.patches.keys().copied()
    }

    /// Numbers whose values differ from another's, in their order.
    pub(crate) fn differing(&self, other: &Self) -> BTreeSet<usize> {
        let differs = |ix: &usize| self.get(*ix) != other.get(*ix);
        if Arc::ptr_eq(&self.base, &other.base) {
            self.patched().chain(other.patched()).filter(differs).collect()
        } else {
            (0..self.base.len().max(other.base.len())).filter(differs).collect()
        }
    }

    /// The same values, with a base of their own where they have drifted far from the shared one.
    pub(crate) fn merged(self) -> Self {
        if self.patches.len() * MERGED_AT > self.base.len() {
            Self::new(self.iter().collect())
        } else {
            self
        }
    }
}

impl<T: Copy + PartialEq> PartialEq for Patched<T> {
    fn eq(&self, other: &Self) -> bool {
        self.differing(other).is_empty()
    }
}

impl<T: Copy + Ord> Patched<T> {
    /// The order of the values, number by number.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let first = self.differing(other).first().copied();
        first.map_or(Ordering::Equal, |ix| self.get(ix).cmp(&other.get(ix)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is set in two copies of one base, they are what plain lists are.
        #[test]
        fn they_are_what_a_list_is(
            base in prop::collection::vec(0_u8..4, 1..12),
            sets in prop::collection::vec((any::<bool>(), 0_usize..14, 0_u8..4), 0..30),
            merged in any::<bool>(),
        ) {
            let mut plain = [base.clone(), base.clone()];
            let shared = Patched::new(base);
            let mut patched = [shared.clone(), shared];
            for (second, ix, value) in sets {
                let at = usize::from(second);
                let set = plain[at].get_mut(ix).map(|slot| *slot = value);
                prop_assert_eq!(patched[at].set(ix, value), set);
            }
            if merged {
                patched = patched.map(Patched::merged);
            }
            for (plain, patched) in plain.iter().zip(&patched) {
                prop_assert_eq!(plain, &patched.iter().collect::<Vec<_>>());
                for ix in 0..14 {
                    prop_assert_eq!(plain.get(ix).copied(), patched.get(ix));
                }
            }
            let [a, b] = &patched;
            prop_assert_eq!(plain[0] == plain[1], a == b);
            prop_assert_eq!(plain[0].cmp(&plain[1]), a.compare(b));
            let differing = (0..plain[0].len()).filter(|ix| plain[0][*ix] != plain[1][*ix]);
            prop_assert_eq!(differing.collect::<BTreeSet<_>>(), a.differing(b));
        }
    }

    #[test]
    fn values_that_nobody_shares_are_written_in_place() {
        let mut values = Patched::new(vec![0; 4]);
        values.set(1, 7).unwrap();
        assert_eq!(values.patched().count(), 0);
        let mut copy = values.clone();
        copy.set(2, 7).unwrap();
        assert_eq!((copy.patched().count(), values.get(2)), (1, Some(0)));
    }
}
