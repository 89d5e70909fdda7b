//! JSON documents with named fields, for the formats that emit JSON. A value is written once, when it is set;
//! the finished document puts the values in order.

use std::fmt::Display;
use std::io::Write;

use super::layout::{Field, Layout, MAX_FIELDS};
use super::leaves::{Leaves, MAX_TEXT_BYTES, is_blank};
use super::slots::Alternatives;
use crate::json::write_string;

/// Document fields that take a text unchanged, and the event fields that may fill them.
#[derive(Debug)]
pub(super) struct TextField {
    /// Names of the document fields.
    pub(super) names: &'static [&'static str],
    /// Event fields, the preferred one first.
    pub(super) from: Alternatives,
    fields: [Field; 2],
}

impl TextField {
    /// Returns a row for up to two fields of a format with these names.
    pub(super) const fn of(
        list: &[&str],
        names: &'static [&'static str],
        from: Alternatives,
    ) -> TextField {
        let fields = [Field::of(list, names[0]), Field::of(list, names[names.len() - 1])];
        TextField { names, from, fields }
    }
}

/// A document under construction.
#[derive(Debug)]
pub(super) struct Document {
    layout: &'static Layout,
    /// Values as JSON, in the order in which they were set.
    written: Vec<u8>,
    /// Extent of each field's value.
    values: [(usize, usize); MAX_FIELDS],
    /// Bit set of the fields that have a value.
    present: u128,
}

impl Document {
    /// Returns an empty document.
    pub(super) fn new(layout: &'static Layout) -> Document {
        let written = Vec::with_capacity(4096);
        Document { layout, written, values: [(0, 0); MAX_FIELDS], present: 0 }
    }

    /// Sets a field to a text. A text longer than [`MAX_TEXT_BYTES`] is cut, and its event field stays in the
    /// extension. An empty text is left out.
    pub(super) fn text(&mut self, field: Field, text: &str) {
        if !is_blank(text) {
            let end = text.floor_char_boundary(MAX_TEXT_BYTES);
            self.whole_text(field, &text[..end]);
        }
    }

    /// Sets a field to a text of any size.
    pub(super) fn whole_text(&mut self, field: Field, text: &str) {
        self.write(field, |out| write_string(out, text));
    }

    /// Sets a field to a number or a boolean.
    pub(super) fn plain(&mut self, field: Field, value: impl Display) {
        // A vector accepts all bytes.
        self.write(field, |out| drop(write!(out, "{value}")));
    }

    /// Sets a field to a list of texts.
    pub(super) fn texts<T: AsRef<str>>(
        &mut self,
        field: Field,
        texts: impl IntoIterator<Item = T>,
    ) {
        self.write(field, |out| {
            out.push(b'[');
            for (index, text) in texts.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(out, text.as_ref());
            }
            out.push(b']');
        });
    }

    /// Sets a field to the JSON that `value` appends.
    pub(super) fn write(&mut self, field: Field, value: impl FnOnce(&mut Vec<u8>)) {
        self.try_write(field, |out| {
            value(out);
            Some(())
        });
    }

    /// Sets a field to the JSON that `value` appends, unless it returns `None`.
    pub(super) fn try_write<T>(
        &mut self,
        field: Field,
        value: impl FnOnce(&mut Vec<u8>) -> Option<T>,
    ) -> Option<T> {
        let start = self.written.len();
        let result = value(&mut self.written)?;
        self.values[field.index()] = (start, self.written.len());
        self.present |= 1 << field.index();
        Some(result)
    }

    /// Fills each document field with the first of its event fields that is a text.
    pub(super) fn fill(&mut self, rows: &[TextField], leaves: &mut Leaves<'_>) {
        for TextField { names, from, fields } in rows {
            if let Some(text) = leaves.take_text(names, from) {
                fields.iter().take(names.len()).for_each(|field| self.text(*field, &text));
            }
        }
    }

    /// Returns whether a field has a value.
    pub(super) fn has(&self, field: Field) -> bool {
        self.present >> field.index() & 1 == 1
    }

    /// Returns the document as JSON on one line.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(self.written.len() + 32 * self.present.count_ones() as usize);
        let value = |index: usize, out: &mut Vec<u8>| {
            let (start, end) = self.values[index];
            out.extend_from_slice(&self.written[start..end]);
        };
        self.layout.write(set_bits(self.present), value, &mut out);
        out
    }
}

/// Returns the positions of the set bits, in ascending order.
fn set_bits(mut bits: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
        Some(lowest)
    })
}
