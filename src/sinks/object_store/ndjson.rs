//! Objects of lines: one JSON document per line, compressed while events are added.

use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::write::GzEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;

use super::key::{Partition, object_key};
use crate::http_client::Compression;
use crate::sinks::Item;
use crate::sinks::objects::{ObjectEvent, ObjectPacker, ObjectRange, PackedObject};

/// Size up to which the lines of an object wait for compression, in bytes. A compressor takes about as much memory, so
/// many small objects take no more than their lines.
const MAX_PLAIN_BYTES: usize = 4 * 1024 * 1024;

/// Level at which zstd takes about as long as writing the lines.
const ZSTD_LEVEL: i32 = 3;

/// The objects of one range: one for each source and hour.
#[derive(Debug)]
pub(super) struct NdjsonPacker {
    pub(super) prefix: String,
    pub(super) compression: Compression,
    pub(super) range: ObjectRange,
    objects: BTreeMap<Partition, OpenObject>,
}

/// An object that is being filled.
#[derive(Debug)]
struct OpenObject {
    /// Name and line break. The content follows.
    head: Vec<u8>,
    lines: Vec<u8>,
    compressor: Option<Compressor>,
    events: u64,
    last: u64,
}

/// A compressor that appends to the head of an object.
enum Compressor {
    None(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
}

/// Returns the end of an object's name.
pub(super) fn ending(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "ndjson",
        Compression::Gzip => "ndjson.gz",
        Compression::Zstd => "ndjson.zst",
    }
}

impl NdjsonPacker {
    pub(super) fn new(prefix: &str, compression: Compression, range: ObjectRange) -> NdjsonPacker {
        NdjsonPacker { prefix: prefix.to_owned(), compression, range, objects: BTreeMap::new() }
    }
}

impl ObjectPacker for NdjsonPacker {
    fn add(&mut self, event: ObjectEvent<'_>) -> io::Result<()> {
        let partition = Partition::of(event.source, event.received_at);
        let object = match self.objects.entry(partition) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let ending = ending(self.compression);
                let mut head = object_key(&self.prefix, entry.key(), self.range, ending);
                head.push('\n');
                entry.insert(OpenObject::new(head.into_bytes()))
            }
        };
        object.add(event, self.compression)
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<PackedObject>> {
        let NdjsonPacker { objects, compression, .. } = *self;
        let packed = objects.into_values().map(|object| object.finish(compression));
        let mut packed = packed.collect::<io::Result<Vec<PackedObject>>>()?;
        packed.sort_unstable_by_key(|object| object.item.position);
        Ok(packed)
    }
}

impl OpenObject {
    fn new(head: Vec<u8>) -> OpenObject {
        OpenObject { head, lines: Vec::new(), compressor: None, events: 0, last: 0 }
    }

    fn add(&mut self, event: ObjectEvent<'_>, compression: Compression) -> io::Result<()> {
        self.events += 1;
        self.last = event.position;
        self.lines.extend_from_slice(event.line);
        self.lines.push(b'\n');
        if self.lines.len() >= MAX_PLAIN_BYTES { self.compress(compression) } else { Ok(()) }
    }

    /// Compresses the lines that wait.
    fn compress(&mut self, compression: Compression) -> io::Result<()> {
        if self.compressor.is_none() {
            let head = std::mem::take(&mut self.head);
            self.compressor = Some(Compressor::new(head, compression)?);
        }
        if let Some(compressor) = &mut self.compressor {
            compressor.write_all(&self.lines)?;
        }
        self.lines.clear();
        Ok(())
    }

    fn finish(mut self, compression: Compression) -> io::Result<PackedObject> {
        self.compress(compression)?;
        let payload = self.compressor.map_or(Ok(Vec::new()), Compressor::finish)?;
        let item = Item { position: self.last, payload: payload.into() };
        Ok(PackedObject { item, events: self.events })
    }
}

impl Compressor {
    fn new(head: Vec<u8>, compression: Compression) -> io::Result<Compressor> {
        Ok(match compression {
            Compression::None => Compressor::None(head),
            Compression::Gzip => {
                Compressor::Gzip(GzEncoder::new(head, flate2::Compression::default()))
            }
            Compression::Zstd => {
                let mut encoder = ZstdEncoder::new(head, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Compressor::Zstd(encoder)
            }
        })
    }

    fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Compressor::None(out) => out.write_all(lines),
            Compressor::Gzip(encoder) => encoder.write_all(lines),
            Compressor::Zstd(encoder) => encoder.write_all(lines),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Compressor::None(out) => Ok(out),
            Compressor::Gzip(encoder) => encoder.finish(),
            Compressor::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Compressor::None(_) => "None",
            Compressor::Gzip(_) => "Gzip",
            Compressor::Zstd(_) => "Zstd",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Events of two sources and two hours, of which some take more than `MAX_PLAIN_BYTES` together.
    fn packed(compression: Compression) -> Vec<PackedObject> {
        let range = ObjectRange { first: 1, last: 1200, id: 5 };
        let mut packer = Box::new(NdjsonPacker::new("p", compression, range));
        for position in 1..=1200 {
            let line = format!("{{\"n\":{position},\"fill\":{:?}}}", "x".repeat(20_000));
            let source = if position % 5 == 0 { "rare" } else { "often" };
            let received_at = if position <= 1000 { 3_599_999 } else { 3_600_000 };
            let event = ObjectEvent { position, received_at, source, line: line.as_bytes() };
            packer.add(event).expect("added");
        }
        packer.finish().expect("packed")
    }

    fn unpacked(compression: Compression, object: &PackedObject) -> (String, Vec<u64>) {
        let payload = &object.item.payload;
        let end = memchr::memchr(b'\n', payload).expect("a name");
        let name = String::from_utf8(payload[..end].to_vec()).expect("UTF-8");
        let content = &payload[end + 1..];
        let mut text = String::new();
        match compression {
            Compression::None => text = String::from_utf8(content.to_vec()).expect("UTF-8"),
            Compression::Gzip => {
                drop(flate2::read::MultiGzDecoder::new(content).read_to_string(&mut text));
            }
            Compression::Zstd => {
                text = String::from_utf8(zstd::decode_all(content).expect("zstd")).expect("UTF-8");
            }
        }
        let number = |line: &str| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["n"].as_u64()
        };
        (name, text.lines().map(|line| number(line).expect("a number")).collect())
    }

    #[test]
    fn each_event_is_in_the_object_of_its_source_and_hour_once_and_in_order() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let objects = packed(compression);
            let mut found = BTreeMap::new();
            for object in &objects {
                let (name, numbers) = unpacked(compression, object);
                assert_eq!(object.events, numbers.len() as u64);
                assert_eq!(Some(&object.item.position), numbers.last());
                assert!(name.ends_with(ending(compression)), "{name}");
                found.insert(name.split("/0").next().expect("a directory").to_owned(), numbers);
            }
            let expected = |of: fn(u64) -> bool| (1..=1200).filter(|n| of(*n)).collect::<Vec<_>>();
            let day = "dt=1970-01-01";
            let all = [
                ("rare", "00", expected(|n| n % 5 == 0 && n <= 1000)),
                ("rare", "01", expected(|n| n % 5 == 0 && n > 1000)),
                ("often", "00", expected(|n| n % 5 != 0 && n <= 1000)),
                ("often", "01", expected(|n| n % 5 != 0 && n > 1000)),
            ];
            let all = all.map(|(source, hour, numbers)| {
                (format!("p/source={source}/{day}/hour={hour}"), numbers)
            });
            assert_eq!(found, all.into_iter().collect(), "{compression:?}");
            let positions: Vec<u64> = objects.iter().map(|object| object.item.position).collect();
            assert!(positions.is_sorted(), "{positions:?}");
        }
    }

    #[test]
    fn the_same_events_make_the_same_bytes() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let bytes = || packed(compression).into_iter().map(|object| object.item.payload);
            assert!(bytes().eq(bytes()), "{compression:?}");
        }
    }
}
