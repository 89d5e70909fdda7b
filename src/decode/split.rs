//! Splits a body into its records by structure alone: brackets, strings and escapes, nothing else.
//!
//! A JSON parser stops at the first error; this scanner does not look at what stands between the
//! brackets, so that an element with an error inside ends where it ends, and the next one is whole.
//! Where an element never ends (a cut body, a quote that is never closed), everything from its start
//! on is one broken piece: all bytes of the body are in some piece, always. No recursion, and no byte is
//! looked at here that is part of a well-formed object: whoever takes it has found its end already.

use memchr::memmem;

use super::{JsonPath, Refusal};
use crate::json;

/// Nesting that is accepted within one element. PingOne's own events have six levels; parsers
/// further down the line commonly stop at 128.
pub const MAX_DEPTH: u32 = 100;

/// One separable part of a body: an event, a wrapper, or garbage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) path: JsonPath,
    pub(super) depth: u32,
}

impl<'a> Piece<'a> {
    /// A single value whose extent and depth are known to be fine.
    pub(super) fn whole(bytes: &'a [u8]) -> Piece<'a> {
        Piece { bytes, path: JsonPath::default(), depth: 0 }
    }
}

/// Bytes, and the same as text if all of it is UTF-8.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    bytes: &'a [u8],
    text: Option<&'a str>,
}

impl<'a> From<&'a str> for Source<'a> {
    fn from(text: &'a str) -> Source<'a> {
        Source { bytes: text.as_bytes(), text: Some(text) }
    }
}

impl<'a> Source<'a> {
    /// Lets `take` have the well-formed object at `at`, if there is one, and tells where it ends.
    fn object(
        self,
        at: usize,
        path: JsonPath,
        take: &mut impl Take<'a>,
    ) -> Result<Option<usize>, Refusal> {
        let text = self.text.and_then(|text| text.get(at..));
        let Some(text) = text.filter(|text| text.starts_with('{')) else { return Ok(None) };
        Ok(take.object(text, path)?.map(|length| at + length))
    }
}

/// Takes what is found, as soon as it is found.
pub(super) trait Take<'a> {
    /// Takes the well-formed object that `text` begins with, if there is one, and tells its length.
    fn object(&mut self, text: &'a str, path: JsonPath) -> Result<Option<usize>, Refusal>;

    /// Takes whatever a record is.
    fn piece(&mut self, piece: Piece<'a>) -> Result<(), Refusal>;

    /// Notes that the array there has no end, though all of its elements do.
    fn truncated(&mut self, path: JsonPath);
}

/// Finds the records of a body: the elements of an array, or the values of a sequence (NDJSON,
/// concatenated), each of which may be an array again. Fails on an empty body.
pub(super) fn records<'a>(body: &'a [u8], take: &mut impl Take<'a>) -> Result<(), Refusal> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let source = Source { bytes: body, text: std::str::from_utf8(body).ok() };
    let mut at = skip(body, 0, is_whitespace);
    if at == body.len() {
        return Err(Refusal::empty());
    }
    // Once a record was not closed before the end of the body (a cut line of NDJSON, perhaps), no
    // record reaches past a line that starts a new one. Where that is, is looked for once per line,
    // so that the whole pass stays linear.
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
                let extent = Extent { end, depth: 0, complete: false };
                take.piece(extent.piece(body, at, JsonPath::default()))?;
                end
            }
        };
        at = skip(body, at, is_whitespace);
    }
    Ok(())
}

/// Finds the elements of an array whose opening bracket stands before `at`. Returns where it ended.
/// Missing and superfluous commas carry no data and are passed over.
pub(super) fn array<'a>(
    source: Source<'a>,
    mut at: usize,
    path: JsonPath,
    take: &mut impl Take<'a>,
) -> Result<usize, Refusal> {
    let (mut index, bytes, mut is_cut) = (0, source.bytes, false);
    loop {
        at = skip(bytes, at, |byte| is_whitespace(byte) || byte == b',');
        match bytes.get(at) {
            None => {
                // An element that was cut says so itself.
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

/// How far a value reaches, and how deep it nests.
struct Extent {
    end: usize,
    depth: u32,
    complete: bool,
}

impl Extent {
    fn piece<'a>(&self, bytes: &'a [u8], start: usize, path: JsonPath) -> Piece<'a> {
        Piece { bytes: trim_end(&bytes[start..self.end]), path, depth: self.depth }
    }
}

/// The extent of the value at `start`, which is not whitespace.
fn scan(bytes: &[u8], start: usize) -> Extent {
    match bytes[start] {
        b'{' | b'[' => container(bytes, start),
        b'"' => {
            let end = json::string_end(bytes, start);
            Extent { end: end.unwrap_or(bytes.len()), depth: 0, complete: end.is_some() }
        }
        _ => {
            let stops =
                |byte: &u8| is_whitespace(*byte) || matches!(byte, b',' | b'[' | b']' | b'{');
            let length = bytes[start + 1..].iter().position(stops);
            Extent {
                end: length.map_or(bytes.len(), |length| start + 1 + length),
                depth: 0,
                complete: true,
            }
        }
    }
}

fn container(bytes: &[u8], start: usize) -> Extent {
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
                    return Extent { end: at, depth: deepest, complete: true };
                }
            }
            _ => {}
        }
    }
    Extent { end: bytes.len(), depth: deepest, complete: false }
}

/// The end of the line at `start`, where the following line begins a record of its own.
fn line_end(bytes: &[u8], start: usize) -> usize {
    memmem::find(&bytes[start..], b"\n{").map_or(bytes.len(), |found| start + found)
}

fn skip(bytes: &[u8], at: usize, passed: impl Fn(u8) -> bool) -> usize {
    bytes[at..].iter().position(|&byte| !passed(byte)).map_or(bytes.len(), |found| at + found)
}

/// Reports that there is nothing but white space, and perhaps a byte order mark.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.iter().all(|byte| is_whitespace(*byte))
}

/// Without the white space around it. Not `trim_ascii`: a form feed is none to JSON, and is kept.
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
