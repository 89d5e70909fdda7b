//! Stored lease of a sink: its cursor, its totals and the holder.

use std::time::Duration;

use async_nats::jetstream::kv::Store;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::checkpoint::{self, Checkpoint, Mark};
use super::move_record;
use super::records::{self, Stored};
use crate::spool::moving::contents::{MovedSink, MovedState};
use crate::spool::{Disposition, PlannedRange, ReadError, Tally};

/// Time after which a lease that is not renewed may be taken over, by the clock of the receiver that takes it.
pub(super) const LEASE_STALE_AFTER: Duration = Duration::from_secs(4);

/// Renewal interval of a held lease: several times within [`LEASE_STALE_AFTER`].
pub(super) const RENEW_INTERVAL: Duration = Duration::from_secs(1);

/// Lease and state of a sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SinkLease {
    /// Last committed position.
    pub(super) cursor: u64,
    pub(super) is_paused: bool,
    /// Process that holds the lease.
    pub(super) holder: Option<String>,
    /// Numbering that `cursor` belongs to.
    pub(super) epoch: String,
    /// Message that contains the event at `cursor`; before the first commit, the message before the first one to read.
    message: ReadMessage,
    /// Last range that the sink was about to write, if it writes objects.
    pub(super) plan: Option<PlannedRange>,
    delivered: u64,
    filtered: u64,
    sampled: u64,
    dead_lettered: u64,
    not_addressed: u64,
    repeated: u64,
    retired: u64,
    before_start: u64,
}

/// A message that was read for a sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReadMessage {
    /// Its last event.
    pub(super) mark: Mark,
    /// Position of the last event before it.
    pub(super) before: u64,
}

/// Lease that this process holds.
#[derive(Debug)]
pub(super) struct HeldLease {
    pub(super) lease: SinkLease,
    pub(super) revision: u64,
}

impl SinkLease {
    /// Returns the lease of a new sink that starts after `mark`.
    pub(super) fn starting(mark: Mark, epoch: &str) -> SinkLease {
        let Mark { sequence, position, .. } = mark;
        SinkLease {
            cursor: position,
            epoch: epoch.to_owned(),
            message: ReadMessage { mark: Mark { sequence, position, at: 0 }, before: position },
            before_start: position,
            ..SinkLease::default()
        }
    }

    /// Returns the lease of a sink that was moved. `start` is the message before the first one to read.
    pub(super) fn moved(
        start: Mark,
        epoch: &str,
        sink: &MovedSink,
        state: &MovedState,
    ) -> SinkLease {
        let total = |disposition| state.total(&sink.name, disposition);
        SinkLease {
            cursor: sink.cursor,
            is_paused: sink.is_paused,
            plan: sink.plan,
            delivered: total(Disposition::Delivered),
            filtered: total(Disposition::Filtered),
            sampled: total(Disposition::Sampled),
            dead_lettered: total(Disposition::DeadLettered),
            not_addressed: total(Disposition::NotAddressed),
            repeated: total(Disposition::Repeated),
            retired: total(Disposition::Retired),
            before_start: total(Disposition::BeforeStart),
            ..SinkLease::starting(start, epoch)
        }
    }

    /// Returns the lease without a holder.
    pub(super) fn released(&self) -> SinkLease {
        SinkLease { holder: None, ..self.clone() }
    }

    /// Returns the lease after an operator has paused or resumed the sink.
    pub(super) fn paused(self, is_paused: bool) -> SinkLease {
        SinkLease { is_paused, ..self }
    }

    /// Returns the lease after the sink has planned `range`.
    pub(super) fn planned(&self, range: PlannedRange) -> SinkLease {
        SinkLease { plan: Some(range), ..self.clone() }
    }

    /// Returns the lease after a commit of `position`, whose event is in `message`, if that is known.
    pub(super) fn settled(
        &self,
        position: u64,
        message: Option<ReadMessage>,
        tally: Tally,
    ) -> SinkLease {
        SinkLease {
            cursor: self.cursor.max(position),
            // Reading may also begin at an earlier message: it skips what is committed.
            message: message.filter(|_| position > self.cursor).unwrap_or(self.message),
            delivered: self.delivered + tally.delivered,
            filtered: self.filtered + tally.filtered,
            sampled: self.sampled + tally.sampled,
            dead_lettered: self.dead_lettered + tally.dead_lettered,
            not_addressed: self.not_addressed + tally.not_addressed,
            repeated: self.repeated + tally.repeated,
            ..self.clone()
        }
    }

    /// Returns true if the cursor is not one of the stored log: another epoch, or events that are gone.
    pub(super) fn is_outdated(&self, checkpoint: &Checkpoint) -> bool {
        self.epoch != checkpoint.epoch || self.cursor < checkpoint.trimmed.position
    }

    /// Returns the lease restarted at the oldest stored event. The events in between count as retired, so that the
    /// totals still add up to the cursor.
    pub(super) fn restarted(&self, checkpoint: &Checkpoint) -> SinkLease {
        let start = checkpoint.trimmed;
        let new = SinkLease {
            is_paused: self.is_paused,
            holder: self.holder.clone(),
            ..SinkLease::starting(start, &checkpoint.epoch)
        };
        match start.position.checked_sub(self.cursor) {
            Some(skipped) => SinkLease {
                cursor: new.cursor,
                epoch: new.epoch,
                message: new.message,
                plan: None,
                retired: self.retired + skipped,
                ..self.clone()
            },
            // The bucket has outlived its log.
            None => new,
        }
    }

    /// Returns the sequence of the first message to read, and the position before its first event.
    pub(super) fn first_message(&self) -> (u64, u64) {
        match self.message.mark.at {
            0 => (self.message.mark.sequence + 1, self.message.mark.position),
            _ => (self.message.mark.sequence, self.message.before),
        }
    }

    /// Returns the storage time of the message at the cursor, in ns since the Unix epoch; `None` before the first
    /// commit.
    pub(super) fn read_up_to(&self) -> Option<i64> {
        Some(self.message.mark.at).filter(|at| *at != 0)
    }

    /// Returns each disposition with its total.
    pub(super) fn totals(&self) -> [(Disposition, u64); 8] {
        [
            (Disposition::Delivered, self.delivered),
            (Disposition::Filtered, self.filtered),
            (Disposition::Sampled, self.sampled),
            (Disposition::DeadLettered, self.dead_lettered),
            (Disposition::NotAddressed, self.not_addressed),
            (Disposition::Repeated, self.repeated),
            (Disposition::Retired, self.retired),
            (Disposition::BeforeStart, self.before_start),
        ]
    }
}

/// Reads the leases of all sinks, by name.
pub(super) async fn all(store: &Store) -> Result<Vec<(String, Stored<SinkLease>)>, ReadError> {
    let is_sink = |key: &String| ![checkpoint::KEY, move_record::KEY].contains(&key.as_str());
    let sinks = records::keys(store).await?.into_iter().filter(is_sink);
    let leases = sinks.map(|sink| async {
        let lease = records::read(store, &sink).await?;
        Ok::<_, ReadError>(lease.map(|lease| (sink, lease)))
    });
    Ok(try_join_all(leases).await?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(sequence: u64, position: u64) -> Mark {
        Mark { sequence, position, at: 1 }
    }

    fn sum(lease: &SinkLease) -> u64 {
        lease.totals().iter().map(|(_, count)| count).sum()
    }

    #[test]
    fn a_cursor_never_goes_back_and_totals_add_up_to_it() {
        let new = SinkLease::starting(mark(3, 10), "one");
        assert_eq!((new.first_message(), sum(&new)), ((4, 10), 10));
        let tally =
            Tally { delivered: 2, filtered: 2, sampled: 1, repeated: 1, ..Tally::default() };
        let message = ReadMessage { mark: mark(5, 20), before: 12 };
        let moved = new.settled(16, Some(message), tally);
        assert_eq!((moved.cursor, sum(&moved), moved.first_message()), (16, 16, (5, 12)));
        let again = moved.settled(12, Some(ReadMessage::default()), Tally::default());
        assert_eq!(again, moved);
        let range = PlannedRange { after: 16, last: 20, id: 1, settings: 2 };
        let moved = moved.planned(range);
        assert_eq!((moved.cursor, moved.plan), (16, Some(range)));
        let stored = serde_json::to_vec(&moved).expect("JSON");
        assert_eq!(serde_json::from_slice::<SinkLease>(&stored).expect("a lease"), moved);
    }

    #[test]
    fn a_sink_of_another_epoch_restarts_at_the_oldest_event_and_its_totals_add_up() {
        let range = PlannedRange { after: 10, last: 12, id: 1, settings: 2 };
        let held = SinkLease { is_paused: true, ..SinkLease::starting(mark(3, 10), "one") };
        let held = held.planned(range);
        let checkpoint = |epoch: &str, position| Checkpoint {
            epoch: epoch.to_owned(),
            trimmed: mark(0, position),
            ..Checkpoint::default()
        };
        for (checkpoint, is_outdated) in [
            (checkpoint("one", 10), false),
            (checkpoint("one", 11), true),
            (checkpoint("two", 10), true),
            (checkpoint("two", 25), true),
            (checkpoint("two", 4), true),
        ] {
            assert_eq!(held.is_outdated(&checkpoint), is_outdated, "{checkpoint:?}");
            let restarted = held.restarted(&checkpoint);
            assert!(restarted.is_paused && !restarted.is_outdated(&checkpoint));
            assert_eq!(restarted.plan, None, "positions of another numbering");
            assert_eq!((restarted.cursor, sum(&restarted)), {
                let position = checkpoint.trimmed.position;
                (position, position)
            });
            assert_eq!(restarted.first_message(), (1, checkpoint.trimmed.position));
        }
    }
}
