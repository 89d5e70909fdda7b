//! Redacts refused elements and whole bodies, which are not events.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::rules::Redaction;
use super::walk::{InputKind, walk};

/// Redacts a sequence of JSON values, and hides the bytes after the last well-formed value.
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
        let Some(part) = walk(redaction, text, InputKind::Fragment) else { break };
        parts.push(part);
        done = end;
    }
    let rest = &body[done..];
    if rest.trim_ascii().is_empty() && parts.iter().all(|part| matches!(part, Cow::Borrowed(_))) {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned([mark, &parts.concat(), &hide(rest)].concat())
}

/// Replaces each letter, each digit and each non-ASCII byte with `x`.
pub(super) fn hide(bytes: &[u8]) -> Vec<u8> {
    let hide = |byte: &u8| {
        if byte.is_ascii_alphanumeric() || !byte.is_ascii() { b'x' } else { *byte }
    };
    bytes.iter().map(hide).collect()
}
