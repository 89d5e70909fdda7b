//! Background task: moves the checkpoint, completes the quarantine, and trims events that every sink has committed.
//!
//! Every receiver does it; a compare-and-set on the checkpoint makes doing it twice harmless.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::checkpoint::{self, Checkpoint, Mark};
use super::index::MILLI;
use super::sink_lease::{self, SinkLease};
use super::{JetStreamSpool, frame, log, records, unreadable};
use crate::error_chain::error_chain;
use crate::spool::ReadError;
use crate::spool::jetstream::records::Stored;

const INTERVAL: Duration = Duration::from_secs(2);

/// Time after the last renewal of a sink's lease, for a sink that this receiver does not have, until its cursor
/// no longer keeps events; in ms.
const FORGOTTEN: i64 = 24 * 60 * 60 * 1000;

/// Times that keep committed events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeping {
    /// After every sink has committed them.
    pub(super) retention: Duration,
    /// Before the first uncommitted one: a receiver that starts rebuilds the window of keys from them.
    pub(super) dedup_window: Duration,
}

/// Runs until it is dropped.
pub(super) async fn run(spool: JetStreamSpool, keeping: Keeping) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let began = std::time::Instant::now();
        if let Err(error) = spool.keep_up(keeping).await {
            let error = spool.status.denials.explain(error_chain(&error), began);
            tracing::debug!(error, "cannot move the checkpoint or trim the stream");
        }
    }
}

impl JetStreamSpool {
    async fn keep_up(&self, keeping: Keeping) -> Result<(), ReadError> {
        let Some((known, revision)) = self.status.checkpoint() else { return Ok(()) };
        let leases = sink_lease::all(&self.streams.leases).await?;
        let (head, totals, entries) = {
            let index = self.status.index();
            if index.epoch != known.epoch {
                return Ok(());
            }
            (index.head(), index.totals(), index.with_entries())
        };
        let is_complete = self.complete_quarantine(&entries).await?;
        let moved = match is_complete && head.sequence > known.head.sequence {
            true => Checkpoint { head, totals, ..known.as_ref().clone() },
            false => known.as_ref().clone(),
        };
        let trimmed = self.trim_to(&moved, &leases, keeping);
        let moved = Checkpoint { trimmed, ..moved };
        if moved == *known {
            return Ok(());
        }
        let stored = records::update(&self.streams.leases, checkpoint::KEY, &moved, revision).await;
        // Another receiver was faster.
        let Some(revision) = stored.map_err(unreadable)? else { return Ok(()) };
        self.status.note_checkpoint(moved, revision);
        if trimmed.sequence > known.trimmed.sequence {
            tracing::debug!(
                sequence = trimmed.sequence,
                "trimming events that every sink has committed"
            );
            let purge = self.streams.events.purge().sequence(trimmed.sequence + 1);
            purge.await.map_err(unreadable)?;
        }
        Ok(())
    }

    /// Copies the entries of messages that may not be in the quarantine's stream yet. Returns false if it is full.
    pub(super) async fn complete_quarantine(&self, entries: &[u64]) -> Result<bool, ReadError> {
        for sequence in entries {
            let message = log::message(&self.streams.events, *sequence).await?;
            let Some(frame) = message.and_then(|message| frame::parse(&message.payload)) else {
                continue;
            };
            if let Err(error) = self.copy_entries(&frame).await {
                tracing::debug!(%error, sequence, "quarantine entries are not listed yet");
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the last message that may go.
    fn trim_to(
        &self,
        checkpoint: &Checkpoint,
        leases: &[(String, Stored<SinkLease>)],
        keeping: Keeping,
    ) -> Mark {
        let sinks = self.sinks.all();
        let is_own = |sink: &str| sinks.iter().any(|(name, _)| &**name == sink);
        let counted = counted(leases, is_own);
        // Leases of another epoch restart at the oldest event.
        let is_current = |lease: &&SinkLease| !lease.is_outdated(checkpoint);
        let first = counted.iter().map(|lease| lease.first_message().0).min();
        let Some(first) = first.filter(|_| counted.iter().all(is_current)) else {
            return checkpoint.trimmed;
        };
        // Renewed leases tell the servers' time.
        let now = leases.iter().map(|(_, stored)| stored.at).max().unwrap_or_default();
        let now = now.saturating_mul(MILLI);
        let read = counted.iter().map(|lease| lease.read_up_to().unwrap_or(now)).min();
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let since = now.saturating_sub(nanos(keeping.retention));
        let since = since.min(read.unwrap_or(now).saturating_sub(nanos(keeping.dedup_window)));
        // Events kept for a replay, and the window, make room for new events.
        let is_crowded = self.status.crowded.get();
        let may_go = |mark: &Mark| {
            mark.sequence < first
                && mark.sequence <= checkpoint.head.sequence
                && (is_crowded || mark.at < since)
        };
        let last = self.status.index().last_mark(may_go);
        if last.sequence > checkpoint.trimmed.sequence && may_go(&last) {
            last
        } else {
            checkpoint.trimmed
        }
    }
}

/// Returns the leases that keep events from being trimmed.
fn counted(
    leases: &[(String, Stored<SinkLease>)],
    is_own: impl Fn(&str) -> bool,
) -> Vec<&SinkLease> {
    let newest = leases.iter().map(|(_, stored)| stored.at).max().unwrap_or_default();
    let is_alive =
        |sink: &str, stored: &Stored<SinkLease>| is_own(sink) || newest - stored.at < FORGOTTEN;
    let alive = leases.iter().filter(|(sink, stored)| is_alive(sink, stored));
    alive.map(|(_, stored)| &stored.value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_keeps_its_events_until_no_receiver_has_had_it_for_a_day() {
        let lease = |sink: &str, sequence: u64, at: i64| {
            let mark = Mark { sequence, position: sequence, at: 0 };
            let value = SinkLease::starting(mark, "one");
            (sink.to_owned(), Stored { value, revision: 1, at })
        };
        let day = FORGOTTEN;
        for (leases, own, passed) in [
            (vec![], "a", None),
            (vec![lease("a", 7, 0)], "a", Some(7)),
            (vec![lease("a", 7, 0), lease("b", 5, 0)], "a", Some(5)),
            // Lease of another receiver, not renewed for long.
            (vec![lease("a", 7, day), lease("b", 5, 1)], "a", Some(5)),
            (vec![lease("a", 7, day), lease("b", 5, 0)], "a", Some(7)),
            // A sink of this receiver keeps events at any age.
            (vec![lease("a", 7, 0), lease("b", 9, day)], "a", Some(7)),
        ] {
            let counted = counted(&leases, |sink| sink == own);
            let least = counted.iter().map(|lease| lease.cursor).min();
            assert_eq!(least, passed, "{leases:?}");
        }
    }
}
