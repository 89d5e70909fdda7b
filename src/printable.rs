//! Escapes untrusted text for terminals and pages: the only place that handles control characters
//! and characters that change the direction of text.

use std::borrow::Cow;

/// Returns whether a character controls the display instead of being shown: C0 and C1 control
/// characters, marks, embeddings, overrides and isolates of bidirectional text (Unicode UAX #9),
/// separators, interlinear annotations.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Returns the text on one line. Each control character is escaped as in JSON, for example
/// `\u202e`.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escape(text, is_obeyed)
}

/// Does the same as [`line()`], but keeps line breaks and tabs.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_obeyed(c) && !matches!(c, '\n' | '\r' | '\t'))
}

/// Does the same as [`lines`], but keeps the escape sequences of colours.
pub(crate) fn colored(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_obeyed(c) && !matches!(c, '\n' | '\r' | '\t' | '\u{1b}'))
}

/// Escapes with four hexadecimal digits, which suffice because all these characters are in the
/// basic multilingual plane. A JSON string keeps its meaning.
fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_escaped(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(line("a\u{1b}[2J\u{9b}1m"), "a\\u001b[2J\\u009b1m");
        assert_eq!(line("user\u{202e}nimda\u{2066}\u{200f}"), "user\\u202enimda\\u2066\\u200f");
        assert_eq!(line("two\nlines\r"), "two\\u000alines\\u000d");
        assert_eq!(lines("two\n\tlines\u{7f}"), "two\n\tlines\\u007f");
        assert_eq!(colored("\u{1b}[2mx\u{202e}\n"), "\u{1b}[2mx\\u202e\n");
        assert!(matches!(line("Zoë 日本 👩‍👩‍👧 עברית"), Cow::Borrowed(_)), "text stays as it is");
    }

    proptest! {
        #[test]
        fn json_means_the_same_afterwards(value: String) {
            let json = serde_json::to_string(&value).expect("JSON");
            let shown = line(&json);
            prop_assert!(!shown.contains(is_obeyed));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).expect("JSON"), value);
        }
    }
}
