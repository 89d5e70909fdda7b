//! Deduplication: keys of events and the bounded set of remembered keys.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::num::NonZero;

use sha2::{Digest, Sha256};

/// Identity of an event: half of a SHA-256 over source, id and time of recording. 128 bits
/// of a cryptographic hash, because a collision would lose an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupKey(u128);

impl DedupKey {
    /// Size of a stored key in bytes.
    pub(super) const SIZE: usize = 16;

    /// Returns the key of an event; `recorded_at` is `(seconds, nanoseconds)` since the Unix epoch, so that two
    /// spellings of one instant are equal. Only whole milliseconds count: PingOne's API cuts the nanoseconds of a
    /// webhook's event off.
    pub fn new(source: &str, id: &str, recorded_at: (i64, u32)) -> DedupKey {
        DedupKey::of_id(source, id.as_bytes(), recorded_at)
    }

    /// Returns the key of an event whose id may not be valid UTF-8.
    pub fn of_id(source: &str, id: &[u8], recorded_at: (i64, u32)) -> DedupKey {
        let mut hash = Sha256::new();
        // Lengths first: no two different pairs may feed the same bytes.
        hash.update((source.len() as u64).to_le_bytes());
        hash.update(source);
        hash.update((id.len() as u64).to_le_bytes());
        hash.update(id);
        hash.update(recorded_at.0.to_le_bytes());
        hash.update((recorded_at.1 / 1_000_000 * 1_000_000).to_le_bytes());
        DedupKey::first_half(&hash.finalize())
    }

    /// Returns the key of bytes that are not a valid event.
    pub fn of_bytes(source: &str, bytes: &[u8]) -> DedupKey {
        // An event's id is never this long: the two kinds of key cannot feed the same bytes.
        let mut hash = Sha256::new();
        hash.update((source.len() as u64).to_le_bytes());
        hash.update(source);
        hash.update(u64::MAX.to_le_bytes());
        hash.update(bytes);
        DedupKey::first_half(&hash.finalize())
    }

    fn first_half(digest: &[u8]) -> DedupKey {
        let mut half = [0; Self::SIZE];
        half.copy_from_slice(&digest[..Self::SIZE]);
        DedupKey(u128::from_le_bytes(half))
    }

    pub(super) fn to_bytes(self) -> [u8; Self::SIZE] {
        self.0.to_le_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; Self::SIZE]) -> DedupKey {
        DedupKey(u128::from_le_bytes(bytes))
    }
}

/// Keys in each part of a full window. A hash table has a power of two of slots and doubles when 7/8 of
/// them are taken (28,672 of 32,768): parts of this size are well filled when the window is full, keep
/// room for what removed keys leave behind, and one that doubles takes half a megabyte, not hundreds.
const KEYS_PER_PART: u64 = 26_000;

/// Number of keys from which several threads load the set.
const PARALLEL_LOAD_KEYS: u64 = 500_000;

type DedupPart = HashSet<DedupKey, BuildHasherDefault<AlreadyHashed>>;

/// Set of the keys in the window. Insertions are tentative until their commit succeeds.
#[derive(Debug)]
pub(super) struct DedupSet {
    parts: Vec<DedupPart>,
    len: u64,
    tentative: Vec<DedupKey>,
}

impl DedupSet {
    /// An empty set for a window of `max` keys, with room for as many as are `expected` at once.
    pub(super) fn new(max: u64, expected: u64) -> DedupSet {
        let count = max.div_ceil(KEYS_PER_PART).max(1);
        // A little more than the mean: parts are not equally full.
        let mean = (expected / count) as usize;
        let part =
            || DedupPart::with_capacity_and_hasher(mean + mean / 32, BuildHasherDefault::default());
        DedupSet { parts: (0..count).map(|_| part()).collect(), len: 0, tentative: Vec::new() }
    }

    /// Fills the set with the keys on disk. Memory access dominates the time: with many keys, several threads call
    /// `read` at once. Each call returns all keys, and each thread keeps those of its own parts.
    pub(super) fn load<E: Send>(
        &mut self,
        expected: u64,
        read: impl Fn(&mut dyn FnMut(DedupKey)) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = if expected < PARALLEL_LOAD_KEYS { 1 } else { processors.min(4) };
        let (count, share) = (self.parts.len(), self.parts.len().div_ceil(threads));
        let load = |(thread, parts): (usize, &mut [DedupPart])| {
            read(&mut |key| {
                let own = index(key, count).checked_sub(thread * share);
                if let Some(part) = own.and_then(|own| parts.get_mut(own)) {
                    part.insert(key);
                }
            })
        };
        std::thread::scope(|scope| {
            let shares = self.parts.chunks_mut(share).enumerate();
            let loading: Vec<_> = shares.map(|share| scope.spawn(|| load(share))).collect();
            loading.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })?;
        self.len = self.parts.iter().map(|part| part.len() as u64).sum();
        Ok(())
    }

    /// Inserts a key tentatively. Returns false if the set contains it.
    pub(super) fn insert(&mut self, key: DedupKey) -> bool {
        let part = self.part(key);
        if part.len() == part.capacity() {
            rebuild(part);
        }
        let is_new = part.insert(key);
        if is_new {
            self.len += 1;
            self.tentative.push(key);
        }
        is_new
    }

    /// Returns true if the set contains a key.
    #[cfg(feature = "nats")]
    pub(super) fn contains(&self, key: DedupKey) -> bool {
        self.parts[index(key, self.parts.len())].contains(&key)
    }

    /// Removes all but the first `kept` keys inserted since the last [`make_permanent`](Self::make_permanent): their
    /// commit has failed, or their batch was refused.
    pub(super) fn roll_back_to(&mut self, kept: usize) {
        for key in self.tentative.split_off(kept) {
            self.remove(key);
        }
    }

    /// Returns the keys inserted since the last [`make_permanent`](Self::make_permanent).
    pub(super) fn tentative(&self) -> &[DedupKey] {
        &self.tentative
    }

    /// Makes the tentative keys permanent: their commit is durable.
    pub(super) fn make_permanent(&mut self) {
        self.tentative.clear();
        self.tentative.shrink_to(4096);
    }

    /// Removes a key that has left the window.
    pub(super) fn remove(&mut self, key: DedupKey) {
        let was_there = self.part(key).remove(&key);
        self.len -= u64::from(was_there);
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    fn part(&mut self, key: DedupKey) -> &mut DedupPart {
        let index = index(key, self.parts.len());
        &mut self.parts[index]
    }
}

/// Makes room for another key. A hash table that is full of tombstones would double needlessly.
fn rebuild(part: &mut DedupPart) {
    let room = part.len() + part.len() / 32 + 1;
    let mut rebuilt = DedupPart::with_capacity_and_hasher(room, BuildHasherDefault::default());
    rebuilt.extend(part.drain());
    *part = rebuilt;
}

/// Returns the part of a key, by the half of the key that is not its hash within the part.
fn index(key: DedupKey, parts: usize) -> usize {
    (((key.0 >> 64) * parts as u128) >> 64) as usize
}

/// Takes a key's own bits as its hash: they are a cryptographic hash's.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for (index, byte) in bytes.iter().take(8).enumerate() {
            self.0 |= u64::from(*byte) << (8 * index);
        }
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(number: u16) -> DedupKey {
        DedupKey::new("source", &number.to_string(), (0, 0))
    }

    #[test]
    fn the_key_of_an_event_has_the_precision_of_pingone() {
        let at = |nanos| DedupKey::new("source", "id", (1, nanos));
        assert_eq!(at(507_594_727), at(507_000_000));
        assert_ne!(at(507_000_000), at(508_000_000));
    }

    #[test]
    fn a_window_that_moves_on_takes_no_more_memory() {
        let mut set = DedupSet::new(KEYS_PER_PART, 0);
        let key = |number: u64| DedupKey::new("source", &number.to_string(), (0, 0));
        for number in 0..20 * KEYS_PER_PART {
            set.insert(key(number));
            if let Some(oldest) = number.checked_sub(KEYS_PER_PART) {
                set.remove(key(oldest));
            }
            if number % 1000 == 0 {
                set.make_permanent();
            }
        }
        assert_eq!(set.len(), KEYS_PER_PART);
        assert!(set.parts[0].capacity() < 30_000, "{}", set.parts[0].capacity());
    }

    proptest! {
        #[test]
        fn it_remembers_what_a_plain_set_does(
            steps in proptest::collection::vec((0..5_u8, 0..40_u16), 0..300),
            parts in 1..5_u64,
        ) {
            let mut set = DedupSet::new(parts * KEYS_PER_PART, 100);
            let (mut settled, mut tentative) = (HashSet::new(), HashSet::new());
            for (step, number) in steps {
                match step {
                    0 | 1 => {
                        let is_new = !settled.contains(&number) && tentative.insert(number);
                        prop_assert_eq!(set.insert(key(number)), is_new);
                    }
                    2 => {
                        set.make_permanent();
                        settled.extend(tentative.drain());
                    }
                    3 => {
                        let kept = usize::from(number) % (set.tentative().len() + 1);
                        let first: HashSet<_> = set.tentative()[..kept].iter().copied().collect();
                        set.roll_back_to(kept);
                        tentative.retain(|number| first.contains(&key(*number)));
                    }
                    // Only what is committed leaves the window.
                    _ if settled.remove(&number) => set.remove(key(number)),
                    _ => {}
                }
                prop_assert_eq!(set.len(), (settled.len() + tentative.len()) as u64);
                prop_assert_eq!(set.tentative().len(), tentative.len());
            }
        }
    }
}
