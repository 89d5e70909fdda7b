//! Interner: stores each tuple of texts of a batch once and returns a number for it.

use super::table::cut;

/// Maximum length of a text.
const MAX_TEXT_BYTES: usize = 1024;

/// Size of the lookup table of recent tuples. Tuples that share a slot replace each other.
const SLOTS: usize = 256;

/// Tuples by number. A tuple may have several numbers; their counts are summed up later.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: String,
    known: Vec<InternedTuple>,
    /// Number of the last tuple in each slot; empty before the first tuple.
    slots: Vec<u32>,
}

#[derive(Debug)]
struct InternedTuple {
    tag: u8,
    start: u32,
    lengths: [u16; 4],
}

impl Interner {
    /// Returns the number of a tuple.
    pub(super) fn number(&mut self, tag: u8, texts: [&str; 4]) -> u32 {
        let texts = texts.map(|text| cut(text, MAX_TEXT_BYTES));
        self.slots.resize(SLOTS, 0);
        let slot = slot(tag, texts);
        let number = self.slots[slot];
        if self.known.get(number as usize).is_some_and(|known| self.matches(known, tag, texts)) {
            return number;
        }
        let number = self.known.len() as u32;
        let lengths = texts.map(|text| text.len() as u16);
        self.known.push(InternedTuple { tag, start: self.texts.len() as u32, lengths });
        texts.into_iter().for_each(|text| self.texts.push_str(text));
        self.slots[slot] = number;
        number
    }

    /// Number of stored tuples.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Returns the texts of a number; empty texts for an unknown number.
    pub(super) fn texts(&self, number: u32) -> [&str; 4] {
        self.known.get(number as usize).map(|known| self.read(known)).unwrap_or_default()
    }

    fn matches(&self, known: &InternedTuple, tag: u8, texts: [&str; 4]) -> bool {
        let mut rest = self.texts.as_bytes().get(known.start as usize..).unwrap_or_default();
        known.tag == tag
            && known.lengths == texts.map(|text| text.len() as u16)
            && texts.iter().all(|text| rest.split_off(..text.len()) == Some(text.as_bytes()))
    }

    fn read(&self, known: &InternedTuple) -> [&str; 4] {
        let mut rest = self.texts.get(known.start as usize..).unwrap_or_default();
        known.lengths.map(|length| {
            let (text, after) = rest.split_at_checked(length.into()).unwrap_or_default();
            rest = after;
            text
        })
    }
}

/// Returns the slot of a tuple, by the last bytes of its texts, where ids and paths differ. Collisions that a sender
/// provokes only cost duplicates.
fn slot(tag: u8, texts: [&str; 4]) -> usize {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let hash = texts.into_iter().fold(u64::from(tag), |hash, text| {
        let end = match text.as_bytes().last_chunk::<8>() {
            Some(end) => u64::from_le_bytes(*end),
            None => text.bytes().fold(0, |end, byte| end << 8 | u64::from(byte)),
        };
        (hash.rotate_left(23) ^ end).wrapping_mul(MIX)
    });
    (hash >> 32) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_tuple_has_the_same_number_unless_its_slot_was_replaced() {
        let mut interner = Interner::default();
        let one = interner.number(1, ["a", "", "b", "c"]);
        assert_eq!(interner.number(1, ["a", "", "b", "c"]), one);
        let others = [
            interner.number(2, ["a", "", "b", "c"]),
            interner.number(1, ["", "a", "b", "c"]),
            interner.number(1, ["a", "", "bc", ""]),
            interner.number(1, ["another-flow", "é", "b", "c"]),
        ];
        assert_eq!(others, [1, 2, 3, 4]);
        assert_eq!(interner.texts(one), ["a", "", "b", "c"]);
        assert_eq!(interner.texts(4), ["another-flow", "é", "b", "c"]);
        for number in 0..2 * SLOTS {
            let text = number.to_string();
            let number = interner.number(1, [&text, "", "", ""]);
            assert_eq!(interner.texts(number), [&*text, "", "", ""]);
        }
        assert!(interner.len() <= 5 + 2 * SLOTS);
        assert_eq!(interner.texts(u32::MAX), [""; 4]);
    }

    #[test]
    fn texts_are_truncated() {
        let mut interner = Interner::default();
        let number = interner.number(0, [&"é".repeat(70_000), "a", "", ""]);
        assert_eq!(interner.texts(number), [&*"é".repeat(MAX_TEXT_BYTES / 2), "a", "", ""]);
    }
}
