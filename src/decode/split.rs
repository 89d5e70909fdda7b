//! Splits a body into records by structure alone: brackets, strings and escapes.
//!
//! A JSON parser stops at the first error. This scanner ignores the text between the brackets, so
//! an element with an error inside still ends at its closing bracket, and the next element is
//! intact. An element that never ends (a truncated body, an unclosed quote) becomes one broken
//! piece from its start to the end of the body. Every byte of the body belongs to some piece.
//! Nothing recurses, and no byte of a well-formed object is scanned here, because the visitor
//! returns where the object ends.

use memchr::memmem;

use super::{JsonPath, Refusal};
use crate::json;

/// Maximum nesting of one element. PingOne's own events have six levels; many parsers in SIEMs stop
/// at 128.
pub const MAX_DEPTH: u32 = 100;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One separable part of a body: an event, a wrapper, or malformed bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) path: JsonPath,
    pub(super) depth: u32,
}

impl<'a> Piece<'a> {
    /// Makes a piece of one value whose extent and depth were already checked.
    pub(super) fn whole(bytes: &'a [u8]) -> Piece<'a> {
        Piece { bytes, path: JsonPath::default(), depth: 0 }
    }
}

/// Bytes of a body, and the same bytes as text if all of them are UTF-8.
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceText<'a> {
    bytes: &'a [u8],
    text: Option<&'a str>,
}

impl<'a> From<&'a str> for SourceText<'a> {
    fn from(text: &'a str) -> SourceText<'a> {
        SourceText { bytes: text.as_bytes(), text: Some(text) }
    }
}

impl<'a> SourceText<'a> {
    fn of(bytes: &'a [u8]) -> SourceText<'a> {
        SourceText { bytes, text: std::str::from_utf8(bytes).ok() }
    }

    /// Offers the object at `at` to `take`. Returns the position after the object if it is
    /// well-formed.
    fn object(
        self,
        at: usize,
        path: JsonPath,
        take: &mut impl RecordVisitor<'a>,
    ) -> Result<Option<usize>, Refusal> {
        let text = self.text.and_then(|text| text.get(at..));
        let Some(text) = text.filter(|text| text.starts_with('{')) else { return Ok(None) };
        Ok(take.object(text, path)?.map(|length| at + length))
    }
}

/// Receives the records of a body in the order in which they are found.
pub(super) trait RecordVisitor<'a> {
    /// Takes the object at the start of `text` if it is well-formed, and returns its length.
    fn object(&mut self, text: &'a str, path: JsonPath) -> Result<Option<usize>, Refusal>;

    /// Takes any other record.
    fn piece(&mut self, piece: Piece<'a>) -> Result<(), Refusal>;

    /// Reports that the array at `path` is not closed, though all of its elements are.
    fn truncated(&mut self, path: JsonPath);
}

/// Passes the records of a body to `take`: the elements of an array, or the values of a sequence
/// (NDJSON, concatenated JSON), each of which may be an array again.
///
/// # Errors
///
/// The body is empty, or `take` refuses a record.
pub(super) fn records<'a>(
    body: &'a [u8],
    take: &mut impl RecordVisitor<'a>,
) -> Result<(), Refusal> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let at = skip(body, 0, is_whitespace);
    if at == body.len() {
        return Err(Refusal::empty());
    }
    sequence(SourceText::of(body), at, take)
}

/// Passes the well-formed objects at the start of a body to `take`, if the body is an array, and stops at the first
/// other byte or at an object that is not complete. Returns the number of bytes passed; [`records_after`] handles the
/// rest. `next` is the index of the next element, or `None` before the opening bracket.
///
/// # Errors
///
/// `take` refuses an element.
pub(super) fn leading_objects<'a>(
    bytes: &'a [u8],
    next: &mut Option<usize>,
    take: &mut impl RecordVisitor<'a>,
) -> Result<usize, Refusal> {
    let (mut at, mut index) = match *next {
        Some(index) => (0, index),
        None => {
            let mark = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
            let start = skip(bytes, mark, is_whitespace);
            if bytes.get(start) != Some(&b'[') {
                return Ok(0);
            }
            (start + 1, 0)
        }
    };
    let text = std::str::from_utf8(bytes).or_else(|error| {
        // The last character may be incomplete.
        std::str::from_utf8(&bytes[..error.valid_up_to()])
    });
    let source = SourceText { bytes, text: text.ok() };
    loop {
        *next = Some(index);
        let start = skip(bytes, at, |byte| is_whitespace(byte) || byte == b',');
        match source.object(start, JsonPath::default().index(index), take)? {
            Some(end) => at = end,
            None => return Ok(at),
        }
        index += 1;
    }
}

/// Passes the records of the rest of a body to `take`, after [`leading_objects`]. `next` is the index of the next
/// element of the array in which the rest begins.
///
/// # Errors
///
/// `take` refuses a record.
pub(super) fn records_after<'a>(
    rest: &'a [u8],
    next: usize,
    take: &mut impl RecordVisitor<'a>,
) -> Result<(), Refusal> {
    let source = SourceText::of(rest);
    let at = elements(source, 0, next, JsonPath::default(), take)?;
    sequence(source, skip(rest, at, is_whitespace), take)
}

/// Passes the values of a sequence to `take`. `at` is the position of the first one.
fn sequence<'a>(
    source: SourceText<'a>,
    mut at: usize,
    take: &mut impl RecordVisitor<'a>,
) -> Result<(), Refusal> {
    let body = source.bytes;
    // After a record that is not closed before the end of the body (for example a truncated NDJSON
    // line), no record extends past a line that starts a new record. The end of such a line is
    // searched once per line, so that the whole pass stays linear.
    let mut line: Option<usize> = None;
    while let Some(&first) = body.get(at) {
        at = match first {
            b'[' => array(source, at + 1, JsonPath::default(), take)?,
            b'{' => {
                let whole = match line {
                    None => source.object(at, JsonPath::default(), take)?,
                    Some(_) => None,
                };
                if let Some(end) = whole {
                    at = skip(body, end, is_whitespace);
                    continue;
                }
                if line.is_some_and(|end| end <= at) {
                    line = Some(line_end(body, at));
                }
                let mut extent = scan(&body[..line.unwrap_or(body.len())], at);
                if !extent.complete && line.is_none() {
                    let end = line_end(body, at);
                    line = Some(end);
                    extent = scan(&body[..end], at);
                }
                take.piece(extent.piece(body, at, JsonPath::default()))?;
                extent.end
            }
            _ => {
                let end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |found| at + found);
                let extent = RecordExtent { end, depth: 0, complete: false };
                take.piece(extent.piece(body, at, JsonPath::default()))?;
                end
            }
        };
        at = skip(body, at, is_whitespace);
    }
    Ok(())
}

/// Passes the elements of an array to `take`. `at` is the position after the opening bracket.
/// Returns the position after the array. Missing and superfluous commas are skipped, because they
/// carry no data.
///
/// # Errors
///
/// `take` refuses an element.
pub(super) fn array<'a>(
    source: SourceText<'a>,
    at: usize,
    path: JsonPath,
    take: &mut impl RecordVisitor<'a>,
) -> Result<usize, Refusal> {
    elements(source, at, 0, path, take)
}

/// Does the same as [`array()`], from the element with the number `index` on.
fn elements<'a>(
    source: SourceText<'a>,
    mut at: usize,
    mut index: usize,
    path: JsonPath,
    take: &mut impl RecordVisitor<'a>,
) -> Result<usize, Refusal> {
    let (bytes, mut is_cut) = (source.bytes, false);
    loop {
        at = skip(bytes, at, |byte| is_whitespace(byte) || byte == b',');
        match bytes.get(at) {
            None => {
                // The refusal of a truncated element already reports the truncation.
                if !is_cut {
                    take.truncated(path);
                }
                return Ok(at);
            }
            Some(b']') => return Ok(at + 1),
            Some(_) => {
                let path = path.index(index);
                at = match source.object(at, path, take)? {
                    Some(end) => end,
                    None => {
                        let extent = scan(bytes, at);
                        is_cut = !extent.complete;
                        take.piece(extent.piece(bytes, at, path))?;
                        extent.end
                    }
                };
                index += 1;
            }
        }
    }
}

/// Extent and nesting depth of a value.
struct RecordExtent {
    end: usize,
    depth: u32,
    complete: bool,
}

impl RecordExtent {
    fn piece<'a>(&self, bytes: &'a [u8], start: usize, path: JsonPath) -> Piece<'a> {
        Piece { bytes: trim_end(&bytes[start..self.end]), path, depth: self.depth }
    }
}

/// Returns the extent of the value at `start`, which is not whitespace.
fn scan(bytes: &[u8], start: usize) -> RecordExtent {
    match bytes[start] {
        b'{' | b'[' => container(bytes, start),
        b'"' => {
            let end = json::string_end(bytes, start);
            RecordExtent { end: end.unwrap_or(bytes.len()), depth: 0, complete: end.is_some() }
        }
        _ => {
            let stops =
                |byte: &u8| is_whitespace(*byte) || matches!(byte, b',' | b'[' | b']' | b'{');
            let length = bytes[start + 1..].iter().position(stops);
            RecordExtent {
                end: length.map_or(bytes.len(), |length| start + 1 + length),
                depth: 0,
                complete: true,
            }
        }
    }
}

fn container(bytes: &[u8], start: usize) -> RecordExtent {
    let (mut depth, mut deepest, mut at) = (0_u32, 0_u32, start);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => match json::string_end(bytes, at - 1) {
                Some(end) => at = end,
                None => break,
            },
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                deepest = deepest.max(depth);
            }
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return RecordExtent { end: at, depth: deepest, complete: true };
                }
            }
            _ => {}
        }
    }
    RecordExtent { end: bytes.len(), depth: deepest, complete: false }
}

/// Returns the end of the line at `start`, where the next line starts a record.
fn line_end(bytes: &[u8], start: usize) -> usize {
    memmem::find(&bytes[start..], b"\n{").map_or(bytes.len(), |found| start + found)
}

fn skip(bytes: &[u8], at: usize, passed: impl Fn(u8) -> bool) -> usize {
    bytes[at..].iter().position(|&byte| !passed(byte)).map_or(bytes.len(), |found| at + found)
}

/// Returns whether the bytes are whitespace and at most a byte order mark.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    bytes.iter().all(|byte| is_whitespace(*byte))
}

/// Removes JSON whitespace at both ends. `trim_ascii` would also remove form feeds, which JSON does
/// not allow.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(&bytes[skip(bytes, 0, is_whitespace)..])
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let space = bytes.iter().rev().take_while(|byte| is_whitespace(**byte)).count();
    &bytes[..bytes.len() - space]
}

fn is_whitespace(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
