//! JSON without a tree. Pure.
//!
//! [`Tape`] checks the grammar of an object and lists its fields. The
//! functions here work on text that was already accepted: they find the end of a value, decode a
//! string, and locate parts of it.
//!
//! The functions require text that [`crate::decode`] has accepted. On malformed text they return a
//! wrong result or none, but never panic or loop.

mod grammar;
mod scan;
mod tape;
mod write;

use std::borrow::Cow;

pub(crate) use tape::{MAX_ENTRIES, MAX_NODES, Tape, TapeNode, UNLIMITED_NODES, tag};
pub(crate) use write::{shortest_number, write_scalar, write_string};

/// Returns the position after whitespace.
pub(crate) fn skip_space(text: &str, mut at: usize) -> usize {
    while matches!(text.as_bytes().get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// Returns the position after the value that begins at `at`.
pub(crate) fn skip_value(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    match bytes.get(at)? {
        b'"' => string_end(text.as_bytes(), at),
        b'{' | b'[' => {
            let (mut depth, mut at) = (0_usize, at);
            loop {
                match bytes.get(at)? {
                    b'"' => at = string_end(text.as_bytes(), at)? - 1,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        b'}' | b']' | b',' | b':' => None,
        _ => {
            let ends = |byte: &u8| b"{}[],:\" \t\r\n".contains(byte);
            Some(bytes[at..].iter().position(ends).map_or(bytes.len(), |length| at + length))
        }
    }
}

/// Returns the position after the string whose opening quote is at `at`.
pub(crate) fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at = scan::special(text, at)?;
        match text[at] {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            // A raw control character is not JSON, but does not end the string either.
            _ => at += 1,
        }
    }
}

/// Decodes a string. `raw` is the text between its quotes. Half a surrogate pair becomes U+FFFD.
pub(crate) fn decode(raw: &str) -> Cow<'_, str> {
    if !scan::has_escape(raw.as_bytes()) {
        return Cow::Borrowed(raw);
    }
    let (mut text, mut at) = (String::with_capacity(raw.len()), 0);
    while let Some((length, character)) = unit(raw, at) {
        text.push(character);
        at += length;
    }
    Cow::Owned(text)
}

/// Decodes a string to bytes: UTF-8, with half a surrogate pair as WTF-8. Different strings have
/// different bytes.
pub(crate) fn decode_exact(raw: &str) -> Vec<u8> {
    let (mut bytes, mut at) = (Vec::with_capacity(raw.len()), 0);
    while let Some((length, character)) = unit(raw, at) {
        let half = raw.get(at..at + length).filter(|_| character == char::REPLACEMENT_CHARACTER);
        let half = half.and_then(|written| written.strip_prefix("\\u"));
        match half.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
            // The three bytes that UTF-8 would use for this code point.
            Some(half) => bytes.extend([
                0xe0 | (half >> 12) as u8,
                0x80 | (half >> 6 & 0x3f) as u8,
                0x80 | (half & 0x3f) as u8,
            ]),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        at += length;
    }
    bytes
}

/// Returns whether a string contains half a surrogate pair, which [`decode`] cannot keep.
pub(crate) fn has_lone_surrogate(raw: &str) -> bool {
    let mut at = if scan::has_escape(raw.as_bytes()) { 0 } else { raw.len() };
    while let Some((length, character)) = unit(raw, at) {
        let written = raw.get(at..at + length).unwrap_or_default();
        if character == char::REPLACEMENT_CHARACTER
            && written.starts_with('\\')
            && !written.eq_ignore_ascii_case("\\ufffd")
        {
            return true;
        }
        at += length;
    }
    false
}

/// Maps byte positions of a decoded string to positions in its written form, in ascending order.
#[derive(Debug)]
pub(crate) struct Spans<'a> {
    raw: &'a str,
    at: usize,
    decoded: usize,
}

impl<'a> Spans<'a> {
    /// Starts at the beginning of the string written as `raw` between its quotes.
    pub(crate) fn new(raw: &'a str) -> Spans<'a> {
        Spans { raw, at: 0, decoded: 0 }
    }

    /// Returns the written position of byte `decoded` of the decoded string.
    pub(crate) fn of(&mut self, decoded: usize) -> usize {
        while self.decoded < decoded {
            let Some((length, character)) = unit(self.raw, self.at) else { break };
            self.at += length;
            self.decoded += character.len_utf8();
        }
        self.at
    }
}

/// Returns the number of bytes in which the character at `at` is written, and the character.
fn unit(raw: &str, at: usize) -> Option<(usize, char)> {
    let rest = raw.get(at..)?;
    let first = rest.chars().next()?;
    if first != '\\' {
        return Some((first.len_utf8(), first));
    }
    let simple = |character| Some((2, character));
    match rest.as_bytes().get(1)? {
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        b'n' => simple('\n'),
        b'r' => simple('\r'),
        b't' => simple('\t'),
        b'u' => Some(code_point(rest)),
        byte if byte.is_ascii() => simple(char::from(*byte)),
        _ => Some((1, '\\')),
    }
}

/// Decodes one `\u` escape, or two that form one character.
fn code_point(rest: &str) -> (usize, char) {
    let escaped = |at: usize| {
        let digits = rest.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    // Well-formed JSON has four digits here. Otherwise the backslash is taken literally.
    let Some(first) = escaped(0) else { return (1, '\\') };
    if (0xd800..0xdc00).contains(&first)
        && let Some(second) = escaped(6).filter(|second| (0xdc00..0xe000).contains(second))
    {
        let point = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (12, char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    (6, char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// Returns the fields of an object in order: the name as written between its quotes, and the value.
pub(crate) fn fields(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut at = if text.starts_with('{') { 1 } else { text.len() };
    std::iter::from_fn(move || {
        let start = next(text, &mut at)?;
        let end = string_end(text.as_bytes(), start)
            .filter(|_| text.as_bytes().get(start) == Some(&b'"'))?;
        let value = skip_space(text, skip_space(text, end) + 1);
        at = skip_value(text, value)?;
        Some((text.get(start + 1..end - 1)?, text.get(value..at)?))
    })
}

/// Returns the entries of an array.
pub(crate) fn entries(text: &str) -> impl Iterator<Item = &str> {
    let mut at = if text.starts_with('[') { 1 } else { text.len() };
    std::iter::from_fn(move || {
        let start = next(text, &mut at)?;
        at = skip_value(text, start)?;
        text.get(start..at)
    })
}

/// Returns the start of the next field or entry, after a comma if there is one; `None` at the end.
fn next(text: &str, at: &mut usize) -> Option<usize> {
    *at = skip_space(text, *at);
    if text.as_bytes().get(*at) == Some(&b',') {
        *at = skip_space(text, *at + 1);
    }
    text.as_bytes().get(*at).is_some_and(|byte| !matches!(byte, b'}' | b']')).then_some(*at)
}

/// Returns whether an object has the text field `name` with the text `value`, both compared without
/// case.
pub(crate) fn says(object: &str, name: &str, value: &str) -> bool {
    let is = |raw: &str, wanted: &str| decode(raw).eq_ignore_ascii_case(wanted);
    fields(object).any(|(key, found)| {
        let text = found.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        is(key, name) && text.is_some_and(|text| is(text, value))
    })
}
