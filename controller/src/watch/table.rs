//! One kind's rows as its watch reports them.

use std::collections::BTreeMap;

/// One change of one kind. Rows are named `namespace/name`, or `name` where the kind has no namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<V> {
    /// The watch starts over: rows follow, and what is not among them when it is done is gone.
    Restart,
    /// A row of the restart, or a new or changed one. `None`: the object is of no use (left out).
    Row(String, Option<V>),
    /// The restart is done.
    Done,
    /// A row is gone.
    Gone(String),
    /// Huddle may not read the kind: nothing is known of it, which is not the same as there being none.
    Forbidden,
}

/// The rows of one kind. During a restart the old rows stay, so that readers never see half a cluster.
#[derive(Debug)]
pub struct Table<V> {
    rows: BTreeMap<String, V>,
    fresh: Option<BTreeMap<String, V>>,
    complete: bool,
    forbidden: bool,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            fresh: None,
            complete: false,
            forbidden: false,
        }
    }
}

impl<V: PartialEq> Table<V> {
    /// Takes in one change; says whether readers see anything different.
    pub fn apply(&mut self, change: Change<V>) -> bool {
        match change {
            Change::Restart => {
                self.fresh = Some(BTreeMap::new());
                false
            }
            Change::Row(key, value) => match &mut self.fresh {
                Some(fresh) => {
                    if let Some(value) = value {
                        fresh.insert(key, value);
                    }
                    false
                }
                None => match value {
                    Some(value) => {
                        let same = self.rows.get(&key) == Some(&value);
                        self.rows.insert(key, value);
                        !same
                    }
                    None => self.rows.remove(&key).is_some(),
                },
            },
            Change::Done => {
                let first = !self.complete || self.forbidden;
                (self.complete, self.forbidden) = (true, false);
                let fresh = self.fresh.take().unwrap_or_default();
                let same = fresh == self.rows;
                self.rows = fresh;
                first || !same
            }
            Change::Gone(key) => self.rows.remove(&key).is_some(),
            Change::Forbidden => {
                let news = !self.forbidden;
                self.rows.clear();
                (self.fresh, self.complete, self.forbidden) = (None, true, true);
                news
            }
        }
    }
    /// The rows, where Huddle may read them.
    pub fn known(&self) -> Option<impl Iterator<Item = &V>> {
        (!self.forbidden).then(|| self.rows.values())
    }
    /// Whether everything was read once.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
    /// The rows, ordered by name.
    pub fn rows(&self) -> impl Iterator<Item = &V> {
        self.rows.values()
    }
    /// One row.
    pub fn get(&self, key: &str) -> Option<&V> {
        self.rows.get(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, value: u8) -> Change<u8> {
        Change::Row(name.to_owned(), Some(value))
    }

    #[test]
    fn what_may_not_be_read_is_not_empty() {
        let mut table = Table::default();
        assert!(table.apply(Change::<u8>::Forbidden) && table.is_complete() && table.known().is_none());
        assert!(!table.apply(Change::Forbidden), "the same again is no change");
        table.apply(Change::Restart);
        assert!(table.apply(Change::Done), "nothing is there, and that is news");
        assert_eq!(table.known().unwrap().count(), 0);
        table.apply(row("a", 1));
        assert!(table.apply(Change::Forbidden), "the right was taken away");
        assert!(table.known().is_none() && table.rows().count() == 0);
    }

    #[test]
    fn a_restart_is_seen_whole_or_not_at_all() {
        let mut table = Table::default();
        assert!(!table.apply(Change::Restart) && !table.apply(row("a", 1)) && !table.apply(row("b", 2)));
        assert!(!table.is_complete() && table.rows().count() == 0);
        assert!(table.apply(Change::Done) && table.is_complete());
        assert!(!table.apply(row("a", 1)), "an equal row is no change");
        assert!(table.apply(row("a", 3)));
        table.apply(Change::Restart);
        table.apply(row("a", 3));
        assert_eq!(table.rows().count(), 2);
        assert!(table.apply(Change::Done));
        assert_eq!(table.rows().copied().collect::<Vec<_>>(), [3]);
        assert!(table.apply(Change::Row("a".to_owned(), None)));
        assert!(!table.apply(Change::Gone("a".to_owned())));
    }
}
