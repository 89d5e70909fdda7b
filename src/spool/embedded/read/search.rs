//! Scans of a whole spool, in bounded memory, also while a service uses it.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, params};

use super::gap;
use super::inspect::EmbeddedInspection;
use super::reader::{RowsOrGap, look};
use crate::spool::embedded::store::schema::retry_recovery;
use crate::spool::embedded::store::{fault, ids};
use crate::spool::embedded::unreadable;
use crate::spool::{DedupKey, Millis, Read, ReadError, StoredEvent};

/// Rows of remembered ids per query: a long query would keep a running service from reusing its WAL.
const ROWS: u32 = 1000;

impl EmbeddedInspection {
    /// Calls `visit` with every stored event, oldest first, with one chunk in memory at a time. Returns the ranges of
    /// positions that cannot be read. `progress` is called with (positions passed, positions in all).
    pub(crate) fn each_event(
        &self,
        visit: impl FnMut(StoredEvent),
        progress: impl FnMut(u64, u64),
    ) -> Result<Vec<(u64, u64)>, ReadError> {
        self.scan(visit, progress).map_err(unreadable)
    }

    fn scan(
        &self,
        mut visit: impl FnMut(StoredEvent),
        mut progress: impl FnMut(u64, u64),
    ) -> rusqlite::Result<Vec<(u64, u64)>> {
        let connection = &self.connection;
        let number = |sql: &str| {
            retry_recovery(|| connection.query_row(sql, [], |row| row.get::<_, u64>(0)))
        };
        let trimmed = || number("SELECT trimmed FROM state");
        let head = number("SELECT next - 1 FROM state")?;
        let begin = trimmed()?;
        let (mut after, mut unread) = (begin, Vec::new());
        while after < head {
            let reads = match retry_recovery(|| look(connection, after, head, 1)) {
                Ok(RowsOrGap::Reads(reads)) => reads,
                // Events trimmed by a running service are no gap.
                Ok(RowsOrGap::Gap(_)) if trimmed()? > after => {
                    after = trimmed()?;
                    continue;
                }
                Ok(RowsOrGap::Gap(gap)) => gap::fill(&self.directory, gap, 1),
                Err(error) if fault::is_damaged(&error) => {
                    let last = gap::end(connection, after, head);
                    let gap = gap::Gap {
                        first: after + 1,
                        last,
                        broken: Vec::new(),
                        detail: Some(error.to_string()),
                    };
                    gap::fill(&self.directory, gap, 1)
                }
                Err(error) => return Err(error),
            };
            let before = after;
            for read in reads {
                match read {
                    Read::Event(stored) => {
                        after = stored.position;
                        visit(stored);
                    }
                    Read::Damaged(damage) => {
                        after = damage.last;
                        unread.push((damage.first, damage.last));
                    }
                    Read::Repeated(position) => after = position,
                }
            }
            if after == before {
                unread.push((after + 1, head));
                break;
            }
            progress(after.min(head) - begin.min(after), head - begin.min(head));
        }
        Ok(unread)
    }

    /// Returns for each key if it is remembered: an event with it would be a duplicate.
    pub(crate) fn remembers(&self, keys: &[DedupKey]) -> Result<Vec<bool>, ReadError> {
        retry_recovery(|| self.find_keys(keys)).map_err(unreadable)
    }

    /// Returns the time since which each accepted event's key is remembered; the earliest time if no key was ever removed.
    /// `None` if no key is left.
    pub(crate) fn keys_since(&self) -> Result<Option<Millis>, ReadError> {
        retry_recovery(|| self.oldest_key()).map_err(unreadable)
    }

    fn oldest_key(&self) -> rusqlite::Result<Option<Millis>> {
        let first = "SELECT number, received_at FROM ids ORDER BY number LIMIT 1";
        let first = self.connection.query_row(first, [], |row| Ok((row.get(0)?, row.get(1)?)));
        match first.optional()? {
            // Keys are removed from the front, and no number is used again.
            Some((1_i64, _)) => Ok(Some(Millis::MIN)),
            Some((_, received_at)) => Ok(Some(received_at)),
            None => {
                let used = "SELECT count(*) FROM sqlite_sequence WHERE name = 'ids' AND seq > 0";
                let used: i64 = self.connection.query_row(used, [], |row| row.get(0))?;
                Ok((used == 0).then_some(Millis::MIN))
            }
        }
    }

    fn find_keys(&self, keys: &[DedupKey]) -> rusqlite::Result<Vec<bool>> {
        let mut found = vec![false; keys.len()];
        let mut sought: HashMap<DedupKey, Vec<usize>> = HashMap::new();
        for (index, key) in keys.iter().enumerate() {
            sought.entry(*key).or_default().push(index);
        }
        let sql = "SELECT number, keys FROM ids WHERE number > ? ORDER BY number LIMIT ?";
        let mut page = self.connection.prepare(sql)?;
        let mut after = 0_i64;
        while !sought.is_empty() {
            let mut rows = page.query(params![after, ROWS])?;
            let before = after;
            while let Some(row) = rows.next()? {
                after = row.get(0)?;
                for remembered in ids::keys(row.get_ref(1)?.as_blob()?) {
                    for index in sought.remove(&remembered).unwrap_or_default() {
                        found[index] = true;
                    }
                }
            }
            if after == before {
                break;
            }
        }
        Ok(found)
    }
}
