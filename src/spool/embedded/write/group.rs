//! Group commit: the statements of each command, and the log's state in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{ErrorCode, OptionalExtension, Transaction, params};

use crate::spool::chunk::{self, Chunk, Label};
use crate::spool::dedup::{DedupKey, DedupSet};
use crate::spool::embedded::recover::salvage;
use crate::spool::embedded::store::dispositions::{self, DispositionRow};
use crate::spool::embedded::store::high_watermark::HighWatermark;
use crate::spool::embedded::store::room::QuarantineRoom;
use crate::spool::embedded::store::row::ChunkRow;
use crate::spool::embedded::store::{entries, fault, ids, schema};
use crate::spool::{
    AppendError, CommitError, CommitRecord, Disposition, DispositionRun, Millis, NewEntry,
    PreparedBatch, Receipt, Registered, Runs, SpoolConfig, Start,
};

/// Rows of old ids removed per commit.
const MAX_EVICTED_ROWS: usize = 256;

/// State of the log in memory.
pub(crate) struct LogState {
    /// Position of the next event.
    pub(crate) next: u64,
    /// Last trimmed position.
    pub(crate) trimmed: u64,
    /// Id of the spool.
    pub(crate) id: u128,
    pub(crate) dedup: DedupSet,
    /// Room in the quarantine.
    pub(crate) room: QuarantineRoom,
    /// Sinks whose cursors keep events from being trimmed.
    pub(crate) sinks: Vec<Arc<str>>,
}

impl LogState {
    /// Returns the state as written outside the database.
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

/// Changes of the current transaction, taken over if the commit succeeds.
pub(crate) struct GroupCommit<'t, 'c> {
    pub(crate) tx: &'t Transaction<'c>,
    pub(crate) now: Millis,
    pub(crate) next: u64,
    pub(crate) room: QuarantineRoom,
    /// Chunks added.
    pub(crate) chunks: u32,
    /// Rows added to the record of dispositions.
    recorded: usize,
    totals: BTreeMap<(&'static str, Arc<str>, Disposition), u64>,
}

impl<'t, 'c> GroupCommit<'t, 'c> {
    pub(crate) fn new(tx: &'t Transaction<'c>, now: Millis, log: &LogState) -> Self {
        let totals = BTreeMap::new();
        GroupCommit { tx, now, next: log.next, room: log.room, chunks: 0, recorded: 0, totals }
    }

    /// Adds a batch without its duplicates. The inner error refuses the batch: then nothing of it is in the
    /// transaction.
    pub(crate) fn append(
        &mut self,
        dedup: &mut DedupSet,
        prepared: &PreparedBatch,
    ) -> rusqlite::Result<Result<Receipt, AppendError>> {
        let batch = &prepared.batch;
        let before = dedup.tentative().len();
        // Duplicates of quarantine entries need no room.
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
            // Duplicates are rare, and a batch of duplicates only has no chunk.
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

    /// Removes quarantine entries. Returns the number of removed entries by source.
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

    /// Moves a sink's cursor, with its record, and stores its dead letters. Never moves it back: earlier events may be
    /// trimmed. Refuses the move if the dead letters find no room.
    pub(crate) fn move_cursor(
        &mut self,
        sink: &Arc<str>,
        position: u64,
        record: &CommitRecord,
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
        let before: Option<u64> = self
            .tx
            .prepare_cached("SELECT position FROM cursors WHERE sink = ?")?
            .query_row([sink.as_ref()], |row| row.get(0))
            .optional()?;
        if let Some(before) = before.filter(|before| *before < position) {
            self.tx
                .prepare_cached("UPDATE cursors SET position = ?2, checksum = ?3 WHERE sink = ?1")?
                .execute(params![
                    sink.as_ref(),
                    position,
                    schema::cursor_checksum(sink, position)
                ])?;
            self.record(sink, (before + 1, position), record.runs.clone())?;
        }
        for (source, entry) in dead_letters {
            entries::insert(self.tx, self.now, source, entry)?;
        }
        for (disposition, count) in record.tally.counts() {
            self.count("sink", sink, disposition, count);
        }
        Ok(Ok(()))
    }

    /// Creates a sink's cursor, or moves it to the oldest event that may be stored: events that were trimmed while the
    /// sink was not configured are no damage. Skipped events are counted. Writes nothing, and so needs no room,
    /// without a change.
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
            let before = cursor.unwrap_or(0);
            self.count("sink", sink, disposition, position - before);
            if position > trimmed {
                let disposition = Some(disposition);
                let skipped = DispositionRun::unrecorded(position - before);
                self.record(
                    sink,
                    (before + 1, position),
                    Runs::from(DispositionRun { disposition, ..skipped }),
                )?;
            }
        }
        let is_paused = self
            .tx
            .prepare_cached("SELECT is_paused FROM cursors WHERE sink = ?")?
            .query_row([sink.as_ref()], |row| row.get(0))?;
        Ok(Registered { cursor: position, is_paused })
    }

    /// Records the dispositions of the events that a sink's cursor has passed.
    fn record(&mut self, sink: &str, positions: (u64, u64), runs: Runs) -> rusqlite::Result<()> {
        self.recorded += 1;
        DispositionRow::new(sink, positions, self.now, runs).insert(self.tx, None)
    }

    /// Removes the record of trimmed events, and with little room for more than the group has added, the oldest part of
    /// the record: cursors have to move, so that events can be removed. Returns true if there may be more.
    pub(crate) fn trim_record(
        &self,
        trimmed: u64,
        has_little_room: bool,
    ) -> rusqlite::Result<bool> {
        dispositions::trim(self.tx, trimmed, if has_little_room { 2 * self.recorded } else { 0 })
    }

    /// Stores that an operator has paused or resumed a sink.
    pub(crate) fn pause(&self, sink: &str, is_paused: bool) -> rusqlite::Result<()> {
        self.tx
            .prepare_cached("UPDATE cursors SET is_paused = ?2 WHERE sink = ?1")?
            .execute(params![sink, is_paused])?;
        Ok(())
    }

    /// Writes the ids, the state and the totals of the group. Writes nothing, and so costs no sync, without a
    /// change.
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

    /// Removes ids that are outside the window at the time `age`. Returns the ids to forget after the commit, and true
    /// if there may be more.
    pub(crate) fn evict(
        &self,
        log: &LogState,
        settings: &SpoolConfig,
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

    /// Removes a row at the key of a new one if its checksum does not match: positions are never reused, so it is
    /// corrupt. A matching row is another process's, and is not overwritten.
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
