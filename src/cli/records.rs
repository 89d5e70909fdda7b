//! Splits input into records, one at a time: elements of arrays, or values of a sequence (NDJSON, concatenated).
//! Splits by structure alone, so that a malformed record does not affect the next. Holds one record in memory.

use std::io::{BufRead, BufReader, Read};

use super::CommandFailure;
use crate::error_chain::io_message;

/// Largest record that is held; a larger one is skipped.
const MAX_RECORD_BYTES: usize = 32 * 1024 * 1024;

/// One record, byte for byte.
pub(super) struct InputRecord<'a> {
    pub(super) bytes: &'a [u8],
    /// Line of its first byte, from 1.
    pub(super) line: u64,
    /// Index in its array, if it is an element of one.
    pub(super) index: Option<u64>,
    /// True if it exceeded `MAX_RECORD_BYTES`; `bytes` is empty then.
    pub(super) is_too_large: bool,
}

/// Result of splitting a whole input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InputEnd {
    /// True if there was a record or an array, also an empty one.
    pub(super) has_any: bool,
    /// Line of the `[` of an array that does not end.
    pub(super) unclosed: Option<u64>,
}

impl InputEnd {
    /// Message about an array that does not end.
    pub(super) const UNCLOSED: &'static str =
        "the array that begins here does not end; the input is cut off";
}

/// Calls `visit` for every record of the file `name`, in order.
pub(super) fn each(
    input: impl Read,
    name: &str,
    mut visit: impl FnMut(InputRecord<'_>) -> Result<(), CommandFailure>,
) -> Result<InputEnd, CommandFailure> {
    let mut input = BufReader::with_capacity(128 * 1024, input);
    let mut splitter = Splitter { line: 1, ..Splitter::default() };
    loop {
        let bytes = input.fill_buf().map_err(|error| {
            CommandFailure::Failed(format!("{name} cannot be read: {}", io_message(&error)))
        })?;
        let length = bytes.len();
        if length == 0 {
            break;
        }
        for &byte in bytes {
            splitter.take(byte, &mut visit)?;
        }
        input.consume(length);
    }
    splitter.end(&mut visit)?;
    let unclosed = splitter.index.map(|_| splitter.array_line);
    Ok(InputEnd { has_any: splitter.has_any, unclosed })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum RecordKind {
    /// Between two records.
    #[default]
    Nothing,
    /// An object, or an array within an array.
    Container,
    /// A string in an array.
    Text,
    /// A number or a literal in an array.
    Scalar,
    /// Anything else, up to the end of its line.
    Line,
}

#[derive(Default)]
struct Splitter {
    bytes: Vec<u8>,
    kind: RecordKind,
    /// Line of the current byte.
    line: u64,
    /// Line of the record's first byte.
    first_line: u64,
    /// Index of the next element, in an array.
    index: Option<u64>,
    /// Line of the `[` of that array.
    array_line: u64,
    depth: u32,
    is_in_string: bool,
    is_escaped: bool,
    is_line_start: bool,
    /// Last byte of the record outside strings and white space.
    last: u8,
    is_too_large: bool,
    has_any: bool,
    /// Number of bytes of a byte order mark read so far.
    bom_bytes: usize,
    has_started: bool,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Splitter {
    fn take(
        &mut self,
        byte: u8,
        visit: &mut impl FnMut(InputRecord<'_>) -> Result<(), CommandFailure>,
    ) -> Result<(), CommandFailure> {
        if !self.has_started {
            if BYTE_ORDER_MARK.get(self.bom_bytes) == Some(&byte) {
                self.bom_bytes += 1;
                return Ok(());
            }
            self.has_started = true;
        }
        if self.begins_new_record(byte) || self.ends_before(byte) {
            self.emit(visit)?;
        }
        if self.kind == RecordKind::Nothing {
            self.begin(byte);
        } else {
            self.advance(byte);
        }
        if self.kind != RecordKind::Nothing {
            self.keep(byte);
            if self.is_complete(byte) {
                self.emit(visit)?;
            }
        }
        self.is_line_start = byte == b'\n';
        self.line += u64::from(byte == b'\n');
        Ok(())
    }

    /// Returns true if a line begins a new record though the previous one is not closed. Within an object, `{`
    /// follows only a colon, a comma or a bracket, and a string contains no line break.
    fn begins_new_record(&self, byte: u8) -> bool {
        self.kind == RecordKind::Container
            && self.index.is_none()
            && self.is_line_start
            && byte == b'{'
            && (self.is_in_string || !b":,[".contains(&self.last))
    }

    fn ends_before(&self, byte: u8) -> bool {
        match self.kind {
            RecordKind::Scalar => byte.is_ascii_whitespace() || b",[]{".contains(&byte),
            RecordKind::Line => byte == b'\n',
            _ => false,
        }
    }

    fn begin(&mut self, byte: u8) {
        let is_in_array = self.index.is_some();
        self.kind = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return,
            b',' if is_in_array => return,
            b']' if is_in_array => {
                self.index = None;
                return;
            }
            b'[' if !is_in_array => {
                (self.index, self.has_any) = (Some(0), true);
                self.array_line = self.line;
                return;
            }
            b'{' => RecordKind::Container,
            b'[' => RecordKind::Container,
            b'"' if is_in_array => RecordKind::Text,
            _ if is_in_array => RecordKind::Scalar,
            _ => RecordKind::Line,
        };
        self.first_line = self.line;
        self.depth = u32::from(self.kind == RecordKind::Container);
        self.is_in_string = self.kind == RecordKind::Text;
        (self.is_escaped, self.last) = (false, byte);
    }

    fn advance(&mut self, byte: u8) {
        if self.is_escaped {
            self.is_escaped = false;
        } else if self.is_in_string {
            match byte {
                b'"' => self.is_in_string = false,
                b'\\' => self.is_escaped = true,
                _ => {}
            }
        } else if self.kind == RecordKind::Container {
            match byte {
                b'"' => self.is_in_string = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
            if !byte.is_ascii_whitespace() {
                self.last = byte;
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.bytes.len() == MAX_RECORD_BYTES {
            self.is_too_large = true;
            self.bytes = Vec::new();
        }
        if !self.is_too_large {
            self.bytes.push(byte);
        }
    }

    fn is_complete(&self, byte: u8) -> bool {
        match self.kind {
            RecordKind::Container => self.depth == 0,
            RecordKind::Text => !self.is_in_string && byte == b'"',
            RecordKind::Nothing | RecordKind::Scalar | RecordKind::Line => false,
        }
    }

    fn emit(
        &mut self,
        visit: &mut impl FnMut(InputRecord<'_>) -> Result<(), CommandFailure>,
    ) -> Result<(), CommandFailure> {
        let record = InputRecord {
            bytes: self.bytes.trim_ascii_end(),
            line: self.first_line,
            index: self.index,
            is_too_large: self.is_too_large,
        };
        visit(record)?;
        self.index = self.index.map(|index| index + 1);
        self.bytes.clear();
        (self.kind, self.is_too_large, self.is_in_string) = (RecordKind::Nothing, false, false);
        self.has_any = true;
        Ok(())
    }

    fn end(
        &mut self,
        visit: &mut impl FnMut(InputRecord<'_>) -> Result<(), CommandFailure>,
    ) -> Result<(), CommandFailure> {
        if self.kind == RecordKind::Nothing { Ok(()) } else { self.emit(visit) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Reader that returns a few bytes at a time.
    struct SlowReader<'a>(&'a [u8], usize);

    impl Read for SlowReader<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let length = into.len().min(self.1).min(self.0.len());
            into[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn records(text: &str) -> Vec<(u64, Option<u64>, String)> {
        let mut found = Vec::new();
        let read = each(SlowReader(text.as_bytes(), 7), "-", |record| {
            let bytes = String::from_utf8_lossy(record.bytes).into_owned();
            found.push((record.line, record.index, bytes));
            Ok(())
        });
        assert!(read.is_ok(), "{text}");
        found
    }

    #[test]
    fn records_are_found_in_every_shape() {
        let plain = |text: &str| -> Vec<String> {
            records(text).into_iter().map(|(_, _, bytes)| bytes).collect()
        };
        assert_eq!(plain("{\"a\":1}\n{\"b\":2}"), ["{\"a\":1}", "{\"b\":2}"]);
        assert_eq!(plain("{\"a\":1}{\"b\":2}"), ["{\"a\":1}", "{\"b\":2}"]);
        assert_eq!(
            plain("\u{feff}[{\"a\":\"]}\\\"\"},7,\"x,\",[1],null]"),
            ["{\"a\":\"]}\\\"\"}", "7", "\"x,\"", "[1]", "null"]
        );
        assert_eq!(plain("[1]\n[2]"), ["1", "2"]);
        assert_eq!(plain(" [ ] \n"), [""; 0]);
        for (text, has_any, unclosed) in [
            (" \n", false, None),
            ("[]", true, None),
            ("[{\"a\":1}]\n", true, None),
            ("[", true, Some(1)),
            ("\n[{\"a\":1},\n", true, Some(2)),
            ("[1]\n[2", true, Some(2)),
        ] {
            let end = each(text.as_bytes(), "-", |_| Ok(())).ok();
            assert_eq!(end, Some(InputEnd { has_any, unclosed }), "{text:?}");
        }
    }

    #[test]
    fn a_malformed_line_does_not_affect_the_others() {
        let good = "{\"ok\":1}";
        for broken in ["{\"a\":1", "{\"a\":\"x", "{\"a\":[1", "junk", "{", "{\"a\":{", "\"x"] {
            let found = records(&format!("{good}\n{broken}\n{good}\n{good}"));
            let expected = [
                (1, None, good.to_owned()),
                (2, None, broken.to_owned()),
                (3, None, good.to_owned()),
                (4, None, good.to_owned()),
            ];
            assert_eq!(found, expected, "{broken}");
        }
        let pretty = "{\n\"a\":\n{\"b\": [\n{\"c\":1},\n{\"d\":2}]}}";
        assert_eq!(records(pretty), [(1, None, pretty.to_owned())], "no line of this is malformed");
    }

    #[test]
    fn a_record_that_is_too_large_is_skipped_and_not_held() {
        let huge = format!("[{{\"a\":\"{}\"}},{{\"b\":1}}]", "x".repeat(MAX_RECORD_BYTES));
        let mut found = Vec::new();
        let read = each(huge.as_bytes(), "-", |record| {
            found.push((record.is_too_large, record.bytes.len()));
            Ok(())
        });
        assert!(read.is_ok());
        assert_eq!(found, [(true, 0), (false, 7)]);
    }

    fn object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "(?s).{0,12}".prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("(?s).{0,4}", inner, 0..3)
                    .prop_map(|members| json!(members)),
            ]
        });
        prop::collection::btree_map("(?s).{0,4}", value, 0..4).prop_map(|members| json!(members))
    }

    proptest! {
        #[test]
        fn nothing_is_lost_whatever_the_shape(
            values in prop::collection::vec(object(), 0..8),
            is_pretty: bool,
            shape in 0..4,
            at_once in 1_usize..50,
        ) {
            let texts: Vec<String> = values
                .iter()
                .map(|value| if is_pretty { format!("{value:#}") } else { value.to_string() })
                .collect();
            let text = match shape {
                0 => format!("[{}]", texts.join(",")),
                1 => format!("[\n{}\n]\n", texts.join(",\n")),
                2 => texts.join("\n"),
                _ => texts.concat(),
            };
            let mut found = Vec::new();
            let read = each(SlowReader(text.as_bytes(), at_once), "-", |record| {
                let lines = text.as_bytes().iter().filter(|byte| **byte == b'\n').count();
                assert!(record.line <= lines as u64 + 1);
                found.push(serde_json::from_slice::<Value>(record.bytes).expect("whole"));
                Ok(())
            });
            prop_assert!(read.is_ok());
            prop_assert_eq!(found, values);
        }
    }
}
