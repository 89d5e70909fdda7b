//! What an event becomes before a sink sends it. Pure functions, one file per format.

mod cef;
mod ecs;
mod leaves;
mod leef;
mod native;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use crate::config::Format;
use crate::event::{Event, Interaction, Severity};

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
pub fn render(format: Format, wrap: bool, received: Received<'_>) -> Line {
    match format {
        Format::Native => {
            let line = native::render(received.raw);
            let bytes = if wrap { wrapped(received, &line) } else { line.into_owned() };
            Line { bytes, is_cut: false }
        }
        Format::Ecs => Line { bytes: ecs::render(received), is_cut: false },
        Format::Cef => cef::render(received),
        Format::Leef => leef::render(received),
    }
}

/// From 1 to 10, as ArcSight and QRadar count: up to 3 is low, from 4 medium, from 7 high.
fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Informational => 1,
        Severity::Low => 3,
        Severity::Medium => 5,
        Severity::High => 8,
    }
}

/// What kind of event it is, for people: eight fixed texts.
fn title(event: &Event<'_>) -> &'static str {
    match event {
        Event::Interaction(interaction) => match &interaction.interaction {
            Interaction::StartInteraction(_) => "DaVinci flow started",
            Interaction::CustomAnalytics(_) => "DaVinci custom analytics",
            Interaction::ReceiveRequest(_) => "DaVinci connector request received",
            Interaction::SendResponse(_) => "DaVinci connector response sent",
            Interaction::SendErrorResponse(_) => "DaVinci connector error response",
        },
        Event::Admin(_) => "DaVinci administration",
        Event::DeliveryTest(_) => "PingOne connection test",
        Event::Other(_) => "PingOne event",
    }
}

/// `{"received_at","source","event"}` around a line that is JSON itself.
fn wrapped(event: Received<'_>, line: &[u8]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Head<'a> {
        received_at: String,
        source: &'a str,
    }
    let received_at = DateTime::from_timestamp_millis(event.received_at).unwrap_or_default();
    let received_at = received_at.to_rfc3339_opts(SecondsFormat::Millis, true);
    // Two strings cannot fail to serialize; an empty head would still be followed by the event.
    let mut out =
        serde_json::to_vec(&Head { received_at, source: event.source }).unwrap_or_default();
    out.pop();
    out.extend_from_slice(b",\"event\":");
    out.extend_from_slice(line);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests;
