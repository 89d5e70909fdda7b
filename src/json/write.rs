//! Writes JSON in its shortest spelling: only the escapes that the grammar requires.

use std::borrow::Cow;

use super::scan::special;
use super::tape::TapeNode;

/// Appends a text as a string with its quotes.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = special(rest, 0) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        escape(out, from[0]);
        rest = &from[1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'\x08' => b'b',
        b'\x0c' => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        b'"' | b'\\' => byte,
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
            return;
        }
    };
    out.extend([b'\\', short]);
}

/// Appends a string, number or word of a tape.
pub(crate) fn write_scalar(out: &mut Vec<u8>, node: &TapeNode<'_>) {
    match node.value.as_bytes() {
        [b'"', ..] if node.has_escape => write_string(out, &node.text().unwrap_or_default()),
        [b'-' | b'0'..=b'9', ..] => out.extend_from_slice(shortest_number(node.value).as_bytes()),
        value => out.extend_from_slice(value),
    }
}

/// Returns a number with `e` and a sign before its exponent. All digits are kept.
pub(crate) fn shortest_number(number: &str) -> Cow<'_, str> {
    let Some((digits, exponent)) = number.split_once(['e', 'E']) else {
        return Cow::Borrowed(number);
    };
    let sign = if exponent.starts_with(['+', '-']) { "" } else { "+" };
    Cow::Owned(format!("{digits}e{sign}{exponent}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_string_is_written_as_serde_json_writes_it(text in any::<String>(), control in 0..0x80_u8) {
            let text = format!("{text}{}{text}", char::from(control));
            let mut out = Vec::new();
            write_string(&mut out, &text);
            prop_assert_eq!(String::from_utf8(out).ok(), serde_json::to_string(&text).ok());
        }

        #[test]
        fn a_number_is_written_as_serde_json_writes_it(
            number in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?"
        ) {
            let expected: serde_json::Number = number.parse().expect("a number");
            prop_assert_eq!(shortest_number(&number).into_owned(), expected.to_string());
        }
    }
}
