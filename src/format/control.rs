//! Search for control characters: U+0000 to U+001F, and U+007F to U+009F.

/// Bytes that are checked together. Most texts are a few of these long.
const CHUNK: usize = 16;

/// Returns whether a text contains a control character.
pub(super) fn has_control(text: &str) -> bool {
    find(text, [0; 2]).is_some()
}

/// Returns the position of the first control character, or of one of two other ASCII characters.
pub(super) fn find(text: &str, others: [u8; 2]) -> Option<usize> {
    let bytes = text.as_bytes();
    // 0xC2 begins the characters from U+0080 to U+00BF.
    let is_candidate = |byte: &u8| {
        (*byte < 0x20)
            | (*byte == 0x7f)
            | (*byte == 0xc2)
            | (*byte == others[0])
            | (*byte == others[1])
    };
    let mut at = 0;
    while at < bytes.len() {
        let chunk = &bytes[at..bytes.len().min(at + CHUNK)];
        // No early exit, so that the comparison is vectorized.
        if chunk.iter().fold(false, |found, byte| found | is_candidate(byte)) {
            for (index, _) in chunk.iter().enumerate().filter(|(_, byte)| is_candidate(byte)) {
                let position = at + index;
                if bytes[position] != 0xc2
                    || bytes.get(position + 1).is_some_and(|next| *next < 0xa0)
                {
                    return Some(position);
                }
            }
        }
        at += chunk.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_is_found_wherever_it_stands(
            quiet in "[ -\u{a0}\u{bf}\u{e9}\u{20ac}]{0,40}",
            text in proptest::collection::vec(
                prop_oneof![any::<char>(), proptest::char::range('\0', '\u{bf}'), Just('='), Just('\\')], 0..40
            ),
        ) {
            let text: String = quiet.chars().filter(|c| !c.is_control()).chain(text).collect();
            let expected = text.find(|c: char| c.is_control());
            prop_assert_eq!(find(&text, [0; 2]), expected);
            prop_assert_eq!(has_control(&text), expected.is_some());
            let expected = text.find(|c: char| c.is_control() || matches!(c, '=' | '\\'));
            prop_assert_eq!(find(&text, *b"=\\"), expected);
        }
    }
}
