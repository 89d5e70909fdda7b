//! A batch of objects: the events of a planned range, filtered, formatted and packed slice by slice.

use std::io;

use super::prepare::prepare;
use super::{CommitPart, DeliveryBatch, Slot, SlotState, damaged_slot};
use crate::deliver::{SinkConfig, parallel};
use crate::redact::Redaction;
use crate::sinks::objects::{ObjectEvent, ObjectPacker, PackedObject};
use crate::spool::{Disposition, DispositionRun, Millis, Read};

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
    /// Events that are in no object, and the last position of the range. Its runs have all events, in order.
    pub(in crate::deliver) rest: CommitPart,
}

impl PackedRange {
    /// Returns the part to commit: `rest`, with the `parts` of its objects. Counts the attempts with an event if all
    /// objects took the same number.
    pub(in crate::deliver) fn committed(rest: CommitPart, parts: &[CommitPart]) -> CommitPart {
        let objects = CommitPart::of(parts);
        let mut runs = rest.record.runs.clone();
        runs.set_attempts(objects.record.runs.attempts().unwrap_or(0));
        let position = rest.position;
        let mut all = rest;
        all.append(&objects);
        all.record.runs = runs;
        CommitPart { position, ..all }
    }
}

/// Returns an event that is in an object.
fn packed() -> DispositionRun {
    let disposition = Some(Disposition::Delivered);
    DispositionRun { disposition, attempts: 0, cause: None, count: 1 }
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
        for (read, (state, payload)) in reads.into_iter().zip(prepared) {
            let last = read.last_position();
            self.part.position = Some(last);
            let state = match (read, state, payload) {
                (Read::Damaged(damage), ..) => {
                    self.leave_out(damaged_slot(damage, sink));
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
                    self.part.record.runs.push(packed());
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
            self.leave_out(Slot { last, count: 1, attempts: 0, state });
        }
        Ok(())
    }

    /// Adds an event that is in no object.
    fn leave_out(&mut self, slot: Slot) {
        let mut rest = DeliveryBatch { slots: vec![slot], ..DeliveryBatch::default() };
        rest.take_final().iter().for_each(|part| self.part.append(part));
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
