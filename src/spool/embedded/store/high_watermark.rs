//! `spool.mark`: the high watermark of the log, kept outside the database.
//!
//! A database without its `-wal` file, or an older copy, looks sound although events are missing. This file shows
//! the loss. Two slots, each in its own block, are written in turn, so that a torn write leaves the other one. The
//! file is written after each commit and synced with each checkpoint, in an idle second and at the end: no answer
//! waits for it. So it never exceeds the state on disk; after a kill it is exact, and after a power failure it may
//! lag by the last 4 MiB, or by the last second of a quiet service.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Distance of the slots in bytes: a block of the disk.
const BLOCK: u64 = 4096;
const SIZE: usize = 64;
/// Size of the extension, which older versions neither read nor write.
const MORE: usize = 32;
const MAGIC: &[u8; 8] = b"dsspool1";

/// Content of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HighWatermark {
    /// Id of the spool.
    pub(crate) id: u128,
    /// Layout of the database.
    pub(crate) layout: i64,
    /// Position of the next event.
    pub(crate) next: u64,
    /// Last trimmed position.
    pub(crate) trimmed: u64,
    /// True if the writer has met a corrupt page: the next start has to repair it.
    pub(crate) is_damaged: bool,
    /// True if appends were refused until the sinks have caught up.
    pub(crate) is_full: bool,
    /// Bytes that were refused by the quarantine; 0 if none were.
    pub(crate) wanted: u64,
}

/// Open file of the high watermark.
#[derive(Debug)]
pub(crate) struct HighWatermarkFile {
    file: Option<File>,
    sequence: u64,
    written: Option<HighWatermark>,
    is_synced: bool,
}

pub(crate) fn path(directory: &Path) -> PathBuf {
    directory.join("spool.mark")
}

/// Reads the newest intact slot.
pub(crate) fn read(directory: &Path) -> Option<HighWatermark> {
    newest(&File::open(path(directory)).ok()?).map(|(_, mark)| mark)
}

fn newest(file: &File) -> Option<(u64, HighWatermark)> {
    let slots = (0..2).filter_map(|slot| {
        let mut bytes = [0; SIZE];
        file.read_exact_at(&mut bytes, slot * BLOCK).ok()?;
        let (sequence, mark) = parse(&bytes)?;
        let mut more = [0; MORE];
        let is_there = file.read_exact_at(&mut more, slot * BLOCK + SIZE as u64).is_ok();
        let (is_full, wanted) =
            is_there.then(|| parse_more(&more, sequence)).flatten().unwrap_or_default();
        Some((sequence, HighWatermark { is_full, wanted, ..mark }))
    });
    slots.max_by_key(|(sequence, _)| *sequence)
}

impl HighWatermarkFile {
    /// Opens the file. A failure is logged: only the detection of a lost database depends on it.
    pub(crate) fn open(directory: &Path) -> HighWatermarkFile {
        let path = path(directory);
        let opened = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        if let Err(error) = &opened {
            tracing::error!(
                %error, file = %path.display(),
                "spool.mark cannot be used: a lost or older database would go unnoticed"
            );
        }
        let file = opened.ok();
        let newest = file.as_ref().and_then(newest);
        let is_empty =
            file.as_ref().and_then(|file| file.metadata().ok()).is_none_or(|file| file.len() == 0);
        if newest.is_none() && !is_empty {
            tracing::warn!(file = %path.display(), "spool.mark is corrupt; it is rewritten");
        }
        let sequence = newest.map_or(0, |(sequence, _)| sequence);
        HighWatermarkFile { file, sequence, written: newest.map(|(_, mark)| mark), is_synced: true }
    }

    /// Returns the watermark in the file.
    pub(crate) fn mark(&self) -> Option<HighWatermark> {
        self.written
    }

    /// Writes a high watermark, without waiting for the disk.
    pub(crate) fn write(&mut self, mark: HighWatermark) {
        if self.written == Some(mark) {
            return;
        }
        self.sequence += 1;
        self.written = Some(mark);
        self.is_synced = false;
        let bytes = format(self.sequence, mark);
        let write = |file: &File| file.write_all_at(&bytes, self.sequence % 2 * BLOCK);
        if let Some(Err(error)) = self.file.as_ref().map(write) {
            tracing::error!(%error, "spool.mark cannot be written; it is not used until the next start");
            self.file = None;
        }
    }

    /// Writes and syncs `layout`, if the file has another one. Called before the database gets that layout: an older
    /// version takes a database for damaged if its layout is not the one in this file.
    pub(crate) fn announce(&mut self, layout: i64) {
        if let Some(mark) = self.written.filter(|mark| mark.layout != layout) {
            self.write(HighWatermark { layout, ..mark });
            self.sync();
        }
    }

    /// Waits until the last write is on stable storage.
    pub(crate) fn sync(&mut self) {
        if !self.is_synced
            && let Some(Err(error)) = self.file.as_ref().map(File::sync_data)
        {
            tracing::error!(%error, "spool.mark cannot be synced; it is not used until the next start");
            self.file = None;
        }
        self.is_synced = true;
    }
}

fn format(sequence: u64, mark: HighWatermark) -> [u8; SIZE + MORE] {
    let HighWatermark { id, layout, next, trimmed, is_damaged, is_full, wanted } = mark;
    let mut bytes = [0; SIZE + MORE];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
    bytes[16..32].copy_from_slice(&id.to_le_bytes());
    bytes[32..40].copy_from_slice(&layout.to_le_bytes());
    bytes[40..48].copy_from_slice(&next.to_le_bytes());
    bytes[48..56].copy_from_slice(&trimmed.to_le_bytes());
    bytes[56] = u8::from(is_damaged);
    let checksum = crc32fast::hash(&bytes[..60]);
    bytes[60..SIZE].copy_from_slice(&checksum.to_le_bytes());
    let more = &mut bytes[SIZE..];
    more[..8].copy_from_slice(&sequence.to_le_bytes());
    more[8..16].copy_from_slice(&wanted.to_le_bytes());
    more[16] = u8::from(is_full);
    let checksum = crc32fast::hash(&more[..28]);
    more[28..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Parses the extension of the slot with number `sequence`.
fn parse_more(bytes: &[u8; MORE], sequence: u64) -> Option<(bool, u64)> {
    let (number, rest) = bytes.split_first_chunk()?;
    let (wanted, rest) = rest.split_first_chunk()?;
    let is_its = u64::from_le_bytes(*number) == sequence;
    let is_sound = crc32fast::hash(&bytes[..28]).to_le_bytes() == bytes[28..];
    (is_its && is_sound).then(|| (rest[0] != 0, u64::from_le_bytes(*wanted)))
}

fn parse(bytes: &[u8; SIZE]) -> Option<(u64, HighWatermark)> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let checksum = u32::from_le_bytes(bytes[60..].try_into().ok()?);
    if &bytes[..8] != MAGIC || crc32fast::hash(&bytes[..60]) != checksum {
        return None;
    }
    let mark = HighWatermark {
        id: u128::from(number(24)?) << 64 | u128::from(number(16)?),
        layout: number(32)? as i64,
        next: number(40)?,
        trimmed: number(48)?,
        is_damaged: bytes[56] != 0,
        is_full: false,
        wanted: 0,
    };
    Some((number(8)?, mark))
}
