//! Flat storage of the search: services by nodes, read and written without a way to panic.

/// The value at an index, or the type's default beyond the end. The search never goes beyond; should it, nothing breaks.
#[inline]
pub(super) fn at<T: Copy + Default>(values: &[T], index: usize) -> T {
    values.get(index).copied().unwrap_or_default()
}

/// Writes a value at an index; beyond the end, nothing.
#[inline]
pub(super) fn put<T>(values: &mut [T], index: usize, value: T) {
    if let Some(slot) = values.get_mut(index) {
        *slot = value;
    }
}

/// One value per service and node, in one piece of memory, a service's row in order of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table<T> {
    columns: usize,
    cells: Vec<T>,
}

impl<T: Copy + Default> Table<T> {
    pub(super) fn new(rows: usize, columns: usize) -> Self {
        Self {
            columns,
            cells: vec![T::default(); rows.saturating_mul(columns)],
        }
    }

    #[inline]
    pub(super) fn at(&self, row: usize, column: usize) -> T {
        at(&self.cells, row * self.columns + column)
    }

    #[inline]
    pub(super) fn put(&mut self, row: usize, column: usize, value: T) {
        put(&mut self.cells, row * self.columns + column, value);
    }

    /// One service's values, by node.
    pub(super) fn row(&self, row: usize) -> &[T] {
        self.cells
            .get(row * self.columns..(row + 1) * self.columns)
            .unwrap_or_default()
    }

    /// Takes over another table's values without new memory where the sizes agree.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.columns = other.columns;
        self.cells.clone_from(&other.cells);
    }
}
