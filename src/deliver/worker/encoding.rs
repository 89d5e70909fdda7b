//! Encoding of a batch on another thread, while the worker reads the events that follow.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{READ_BYTES, Worker, joined};
use crate::deliver::batch::DeliveryBatch;
use crate::sinks::SinkFinding;
use crate::spool::{Millis, Read};

/// A batch being encoded on another thread. The thread also returns the events that did not fit.
#[derive(Debug)]
pub(super) struct Encoding {
    task: JoinHandle<(DeliveryBatch, VecDeque<Read>)>,
    /// Receive time of its first event.
    pub(super) received_at: Option<Millis>,
}

impl Worker {
    /// Begins to encode a batch of the waiting events, on a blocking thread: some formats take long enough to
    /// delay the answers of the receiver.
    pub(super) fn encode(&mut self) {
        let (config, redaction) = (Arc::clone(&self.config), self.redaction.clone());
        let received_at = self.first_waiting();
        // Not more than a batch by the size received: what does not fit comes back, and would add up with what is read
        // meanwhile.
        let mut bytes = 0;
        let fits = |read: &&Read| {
            let is_within = bytes < config.batch.bytes;
            bytes += read.size();
            is_within
        };
        let count = self.waiting.iter().take(config.batch.events).take_while(fits).count();
        let following = self.waiting.split_off(count);
        let mut batch = std::mem::replace(&mut self.waiting, following);
        self.waiting_bytes = self.waiting.iter().map(Read::size).sum();
        let task = tokio::task::spawn_blocking(move || {
            let encoded = DeliveryBatch::take(&mut batch, &config, redaction.as_deref());
            (encoded, batch)
        });
        self.encoding = Some(Encoding { task, received_at });
    }

    /// Reads events for the next batch while this one is encoded. A failure is left to the next read.
    ///
    /// # Cancel safety
    ///
    /// Events that were read stay.
    pub(super) async fn read_ahead(&mut self) {
        while !self.is_full()
            && let Ok(found) = self.reader.read(self.read, READ_BYTES).await
            && !found.is_empty()
        {
            found.into_iter().for_each(|read| self.wait_with(read));
        }
    }

    /// Waits for the batch that is being encoded. Events that did not fit wait again, before those that were read
    /// since.
    pub(super) async fn encoded(&mut self) -> DeliveryBatch {
        let Some(encoding) = &mut self.encoding else { return DeliveryBatch::default() };
        let (batch, mut rest) = joined((&mut encoding.task).await);
        self.encoding = None;
        self.waiting_bytes += rest.iter().map(Read::size).sum::<usize>();
        rest.append(&mut self.waiting);
        self.waiting = rest;
        self.filling_since = None;
        let finding = SinkFinding::Truncated.as_str();
        self.metrics
            .sink_findings
            .with_label_values(&[&*self.name, finding])
            .inc_by(batch.truncated);
        batch
    }
}
