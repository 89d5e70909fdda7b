//! One batch as one message: its events in chunks as the embedded engine stores them, its keys, and its quarantine
//! entries.
//!
//! | part | bytes |
//! | --- | --- |
//! | magic | `DSB1` |
//! | CRC-32 of head, keys and entries | 4, little-endian |
//! | length of the head | 4, little-endian |
//! | head | JSON, [`FrameHead`] |
//! | keys | 16 each: of the events, then of the entries, then those that a move has brought along |
//! | entries | bytes of each, one after another |
//! | chunks | bodies of [`chunk`], one after another |
//!
//! The checksum of a chunk covers the number of the chunk's last event within the batch, from 1, in the place of its
//! position: the position follows from the messages before, and is not known when the batch is published.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::entry;
use crate::spool::chunk::{self, Chunk, Label};
use crate::spool::moving::contents::MovedChunk;
use crate::spool::{Batch, DedupKey, Disposition, EntrySummary, Millis};

const MAGIC: &[u8; 4] = b"DSB1";

/// Bytes before the head.
const PREFIX: usize = 12;

/// A parsed message.
#[derive(Debug, Clone)]
pub(super) struct BatchFrame {
    pub(super) head: FrameHead,
    keys: Vec<DedupKey>,
    entries: Vec<Bytes>,
    chunks: Vec<Bytes>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FrameHead {
    /// Unique id of the batch as it was published.
    pub(super) id: String,
    pub(super) source: String,
    pub(super) received_at: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) only_sink: Option<String>,
    /// Disposition that the events count for: accepted, released or replayed.
    pub(super) disposition: Disposition,
    /// True if the events have keys. A replay has none: its events are never duplicates.
    is_keyed: bool,
    /// Number of keys whose events are not in the message: `spool move` has brought them along.
    #[serde(default, skip_serializing_if = "is_zero")]
    carried_keys: u32,
    chunks: Vec<ChunkHead>,
    entries: Vec<EntryHead>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ChunkHead {
    count: u32,
    codec: u8,
    checksum: u32,
    length: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct EntryHead {
    is_keyed: bool,
    /// The entry without its number, which the quarantine's stream assigns.
    summary: EntrySummary,
}

/// Encodes a batch without its duplicates; `chunks` are those of its events. `at` is the time of its entries.
pub(super) fn encode(
    batch: Batch,
    chunks: &[Chunk],
    disposition: Disposition,
    at: Millis,
    max_payload: usize,
) -> Bytes {
    let Batch { source, received_at, events, quarantine, only_sink, .. } = batch;
    let is_keyed = disposition != Disposition::Replayed;
    let mut keys: Vec<DedupKey> = match is_keyed {
        true => events.iter().map(|event| event.key).collect(),
        false => Vec::new(),
    };
    let (mut entries, mut entry_bytes) = (Vec::with_capacity(quarantine.len()), Vec::new());
    for refused in quarantine {
        keys.extend(refused.key);
        let is_keyed = refused.key.is_some();
        let refused = entry::fitting(refused, max_payload);
        entry_bytes.push(refused.bytes.clone());
        entries.push(EntryHead { is_keyed, summary: entry::summary_of(&refused, &source, at) });
    }
    let only_sink = only_sink.map(|sink| sink.to_string());
    let source = source.to_string();
    let head = FrameHead {
        disposition,
        is_keyed,
        chunks: chunk_heads(chunks, received_at, &source, only_sink.as_deref()),
        entries,
        ..FrameHead::new(source, received_at, only_sink)
    };
    assemble(&head, &keys, &entry_bytes, chunks)
}

/// Encodes a chunk of another engine's log. Its events have no keys here: a move brings the keys along on their own.
pub(super) fn encode_moved(moved: MovedChunk) -> Bytes {
    let MovedChunk { received_at, source, only_sink, chunk, .. } = moved;
    let chunks = [chunk];
    let heads = chunk_heads(&chunks, received_at, &source, only_sink.as_deref());
    let head = FrameHead { chunks: heads, ..FrameHead::new(source, received_at, only_sink) };
    assemble(&head, &[], &[], &chunks)
}

/// Encodes keys whose events are not in the message.
pub(super) fn encode_keys(source: &str, received_at: Millis, keys: &[DedupKey]) -> Bytes {
    let carried_keys = keys.len() as u32;
    let head = FrameHead { carried_keys, ..FrameHead::new(source.to_owned(), received_at, None) };
    assemble(&head, keys, &[], &[])
}

fn chunk_heads(
    chunks: &[Chunk],
    received_at: Millis,
    source: &str,
    only_sink: Option<&str>,
) -> Vec<ChunkHead> {
    let mut last = 0;
    let heads = chunks.iter().map(|Chunk { count, codec, body }| {
        last += u64::from(*count);
        let (count, codec) = (*count, *codec);
        let label = Label { last, count, received_at, source, only_sink, codec };
        let (checksum, length) = (chunk::checksum(label, body), body.len() as u32);
        ChunkHead { count, codec, checksum, length }
    });
    heads.collect()
}

fn assemble(head: &FrameHead, keys: &[DedupKey], entry_bytes: &[Bytes], chunks: &[Chunk]) -> Bytes {
    let head = serde_json::to_vec(head).unwrap_or_default();
    let size: usize = chunks.iter().map(|chunk| chunk.body.len()).sum::<usize>()
        + entry_bytes.iter().map(Bytes::len).sum::<usize>();
    let mut text = BytesMut::with_capacity(PREFIX + head.len() + 16 * keys.len() + size);
    text.put_slice(MAGIC);
    text.put_u32_le(0);
    text.put_u32_le(head.len() as u32);
    text.put_slice(&head);
    keys.iter().for_each(|key| text.put_slice(&key.to_bytes()));
    entry_bytes.iter().for_each(|bytes| text.put_slice(bytes));
    let checksum = crc32fast::hash(&text[PREFIX..]);
    text[4..8].copy_from_slice(&checksum.to_le_bytes());
    chunks.iter().for_each(|chunk| text.put_slice(&chunk.body));
    text.freeze()
}

/// Parses a message; `None` if davinci-siem has not written it, or it is corrupt outside its chunks.
pub(super) fn parse(message: &Bytes) -> Option<BatchFrame> {
    let number = |at: usize| {
        let bytes = message.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    if !message.starts_with(MAGIC) {
        return None;
    }
    let (checksum, length) = (number(4)?, number(8)? as usize);
    let mut rest = message.slice(PREFIX..);
    let mut take = |length: usize| (length <= rest.len()).then(|| rest.split_to(length));
    let head: FrameHead = serde_json::from_slice(&take(length)?).ok()?;
    let events: usize = head.chunks.iter().map(|chunk| chunk.count as usize).sum();
    let keyed_entries = head.entries.iter().filter(|entry| entry.is_keyed).count();
    let keys = if head.is_keyed { events } else { 0 } + keyed_entries;
    let keys = keys.checked_add(head.carried_keys as usize)?;
    let keys = take(keys.checked_mul(DedupKey::SIZE)?)?;
    let (keys, _) = keys.as_chunks::<{ DedupKey::SIZE }>();
    let keys = keys.iter().map(|key| DedupKey::from_bytes(*key)).collect();
    let entries = head.entries.iter().map(|entry| take(entry.summary.size as usize));
    let entries = entries.collect::<Option<Vec<Bytes>>>()?;
    let chunks = head.chunks.iter().map(|chunk| take(chunk.length as usize));
    let chunks = chunks.collect::<Option<Vec<Bytes>>>()?;
    let checked = message.len() - rest.len() - chunks.iter().map(Bytes::len).sum::<usize>();
    let is_sound = crc32fast::hash(&message[PREFIX..checked]) == checksum;
    is_sound.then_some(BatchFrame { head, keys, entries, chunks })
}

impl FrameHead {
    /// Returns the head of a message without content.
    fn new(source: String, received_at: Millis, only_sink: Option<String>) -> FrameHead {
        FrameHead {
            id: uuid::Uuid::new_v4().to_string(),
            source,
            received_at,
            only_sink,
            disposition: Disposition::Accepted,
            is_keyed: false,
            carried_keys: 0,
            chunks: Vec::new(),
            entries: Vec::new(),
        }
    }
}

impl BatchFrame {
    /// Returns the number of events.
    pub(super) fn events(&self) -> u64 {
        self.head.chunks.iter().map(|chunk| u64::from(chunk.count)).sum()
    }

    /// Returns the keys of the events, in order; none for a replay.
    pub(super) fn event_keys(&self) -> &[DedupKey] {
        let count = if self.head.is_keyed { self.events() as usize } else { 0 };
        &self.keys[..count]
    }

    /// Returns the keys of the entries, and those that a move has brought along.
    pub(super) fn entry_keys(&self) -> &[DedupKey] {
        &self.keys[self.event_keys().len()..]
    }

    /// Returns the quarantine entries: fields, key and bytes of each.
    pub(super) fn entries(
        &self,
    ) -> impl Iterator<Item = (&EntrySummary, Option<DedupKey>, &Bytes)> {
        let mut keys = self.entry_keys().iter().copied();
        let entries = self.head.entries.iter().zip(&self.entries);
        entries.map(move |(entry, bytes)| {
            let key = if entry.is_keyed { keys.next() } else { None };
            (&entry.summary, key, bytes)
        })
    }

    /// Returns the number of chunks.
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Returns the number of events in a chunk.
    pub(super) fn count(&self, chunk: usize) -> u64 {
        self.head.chunks.get(chunk).map_or(0, |chunk| u64::from(chunk.count))
    }

    /// Decodes the events of a chunk; `None` if it is corrupt.
    pub(super) fn chunk(&self, index: usize) -> Option<Vec<Bytes>> {
        let (body, chunk) = (self.chunks.get(index)?, self.head.chunks.get(index)?);
        let before = self.head.chunks.get(..=index)?;
        let last = before.iter().map(|chunk| u64::from(chunk.count)).sum();
        let FrameHead { received_at, source, only_sink, .. } = &self.head;
        let (received_at, only_sink) = (*received_at, only_sink.as_deref());
        let ChunkHead { count, codec, checksum, .. } = *chunk;
        let label = Label { last, count, received_at, source, only_sink, codec };
        let is_sound = chunk::checksum(label, body) == checksum;
        if is_sound { chunk::decode(codec, count, body) } else { None }
    }

    /// Returns a chunk as it is stored.
    pub(super) fn raw_chunk(&self, index: usize) -> Option<Chunk> {
        let (body, chunk) = (self.chunks.get(index)?, self.head.chunks.get(index)?);
        Some(Chunk { count: chunk.count, codec: chunk.codec, body: body.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{EntryOrigin, NewEntry, NewEvent};

    fn event(number: usize, size: usize) -> NewEvent {
        let key = DedupKey::new("pingone", &number.to_string(), (0, 0));
        NewEvent { key, bytes: format!("{number} {}", "x".repeat(size)).into() }
    }

    fn refused(key: Option<DedupKey>) -> NewEntry {
        NewEntry {
            origin: EntryOrigin::Element,
            key,
            reason: "missing_field",
            detail: "no \"id\"".to_owned(),
            path: "$[1]".to_owned(),
            index: 1,
            request_id: String::new(),
            encoding: String::new(),
            sink: None,
            target: None,
            bytes: Bytes::from_static(b"\xff{}"),
        }
    }

    fn encoded(batch: &Batch, disposition: Disposition) -> Bytes {
        let chunks = chunk::encode(batch.events.iter().map(|event| event.bytes.as_ref()));
        encode(batch.clone(), &chunks, disposition, 42, 1024 * 1024)
    }

    fn batch() -> Batch {
        let key = Some(DedupKey::of_bytes("pingone", b"bad"));
        Batch {
            source: "pingone".into(),
            received_at: 7,
            // Several chunks.
            events: (0..3000).map(|number| event(number, 400)).collect(),
            quarantine: vec![refused(None), refused(key), refused(None)],
            ..Batch::default()
        }
    }

    #[test]
    fn a_batch_is_parsed_as_it_was_encoded() {
        let whole = batch();
        let frame = parse(&encoded(&whole, Disposition::Accepted)).expect("a frame");
        assert!(frame.chunks() > 1);
        let chunks = (0..frame.chunks()).map(|index| frame.chunk(index).expect("sound"));
        let events: Vec<Bytes> = chunks.flatten().collect();
        let sent: Vec<Bytes> = whole.events.iter().map(|event| event.bytes.clone()).collect();
        assert_eq!((frame.events(), events), (3000, sent));
        let keys: Vec<DedupKey> = whole.events.iter().map(|event| event.key).collect();
        assert_eq!(frame.event_keys(), keys);
        let entries: Vec<_> = frame.entries().collect();
        let found: Vec<Option<DedupKey>> = entries.iter().map(|(_, key, _)| *key).collect();
        assert_eq!(found, [None, whole.quarantine[1].key, None]);
        let (summary, _, bytes) = entries[1];
        assert_eq!((summary.at, summary.size, &bytes[..]), (42, 3, &b"\xff{}"[..]));
        assert_eq!((&*frame.head.source, frame.head.received_at), ("pingone", 7));
        let copy = Batch { only_sink: Some("siem".into()), quarantine: Vec::new(), ..whole };
        let copy = parse(&encoded(&copy, Disposition::Replayed)).expect("a frame");
        assert_eq!((copy.event_keys().len(), copy.head.only_sink.as_deref()), (0, Some("siem")));
    }

    #[test]
    fn a_moved_chunk_is_unchanged_and_keys_travel_without_events() {
        let whole = batch();
        let chunks = chunk::encode(whole.events.iter().map(|event| event.bytes.as_ref()));
        let only_sink = Some("siem".to_owned());
        let moved = |chunk: Chunk| {
            let (source, only_sink) = ("pingone".to_owned(), only_sink.clone());
            MovedChunk { last: 9000, received_at: 7, source, only_sink, chunk }
        };
        for chunk in chunks {
            let frame = parse(&encode_moved(moved(chunk.clone()))).expect("a frame");
            let raw = frame.raw_chunk(0).expect("a chunk");
            assert_eq!((raw.count, raw.codec, &raw.body), (chunk.count, chunk.codec, &chunk.body));
            assert_eq!(frame.chunk(0).expect("sound").len(), chunk.count as usize);
            assert!(frame.event_keys().is_empty() && frame.entry_keys().is_empty());
            assert_eq!(frame.head.only_sink, only_sink);
        }
        let keys: Vec<DedupKey> = whole.events.iter().map(|event| event.key).collect();
        let frame = parse(&encode_keys("pingone", 7, &keys)).expect("a frame");
        assert_eq!(
            (frame.events(), frame.entries().count(), frame.entry_keys()),
            (0, 0, &keys[..])
        );
    }

    #[test]
    fn a_flipped_bit_spoils_its_chunk_or_the_message() {
        let message = encoded(&batch(), Disposition::Accepted);
        let sound = parse(&message).expect("a frame");
        let bodies: usize = sound.chunks.iter().map(Bytes::len).sum();
        for at in (0..message.len()).step_by(101) {
            let mut bytes = message.to_vec();
            bytes[at] ^= 1;
            let frame = parse(&bytes.into());
            if at < message.len() - bodies {
                assert!(frame.is_none(), "byte {at}");
                continue;
            }
            let frame = frame.expect("a frame");
            let corrupt = (0..frame.chunks()).filter(|index| frame.chunk(*index).is_none()).count();
            assert_eq!(corrupt, 1, "byte {at}");
        }
        for length in (0..message.len()).step_by(997) {
            assert!(parse(&message.slice(..length)).is_none(), "cut to {length} bytes");
        }
        assert!(parse(&Bytes::from_static(b"{\"id\":\"of another program\"}")).is_none());
    }
}
