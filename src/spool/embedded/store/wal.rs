//! The write-ahead log as a file: which frames SQLite replays, and which it passes over in silence.
//!
//! Each frame's checksum goes on from the one before, and SQLite stops at the first that is wrong: one
//! flipped bit, and every later commit is gone without a word. A frame can also be checked alone, from
//! the checksum that the frame before it states; so what stands behind a broken frame is known again.
//!
//! What a crash leaves behind must not look like damage: at most one commit was under way, and nobody was
//! answered for it. Where another commit stands behind the broken one, that one had been answered.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::schema::PAGE_SIZE;

const HEADER: u64 = 32;
const FRAME_HEADER: usize = 24;
const FRAME: u64 = FRAME_HEADER as u64 + PAGE_SIZE;

/// Pages that the log holds, by number: where in the file the newest version of each is.
#[derive(Debug, Default)]
pub(crate) struct Wal {
    /// From frames that match their checksums.
    pub(crate) sound: HashMap<u32, u64>,
    /// From frames that do not: of use only to what has a checksum of its own.
    pub(crate) broken: HashMap<u32, u64>,
    /// Commits in it, and the first frame that SQLite does not replay.
    pub(crate) commits: u64,
    pub(crate) tail: WalTail,
}

/// What follows the last frame that SQLite replays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum WalTail {
    /// Nothing of this log.
    #[default]
    Empty,
    /// A commit that is not whole: torn by a crash, or damaged. Only the mark can tell.
    Torn,
    /// Commits that were answered.
    Lost,
}

#[derive(Clone, Copy)]
struct WalHeader {
    is_sound: bool,
    is_big_endian: bool,
    salts: [u8; 8],
    checksum: [u32; 2],
}

/// Reads a log. A file that is not there or cannot be read holds nothing.
pub(crate) fn read(path: &Path) -> Wal {
    let Ok(file) = File::open(path) else { return Wal::default() };
    // A service that runs may begin the log anew meanwhile: then its header is another.
    let mut before = bytes_at::<32>(&file, 0);
    loop {
        let wal = before.map(|header| scan(&file, &header)).unwrap_or_default();
        let after = bytes_at::<32>(&file, 0);
        if after == before {
            return wal;
        }
        before = after;
    }
}

fn scan(file: &File, header: &[u8; 32]) -> Wal {
    let mut header = WalHeader::parse(header);
    if !header.is_sound {
        // Its first frame knows which log this is.
        let Some(salts) = bytes_at::<8>(file, HEADER + 8) else { return Wal::default() };
        header.salts = salts;
    }
    let mut wal = Wal::default();
    let mut frame = vec![0; FRAME as usize];
    let (mut at, mut stated, mut is_replayed) = (HEADER, header.checksum, header.is_sound);
    // Pages of the commit that is not at its end yet.
    let (mut sound, mut broken) = (Vec::new(), Vec::new());
    // Whether a commit ends behind the first frame that is not replayed.
    let mut has_broken_commit = false;
    while file.read_exact_at(&mut frame, at).is_ok() {
        let (head, page) = frame.split_at(FRAME_HEADER);
        let (number, commit) = (word(head, 0), word(head, 4));
        let of_this_log = head[8..16] == header.salts;
        let seed = checksum(stated, &head[..8], header.is_big_endian);
        let own = [word(head, 16), word(head, 20)];
        let is_sound =
            of_this_log && number != 0 && checksum(seed, page, header.is_big_endian) == own;
        is_replayed &= is_sound;
        stated = own;
        let place = (number, at + FRAME_HEADER as u64);
        if is_sound { &mut sound } else { &mut broken }.push(place);
        if of_this_log && commit != 0 {
            wal.sound.extend(sound.drain(..));
            wal.broken.extend(broken.drain(..));
            wal.commits += 1;
            if !is_replayed {
                wal.tail =
                    if has_broken_commit && is_sound { WalTail::Lost } else { wal.tail.or_torn() };
                has_broken_commit = true;
            }
        } else if of_this_log {
            wal.tail = wal.tail.or_torn();
        }
        if is_replayed && commit != 0 {
            wal.tail = WalTail::Empty;
        }
        at += FRAME;
    }
    // A log whose own header is broken is not replayed at all, and was whole when it was written.
    if !header.is_sound && !wal.sound.is_empty() {
        wal.tail = WalTail::Lost;
    }
    wal
}

impl WalTail {
    fn or_torn(self) -> WalTail {
        if self == WalTail::Lost { WalTail::Lost } else { WalTail::Torn }
    }
}

impl WalHeader {
    fn parse(bytes: &[u8; 32]) -> WalHeader {
        let is_big_endian = bytes[3] & 1 == 1;
        let stated = [word(bytes, 24), word(bytes, 28)];
        let is_sound = word(bytes, 0) & !1 == 0x377f_0682
            && u64::from(word(bytes, 8)) == PAGE_SIZE
            && checksum([0, 0], &bytes[..24], is_big_endian) == stated;
        let mut salts = [0; 8];
        salts.copy_from_slice(&bytes[16..24]);
        WalHeader { is_sound, is_big_endian: is_sound && is_big_endian, salts, checksum: stated }
    }
}

/// SQLite's checksum of a whole number of pairs of words, from where another one ended.
fn checksum(seed: [u32; 2], bytes: &[u8], is_big_endian: bool) -> [u32; 2] {
    let read = if is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    bytes.as_chunks::<8>().0.iter().fold(seed, |[one, two], pair| {
        let [a, b, c, d, e, f, g, h] = *pair;
        let one = one.wrapping_add(read([a, b, c, d])).wrapping_add(two);
        let two = two.wrapping_add(read([e, f, g, h])).wrapping_add(one);
        [one, two]
    })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn bytes_at<const N: usize>(file: &File, at: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at).ok().map(|()| bytes)
}
