//! Indented JSON for people. Tokens stay as they are, so that numbers and repeated fields look as received.

use serde_json::value::RawValue;

const INDENT: &str = "  ";

/// Maximum depth that is indented.
const MAX_DEPTH: usize = 32;

/// Returns an object or array with line breaks and indents; `None` if the text is anything else.
pub(super) fn formatted(text: &str) -> Option<String> {
    let text = text.trim();
    serde_json::from_str::<&RawValue>(text).ok().filter(|_| text.starts_with(['{', '[']))?;
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut is_in_string, mut is_escaped) = (0_usize, false, false);
    let mut tokens = text.chars().peekable();
    while let Some(c) = tokens.next() {
        if is_in_string {
            out.push(c);
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                '"' => is_in_string = false,
                _ => {}
            }
            continue;
        }
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '{' | '[' => {
                out.push(c);
                while tokens.next_if(char::is_ascii_whitespace).is_some() {}
                match tokens.next_if(|next| "}]".contains(*next)) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        break_line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                break_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                is_in_string = c == '"';
                out.push(c);
            }
        }
    }
    Some(out)
}

fn break_line(out: &mut String, depth: usize) {
    out.push('\n');
    (0..depth.min(MAX_DEPTH)).for_each(|_| out.push_str(INDENT));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_as_they_are() {
        let text = "{\"a\":[1.50,{ },[ ]],\"b\\\"\":\"x: [\\\\\",\"a\":12345678901234567890}";
        let expected = "{\n  \"a\": [\n    1.50,\n    {},\n    []\n  ],\n  \"b\\\"\": \"x: [\\\\\",\n  \
                        \"a\": 12345678901234567890\n}";
        assert_eq!(formatted(text).as_deref(), Some(expected));
        for other in ["", "12", "{\"a\":", "not JSON", "\"text\""] {
            assert_eq!(formatted(other), None, "{other}");
        }
    }
}
