//! What is no event: refused elements and whole bodies.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::rules::Redaction;
use super::walk::{Shape, walk};

/// Redacts JSON values one after the other, and hides what follows the last that is well-formed.
pub(super) fn redact<'a>(redaction: &Redaction, bytes: &'a [u8]) -> Cow<'a, [u8]> {
    let mark = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let (mark, body) = bytes.split_at(mark);
    let mut parts = Vec::new();
    let mut done = 0;
    // This parser checks the grammar without recursion, at any depth.
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<IgnoredAny>();
    while let Some(Ok(_)) = values.next() {
        let end = values.byte_offset();
        let Ok(text) = std::str::from_utf8(&body[done..end]) else { break };
        let Some(part) = walk(redaction, text, Shape::Fragment) else { break };
        parts.push(part);
        done = end;
    }
    let rest = &body[done..];
    if rest.trim_ascii().is_empty() && parts.iter().all(|part| matches!(part, Cow::Borrowed(_))) {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned([mark, &parts.concat(), &hide(rest)].concat())
}

/// The same bytes with an `x` for each letter, digit and byte that is not ASCII.
pub(super) fn hide(bytes: &[u8]) -> Vec<u8> {
    let hide = |byte: &u8| {
        if byte.is_ascii_alphanumeric() || !byte.is_ascii() { b'x' } else { *byte }
    };
    bytes.iter().map(hide).collect()
}
