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
    /// Events that are in no object, the last position added, and what is measured of the others.
    part: CommitPart,
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
    /// Events that are in no object, and the last position of the range.
    pub(in crate::deliver) rest: CommitPart,
}

impl RangePacking {
    pub(in crate::deliver) fn new(packer: Box<dyn ObjectPacker>) -> RangePacking {
        RangePacking { packer, part: CommitPart::default(), received_at: None, truncated: 0 }
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
        let mut rest = DeliveryBatch::default();
        for (read, (state, payload)) in reads.into_iter().zip(prepared) {
            let last = read.last_position();
            self.part.position = Some(last);
            let state = match (read, state, payload) {
                (Read::Damaged(damage), ..) => {
                    rest.slots.push(damaged_slot(damage, sink));
                    continue;
                }
                (Read::Repeated(_), ..) => SlotState::Repeated,
                (Read::Event(_), Some(state), _) => state,
                (Read::Event(_), None, None) => {
                    return Err(io::Error::other("an event was neither formatted nor left out"));
                }
                (Read::Event(stored), None, Some((line, finding))) => {
                    self.received_at.get_or_insert(stored.received_at);
                    self.part.delivered_bytes += line.len() as u64;
                    let is_new = stored.only_sink.is_none();
                    self.part.note_received(Some(stored.received_at).filter(|_| is_new), 1);
                    self.truncated += u64::from(finding.is_some());
                    self.packer.add(ObjectEvent {
                        position: stored.position,
                        received_at: stored.received_at,
                        source: &stored.source,
                        line: &line,
                    })?;
                    continue;
                }
            };
            rest.slots.push(Slot { last, count: 1, attempts: 0, state });
        }
        let parts: Vec<CommitPart> =
            std::iter::once(std::mem::take(&mut self.part)).chain(rest.take_final()).collect();
        let position = parts.first().and_then(|part| part.position);
        self.part = CommitPart { position, ..CommitPart::of(&parts) };
        Ok(())
    }

    /// Returns the objects of all events added.
    ///
    /// # Errors
    /// Returns an error of the compression.
    pub(in crate::deliver) fn finish(self) -> io::Result<PackedRange> {
        let RangePacking { packer, part: rest, received_at, truncated } = self;
        let mut batch = DeliveryBatch { received_at, truncated, ..DeliveryBatch::default() };
        let mut total = 0;
        for PackedObject { item, events } in packer.finish()? {
            total += events;
            let (last, state) = (item.position, SlotState::Object);
            batch.slots.push(Slot { last, count: events, attempts: 0, state });
            batch.items.push(item);
        }
        batch.groups = Some(batch.items.len()).filter(|count| *count > 0).into_iter().collect();
        Ok(PackedRange { batch, events: total, rest })
    }
}
