//! The write-ahead log as a file: frames that SQLite replays, and frames that it skips silently.
//!
//! Each frame's checksum continues the one before, and SQLite stops at the first mismatch: one flipped bit loses
//! every later commit silently. A frame can also be checked alone, from the checksum stored in the frame before
//! it, so that the frames behind a corrupt one can be verified.
//!
//! The remains of a crash are no damage: at most one commit was in progress, and no caller was answered for it. If
//! another commit follows the corrupt one, the corrupt one had been answered.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::schema::PAGE_SIZE;

const HEADER: u64 = 32;
const FRAME_HEADER: usize = 24;
const FRAME: u64 = FRAME_HEADER as u64 + PAGE_SIZE;

/// Offsets of the newest version of each page in the log, by page number.
#[derive(Debug, Default)]
pub(crate) struct Wal {
    /// Pages of frames that match their checksums.
    pub(crate) sound: HashMap<u32, u64>,
    /// Pages of other frames: usable only for rows with a checksum of their own.
    pub(crate) broken: HashMap<u32, u64>,
    /// Number of commits.
    pub(crate) commits: u64,
    pub(crate) tail: WalTail,
    /// Offset of the first frame that SQLite does not replay.
    first_broken: Option<u64>,
}

/// Frames behind the last one that SQLite replays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum WalTail {
    /// No frame of this log.
    #[default]
    Empty,
    /// An incomplete commit: torn by a crash, or corrupt. Only the high watermark can tell.
    Torn,
    /// Commits that were acknowledged.
    Lost,
}

#[derive(Clone, Copy)]
struct WalHeader {
    is_sound: bool,
    is_big_endian: bool,
    salts: [u8; 8],
    checksum: [u32; 2],
}

/// Reads a log. A missing or unreadable file counts as empty.
pub(crate) fn read(path: &Path) -> Wal {
    let Ok(file) = File::open(path) else { return Wal::default() };
    let (mut header, mut first_broken) = (bytes_at::<32>(&file, 0), None);
    loop {
        let wal = header.map(|header| scan(&file, &header)).unwrap_or_default();
        let after = bytes_at::<32>(&file, 0);
        // A running service may restart the log meanwhile, with a new header. It may also have been writing the frame
        // that looked corrupt: once commits are behind it, a second scan finds it complete.
        let is_confirmed = wal.tail != WalTail::Lost || wal.first_broken == first_broken;
        if after == header && is_confirmed {
            return wal;
        }
        (header, first_broken) = (after, wal.first_broken);
    }
}

fn scan(file: &File, header: &[u8; 32]) -> Wal {
    let mut header = WalHeader::parse(header);
    if !header.is_sound {
        // The first frame holds the salts, too.
        let Some(salts) = bytes_at::<8>(file, HEADER + 8) else { return Wal::default() };
        header.salts = salts;
    }
    let mut wal = Wal::default();
    let mut frame = vec![0; FRAME as usize];
    let (mut at, mut stated, mut is_replayed) = (HEADER, header.checksum, header.is_sound);
    // Pages of the current, incomplete commit.
    let (mut sound, mut broken) = (Vec::new(), Vec::new());
    // True if a commit ends behind the first frame that is not replayed.
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
        if !is_replayed {
            wal.first_broken.get_or_insert(at);
        }
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
    // A log with a corrupt header is not replayed at all, and was complete when it was written.
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

/// Computes SQLite's checksum of pairs of words, continuing from `seed`.
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
