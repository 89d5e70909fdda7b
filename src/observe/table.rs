//! A table whose rows a sender can name: so many rows and no more. What finds no row is added up in one.

use std::collections::HashMap;

/// Rows by name.
#[derive(Debug)]
pub(super) struct Table<R> {
    places: HashMap<Box<str>, usize>,
    rows: Vec<(Box<str>, R)>,
    other: R,
    most: usize,
}

impl<R: Default> Table<R> {
    /// An empty table of `most` rows at most.
    pub(super) fn new(most: usize) -> Table<R> {
        Table { places: HashMap::new(), rows: Vec::new(), other: R::default(), most }
    }

    /// The row of that name, new if there is none; the one for all others where the table is full.
    pub(super) fn row(&mut self, name: &str) -> &mut R {
        match self.places.get(name) {
            Some(place) => &mut self.rows[*place].1,
            None if self.rows.len() == self.most => &mut self.other,
            None => {
                self.places.insert(name.into(), self.rows.len());
                &mut self.rows.push_mut((name.into(), R::default())).1
            }
        }
    }

    /// The row for all that found none.
    pub(super) fn other(&mut self) -> &mut R {
        &mut self.other
    }

    /// Every row with its name, in the order in which they came.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, &R)> {
        self.rows.iter().map(|(name, row)| (&**name, row))
    }

    /// What is in [`Table::other`].
    pub(super) fn others(&self) -> &R {
        &self.other
    }
}

/// A sender's text, cut to so many bytes, or a few less where a character ends.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_adds_the_rest_up() {
        let mut table: Table<u64> = Table::new(2);
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
