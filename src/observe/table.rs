//! Table with a bounded number of rows, whose keys senders control. One more row sums up the rest.

use std::collections::HashMap;

/// Rows by name.
#[derive(Debug)]
pub(super) struct BoundedTable<R> {
    indexes: HashMap<Box<str>, usize>,
    rows: Vec<(Box<str>, R)>,
    other: R,
    max_rows: usize,
}

impl<R: Default> BoundedTable<R> {
    /// Creates an empty table of at most `max_rows` rows.
    pub(super) fn new(max_rows: usize) -> BoundedTable<R> {
        BoundedTable { indexes: HashMap::new(), rows: Vec::new(), other: R::default(), max_rows }
    }

    /// Returns the row of `name`, which is created if absent; the sum of all others if the table is full.
    pub(super) fn row(&mut self, name: &str) -> &mut R {
        match self.indexes.get(name) {
            Some(index) => &mut self.rows[*index].1,
            None if self.rows.len() == self.max_rows => &mut self.other,
            None => {
                self.indexes.insert(name.into(), self.rows.len());
                &mut self.rows.push_mut((name.into(), R::default())).1
            }
        }
    }

    /// Returns the sum of all others, for changes.
    pub(super) fn other(&mut self) -> &mut R {
        &mut self.other
    }

    /// Returns every row with its name, in the order of creation.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, &R)> {
        self.rows.iter().map(|(name, row)| (&**name, row))
    }

    /// Returns the sum of all others.
    pub(super) fn others(&self) -> &R {
        &self.other
    }
}

/// Truncates a text to at most `bytes` bytes, at a character boundary.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_sums_up_the_rest() {
        let mut table: BoundedTable<u64> = BoundedTable::new(2);
        for name in ["a", "b", "c", "a", "d", "b", "a"] {
            *table.row(name) += 1;
        }
        assert_eq!(table.rows().collect::<Vec<_>>(), [("a", &3), ("b", &2)]);
        assert_eq!(*table.others(), 2);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("aéb", 2), "a");
        assert_eq!(cut("aéb", 3), "aé");
        assert_eq!(cut("ab", 9), "ab");
    }
}
