//! Grammar of JSON scalars (RFC 8259). Each function returns the end of a scalar, or `None` if it
//! is malformed.

use super::scan::special;

/// Returns the position after the string at `at`, and whether the string contains an escape.
pub(super) fn string(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    if *bytes.get(at)? != b'"' {
        return None;
    }
    let (mut at, mut has_escape) = (at + 1, false);
    loop {
        at = special(bytes, at)?;
        match bytes[at] {
            b'"' => return Some((at + 1, has_escape)),
            b'\\' => has_escape = true,
            _ => return None,
        }
        at += match bytes.get(at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
            _ => return None,
        };
    }
}

pub(super) fn word(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes.get(at..)?.starts_with(word).then_some(at + word.len())
}

/// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`
pub(super) fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |at: usize| {
        let digits = bytes.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (digits > 0).then_some(at + digits)
    };
    let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
    let at = at + usize::from(is(at, b"-"));
    let mut end = if is(at, b"0") { at + 1 } else { digits(at)? };
    if is(end, b".") {
        end = digits(end + 1)?;
    }
    if is(end, b"eE") {
        end += 1;
        end = digits(end + usize::from(is(end, b"+-")))?;
    }
    Some(end)
}
