//! What one commit holds: the statements for each thing asked, and the log's state in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Transaction, params};

use super::chunk::{self, Chunk, Label};
use super::{entries, ids};
use crate::spool::dedup::{DedupKey, DedupSet};
use crate::spool::{Door, Millis, NewEntry, Prepared, Receipt, Settings, Tally};

/// Rows of old ids removed per commit.
const MAX_EVICTED_ROWS: usize = 256;

/// What the writer knows without asking the disk.
pub(super) struct Log {
    /// The position that the next event gets.
    pub(super) next: u64,
    pub(super) dedup: DedupSet,
    /// The sinks that hold events back.
    pub(super) sinks: Vec<Arc<str>>,
}

/// What a group has put into its transaction so far, to be taken over if the commit succeeds.
pub(super) struct Group<'t, 'c> {
    pub(super) tx: &'t Transaction<'c>,
    pub(super) now: Millis,
    pub(super) next: u64,
    totals: BTreeMap<(&'static str, Arc<str>, Door), u64>,
}

impl<'t, 'c> Group<'t, 'c> {
    pub(super) fn new(tx: &'t Transaction<'c>, now: Millis, next: u64) -> Self {
        Group { tx, now, next, totals: BTreeMap::new() }
    }

    /// Adds a batch; events that are known already, or twice in it, are left out.
    pub(super) fn append(
        &mut self,
        dedup: &mut DedupSet,
        prepared: &Prepared,
    ) -> rusqlite::Result<Receipt> {
        let batch = &prepared.batch;
        let mut fresh = Vec::with_capacity(batch.events.len());
        for event in &batch.events {
            if batch.only_sink.is_some() || dedup.insert(event.key) {
                fresh.push(event.bytes.as_ref());
            }
        }
        if fresh.len() == batch.events.len() {
            self.insert_chunks(prepared, &prepared.chunks)?;
        } else {
            // Duplicates are the exception, and a batch of nothing else has no chunk to make.
            self.insert_chunks(prepared, &chunk::encode(fresh.iter().copied()))?;
        }
        for entry in &batch.quarantine {
            entries::insert(self.tx, batch.received_at, &batch.source, entry)?;
        }
        entries::remove(self.tx, &batch.resolves)?;
        let receipt = Receipt {
            accepted: fresh.len() as u64,
            duplicates: (batch.events.len() - fresh.len()) as u64,
            quarantined: batch.quarantine.len() as u64,
        };
        if batch.resolves.is_empty() {
            self.count("source", &batch.source, Door::Accepted, receipt.accepted);
            self.count("source", &batch.source, Door::Duplicate, receipt.duplicates);
            self.count("source", &batch.source, Door::Quarantined, receipt.quarantined);
        } else {
            self.count("source", &batch.source, Door::Released, receipt.accepted);
        }
        Ok(receipt)
    }

    /// Moves a sink's cursor, with its dead letters.
    pub(super) fn move_cursor(
        &mut self,
        sink: &Arc<str>,
        position: u64,
        tally: Tally,
        dead_letters: &[(String, NewEntry)],
    ) -> rusqlite::Result<()> {
        self.tx
            .prepare_cached("UPDATE cursors SET position = ?2 WHERE sink = ?1")?
            .execute(params![sink.as_ref(), position])?;
        for (source, entry) in dead_letters {
            entries::insert(self.tx, self.now, source, entry)?;
        }
        self.count("sink", sink, Door::Delivered, tally.delivered);
        self.count("sink", sink, Door::Filtered, tally.filtered);
        self.count("sink", sink, Door::DeadLettered, tally.dead_lettered);
        Ok(())
    }

    /// Gives a sink a cursor at the oldest stored event, unless it has one. Returns the cursor.
    pub(super) fn register(&self, sink: &Arc<str>) -> rusqlite::Result<u64> {
        let oldest = "SELECT last - count FROM chunks ORDER BY last LIMIT 1";
        self.tx
            .prepare_cached(&format!(
                "INSERT OR IGNORE INTO cursors VALUES (?1, coalesce(({oldest}), ?2))"
            ))?
            .execute(params![sink.as_ref(), self.next - 1])?;
        let position = self
            .tx
            .prepare_cached("SELECT position FROM cursors WHERE sink = ?")?
            .query_row([sink.as_ref()], |row| row.get(0))?;
        Ok(position)
    }

    /// Writes what the whole group has in common. Returns ids to forget after the commit.
    /// Writes nothing, and so costs no sync, where nothing has changed.
    pub(super) fn finish(&self, log: &Log, settings: &Settings) -> rusqlite::Result<Vec<DedupKey>> {
        ids::insert(self.tx, self.now, log.dedup.tentative())?;
        let window = i64::try_from(settings.dedup_window.as_millis()).unwrap_or(i64::MAX);
        let excess = log.dedup.len().saturating_sub(settings.dedup_max_ids);
        let evicted =
            ids::evict(self.tx, self.now.saturating_sub(window), excess, MAX_EVICTED_ROWS)?;
        if self.next != log.next {
            self.tx.prepare_cached("UPDATE state SET next = ?")?.execute([self.next])?;
        }
        let mut total = self.tx.prepare_cached(
            "INSERT INTO totals VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?;
        for ((scope, name, door), count) in &self.totals {
            total.execute(params![scope, name.as_ref(), door.as_str(), count])?;
        }
        Ok(evicted)
    }

    fn insert_chunks(&mut self, prepared: &Prepared, chunks: &[Chunk]) -> rusqlite::Result<()> {
        let batch = &prepared.batch;
        let mut insert =
            self.tx.prepare_cached("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
        for chunk in chunks {
            let Chunk { count, codec, body } = chunk;
            let last = self.next + u64::from(*count) - 1;
            let received_at = batch.received_at;
            let label =
                Label { last, count: *count, received_at, source: &batch.source, codec: *codec };
            insert.execute(params![
                last,
                count,
                received_at,
                batch.source.as_ref(),
                batch.only_sink.as_deref(),
                codec,
                chunk::checksum(label, body),
                body,
            ])?;
            self.next = last + 1;
        }
        Ok(())
    }

    fn count(&mut self, scope: &'static str, name: &Arc<str>, door: Door, count: u64) {
        if count > 0 {
            *self.totals.entry((scope, Arc::clone(name), door)).or_default() += count;
        }
    }
}
