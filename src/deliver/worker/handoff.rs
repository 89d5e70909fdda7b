//! Order of batches for idle connections, and the metrics of committed parts.

use super::Worker;
use crate::deliver::batch::{CommitPart, DeliveryBatch};

impl std::fmt::Debug for Worker {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Worker").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Worker {
    /// Takes the batch for an idle connection: a returned batch first. A returned batch of a single event
    /// goes together with the next batch, and waits for it.
    pub(super) fn take_next(&mut self) -> Option<DeliveryBatch> {
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

    /// Tells the connections if there are more events.
    pub(super) fn note_next(&self) {
        self.status.set_next(self.ready.is_some() || self.has_waiting());
    }

    fn has_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.encoding.is_some()
    }

    /// Counts committed events and logs dead letters.
    pub(super) fn note_committed(&self, position: u64, part: &CommitPart) {
        let shared_cursor = self.shared.as_ref().map(|shared| shared.borrow().cursor);
        self.status.set_cursor(shared_cursor.unwrap_or(position));
        for (disposition, count) in part.record.tally.counts() {
            self.metrics
                .sink_events
                .with_label_values(&[&*self.name, disposition.as_str()])
                .inc_by(count);
        }
        self.metrics.sink_bytes.with_label_values(&[&self.name]).inc_by(part.delivered_bytes);
        self.observe_latency(part);
        self.metrics.damaged.with_label_values(&[&self.name]).inc_by(part.damaged);
        for (_, entry) in &part.dead_letters {
            tracing::error!(
                sink = %self.name, reason = entry.reason, detail = entry.detail,
                "an event went to quarantine; see davinci-siem quarantine list"
            );
        }
    }

    /// Observes the time from the receipt of each delivered event until now.
    fn observe_latency(&self, part: &CommitPart) {
        let now = (self.clock)();
        // A local histogram adds its sum to the shared one once, when it is dropped.
        let latency = self.metrics.sink_delivery.with_label_values(&[&self.name]).local();
        for (received_at, count) in &part.received {
            let seconds = (now - received_at).max(0) as f64 / 1000.0;
            (0..*count).for_each(|_| latency.observe(seconds));
        }
    }
}
