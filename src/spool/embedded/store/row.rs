//! Stored form of a chunk: a row whose checksum covers every column.

use bytes::Bytes;
use rusqlite::Row;
use rusqlite::types::Value;

use crate::spool::Millis;
#[cfg(feature = "nats")]
use crate::spool::chunk::Chunk;
use crate::spool::chunk::{self, Label};
#[cfg(feature = "nats")]
use crate::spool::moving::contents::MovedChunk;

/// A row of the table `chunks`.
#[derive(Debug, Clone)]
pub(crate) struct ChunkRow {
    pub(crate) last: u64,
    pub(crate) count: u32,
    pub(crate) received_at: Millis,
    pub(crate) source: String,
    pub(crate) only_sink: Option<String>,
    codec: u8,
    checksum: u32,
    pub(crate) body: Vec<u8>,
}

impl ChunkRow {
    pub(crate) const COLUMNS: &'static str =
        "last, count, received_at, source, only_sink, codec, checksum, body";

    /// Reads the row; an invalid column becomes zero or empty, and the checksum does not match.
    pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<ChunkRow> {
        let values =
            (1..8).map(|index| row.get(index)).collect::<rusqlite::Result<Vec<Value>>>()?;
        Ok(ChunkRow::new(row.get(0)?, values))
    }

    /// Builds the row from the values of all columns but the first.
    pub(crate) fn new(last: i64, values: Vec<Value>) -> ChunkRow {
        let mut values = values.into_iter();
        let mut next = || values.next().unwrap_or(Value::Null);
        ChunkRow {
            last: last.max(0) as u64,
            count: number(&next()),
            received_at: number(&next()),
            source: text(next()).unwrap_or_default(),
            only_sink: text(next()),
            codec: number(&next()),
            checksum: number(&next()),
            body: match next() {
                Value::Blob(body) => body,
                _ => Vec::new(),
            },
        }
    }

    /// Returns true if the row matches its checksum.
    pub(crate) fn is_sound(&self) -> bool {
        let ChunkRow { last, count, received_at, codec, .. } = *self;
        let only_sink = self.only_sink.as_deref();
        let label = Label { last, count, received_at, source: &self.source, only_sink, codec };
        count > 0 && u64::from(count) <= last && chunk::checksum(label, &self.body) == self.checksum
    }

    /// Decodes the events, unless the row is corrupt.
    pub(crate) fn events(&self) -> Result<Vec<Bytes>, &'static str> {
        if !self.is_sound() {
            return Err("the chunk does not match its checksum");
        }
        chunk::decode(self.codec, self.count, &self.body)
            .ok_or("the chunk's body cannot be decoded")
    }

    pub(crate) fn first(&self) -> u64 {
        (self.last + 1).saturating_sub(u64::from(self.count))
    }

    /// Returns the chunk as another engine takes it.
    #[cfg(feature = "nats")]
    pub(crate) fn into_moved(self) -> MovedChunk {
        let ChunkRow { last, count, received_at, source, only_sink, codec, body, .. } = self;
        MovedChunk { last, received_at, source, only_sink, chunk: Chunk { count, codec, body } }
    }

    /// Contents of the columns.
    pub(crate) fn into_values(self) -> [Value; 8] {
        [
            Value::Integer(self.last as i64),
            Value::Integer(self.count.into()),
            Value::Integer(self.received_at),
            Value::Text(self.source),
            self.only_sink.map_or(Value::Null, Value::Text),
            Value::Integer(self.codec.into()),
            Value::Integer(self.checksum.into()),
            Value::Blob(self.body),
        ]
    }
}

fn number<T: TryFrom<i64> + Default>(value: &Value) -> T {
    match value {
        Value::Integer(number) => T::try_from(*number).unwrap_or_default(),
        _ => T::default(),
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}
