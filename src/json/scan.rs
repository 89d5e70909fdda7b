//! Scans strings eight bytes at a time (SWAR).
//!
//! Most strings of an event have 10 to 40 bytes, for which calling a search made for long texts
//! costs more than the search itself.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Returns the position, from `at` on, of the first quote, backslash or control character.
pub(super) fn special(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(chunk) = bytes.get(at..at + 8) {
        let found = marks(word(chunk));
        if found != 0 {
            // The lowest set bit is exact; higher ones may be false positives.
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    bytes.get(at..)?.iter().position(is_special).map(|found| at + found)
}

/// Returns whether there is a backslash.
pub(super) fn has_escape(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<8>();
    chunks.iter().any(|chunk| zeros(u64::from_le_bytes(*chunk) ^ (ONES * u64::from(b'\\'))) != 0)
        || rest.contains(&b'\\')
}

fn word(chunk: &[u8]) -> u64 {
    chunk.first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// Sets the high bit of each byte that is a quote, a backslash or a control character.
fn marks(word: u64) -> u64 {
    let is = |byte: u8| zeros(word ^ (ONES * u64::from(byte)));
    is(b'"') | is(b'\\') | (word.wrapping_sub(ONES * 0x20) & !word & HIGH)
}

/// Sets the high bit of each zero byte.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_match_is_found_at_any_position(
            text in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(0x1f), 0x20..=255_u8],
                0..40
            ),
            quiet in proptest::collection::vec(0x5d..=255_u8, 0..40),
            at in 0..50_usize,
        ) {
            let text = [quiet, text].concat();
            let plain = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
            let expected = text.get(at..).and_then(|rest| rest.iter().position(plain));
            prop_assert_eq!(special(&text, at), expected.map(|found| at + found));
            prop_assert_eq!(has_escape(&text), text.contains(&b'\\'));
        }
    }
}
