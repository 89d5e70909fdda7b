//! Recorded dispositions of a batch, in the order of positions.

use std::io;

use super::*;
use crate::sinks::objects::{ObjectEvent, ObjectPacker, PackedObject};
use crate::spool::{Disposition, DispositionRun};

fn run(disposition: Disposition, attempts: u32, cause: Option<&str>, count: u64) -> DispositionRun {
    let cause = cause.map(Arc::from);
    DispositionRun { disposition: Some(disposition), attempts, cause, count }
}

fn runs(part: &CommitPart) -> Vec<DispositionRun> {
    part.record.runs.iter().cloned().collect()
}

fn excluding() -> SinkConfig {
    let text = "[sinks.s]\ntype = \"http\"\nurl = \"http://x\"\n\
                exclude = [{ sources = [\"pingone\"] }, { types = [\"START_INTERACTION\"], sources = [\"pingone\"] }]\n";
    let mut sink = config::parse(text, None, std::iter::empty()).expect("valid").sinks.remove(0);
    sink.routing.exclude[0].sources = vec!["other".to_owned()];
    sink
}

/// Returns an event of another source.
fn of_source(position: u64, source: &str) -> Read {
    match event(position) {
        Read::Event(stored) => Read::Event(StoredEvent { source: source.into(), ..stored }),
        other => other,
    }
}

#[test]
fn each_event_has_its_own_number_of_attempts() {
    let mut batch = batch(6);
    apply(&mut batch, "DRDR--");
    apply(&mut batch, "RX--");
    apply(&mut batch, "DDO");
    let part = CommitPart::of(&batch.take_final());
    assert_eq!(
        runs(&part),
        [
            run(Disposition::Delivered, 1, None, 1),
            run(Disposition::Delivered, 3, None, 1),
            run(Disposition::Delivered, 1, None, 1),
            run(Disposition::DeadLettered, 2, Some("rejected"), 1),
            run(Disposition::Delivered, 1, None, 1),
            run(Disposition::DeadLettered, 0, Some("too_old"), 1),
        ],
        "an event that was not sent has no attempt"
    );
    assert_eq!(part.record.runs.events(), 6);
}

#[test]
fn a_filtered_event_has_the_key_of_the_filter() {
    let sink = excluding();
    let mut waiting = [
        of_source(1, "pingone"),
        of_source(2, "other"),
        of_source(3, "third"),
        Read::Repeated(4),
        of_source(5, "other"),
    ]
    .into_iter()
    .collect();
    let mut batch = DeliveryBatch::take(&mut waiting, &sink, None);
    apply(&mut batch, "D");
    let part = CommitPart::of(&batch.take_final());
    let list = run(Disposition::Filtered, 0, Some("sinks.s.exclude[0].sources"), 1);
    assert_eq!(
        runs(&part),
        [
            run(Disposition::Filtered, 0, Some("sinks.s.exclude[1] (types, sources)"), 1),
            list.clone(),
            run(Disposition::Delivered, 1, None, 1),
            run(Disposition::Repeated, 0, None, 1),
            list,
        ]
    );
}

/// Counts the events, and makes one object of them.
#[derive(Debug, Default)]
struct Counter(u64, u64);

impl ObjectPacker for Counter {
    fn add(&mut self, event: ObjectEvent<'_>) -> io::Result<()> {
        *self = Counter(self.0 + 1, event.position);
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<PackedObject>> {
        let item = Item { position: self.1, payload: Bytes::from_static(b"object") };
        Ok(vec![PackedObject { item, events: self.0 }])
    }
}

#[test]
fn a_range_of_objects_is_recorded_in_the_order_of_its_events() {
    let mut packing = RangePacking::new(Box::new(Counter::default()));
    let slices = [
        vec![of_source(1, "third"), of_source(2, "other"), of_source(3, "third")],
        vec![of_source(4, "third"), of_source(5, "other")],
    ];
    for slice in slices {
        packing.add(slice, &excluding(), None).expect("packed");
    }
    let PackedRange { mut batch, events, mut parts } = packing.finish().expect("packed");
    apply(&mut batch, "R");
    apply(&mut batch, "D");
    let objects = CommitPart::of(&batch.take_final());
    assert_eq!((objects.record.tally.delivered, objects.record.runs.attempts()), (3, Some(2)));
    parts.iter_mut().for_each(|part| part.record.runs.set_attempts(2));
    let part = CommitPart::of(&parts);
    let filtered = || run(Disposition::Filtered, 0, Some("sinks.s.exclude[0].sources"), 1);
    let delivered = |count| run(Disposition::Delivered, 2, None, count);
    assert_eq!(runs(&part), [delivered(1), filtered(), delivered(2), filtered()]);
    assert_eq!((part.position, events, part.record.tally.delivered), (Some(5), 3, 3));
    assert_eq!(part.record.tally.filtered, 2);
}
