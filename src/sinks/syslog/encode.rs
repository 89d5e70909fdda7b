//! Encodes one message: header, structured data, text, framing.

use chrono::{DateTime, Datelike, Utc};

use super::{Framing, HeaderFormat, Oversize, SyslogSinkConfig, Transport};
use crate::event::{Event, Severity};
use crate::sinks::{Reason, Rendered, SinkFinding};

/// Upper bound of a MSGID, in characters (RFC 5424, 6.2.7).
const MAX_MSGID_CHARS: usize = 32;

/// Byte order mark, which marks the text as UTF-8 (RFC 5424, 6.4).
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Encodes and frames a message.
///
/// # Errors
/// The message is longer than `max_size`, and `oversize` does not allow to shorten it enough.
pub(super) fn encode(
    settings: &SyslogSinkConfig,
    rendered: Rendered<'_>,
) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
    let Rendered { line, event, source } = rendered;
    let mut message = header(settings, event, source).into_bytes();
    let header_length = message.len();
    let text = printable(line);
    if !text.is_empty() {
        message.push(b' ');
        if settings.bom && settings.header == HeaderFormat::Rfc5424 {
            message.extend_from_slice(BOM);
        }
        message.extend_from_slice(&text);
    }
    let mut finding = None;
    if message.len() > settings.max_size {
        let keep = match settings.oversize {
            Oversize::DeadLetter => return Err(too_long(message.len(), settings)),
            Oversize::Truncate => character_boundary(&message, settings.max_size),
            Oversize::Compact => header_length,
        };
        if header_length > settings.max_size {
            return Err(too_long(header_length, settings));
        }
        message.truncate(keep);
        finding = Some(SinkFinding::Truncated);
    }
    Ok((framed(settings, message), finding))
}

fn framed(settings: &SyslogSinkConfig, mut message: Vec<u8>) -> Vec<u8> {
    match (settings.transport, settings.framing) {
        (Transport::Udp, _) => message,
        (_, Framing::Lf) => {
            message.push(b'\n');
            message
        }
        (_, Framing::OctetCounting) => {
            let mut frame = format!("{} ", message.len()).into_bytes();
            frame.extend_from_slice(&message);
            frame
        }
    }
}

/// Returns the header and the structured data: all bytes before the text.
fn header(settings: &SyslogSinkConfig, event: &Event<'_>, source: &str) -> String {
    let priority = u32::from(settings.facility) * 8 + severity(event.severity());
    let SyslogSinkConfig { hostname, app_name, .. } = settings;
    let time = event.time();
    match settings.header {
        HeaderFormat::Rfc5424 => {
            let (time, id) = (timestamp(time), name(event.kind(), MAX_MSGID_CHARS));
            let data = structured_data(settings, event, source);
            format!("<{priority}>1 {time} {hostname} {app_name} - {id} {data}")
        }
        HeaderFormat::Rfc3164 => {
            format!("<{priority}>{} {hostname} {app_name}:", time.format("%b %e %H:%M:%S"))
        }
    }
}

/// Returns the severity (RFC 5424, table 2).
fn severity(severity: Severity) -> u32 {
    match severity {
        Severity::Informational => 6,
        Severity::Low => 4,
        Severity::Medium => 3,
        Severity::High => 2,
    }
}

/// Formats a time with six digits of a second, and returns `-` for a year outside 0 to 9999 (RFC 5424, 6.2.3).
fn timestamp(time: DateTime<Utc>) -> String {
    if !(0..=9999).contains(&time.year()) {
        return "-".to_owned();
    }
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Returns at most `max_chars` visible ASCII characters; `-` for an empty text.
fn name(text: &str, max_chars: usize) -> String {
    let visible = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    let name: String = text.chars().take(max_chars).map(visible).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

fn structured_data(settings: &SyslogSinkConfig, event: &Event<'_>, source: &str) -> String {
    if !settings.structured_data {
        return "-".to_owned();
    }
    let uid = event.uid(source);
    let envelope = event.envelope();
    let mut data = format!("[davinci@{}", settings.enterprise_number);
    for (name, value) in [
        ("id", Some(&*envelope.id)),
        ("uid", Some(uid.as_str())),
        ("recordedAt", Some(&*envelope.recorded_at_text)),
        ("type", Some(&*envelope.action.kind)),
        ("outcome", Some(event.outcome().as_str())),
        ("interactionId", event.interaction_id()),
        ("flowId", event.flow_id()),
        ("environmentId", event.environment_id()),
    ] {
        if let Some(value) = value {
            data.push_str(&format!(" {name}=\"{}\"", escaped(value)));
        }
    }
    data.push(']');
    data
}

/// Escapes the three characters of RFC 5424, 6.3.3.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '\\' | ']' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Replaces control characters by spaces, because a receiver may take one for the end of the message. JSON has them
/// between tokens only. Tabs stay: LEEF needs them.
fn printable(mut line: Vec<u8>) -> Vec<u8> {
    for byte in &mut line {
        if *byte < b' ' && *byte != b'\t' {
            *byte = b' ';
        }
    }
    line
}

/// Returns the end of the last whole character within `max_bytes`.
fn character_boundary(text: &[u8], max_bytes: usize) -> usize {
    let is_continuation = |end: usize| text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80);
    (0..=max_bytes.min(text.len())).rev().find(|end| !is_continuation(*end)).unwrap_or(0)
}

fn too_long(length: usize, settings: &SyslogSinkConfig) -> Reason {
    let limit = settings.max_size;
    Reason::new(format!(
        "its syslog message takes {length} bytes, and max_size is {limit}; raise it, here and at the \
         receiver, or set oversize"
    ))
}
