//! The part of a batch that one commit covers.

use crate::spool::{CommitRecord, DispositionRun, Millis, NewEntry};

/// Consecutive positions with final verdicts, which one commit may cover.
#[derive(Debug, Default)]
pub(in crate::deliver) struct CommitPart {
    pub(in crate::deliver) position: Option<u64>,
    pub(in crate::deliver) record: CommitRecord,
    /// Bytes of the delivered events as the target got them, before compression.
    pub(in crate::deliver) delivered_bytes: u64,
    /// Receive times of the delivered events, each with the number of consecutive events that have it. Replays and
    /// retries are left out.
    pub(in crate::deliver) received: Vec<(Millis, u64)>,
    /// Number of dead letters that stand for events that could not be read back.
    pub(in crate::deliver) damaged: u64,
    pub(in crate::deliver) dead_letters: Vec<(String, NewEntry)>,
}

impl CommitPart {
    /// Adds the events that follow.
    pub(super) fn add(&mut self, run: DispositionRun) {
        if let Some(disposition) = run.disposition {
            self.record.tally.add(disposition, run.count);
        }
        self.record.runs.push(run);
    }

    /// Notes the receive time of delivered events.
    pub(super) fn note_received(&mut self, received_at: Option<Millis>, count: u64) {
        match (received_at, self.received.last_mut()) {
            (Some(received_at), Some((last, events))) if *last == received_at => *events += count,
            (Some(received_at), _) => self.received.push((received_at, count)),
            (None, _) => {}
        }
    }

    /// Merges consecutive parts into one.
    pub(in crate::deliver) fn of(parts: &[CommitPart]) -> CommitPart {
        let mut all = CommitPart::default();
        parts.iter().for_each(|part| all.append(part));
        all
    }

    /// Adds the part that follows.
    pub(in crate::deliver) fn append(&mut self, part: &CommitPart) {
        self.position = part.position.or(self.position);
        self.record.runs.extend(&part.record.runs);
        for (disposition, count) in part.record.tally.counts() {
            self.record.tally.add(disposition, count);
        }
        self.delivered_bytes += part.delivered_bytes;
        self.received.extend_from_slice(&part.received);
        self.damaged += part.damaged;
        self.dead_letters.extend_from_slice(&part.dead_letters);
    }
}
