//! Reads the log for operators: events of a period for a replay, all events, and the totals.

use std::ops::Range;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::checkpoint::{Checkpoint, Mark};
use super::frame::{self, BatchFrame};
use super::index::{LogIndex, MILLI};
use super::log::{LAG_PAUSE, LAG_TIMEOUT, LogMessage, LogReader, LogStep};
use super::{JetStreamSpool, checkpoint, max_bytes, records, sink_lease, unreadable};
use crate::spool::inspect::Verification;
use crate::spool::{DedupKey, Millis, ReadError, SinkStats, SpoolStats, StoredEvent};

/// Maximum clock skew between servers and receivers.
const SKEW: Duration = Duration::from_mins(5);

impl JetStreamSpool {
    /// See [`crate::spool::Spool::between`].
    pub(crate) async fn between(
        &self,
        positions: Range<u64>,
        time: Range<Millis>,
        max_bytes: usize,
    ) -> Result<(Vec<StoredEvent>, u64), ReadError> {
        let skew = i64::try_from(SKEW.as_nanos()).unwrap_or(i64::MAX);
        let since = time.start.saturating_mul(MILLI).saturating_sub(skew);
        let (start, trimmed) = {
            let index = self.status.index();
            let is_before = |mark: &Mark| mark.position <= positions.start || mark.at < since;
            (index.last_mark(is_before), index.last_mark(|_| false).position)
        };
        let (mut found, mut size) = (Vec::new(), 0);
        self.scan(start, |before, message, frame| {
            let repeated = self.status.index().repeated(message.sequence);
            let Some(frame) = frame.filter(|frame| frame.head.only_sink.is_none()) else {
                return before < positions.end;
            };
            if !time.contains(&frame.head.received_at) || before + frame.events() <= positions.start
            {
                return before < positions.end;
            }
            for stored in events(before, &frame).into_iter().flatten().flatten() {
                let number = stored.position - before - 1;
                let is_asked_for = stored.position > positions.start
                    && stored.position <= positions.end
                    && repeated.binary_search(&(number as u32)).is_err();
                if is_asked_for {
                    size += stored.bytes.len();
                    found.push(stored);
                }
            }
            size < max_bytes && before < positions.end
        })
        .await?;
        Ok((found, trimmed))
    }

    /// See [`crate::spool::inspect::Inspection::each_event`].
    pub(crate) async fn each_event(
        &self,
        mut visit: impl FnMut(StoredEvent),
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Vec<(u64, u64)>, ReadError> {
        let (start, last) = (self.stored_checkpoint().await?.trimmed, self.stats().await?.head);
        let mut unread = Vec::new();
        self.scan(start, |before, _, frame| {
            let mut position = before;
            match frame {
                None => unread.push((before + 1, before + 1)),
                Some(frame) => {
                    for (index, chunk) in events(before, &frame).into_iter().enumerate() {
                        let after = position + frame.count(index);
                        match chunk {
                            Some(stored) => stored.into_iter().for_each(&mut visit),
                            None => unread.push((position + 1, after)),
                        }
                        position = after;
                    }
                }
            }
            progress(position - start.position, last - start.position);
            true
        })
        .await?;
        Ok(unread)
    }

    /// See [`crate::spool::inspect::Inspection::verify`].
    pub(crate) async fn verify(
        &self,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Verification, ReadError> {
        let start = self.stored_checkpoint().await?.trimmed;
        let info = self.streams.events.get_info().await.map_err(unreadable)?;
        let mut found = Verification::default();
        self.scan(start, |before, message, frame| {
            let message = message.sequence;
            progress(message - start.sequence, info.state.last_sequence - start.sequence);
            let Some(frame) = frame else {
                let problem = format!("message {message}: corrupt, or of another program");
                found.problems.push(problem);
                return true;
            };
            found.chunks += frame.chunks() as u64;
            found.events += frame.events();
            for (index, chunk) in events(before, &frame).into_iter().enumerate() {
                if chunk.is_none() {
                    let problem = format!("message {message}: chunk {index} is corrupt");
                    found.problems.push(problem);
                }
            }
            true
        })
        .await?;
        Ok(found)
    }

    /// See [`crate::spool::inspect::Inspection::remembers`]. Reads the whole log.
    pub(crate) async fn remembers(&self, keys: &[DedupKey]) -> Result<Vec<bool>, ReadError> {
        let checkpoint = self.stored_checkpoint().await?;
        let index = self.read_index(&checkpoint, checkpoint.trimmed).await?;
        Ok(keys.iter().map(|key| index.contains(*key)).collect())
    }

    /// Returns contents and bounds, and the totals of sources and sinks.
    pub(crate) async fn stats(&self) -> Result<SpoolStats, ReadError> {
        let events = self.streams.events.get_info().await.map_err(unreadable)?;
        let quarantine = self.streams.quarantine.get_info().await.map_err(unreadable)?;
        let leases = sink_lease::all(&self.streams.leases).await?;
        let checkpoint = self.stored_checkpoint().await?;
        let summary = match self.is_running() {
            true => self.status.index().summary(),
            false => self.read_index(&checkpoint, checkpoint.head).await?.summary(),
        };
        let head = summary.head.position;
        let of_sinks = leases.iter().flat_map(|(sink, stored)| {
            let totals = stored.value.totals();
            totals.map(|(disposition, count)| (sink.clone(), disposition, count))
        });
        let totals = summary.totals.into_iter().chain(of_sinks);
        let totals = totals.filter(|(_, _, count)| *count > 0).collect();
        let sinks = leases.iter().map(|(sink, stored)| SinkStats {
            sink: sink.clone(),
            cursor: stored.value.cursor,
            lag: head.saturating_sub(stored.value.cursor),
        });
        let oldest_at = events.state.first_timestamp.timestamp_millis();
        Ok(SpoolStats {
            head,
            events: head.saturating_sub(checkpoint.trimmed.position),
            oldest_at: (events.state.messages > 0).then_some(oldest_at),
            // Only of the events: their stream fills on its own.
            size: events.state.bytes,
            max_size: max_bytes(&events),
            full: self.status.full.get(),
            dedup_ids: summary.keys,
            quarantined: quarantine.state.messages,
            quarantine_size: quarantine.state.bytes,
            quarantine_max_size: max_bytes(&quarantine),
            quarantine_full: self.status.quarantine_full.get(),
            sinks: sinks.collect(),
            totals,
            ..SpoolStats::default()
        })
    }

    pub(super) async fn stored_checkpoint(&self) -> Result<Checkpoint, ReadError> {
        let stored = records::read(&self.streams.leases, checkpoint::KEY).await?;
        Ok(stored.map(|stored| stored.value).unwrap_or_default())
    }

    /// Indexes what is stored after `start`.
    pub(super) async fn read_index(
        &self,
        checkpoint: &Checkpoint,
        start: Mark,
    ) -> Result<LogIndex, ReadError> {
        let mut index = LogIndex::new(checkpoint, self.status.window());
        index.skip_to(start);
        self.scan(start, |_, message, frame| {
            index.add(message.sequence, message.at, frame.as_ref());
            true
        })
        .await?;
        Ok(index)
    }

    /// Calls `visit` with each message after `start`, until it returns false: the position before the message, the
    /// message, and its content, unless that is corrupt.
    pub(super) async fn scan(
        &self,
        start: Mark,
        mut visit: impl FnMut(u64, &LogMessage, Option<BatchFrame>) -> bool,
    ) -> Result<(), ReadError> {
        let info = self.streams.events.get_info().await.map_err(unreadable)?;
        // A purged stream has a last sequence, and no message with it.
        let last = if info.state.messages == 0 { 0 } else { info.state.last_sequence };
        let mut log = LogReader::new(self.streams.events.clone(), start.sequence + 1);
        let (mut position, mut reached) = (start.position, start.sequence);
        let mut moved = Instant::now();
        while reached < last {
            match log.step().await? {
                LogStep::Message(message) => {
                    (reached, moved) = (message.sequence, Instant::now());
                    let frame = frame::parse(&message.payload);
                    let before = position;
                    position += frame.as_ref().map_or(1, BatchFrame::events);
                    if !visit(before, &message, frame) {
                        return Ok(());
                    }
                }
                LogStep::Gone { last, .. } => reached = last,
                LogStep::End if moved.elapsed() > LAG_TIMEOUT => {
                    return Err(ReadError(
                        "the server that is read from is behind; try again".into(),
                    ));
                }
                LogStep::End => sleep(LAG_PAUSE).await,
            }
        }
        Ok(())
    }
}

/// Decodes the events of each chunk of a message after the position `before`; `None` for a corrupt chunk.
fn events(before: u64, frame: &BatchFrame) -> Vec<Option<Vec<StoredEvent>>> {
    let mut position = before;
    let chunks = (0..frame.chunks()).map(|index| {
        let first = position + 1;
        position += frame.count(index);
        let stored =
            frame.chunk(index)?.into_iter().zip(first..).map(|(bytes, position)| StoredEvent {
                position,
                received_at: frame.head.received_at,
                source: frame.head.source.as_str().into(),
                only_sink: frame.head.only_sink.as_deref().map(Into::into),
                bytes,
            });
        Some(stored.collect())
    });
    chunks.collect()
}
