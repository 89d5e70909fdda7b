//! What one commit holds: the statements for each thing asked, and the log's state in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{ErrorCode, OptionalExtension, Transaction, params};

use crate::spool::chunk::{self, Chunk, Label};
use crate::spool::dedup::{DedupKey, DedupSet};
use crate::spool::embedded::recover::salvage;
use crate::spool::embedded::store::entries;
use crate::spool::embedded::store::fault;
use crate::spool::embedded::store::high_watermark::HighWatermark;
use crate::spool::embedded::store::ids;
use crate::spool::embedded::store::room::QuarantineRoom;
use crate::spool::embedded::store::row::ChunkRow;
use crate::spool::embedded::store::schema;
use crate::spool::{
    AppendError, CommitError, Disposition, Millis, NewEntry, PreparedBatch, Receipt, Registered,
    Settings, Start, Tally,
};

/// Rows of old ids removed per commit.
const MAX_EVICTED_ROWS: usize = 256;

/// What the writer knows without asking the disk.
pub(crate) struct LogState {
    /// The position that the next event gets.
    pub(crate) next: u64,
    /// The last position that every sink had passed and that was removed.
    pub(crate) trimmed: u64,
    /// Which spool this is.
    pub(crate) id: u128,
    pub(crate) dedup: DedupSet,
    /// What the quarantine takes.
    pub(crate) room: QuarantineRoom,
    /// The sinks that hold events back.
    pub(crate) sinks: Vec<Arc<str>>,
}

impl LogState {
    /// What is said of it outside the database.
    pub(crate) fn mark(&self, is_damaged: bool) -> HighWatermark {
        let LogState { next, trimmed, id, .. } = *self;
        let layout = schema::LAYOUT;
        HighWatermark {
            id,
            layout,
            next,
            trimmed,
            is_damaged,
            is_full: false,
            wanted: self.room.wanted(),
        }
    }
}

/// What a group has put into its transaction so far, to be taken over if the commit succeeds.
pub(crate) struct GroupCommit<'t, 'c> {
    pub(crate) tx: &'t Transaction<'c>,
    pub(crate) now: Millis,
    pub(crate) next: u64,
    pub(crate) room: QuarantineRoom,
    /// Chunks added.
    pub(crate) chunks: u32,
    totals: BTreeMap<(&'static str, Arc<str>, Disposition), u64>,
}

impl<'t, 'c> GroupCommit<'t, 'c> {
    pub(crate) fn new(tx: &'t Transaction<'c>, now: Millis, log: &LogState) -> Self {
        GroupCommit { tx, now, next: log.next, room: log.room, chunks: 0, totals: BTreeMap::new() }
    }

    /// Adds a batch; what is known already, or twice in it, is left out. The inner error is the batch's
    /// own: then nothing of it is in the transaction.
    pub(crate) fn append(
        &mut self,
        dedup: &mut DedupSet,
        prepared: &PreparedBatch,
    ) -> rusqlite::Result<Result<Receipt, AppendError>> {
        let batch = &prepared.batch;
        let before = dedup.tentative().len();
        // What is in quarantine already takes no more room.
        let is_new = |entry: &&NewEntry| entry.key.is_none_or(|key| dedup.insert(key));
        let refused: Vec<&NewEntry> = batch.quarantine.iter().filter(is_new).collect();
        if !self.room.take_undivided(refused.iter().map(|entry| entry.size()).sum()) {
            dedup.roll_back_to(before);
            return Ok(Err(AppendError::QuarantineFull));
        }
        if let Some(id) = batch.resolves {
            let Some((_, size)) = entries::remove(self.tx, id)? else {
                dedup.roll_back_to(before);
                return Ok(Err(AppendError::EntryGone));
            };
            self.room.free(size);
        }
        let mut fresh = Vec::with_capacity(batch.events.len());
        let mut repeated = Vec::new();
        for (index, event) in batch.events.iter().enumerate() {
            if batch.only_sink.is_some() || dedup.insert(event.key) {
                fresh.push(event.bytes.as_ref());
            } else {
                repeated.push(index as u32);
            }
        }
        if fresh.len() == batch.events.len() {
            self.insert_chunks(prepared, &prepared.chunks)?;
        } else {
            // Duplicates are the exception, and a batch of nothing else has no chunk to make.
            self.insert_chunks(prepared, &chunk::encode(fresh.iter().copied()))?;
        }
        for entry in &refused {
            entries::insert(self.tx, batch.received_at, &batch.source, entry)?;
        }
        let received = (batch.events.len() + batch.quarantine.len()) as u64;
        let (accepted, quarantined) = (fresh.len() as u64, refused.len() as u64);
        let duplicates = received - accepted - quarantined;
        let receipt = Receipt { accepted, duplicates, quarantined, repeated };
        if batch.resolves.is_some() {
            self.count("source", &batch.source, Disposition::Released, receipt.accepted);
            self.count("source", &batch.source, Disposition::Duplicate, receipt.duplicates);
        } else if prepared.is_copy() {
            self.count("source", &batch.source, Disposition::Replayed, receipt.accepted);
        } else {
            self.count("source", &batch.source, Disposition::Accepted, receipt.accepted);
            self.count("source", &batch.source, Disposition::Duplicate, receipt.duplicates);
            self.count("source", &batch.source, Disposition::Quarantined, receipt.quarantined);
        }
        Ok(Ok(receipt))
    }

    /// Removes quarantine entries; returns how many there were of each source.
    pub(crate) fn purge(&mut self, ids: &[i64]) -> rusqlite::Result<BTreeMap<Arc<str>, u64>> {
        let mut removed = BTreeMap::new();
        for id in ids {
            if let Some((source, size)) = entries::remove(self.tx, *id)? {
                self.room.free(size);
                let source = Arc::from(source);
                self.count("source", &source, Disposition::Purged, 1);
                *removed.entry(source).or_default() += 1;
            }
        }
        Ok(removed)
    }

    /// Moves a sink's cursor, with its dead letters. Never back: what it has passed may be gone. Not at
    /// all if these find no room: what is not in quarantine was not passed.
    pub(crate) fn move_cursor(
        &mut self,
        sink: &Arc<str>,
        position: u64,
        tally: Tally,
        dead_letters: &[(String, NewEntry)],
    ) -> rusqlite::Result<Result<(), CommitError>> {
        let size = dead_letters.iter().map(|(_, entry)| entry.size()).sum();
        let has_room = match dead_letters {
            [_] => self.room.take_undivided(size),
            _ => self.room.take(size),
        };
        if !has_room {
            return Ok(Err(CommitError::QuarantineFull));
        }
        self.tx
            .prepare_cached(
                "UPDATE cursors SET position = ?2, checksum = ?3 WHERE sink = ?1 AND position < ?2",
            )?
            .execute(params![sink.as_ref(), position, schema::cursor_checksum(sink, position)])?;
        for (source, entry) in dead_letters {
            entries::insert(self.tx, self.now, source, entry)?;
        }
        for (disposition, count) in tally.counts() {
            self.count("sink", sink, disposition, count);
        }
        Ok(Ok(()))
    }

    /// Makes sure that a sink has a cursor, and none before the oldest event that may still be there:
    /// what was removed while it was not configured is not damage. What it will never get is counted. Writes
    /// nothing, and so needs no room, where nothing has changed.
    pub(crate) fn register(
        &mut self,
        sink: &Arc<str>,
        start: Start,
    ) -> rusqlite::Result<Registered> {
        let cursor: Option<u64> = self
            .tx
            .prepare_cached("SELECT position FROM cursors WHERE sink = ?")?
            .query_row([sink.as_ref()], |row| row.get(0))
            .optional()?;
        let trimmed = self.tx.query_row("SELECT trimmed FROM state", [], |row| row.get(0))?;
        let position = match (cursor, start) {
            (Some(cursor), _) => cursor.max(trimmed),
            (None, Start::Oldest) => trimmed,
            (None, Start::Now) => self.next - 1,
        };
        if cursor != Some(position) {
            let checksum = schema::cursor_checksum(sink, position);
            self.tx
                .prepare_cached(
                    "INSERT INTO cursors (sink, position, checksum) VALUES (?, ?, ?)
                     ON CONFLICT DO UPDATE SET position = excluded.position, checksum = excluded.checksum",
                )?
                .execute(params![sink.as_ref(), position, checksum])?;
            let disposition =
                if cursor.is_some() { Disposition::Retired } else { Disposition::BeforeStart };
            self.count("sink", sink, disposition, position - cursor.unwrap_or(0));
        }
        let is_paused = self
            .tx
            .prepare_cached("SELECT is_paused FROM cursors WHERE sink = ?")?
            .query_row([sink.as_ref()], |row| row.get(0))?;
        Ok(Registered { cursor: position, is_paused })
    }

    /// Remembers that an operator has paused a sink, or lets it go on.
    pub(crate) fn pause(&self, sink: &str, is_paused: bool) -> rusqlite::Result<()> {
        self.tx
            .prepare_cached("UPDATE cursors SET is_paused = ?2 WHERE sink = ?1")?
            .execute(params![sink, is_paused])?;
        Ok(())
    }

    /// Writes what the whole group has in common: how far the log has come, and is `trimmed`. Writes
    /// nothing, and so costs no sync, where nothing has changed.
    pub(crate) fn finish(&self, log: &LogState, trimmed: u64) -> rusqlite::Result<()> {
        ids::insert(self.tx, self.now, log.dedup.tentative())?;
        if self.next != log.next || trimmed != log.trimmed {
            salvage::write_state(self.tx, self.next, trimmed, log.id)?;
        }
        let mut total = self.tx.prepare_cached(
            "INSERT INTO totals VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?;
        for ((scope, name, disposition), count) in &self.totals {
            total.execute(params![scope, name.as_ref(), disposition.as_str(), count])?;
        }
        Ok(())
    }

    /// Removes ids that have left the window at the time `age`. Returns those to forget after the commit, and
    /// tells whether there may be more.
    pub(crate) fn evict(
        &self,
        log: &LogState,
        settings: &Settings,
        age: Millis,
    ) -> rusqlite::Result<(Vec<DedupKey>, bool)> {
        let window = i64::try_from(settings.dedup_window.as_millis()).unwrap_or(i64::MAX);
        let excess = log.dedup.len().saturating_sub(settings.dedup_max_ids);
        ids::evict(self.tx, age.saturating_sub(window), excess, MAX_EVICTED_ROWS)
    }

    fn insert_chunks(
        &mut self,
        prepared: &PreparedBatch,
        chunks: &[Chunk],
    ) -> rusqlite::Result<()> {
        let batch = &prepared.batch;
        let mut insert =
            self.tx.prepare_cached("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
        for chunk in chunks {
            let Chunk { count, codec, body } = chunk;
            let last = self.next + u64::from(*count) - 1;
            let received_at = batch.received_at;
            let only_sink = batch.only_sink.as_deref();
            let (count, codec) = (*count, *codec);
            let label = Label { last, count, received_at, source: &batch.source, only_sink, codec };
            let source = batch.source.as_ref();
            let sum = chunk::checksum(label, body);
            let values = params![last, count, received_at, source, only_sink, codec, sum, body];
            if let Err(error) = insert.execute(values) {
                self.remove_damaged(last, error)?;
                insert.execute(values)?;
            }
            self.chunks += 1;
            self.next = last + 1;
        }
        Ok(())
    }

    /// Removes a row that stands where a new one belongs, if a flipped bit has put it there: it does not match
    /// its checksum. One that does is another process's, and nothing is written over it.
    fn remove_damaged(&self, last: u64, error: rusqlite::Error) -> rusqlite::Result<()> {
        if error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
            return Err(error);
        }
        let sql = format!("SELECT {} FROM chunks WHERE last = ?", ChunkRow::COLUMNS);
        let found = self.tx.query_row(&sql, [last], ChunkRow::from_row).optional()?;
        match found {
            Some(row) if row.is_sound() => Err(fault::foreign_writer()),
            Some(_) => self.tx.execute("DELETE FROM chunks WHERE last = ?", [last]).map(drop),
            None => Err(error),
        }
    }

    pub(crate) fn count(
        &mut self,
        scope: &'static str,
        name: &Arc<str>,
        disposition: Disposition,
        count: u64,
    ) {
        if count > 0 {
            *self.totals.entry((scope, Arc::clone(name), disposition)).or_default() += count;
        }
    }
}
