//! Values of one column, taken out of JSON documents with the levels by which Parquet puts documents together again.
//! <https://parquet.apache.org/docs/file-format/nestedencoding/>

use parquet::data_type::ByteArray;
use serde_json::Value;

use super::columns::{Column, ColumnStep, ColumnType};

/// Values of a column for some documents.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shredded {
    /// For each entry, the number of optional and repeated fields that are present.
    pub(super) definition: Vec<i16>,
    /// For each entry, 0 at the beginning of a document, and 1 for a further element of a list.
    pub(super) repetition: Vec<i16>,
    pub(super) values: Values,
}

/// The values that are present, by type.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Values {
    pub(super) texts: Vec<ByteArray>,
    pub(super) bools: Vec<bool>,
    pub(super) ints: Vec<i32>,
    pub(super) longs: Vec<i64>,
}

/// Returns the values of `column` in all documents.
pub(super) fn shred(column: &Column, documents: &[Value]) -> Shredded {
    let mut shredded = Shredded::default();
    for document in documents {
        shredded.add(document, &column.steps, column.kind, 0, 0);
    }
    shredded
}

impl Shredded {
    /// Adds the entries of one object, of which `definition` levels are present.
    fn add(
        &mut self,
        object: &Value,
        steps: &[ColumnStep],
        kind: ColumnType,
        definition: i16,
        repetition: i16,
    ) {
        let Some((step, rest)) = steps.split_first() else { return };
        let Some(found) = object.get(step.name).filter(|value| !value.is_null()) else {
            return self.absent(definition, repetition);
        };
        if !step.is_list {
            return self.inside(found, rest, kind, definition + 1, repetition);
        }
        // The list itself is one level, its repeated group another one.
        let items = found.as_array().map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() {
            return self.absent(definition + 1, repetition);
        }
        for (index, item) in items.iter().enumerate() {
            let repetition = if index == 0 { repetition } else { 1 };
            match item.is_null() {
                true => self.absent(definition + 2, repetition),
                false => self.inside(item, rest, kind, definition + 3, repetition),
            }
        }
    }

    fn inside(
        &mut self,
        value: &Value,
        rest: &[ColumnStep],
        kind: ColumnType,
        definition: i16,
        repetition: i16,
    ) {
        match rest.is_empty() {
            true => self.value(value, kind, definition, repetition),
            false => self.add(value, rest, kind, definition, repetition),
        }
    }

    fn absent(&mut self, definition: i16, repetition: i16) {
        self.definition.push(definition);
        self.repetition.push(repetition);
    }

    /// Adds a value. A value of another type than the column's, which the format never writes, counts as absent.
    fn value(&mut self, value: &Value, kind: ColumnType, definition: i16, repetition: i16) {
        let Values { texts, bools, ints, longs } = &mut self.values;
        let int = || value.as_i64().and_then(|number| i32::try_from(number).ok());
        let text = |text: String| ByteArray::from(text.into_bytes());
        let is_taken = match kind {
            ColumnType::Text => add(texts, value.as_str().map(|value| text(value.to_owned()))),
            ColumnType::Json => add(texts, Some(text(value.to_string()))),
            ColumnType::Bool => add(bools, value.as_bool()),
            ColumnType::Int => add(ints, int()),
            ColumnType::Long => add(longs, value.as_i64()),
        };
        self.absent(if is_taken { definition } else { definition - 1 }, repetition);
    }
}

/// Appends a value. Returns false if there is none.
fn add<T>(values: &mut Vec<T>, value: Option<T>) -> bool {
    let is_some = value.is_some();
    values.extend(value);
    is_some
}
