//! Batches that come back from a connection: settled, or in need of a neighbour.

use super::Worker;
use crate::deliver::batch::{Batch, Settled};

impl Worker {
    /// The batch for an idle connection: what another has given back goes first. A single event waits for
    /// the next batch and goes with it.
    pub(super) fn take_next(&mut self) -> Option<Batch> {
        let Some(mut batch) = self.returned.take() else { return self.ready.take() };
        if batch.items.len() < 2 {
            match self.ready.take() {
                Some(next) => batch.append(next),
                None if self.has_waiting() => {
                    self.returned = Some(batch);
                    return None;
                }
                None => {}
            }
        }
        Some(batch)
    }

    /// Tells the connections whether there are more events.
    pub(super) fn note_next(&self) {
        self.status.set_next(self.ready.is_some() || self.has_waiting());
    }

    fn has_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.encoding.is_some()
    }

    /// Counts what has been committed, and says what went to quarantine.
    pub(super) fn note_settled(&self, position: u64, settled: &Settled) {
        let shared = self.place.as_ref().map(|place| place.borrow().cursor);
        self.status.settled(shared.unwrap_or(position));
        for (disposition, count) in settled.tally.counts() {
            self.metrics
                .sink_events
                .with_label_values(&[&*self.name, disposition.as_str()])
                .inc_by(count);
        }
        self.metrics.damaged.with_label_values(&[&self.name]).inc_by(settled.damaged);
        for (_, entry) in &settled.dead_letters {
            tracing::error!(
                sink = %self.name, reason = entry.reason, detail = entry.detail,
                "an event went to quarantine; see davinci-siem quarantine list"
            );
        }
    }
}
