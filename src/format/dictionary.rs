//! Data dictionary: each field that a format emits, with its type, source, events and an example.
//!
//! A test generates the tables in `fields/` from the fixtures, and reports when they are stale.

use serde::Serialize;

use super::Format;

/// A field of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FieldEntry {
    /// Name of the field or key; `[]` after the name of a list of objects.
    pub field: &'static str,
    /// Type of the value, for example `string` or `array of string`.
    #[serde(rename = "type")]
    pub value_type: &'static str,
    /// Event fields that fill it, `constant`, or `derived`.
    pub source: &'static str,
    /// Kinds of events that have it, as the registry of action types names them.
    pub events: &'static str,
    /// A value, cut if it is long.
    pub example: &'static str,
}

/// Returns the fields of a format, sorted by name.
pub fn dictionary(format: Format) -> impl Iterator<Item = FieldEntry> {
    table(format).lines().skip(1).filter_map(|line| {
        let columns: [&'static str; 5] = line.split('\t').collect::<Vec<_>>().try_into().ok()?;
        let [field, value_type, source, events, example] = columns;
        Some(FieldEntry { field, value_type, source, events, example })
    })
}

fn table(format: Format) -> &'static str {
    match format {
        Format::Native => include_str!("fields/native.tsv"),
        Format::Ecs => include_str!("fields/ecs.tsv"),
        Format::Ocsf => include_str!("fields/ocsf.tsv"),
        Format::Cef => include_str!("fields/cef.tsv"),
        Format::Leef => include_str!("fields/leef.tsv"),
    }
}
