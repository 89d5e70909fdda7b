//! Renders events for sinks. Pure functions, one file or directory per format.
//!
//! Each format takes fields out of the event ([`leaves`]) and names them by its own schema. Fields
//! without a name there go into the format's extension, so that no field is lost.

mod cef;
mod classify;
mod config;
mod control;
mod dictionary;
mod document;
mod ecs;
mod event_tape;
mod explain;
mod layout;
mod leaves;
mod leef;
mod native;
mod ocsf;
mod people;
mod product;
mod remaining;
mod slots;
mod trie;

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use crate::event::Event;
use crate::json::Tape;
use event_tape::EventTape;
use leaves::Leaves;

pub use config::{Format, FormatConfig, OcsfVersion};
pub use dictionary::{FieldEntry, dictionary};
pub use explain::{Explanation, explain};
pub use leaves::MappedField;
pub use product::{Product, Products};

/// An event with its metadata.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// The typed event.
    pub event: &'a Event<'a>,
    /// The event's bytes as received: one well-formed JSON object.
    pub raw: &'a [u8],
    /// Time of receipt, in milliseconds since the Unix epoch.
    pub received_at: i64,
    /// Name of the configured source that received it.
    pub source: &'a str,
}

/// A rendered event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// One line, without the line break.
    pub bytes: Vec<u8>,
    /// True if a value was longer than the format allows. The whole value is in the format's
    /// extension.
    pub is_cut: bool,
}

/// Renders one event.
pub fn render(formatting: &FormatConfig, received: Received<'_>) -> Line {
    if formatting.format != Format::Native {
        return line(formatting, received, &mut Leaves::of(received));
    }
    let Received { raw, received_at, source, .. } = received;
    Line { bytes: native(formatting, raw, received_at, source).into_owned(), is_cut: false }
}

/// Does the same as [`render`] for an event whose fields are on a complete tape.
pub(crate) fn render_read<'a>(
    formatting: &FormatConfig,
    received: Received<'a>,
    tape: &'a Tape<'a>,
) -> Line {
    if formatting.format == Format::Native {
        return render(formatting, received);
    }
    line(formatting, received, &mut Leaves::on(received, EventTape::of(tape)))
}

/// Renders one event in the format `native`, which does not depend on the event's content.
pub fn native<'a>(
    formatting: &FormatConfig,
    raw: &'a [u8],
    received_at: i64,
    source: &str,
) -> Cow<'a, [u8]> {
    let line = native::render(raw);
    if formatting.wrap { Cow::Owned(wrapped(received_at, source, &line)) } else { line }
}

/// Renders one event from its fields.
fn line<'a>(formatting: &FormatConfig, received: Received<'a>, leaves: &mut Leaves<'a>) -> Line {
    let uncut = |bytes| Line { bytes, is_cut: false };
    match formatting.format {
        Format::Native => render(formatting, received),
        Format::Ecs => uncut(ecs::render(formatting, received, leaves)),
        Format::Ocsf => uncut(ocsf::render(formatting, received, leaves)),
        Format::Cef => cef::render(formatting, received, leaves),
        Format::Leef => leef::render(formatting, received, leaves),
    }
}

/// Wraps a JSON line into `{"received_at","source","event"}`.
fn wrapped(received_at: i64, source: &str, line: &[u8]) -> Vec<u8> {
    #[derive(Serialize)]
    struct WrapHead<'a> {
        received_at: String,
        source: &'a str,
    }
    let received_at = DateTime::from_timestamp_millis(received_at).unwrap_or_default();
    let received_at = received_at.to_rfc3339_opts(SecondsFormat::Millis, true);
    // Two strings cannot fail to serialize. The event would be kept even with an empty head.
    let mut out = serde_json::to_vec(&WrapHead { received_at, source }).unwrap_or_default();
    out.pop();
    out.extend_from_slice(b",\"event\":");
    out.extend_from_slice(line);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests;
