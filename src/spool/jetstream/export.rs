//! Reads the whole content of the streams, for `spool move` to the embedded engine.

use std::collections::BTreeSet;

use bytes::Bytes;
use tokio::time::sleep;

use super::checkpoint::Checkpoint;
use super::index::MILLI;
use super::move_record::{self, MoveRecord, OutgoingMove};
use super::sink_lease::{self, RENEW_INTERVAL, SinkLease};
use super::{JetStreamSpool, records, unreadable};
use crate::spool::chunk;
use crate::spool::moving::MoveError;
use crate::spool::moving::contents::{MovedChunk, MovedSink, MovedState};
use crate::spool::{DedupKey, Millis};

/// Name that no sink has: the address of events that are in the log before.
const NO_SINK: &str = "";

impl JetStreamSpool {
    /// Returns the id of the new spool, if the streams are marked as moved to `to`. Refuses streams that may not be
    /// moved there.
    pub(in crate::spool) async fn moved_id(&self, to: &str) -> Result<Option<String>, MoveError> {
        let (record, _) = move_record::read(&self.streams.leases).await?;
        match record.outgoing {
            Some(outgoing) if outgoing.to == to => Ok(Some(outgoing.id)),
            _ => Ok(move_record::refuse(&record, &self.stream).map(|()| None)?),
        }
    }

    /// Marks the streams as moved to `to`, so that no receiver starts with them. Returns the id of the new spool, which
    /// is the same at each repetition.
    pub(in crate::spool) async fn mark_as_moved(&self, to: &str) -> Result<String, MoveError> {
        let (record, revision) = move_record::read(&self.streams.leases).await?;
        match &record.outgoing {
            Some(outgoing) if outgoing.to == to => return Ok(outgoing.id.clone()),
            None if record.incoming.as_ref().is_none_or(|incoming| incoming.is_complete) => {}
            _ => move_record::refuse(&record, &self.stream)?,
        }
        let outgoing =
            OutgoingMove { to: to.to_owned(), id: format!("{:032x}", rand::random::<u128>()) };
        let marked = MoveRecord { outgoing: Some(outgoing.clone()), ..record };
        let stored = records::update(&self.streams.leases, move_record::KEY, &marked, revision);
        match stored.await? {
            Some(_) => Ok(outgoing.id),
            None => {
                Err(MoveError::Refused("another move of the stream began at the same time".into()))
            }
        }
    }

    /// Refuses the move while a receiver renews its leases.
    pub(in crate::spool) async fn refuse_receivers(&self) -> Result<(), MoveError> {
        let before = sink_lease::all(&self.streams.leases).await?;
        sleep(2 * RENEW_INTERVAL).await;
        for (sink, now) in sink_lease::all(&self.streams.leases).await? {
            let known = before.iter().find(|(name, _)| *name == sink);
            if known.is_none_or(|(_, known)| known.revision != now.revision) {
                let holder = now.value.holder.unwrap_or_else(|| "a receiver".to_owned());
                return Err(MoveError::Refused(format!(
                    "stream {} is in use: {holder} holds the sink {sink}. Stop every receiver of the stream, and \
                     repeat the command",
                    self.stream
                )));
            }
        }
        Ok(())
    }

    /// Returns the sequence of the last message.
    pub(in crate::spool) async fn last_message(&self) -> Result<u64, MoveError> {
        let info = self.streams.events.get_info().await.map_err(unreadable)?;
        Ok(info.state.last_sequence)
    }

    /// Reads state and ids, after completing the quarantine. Calls `add_ids` with the ids in the window.
    pub(in crate::spool) async fn export_state(
        &self,
        mut add_ids: impl FnMut(Millis, &[DedupKey]) -> Result<(), MoveError>,
    ) -> Result<MovedState, MoveError> {
        let checkpoint = self.stored_checkpoint().await?;
        let index = self.read_index(&checkpoint, checkpoint.trimmed).await?;
        if !self.complete_quarantine(&index.with_entries()).await? {
            return Err(MoveError::Refused(
                "the quarantine of the stream is full: raise spool.quarantine_max_size, and repeat the command".into(),
            ));
        }
        for (at, keys) in index.remembered() {
            add_ids(at / MILLI, keys)?;
        }
        let mut totals = index.totals();
        let mut sinks = Vec::new();
        for (name, stored) in sink_lease::all(&self.streams.leases).await? {
            let lease = current(stored.value, &checkpoint);
            let counted = lease.totals().into_iter().filter(|(_, count)| *count > 0);
            totals.extend(counted.map(|(kind, count)| (name.clone(), kind, count)));
            let SinkLease { cursor, is_paused, plan, .. } = lease;
            sinks.push(MovedSink { name, cursor, is_paused, plan });
        }
        let (trimmed, head) = (checkpoint.trimmed.position, index.head().position);
        Ok(MovedState { trimmed, head, sinks, totals, repeated: BTreeSet::new() })
    }

    /// Calls `visit` with each chunk, in order. Events that are in the log before get an address that no sink has, and
    /// are recorded in `state`.
    pub(in crate::spool) async fn each_chunk(
        &self,
        state: &mut MovedState,
        mut visit: impl FnMut(MovedChunk) -> Result<(), MoveError>,
    ) -> Result<(), MoveError> {
        let checkpoint = self.stored_checkpoint().await?;
        let index = self.read_index(&checkpoint, checkpoint.trimmed).await?;
        let mut result = Ok(());
        self.scan(checkpoint.trimmed, |before, message, frame| {
            let sequence = message.sequence;
            let corrupt = || {
                MoveError::Refused(format!(
                    "message {sequence} of stream {} is corrupt, or of another program (spool verify), and cannot \
                     be moved",
                    self.stream
                ))
            };
            result = (|| {
                let frame = frame.ok_or_else(corrupt)?;
                let repeated = index.repeated(sequence);
                let mut last = before;
                for number in 0..frame.chunks() {
                    let first = last;
                    last += frame.count(number);
                    let is_repeated = |position: u64| {
                        repeated.binary_search(&((position - before - 1) as u32)).is_ok()
                    };
                    let head = &frame.head;
                    let moved = |last, chunk, only_sink| MovedChunk {
                        last,
                        received_at: head.received_at,
                        source: head.source.clone(),
                        only_sink,
                        chunk,
                    };
                    let events = frame.chunk(number).ok_or_else(corrupt)?;
                    if !(first + 1..=last).any(is_repeated) {
                        let chunk = frame.raw_chunk(number).ok_or_else(corrupt)?;
                        visit(moved(last, chunk, head.only_sink.clone()))?;
                        continue;
                    }
                    let events: Vec<(u64, Bytes)> = (first + 1..).zip(events).collect();
                    for run in events.chunk_by(|a, b| is_repeated(a.0) == is_repeated(b.0)) {
                        let is_repeated = run.first().is_some_and(|(position, _)| is_repeated(*position));
                        let only_sink = match is_repeated {
                            true => Some(NO_SINK.to_owned()),
                            false => head.only_sink.clone(),
                        };
                        let mut last = run.first().map_or(0, |(position, _)| position - 1);
                        for chunk in chunk::encode(run.iter().map(|(_, bytes)| bytes.as_ref())) {
                            last += u64::from(chunk.count);
                            visit(moved(last, chunk, only_sink.clone()))?;
                        }
                        if is_repeated {
                            state.repeated.extend(run.iter().map(|(position, _)| position));
                        }
                    }
                }
                Ok(())
            })();
            result.is_ok()
        })
        .await?;
        result
    }
}

/// Returns the lease as its next holder would find it.
fn current(lease: SinkLease, checkpoint: &Checkpoint) -> SinkLease {
    if lease.is_outdated(checkpoint) { lease.restarted(checkpoint) } else { lease }
}
