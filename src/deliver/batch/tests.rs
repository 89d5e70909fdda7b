//! Effect of each verdict on its event, the other events and the cursor.

mod record;

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::config;
use crate::sinks::objects::{ObjectEvent, ObjectPacker, PackedObject};
use crate::spool::Tally;

const RAW: &str = include_str!("../../../fixtures/events/start_interaction.json");

fn sink() -> SinkConfig {
    let text = "[sinks.s]\ntype = \"http\"\nurl = \"http://x\"\n";
    config::parse(text, None, std::iter::empty()).expect("valid").sinks.remove(0)
}

fn event(position: u64) -> Read {
    Read::Event(StoredEvent {
        position,
        received_at: 1,
        source: "pingone".into(),
        only_sink: None,
        bytes: Bytes::from_static(RAW.as_bytes()),
    })
}

fn batch(count: u64) -> DeliveryBatch {
    DeliveryBatch::take(&mut (1..=count).map(event).collect(), &sink(), None)
}

fn verdicts(letters: &str) -> Vec<Verdict> {
    let reason = || Reason::new("why");
    let verdict = |letter| match letter {
        'D' => Verdict::Delivered,
        'R' => Verdict::Retry { after: None, reason: reason() },
        'X' => Verdict::Rejected { reason: reason() },
        'O' => Verdict::TooOld { reason: reason() },
        'F' => Verdict::Fatal { reason: reason() },
        'S' => Verdict::Split { reason: reason() },
        _ => Verdict::NotTried,
    };
    letters.chars().map(verdict).collect()
}

fn apply(batch: &mut DeliveryBatch, letters: &str) -> bool {
    batch.apply(verdicts(letters), &Arc::from("s"))
}

#[test]
fn a_part_has_the_bytes_and_receive_times_of_the_delivered_events_alone() {
    let received = |position| match event(position) {
        Read::Event(stored) => {
            let received_at = if position < 4 { 10 } else { 20 };
            // The fifth is a replay.
            let only_sink = (position == 5).then(|| Arc::from("s"));
            Read::Event(StoredEvent { received_at, only_sink, ..stored })
        }
        other => other,
    };
    let mut batch = DeliveryBatch::take(&mut (1..=6).map(received).collect(), &sink(), None);
    let lengths: Vec<u64> = batch.items.iter().map(|item| item.payload.len() as u64).collect();
    apply(&mut batch, "DXDDDR");
    let part = CommitPart::of(&batch.take_final());
    assert_eq!((part.record.tally.delivered, part.record.tally.dead_lettered), (4, 1));
    assert_eq!(part.received, [(10, 1), (10, 1), (20, 1)]);
    assert_eq!(part.delivered_bytes, lengths[0] + lengths[2] + lengths[3] + lengths[4]);
}

#[test]
fn the_cursor_stops_before_the_first_event_without_a_final_verdict() {
    for (letters, position, delivered, dead) in [
        ("DDDD", Some(4), 4, 0),
        ("DXDD", Some(4), 3, 1),
        ("DOOD", Some(4), 2, 2),
        ("DRDD", Some(1), 1, 0),
        ("RDDD", None, 0, 0),
        ("DDFF", Some(2), 2, 0),
        ("DD--", Some(2), 2, 0),
        // A missing verdict is not final.
        ("D", Some(1), 1, 0),
        ("", None, 0, 0),
    ] {
        let mut batch = batch(4);
        apply(&mut batch, letters);
        let part = CommitPart::of(&batch.take_final());
        assert_eq!(part.position, position, "{letters}");
        let Tally { delivered: d, dead_lettered: x, .. } = part.record.tally;
        assert_eq!((d, x, part.dead_letters.len() as u64), (delivered, dead, dead), "{letters}");
    }
}

#[test]
fn the_cursor_can_stop_before_each_dead_letter() {
    for (letters, positions) in [
        ("DDDD", &[4][..]),
        ("DXDX", &[1, 3, 4]),
        ("XXDD", &[1, 4]),
        ("DDXR", &[2, 3]),
        ("DRXX", &[1]),
    ] {
        let mut batch = batch(4);
        apply(&mut batch, letters);
        let parts = batch.take_final();
        let found: Vec<u64> = parts.iter().filter_map(|part| part.position).collect();
        assert_eq!(found, positions, "{letters}");
        assert!(parts.iter().skip(1).all(|part| part.dead_letters.len() == 1), "{letters}");
    }
}

/// A packer that keeps nothing.
#[derive(Debug)]
struct NoObjects;

impl ObjectPacker for NoObjects {
    fn add(&mut self, _event: ObjectEvent<'_>) -> std::io::Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> std::io::Result<Vec<PackedObject>> {
        Ok(Vec::new())
    }
}

#[test]
fn a_range_can_stop_before_each_dead_letter_and_its_parts_add_up() {
    let damage = |first, last| {
        let (source, detail) = ("pingone".to_owned(), "a checksum".to_owned());
        Read::Damaged(Damage { first, last, source, detail, bytes: Bytes::new() })
    };
    let mut packing = RangePacking::new(Box::new(NoObjects));
    let reads = vec![event(1), event(2), damage(3, 5), event(6)];
    packing.add(reads, &sink(), None).expect("added");
    packing.add(vec![damage(7, 7), damage(8, 8), event(9)], &sink(), None).expect("added");
    let parts = packing.finish().expect("packed").parts;
    let found: Vec<(Option<u64>, u64, u64)> = parts
        .iter()
        .map(|part| (part.position, part.record.tally.delivered, part.record.tally.dead_lettered))
        .collect();
    assert_eq!(found, [(Some(2), 2, 0), (Some(6), 1, 3), (Some(7), 0, 1), (Some(9), 1, 1)]);
    assert!(parts.iter().all(|part| part.dead_letters.len() <= 1));
}

#[test]
fn each_event_counts_its_own_attempts() {
    let mut batch = batch(4);
    assert!(apply(&mut batch, "SSSS"), "halved");
    assert_eq!(batch.groups, [2, 2]);
    assert!(apply(&mut batch, "DX"));
    assert_eq!(batch.groups, [2]);
    assert!(!apply(&mut batch, "RR"), "nothing has moved");
    assert!(apply(&mut batch, "X-"));
    assert!(apply(&mut batch, "S"), "alone, it is refused for good");
    assert!(batch.items.is_empty() && batch.groups.is_empty());
    let part = CommitPart::of(&batch.take_final());
    let attempts = part.dead_letters.iter().map(|(_, entry)| {
        let target = entry.target.as_ref().expect("the answer of the target");
        (target.attempts, entry.detail.clone())
    });
    let detail = |attempt: u32| format!("refused by the target on attempt {attempt}: why");
    assert_eq!(attempts.collect::<Vec<_>>(), [2, 3, 3].map(|attempt| (attempt, detail(attempt))));
    assert_eq!(part.position, Some(4));
}

#[test]
fn a_batch_is_limited_by_the_bytes_of_the_payload() {
    let mut sink = sink();
    let line = batch(1).items[0].payload.len();
    sink.batch.bytes = 3 * (line + 1);
    let mut waiting: VecDeque<Read> = (1..=10)
        .map(|position| {
            Read::Event(StoredEvent {
                position,
                received_at: 1,
                source: "pingone".into(),
                only_sink: (position == 2).then(|| "another".into()),
                bytes: Bytes::from_static(RAW.as_bytes()),
            })
        })
        .collect();
    let batch = DeliveryBatch::take(&mut waiting, &sink, None);
    let positions: Vec<u64> = batch.items.iter().map(|item| item.position).collect();
    assert_eq!(positions, [1, 3, 4], "what is another sink's does not count");
    assert_eq!(waiting.len(), 6);
    sink.batch.bytes = line + 2;
    let batch = DeliveryBatch::take(&mut waiting, &sink, None);
    assert_eq!(batch.items.len(), 1, "the room that is left is too small for another");
    assert_eq!(
        waiting.front().map(|read| matches!(read, Read::Event(next) if next.position == 6)),
        Some(true)
    );
    sink.batch.bytes = 1;
    assert_eq!(DeliveryBatch::take(&mut waiting, &sink, None).items.len(), 1, "one is always sent");
}

#[test]
fn an_event_that_is_in_the_log_before_is_not_sent_and_moves_the_cursor() {
    let mut waiting = VecDeque::from([event(1), Read::Repeated(2), event(3), Read::Repeated(4)]);
    let mut batch = DeliveryBatch::take(&mut waiting, &sink(), None);
    assert_eq!(batch.items.len(), 2);
    apply(&mut batch, "DD");
    let part = CommitPart::of(&batch.take_final());
    let tally = Tally { delivered: 2, repeated: 2, ..Tally::default() };
    assert_eq!((part.position, part.record.tally), (Some(4), tally));
}

#[test]
fn a_connection_test_is_found_in_any_spelling() {
    let event = |kind: &str| {
        format!(r#"{{"id":"1","recordedAt":"2024-01-01T00:00:00Z","action":{{"type":{kind}}}}}"#)
    };
    for (kind, is_test) in [
        ("\"EVENT_DELIVERY_TEST\"", true),
        ("\"\\u0045VENT_DELIVERY_TEST\"", true),
        ("\"EVENT_DELIVERY\\u005FTEST\"", true),
        ("\"X\"", false),
        ("\"EVENT_DELIVERY_TESTS\"", false),
    ] {
        let bytes = Bytes::from(event(kind));
        let stored =
            StoredEvent { position: 1, received_at: 0, source: "a".into(), only_sink: None, bytes };
        let (state, payload) = prepare(&stored, &sink(), None);
        assert_eq!(matches!(state, Some(SlotState::Filtered(_))), is_test, "{kind}");
        assert_eq!(payload.is_none(), is_test, "{kind}");
    }
}
