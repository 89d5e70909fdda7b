//! Texts that belong together and come again and again in a batch: each tuple of them is kept once, and
//! has a number.

use super::table::cut;

/// Bytes of a text that are kept.
const TEXT: usize = 1024;

/// Places in which a tuple that was seen before is looked for. Two that share one push each other out.
const PLACES: usize = 256;

/// Tuples by their numbers. The same one may have several: what is counted of them is added up in the end.
#[derive(Debug, Default)]
pub(super) struct Tuples {
    texts: String,
    known: Vec<Known>,
    /// The last tuple of each hash; there is none as long as there are no tuples.
    places: Vec<u32>,
}

#[derive(Debug)]
struct Known {
    tag: u8,
    start: u32,
    lengths: [u16; 4],
}

impl Tuples {
    /// The number of a tuple.
    pub(super) fn number(&mut self, tag: u8, texts: [&str; 4]) -> u32 {
        let texts = texts.map(|text| cut(text, TEXT));
        self.places.resize(PLACES, 0);
        let place = place(tag, texts);
        let number = self.places[place];
        if self.known.get(number as usize).is_some_and(|known| self.is(known, tag, texts)) {
            return number;
        }
        let number = self.known.len() as u32;
        let lengths = texts.map(|text| text.len() as u16);
        self.known.push(Known { tag, start: self.texts.len() as u32, lengths });
        texts.into_iter().for_each(|text| self.texts.push_str(text));
        self.places[place] = number;
        number
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The texts of a number.
    pub(super) fn texts(&self, number: u32) -> [&str; 4] {
        self.known.get(number as usize).map(|known| self.read(known)).unwrap_or_default()
    }

    fn is(&self, known: &Known, tag: u8, texts: [&str; 4]) -> bool {
        let mut rest = self.texts.as_bytes().get(known.start as usize..).unwrap_or_default();
        known.tag == tag
            && known.lengths == texts.map(|text| text.len() as u16)
            && texts.iter().all(|text| rest.split_off(..text.len()) == Some(text.as_bytes()))
    }

    fn read(&self, known: &Known) -> [&str; 4] {
        let mut rest = self.texts.get(known.start as usize..).unwrap_or_default();
        known.lengths.map(|length| {
            let (text, after) = rest.split_at_checked(length.into()).unwrap_or_default();
            rest = after;
            text
        })
    }
}

/// A place that the ends of the texts choose: that is where ids and paths differ. Whoever sends what shares
/// places gains nothing by it.
fn place(tag: u8, texts: [&str; 4]) -> usize {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let hash = texts.into_iter().fold(u64::from(tag), |hash, text| {
        let end = match text.as_bytes().last_chunk::<8>() {
            Some(end) => u64::from_le_bytes(*end),
            None => text.bytes().fold(0, |end, byte| end << 8 | u64::from(byte)),
        };
        (hash.rotate_left(23) ^ end).wrapping_mul(MIX)
    });
    (hash >> 32) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_has_the_same_number_unless_another_took_its_place() {
        let mut tuples = Tuples::default();
        let one = tuples.number(1, ["a", "", "b", "c"]);
        assert_eq!(tuples.number(1, ["a", "", "b", "c"]), one);
        let others = [
            tuples.number(2, ["a", "", "b", "c"]),
            tuples.number(1, ["", "a", "b", "c"]),
            tuples.number(1, ["a", "", "bc", ""]),
            tuples.number(1, ["another-flow", "é", "b", "c"]),
        ];
        assert_eq!(others, [1, 2, 3, 4]);
        assert_eq!(tuples.texts(one), ["a", "", "b", "c"]);
        assert_eq!(tuples.texts(4), ["another-flow", "é", "b", "c"]);
        for number in 0..2 * PLACES {
            let text = number.to_string();
            let number = tuples.number(1, [&text, "", "", ""]);
            assert_eq!(tuples.texts(number), [&*text, "", "", ""]);
        }
        assert!(tuples.len() <= 5 + 2 * PLACES);
        assert_eq!(tuples.texts(u32::MAX), [""; 4]);
    }

    #[test]
    fn texts_have_an_end() {
        let mut tuples = Tuples::default();
        let number = tuples.number(0, [&"é".repeat(70_000), "a", "", ""]);
        assert_eq!(tuples.texts(number), [&*"é".repeat(TEXT / 2), "a", "", ""]);
    }
}
