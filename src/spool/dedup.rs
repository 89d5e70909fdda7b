//! The set of remembered ids: what makes an event a duplicate, and how the set stays bounded.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use sha2::{Digest, Sha256};

/// What makes two events the same: half of a SHA-256 over source, id and time of recording. 128 bits
/// of a cryptographic hash, because a collision would lose an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupKey(u128);

impl DedupKey {
    /// Bytes of a stored key.
    pub(super) const SIZE: usize = 16;

    /// The key of an event; `recorded_at` is `(seconds, nanoseconds)` since the epoch, so that two
    /// spellings of one instant are one.
    pub fn new(source: &str, id: &str, recorded_at: (i64, u32)) -> DedupKey {
        let mut hash = Sha256::new();
        // Lengths first: no two different pairs may feed the same bytes.
        hash.update((source.len() as u64).to_le_bytes());
        hash.update(source);
        hash.update((id.len() as u64).to_le_bytes());
        hash.update(id);
        hash.update(recorded_at.0.to_le_bytes());
        hash.update(recorded_at.1.to_le_bytes());
        DedupKey::first_half(&hash.finalize())
    }

    /// The key of something that is no event: its bytes, whatever they are.
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

/// Keys in each part of a full window. A hash table has a power of two of places and doubles when 7/8 of
/// them are taken (28,672 of 32,768): parts of this size are well filled when the window is full, keep
/// room for what removed keys leave behind, and one that doubles takes half a megabyte, not hundreds.
const PART: u64 = 26_000;

type Part = HashSet<DedupKey, BuildHasherDefault<AlreadyHashed>>;

/// The ids in the window. Insertions are tentative until the commit that stores them succeeds.
#[derive(Debug)]
pub(super) struct DedupSet {
    parts: Vec<Part>,
    len: u64,
    tentative: Vec<DedupKey>,
}

impl DedupSet {
    /// An empty set for a window of `max` keys, with room for as many as are `expected` at once.
    pub(super) fn new(max: u64, expected: u64) -> DedupSet {
        let count = max.div_ceil(PART).max(1);
        // A little more than the mean: parts are not equally full.
        let mean = (expected / count) as usize;
        let part =
            || Part::with_capacity_and_hasher(mean + mean / 32, BuildHasherDefault::default());
        DedupSet { parts: (0..count).map(|_| part()).collect(), len: 0, tentative: Vec::new() }
    }

    /// Remembers a key that is on disk already.
    pub(super) fn load(&mut self, key: DedupKey) {
        let is_new = self.part(key).insert(key);
        self.len += u64::from(is_new);
    }

    /// Remembers a key until told otherwise; false if it was known.
    pub(super) fn insert(&mut self, key: DedupKey) -> bool {
        let is_new = self.part(key).insert(key);
        if is_new {
            self.len += 1;
            self.tentative.push(key);
        }
        is_new
    }

    /// Forgets what was inserted since the last [`settle`](Self::settle): its commit has failed.
    pub(super) fn roll_back(&mut self) {
        for key in std::mem::take(&mut self.tentative) {
            self.remove(key);
        }
    }

    /// Keys inserted since the last [`settle`](Self::settle).
    pub(super) fn tentative(&self) -> &[DedupKey] {
        &self.tentative
    }

    /// What was inserted is durable now.
    pub(super) fn settle(&mut self) {
        self.tentative.clear();
        self.tentative.shrink_to(4096);
    }

    /// Forgets a key that has left the window.
    pub(super) fn remove(&mut self, key: DedupKey) {
        let was_there = self.part(key).remove(&key);
        self.len -= u64::from(was_there);
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Chosen by the half of the key that is not its hash within the part.
    fn part(&mut self, key: DedupKey) -> &mut Part {
        let index = ((key.0 >> 64) * self.parts.len() as u128) >> 64;
        &mut self.parts[index as usize]
    }
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
