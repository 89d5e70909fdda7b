//! Chunks: consecutive events of one batch, framed, compressed and checksummed.
//!
//! Plain form: for each event its length (u32, little-endian) and its bytes. Stored form: the plain
//! form, or its zstd frame where that is smaller. Both forms are read by every later version.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::get_frame_content_size;

/// Plain bytes after which a chunk is closed. One event larger than this has a chunk to itself.
const TARGET: usize = 512 * 1024;

/// Bytes of the length before each event.
const LENGTH_BYTES: usize = 4;

/// zstd's level: the fastest standard one. Events of one batch resemble each other so much that
/// higher levels save little.
const LEVEL: i32 = 1;

/// Plain bytes up to which compressing is not worth its time: rows of this size take a page anyway.
const SMALL: usize = 2048;

/// Contexts that are kept to compress with, and to inflate with: making one takes longer than
/// compressing an event. Each takes about two megabytes with its buffers.
const KEPT: usize = 4;

/// A chunk that claims to be larger than this is inflated piece by piece.
const MAX_AT_ONCE: u64 = 64 * 1024 * 1024;

static PACKERS: Mutex<Vec<Packer>> = Mutex::new(Vec::new());
static DECOMPRESSORS: Mutex<Vec<Decompressor<'static>>> = Mutex::new(Vec::new());

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// A chunk in its stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) count: u32,
    pub(crate) codec: u8,
    pub(crate) body: Vec<u8>,
}

/// The columns around a chunk's body, covered by its checksum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label<'a> {
    pub(crate) last: u64,
    pub(crate) count: u32,
    pub(crate) received_at: i64,
    pub(crate) source: &'a str,
    pub(crate) only_sink: Option<&'a str>,
    pub(crate) codec: u8,
}

/// Compression context with its buffers, which are reused: new ones of this size would be new pages each time.
#[derive(Default)]
struct Packer {
    /// `None` until the first compression, and if zstd cannot allocate one.
    compressor: Option<Compressor<'static>>,
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

/// Packs events into as few chunks as their size allows.
pub(crate) fn encode<'a>(events: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<Chunk> {
    let size: usize = events.clone().map(|event| event.len() + LENGTH_BYTES).sum();
    if size <= SMALL {
        let (mut body, mut count) = (Vec::with_capacity(size), 0);
        events.for_each(|event| count += append(&mut body, event));
        return if count == 0 { Vec::new() } else { vec![Chunk { count, codec: PLAIN, body }] };
    }
    let lock = || PACKERS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut packer = lock().pop().unwrap_or_default();
    let chunks = packer.encode(events);
    packer.shrink();
    let mut kept = lock();
    if kept.len() < KEPT {
        kept.push(packer);
    }
    chunks
}

/// Appends the plain form of one event. Returns the number of events added: 1.
fn append(plain: &mut Vec<u8>, event: &[u8]) -> u32 {
    // A body is bounded far below 4 GiB, and an event is a part of one.
    plain.extend_from_slice(&(event.len() as u32).to_le_bytes());
    plain.extend_from_slice(event);
    1
}

impl Packer {
    fn encode<'a>(&mut self, events: impl Iterator<Item = &'a [u8]>) -> Vec<Chunk> {
        let (mut chunks, mut count) = (Vec::new(), 0);
        self.plain.clear();
        for event in events {
            if count > 0 && self.plain.len() + event.len() > TARGET {
                chunks.push(self.pack(count));
                self.plain.clear();
                count = 0;
            }
            count += append(&mut self.plain, event);
        }
        if count > 0 {
            chunks.push(self.pack(count));
        }
        chunks
    }

    fn pack(&mut self, count: u32) -> Chunk {
        let Packer { compressor, plain, compressed } = self;
        if compressor.is_none() {
            *compressor = Compressor::new(LEVEL).ok();
        }
        compressed.clear();
        compressed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        let length = match compressor.as_mut().filter(|_| plain.len() > SMALL) {
            Some(compressor) => compressor.compress_to_buffer(plain, compressed).ok(),
            None => None,
        };
        match length {
            Some(length) if length < plain.len() => {
                Chunk { count, codec: ZSTD, body: compressed[..length].to_vec() }
            }
            _ => Chunk { count, codec: PLAIN, body: plain.clone() },
        }
    }

    /// Gives back what an unusually large event has taken.
    fn shrink(&mut self) {
        self.plain.clear();
        self.plain.shrink_to(2 * TARGET);
        self.compressed.clear();
        self.compressed.shrink_to(2 * TARGET);
    }
}

/// Runs `work` with a pooled context, or a new one, and returns the context to the pool.
fn kept<T, R>(
    pool: &Mutex<Vec<T>>,
    make: impl FnOnce() -> std::io::Result<T>,
    work: impl FnOnce(&mut T) -> std::io::Result<R>,
) -> std::io::Result<R> {
    let lock = || pool.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = lock().pop();
    let mut context = taken.map_or_else(make, Ok)?;
    let result = work(&mut context);
    let mut pool = lock();
    if pool.len() < KEPT {
        pool.push(context);
    }
    result
}

fn unpack(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let size = get_frame_content_size(body).ok().flatten();
    match size.filter(|size| *size <= MAX_AT_ONCE) {
        Some(size) => kept(&DECOMPRESSORS, Decompressor::new, |decompressor| {
            decompressor.decompress(body, size as usize)
        }),
        None => zstd::stream::decode_all(body),
    }
}

/// Decodes the events of a chunk, in order; `None` if the body is corrupt.
pub(crate) fn decode(codec: u8, count: u32, body: &[u8]) -> Option<Vec<Bytes>> {
    let plain = match codec {
        PLAIN => Bytes::copy_from_slice(body),
        ZSTD => Bytes::from(unpack(body).ok()?),
        _ => return None,
    };
    let mut events = Vec::new();
    let mut at = 0;
    while at < plain.len() {
        let start = at + 4;
        let length = u32::from_le_bytes(plain.get(at..start)?.try_into().ok()?) as usize;
        at = start.checked_add(length)?;
        events.push((at <= plain.len()).then(|| plain.slice(start..at))?);
    }
    (events.len() == count as usize).then_some(events)
}

/// Computes the CRC-32 of the label and the stored body.
pub(crate) fn checksum(label: Label<'_>, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&label.last.to_le_bytes());
    crc.update(&label.count.to_le_bytes());
    crc.update(&label.received_at.to_le_bytes());
    crc.update(&[label.codec]);
    crc.update(label.source.as_bytes());
    crc.update(&[0, u8::from(label.only_sink.is_some())]);
    crc.update(label.only_sink.unwrap_or_default().as_bytes());
    crc.update(body);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(events: &[Vec<u8>]) -> Vec<Chunk> {
        let chunks = encode(events.iter().map(Vec::as_slice));
        let decoded: Vec<Bytes> = chunks
            .iter()
            .flat_map(|chunk| decode(chunk.codec, chunk.count, &chunk.body).expect("decodes"))
            .collect();
        assert_eq!(decoded, events, "what was encoded is what is decoded");
        chunks
    }

    #[test]
    fn events_come_back_whole_and_in_order() {
        assert!(round_trip(&[]).is_empty());
        assert_eq!(round_trip(&[vec![], b"a".to_vec(), vec![0; 3]]).len(), 1);
        assert_eq!(round_trip(&[vec![7; TARGET * 3], b"next".to_vec()]).len(), 2);
        assert_eq!(round_trip(&vec![vec![b'x'; 1000]; 1200]).len(), 3);
        let codecs = [SMALL - 4, SMALL - 3].map(|size| round_trip(&[vec![b'x'; size]])[0].codec);
        assert_eq!(codecs, [PLAIN, ZSTD], "small ones are left as they are");
    }

    #[test]
    fn what_does_not_shrink_is_stored_plain() {
        let chunk = &round_trip(&[vec![1, 2, 3]])[0];
        assert_eq!((chunk.codec, chunk.body.as_slice()), (PLAIN, &[3, 0, 0, 0, 1, 2, 3][..]));
    }

    #[test]
    fn a_damaged_body_is_refused_not_misread() {
        assert_eq!(decode(PLAIN, 1, &[9, 0, 0, 0, 1]), None, "length past the end");
        assert_eq!(decode(PLAIN, 2, &[1, 0, 0, 0, 1]), None, "fewer events than the label says");
        assert_eq!(decode(PLAIN, 1, &[1, 0]), None, "cut length");
        assert_eq!(decode(ZSTD, 1, b"not zstd"), None, "no frame");
        assert_eq!(decode(7, 1, &[]), None, "unknown codec");
    }

    #[test]
    fn the_checksum_covers_label_and_body() {
        let label =
            Label { last: 5, count: 2, received_at: 9, source: "s", only_sink: None, codec: PLAIN };
        let sum = checksum(label, b"body");
        assert_ne!(sum, checksum(label, b"bodz"));
        assert_ne!(sum, checksum(Label { last: 6, ..label }, b"body"));
        assert_ne!(sum, checksum(Label { source: "t", ..label }, b"body"));
        assert_ne!(sum, checksum(Label { only_sink: Some("s"), ..label }, b"body"));
    }
}
