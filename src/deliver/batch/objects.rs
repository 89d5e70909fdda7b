//! A batch of objects: the events of a planned range, filtered, formatted and packed slice by slice.

use std::io;

use super::prepare::prepare;
use super::{CommitPart, DeliveryBatch, Slot, SlotState, damaged_slot};
use crate::deliver::{SinkConfig, parallel};
use crate::redact::Redaction;
use crate::sinks::objects::{ObjectEvent, ObjectPacker, PackedObject};
use crate::spool::{Millis, Read};

/// The events of a range while they are packed. Holds the compressed objects, and no event.
#[derive(Debug)]
pub(in crate::deliver) struct RangePacking {
    packer: Box<dyn ObjectPacker>,
    /// Dispositions of the positions added. Those in objects count as delivered.
    parts: Vec<CommitPart>,
    received_at: Option<Millis>,
    truncated: u64,
}

/// A range that is ready to be written.
#[derive(Debug)]
pub(in crate::deliver) struct PackedRange {
    /// One item for each object.
    pub(in crate::deliver) batch: DeliveryBatch,
    /// Number of events in the objects.
    pub(in crate::deliver) events: u64,
    /// Dispositions of all positions, once the objects are written. Each dead letter begins a part.
    pub(in crate::deliver) parts: Vec<CommitPart>,
}

impl RangePacking {
    pub(in crate::deliver) fn new(packer: Box<dyn ObjectPacker>) -> RangePacking {
        RangePacking { packer, parts: Vec::new(), received_at: None, truncated: 0 }
    }

    /// Filters, redacts and formats the next events of the range on all cores, and adds them to their objects.
    ///
    /// # Errors
    /// Returns an error of the compression.
    pub(in crate::deliver) fn add(
        &mut self,
        reads: Vec<Read>,
        sink: &SinkConfig,
        redaction: Option<&Redaction>,
    ) -> io::Result<()> {
        let prepared = parallel::map(&reads, |read| match read {
            Read::Event(stored) => prepare(stored, sink, redaction),
            Read::Damaged(_) | Read::Repeated(_) => (None, None),
        });
        let mut added = DeliveryBatch::default();
        for (read, (state, payload)) in reads.into_iter().zip(prepared) {
            let last = read.last_position();
            let state = match (read, state, payload) {
                (Read::Damaged(damage), ..) => {
                    added.slots.push(damaged_slot(damage, sink));
                    continue;
                }
                (Read::Repeated(_), ..) => SlotState::Repeated,
                (Read::Event(_), Some(state), _) => state,
                (Read::Event(_), None, None) => {
                    return Err(io::Error::other("an event was neither formatted nor left out"));
                }
                (Read::Event(stored), None, Some((line, finding))) => {
                    self.received_at.get_or_insert(stored.received_at);
                    self.truncated += u64::from(finding.is_some());
                    self.packer.add(ObjectEvent {
                        position: stored.position,
                        received_at: stored.received_at,
                        source: &stored.source,
                        line: &line,
                    })?;
                    let received_at = Some(stored.received_at);
                    let received_at = received_at.filter(|_| stored.only_sink.is_none());
                    SlotState::Delivered { received_at, bytes: line.len() }
                }
            };
            added.slots.push(Slot { last, count: 1, attempts: 0, state });
        }
        self.parts.extend(added.take_final());
        Ok(())
    }

    /// Returns the objects of all events added.
    ///
    /// # Errors
    /// Returns an error of the compression.
    pub(in crate::deliver) fn finish(self) -> io::Result<PackedRange> {
        let RangePacking { packer, parts, received_at, truncated } = self;
        let mut batch = DeliveryBatch { received_at, truncated, ..DeliveryBatch::default() };
        let mut total = 0;
        for PackedObject { item, events } in packer.finish()? {
            total += events;
            let (last, state) = (item.position, SlotState::Object);
            batch.slots.push(Slot { last, count: events, attempts: 0, state });
            batch.items.push(item);
        }
        batch.groups = Some(batch.items.len()).filter(|count| *count > 0).into_iter().collect();
        Ok(PackedRange { batch, events: total, parts })
    }
}
