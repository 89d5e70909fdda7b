//! What an event becomes before a sink sends it. Pure functions, one file or folder per format.
//!
//! Each format takes members out of the event ([`leaves`]) and gives them names; what it has no name
//! for goes into its extension, so that no member is lost.

mod cef;
mod classify;
mod config;
mod document;
mod ecs;
mod exact;
mod explain;
mod leaves;
mod leef;
mod native;
mod ocsf;

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use crate::event::Event;
use leaves::Leaves;

pub use config::{Format, FormatConfig, OcsfVersion};
pub use explain::{Explanation, explain};
pub use leaves::Taken;

/// An event and what the receiver knows about it.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// The event, typed.
    pub event: &'a Event<'a>,
    /// The event's bytes, as received: one well-formed JSON object.
    pub raw: &'a [u8],
    /// When it was received, milliseconds since the epoch.
    pub received_at: i64,
    /// The configured source it came from.
    pub source: &'a str,
}

/// What a format makes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// One line, without the line break.
    pub bytes: Vec<u8>,
    /// Whether a value was longer than the format allows. It stands whole in the format's extension.
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

/// Renders one event in the format `native`, which needs not to know what the event says.
pub fn native<'a>(
    formatting: &FormatConfig,
    raw: &'a [u8],
    received_at: i64,
    source: &str,
) -> Cow<'a, [u8]> {
    let line = native::render(raw);
    if formatting.wrap { Cow::Owned(wrapped(received_at, source, &line)) } else { line }
}

/// Renders one event from its members.
fn line(formatting: &FormatConfig, received: Received<'_>, leaves: &mut Leaves) -> Line {
    let uncut = |bytes| Line { bytes, is_cut: false };
    match formatting.format {
        Format::Native => render(formatting, received),
        Format::Ecs => uncut(ecs::render(formatting, received, leaves)),
        Format::Ocsf => uncut(ocsf::render(formatting, received, leaves)),
        Format::Cef => cef::render(formatting, received, leaves),
        Format::Leef => leef::render(received, leaves),
    }
}

/// `{"received_at","source","event"}` around a line that is JSON itself.
fn wrapped(received_at: i64, source: &str, line: &[u8]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Head<'a> {
        received_at: String,
        source: &'a str,
    }
    let received_at = DateTime::from_timestamp_millis(received_at).unwrap_or_default();
    let received_at = received_at.to_rfc3339_opts(SecondsFormat::Millis, true);
    // Two strings cannot fail to serialize; an empty head would still be followed by the event.
    let mut out = serde_json::to_vec(&Head { received_at, source }).unwrap_or_default();
    out.pop();
    out.extend_from_slice(b",\"event\":");
    out.extend_from_slice(line);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests;
