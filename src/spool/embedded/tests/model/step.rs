//! Operations on a spool. Each is chosen by small numbers, which are always valid, so
//! that a failing sequence can be made shorter.

use proptest::prelude::*;

use crate::spool::Start;

/// Names of the sinks.
pub(super) const SINKS: [&str; 3] = ["one", "two", "three"];

/// Names of the sources.
pub(super) const SOURCES: [&str; 2] = ["here", "there"];

/// Events from this number on are larger than a chunk, and do not shrink.
pub(super) const LARGE: u8 = 100;

/// An operation.
#[derive(Debug, Clone)]
pub(super) enum ModelStep {
    /// Events and refused elements of one request.
    Append { source: usize, events: Vec<u8>, refused: Vec<u8> },
    /// Events spooled again for one sink.
    Copy { sink: usize, events: Vec<u8> },
    /// Events replace a quarantine entry, or an entry that never existed.
    Retry { entry: usize, events: Vec<u8> },
    /// Quarantine entries are removed.
    Remove { entries: Vec<usize> },
    /// A sink commits this many events, or fewer than before, some of them as dead letters.
    Commit { sink: usize, by: i64, dead: u64 },
    /// The service starts with these sinks.
    Register { sinks: Vec<(usize, Start)> },
    /// An operator pauses or resumes a sink.
    Pause { sink: usize, is_paused: bool },
    /// The clock moves, in milliseconds.
    Pass(i64),
    /// A byte of a chunk's body changes.
    Damage { chunk: usize, byte: usize },
    /// A chunk's row is deleted.
    Lose { chunk: usize },
    /// The service is stopped and started.
    Reopen,
    /// The service is killed and started.
    Crash,
    /// Slow checks.
    LookInto,
}

/// Strategy for any operation. Operations on which others depend are more frequent.
pub(super) fn any() -> impl Strategy<Value = ModelStep> {
    let sink = 0..SINKS.len();
    let events = || {
        let number = prop_oneof![15 => 0..20_u8, 1 => LARGE..LARGE + 16];
        prop::collection::vec(number, 0..5)
    };
    let few = |most| prop::collection::vec(0..8_u8, 0..most);
    let start = prop_oneof![3 => Just(Start::Oldest), 1 => Just(Start::Now)];
    let by = prop_oneof![1 => -9..0_i64, 6 => 0..9_i64, 3 => Just(i64::from(u8::MAX))];
    const HOUR: i64 = 60 * 60 * 1000;
    let time = prop_oneof![
        Just(1_i64),
        Just(HOUR / 6 - 1),
        Just(HOUR / 6),
        Just(HOUR),
        Just(HOUR + 1),
        Just(-HOUR / 6),
        Just(-HOUR),
        Just(1000 * HOUR),
        Just(-1000 * HOUR)
    ];
    prop_oneof![
        12 => (0..SOURCES.len(), events(), few(3))
            .prop_map(|(source, events, refused)| ModelStep::Append { source, events, refused }),
        // Only large ones, which fill the disk.
        2 => prop::collection::vec(LARGE..LARGE + 16, 1..3)
            .prop_map(|events| ModelStep::Append { source: 0, events, refused: Vec::new() }),
        2 => (sink.clone(), events()).prop_map(|(sink, events)| ModelStep::Copy { sink, events }),
        2 => (0..4_usize, events()).prop_map(|(entry, events)| ModelStep::Retry { entry, events }),
        1 => prop::collection::vec(0..9_usize, 0..3).prop_map(|entries| ModelStep::Remove { entries }),
        12 => (sink.clone(), by, 0..3_u64)
            .prop_map(|(sink, by, dead)| ModelStep::Commit { sink, by, dead }),
        3 => prop::collection::btree_map(sink.clone(), start, 0..=SINKS.len())
            .prop_map(|sinks| ModelStep::Register { sinks: sinks.into_iter().collect() }),
        1 => (sink, any_bool()).prop_map(|(sink, is_paused)| ModelStep::Pause { sink, is_paused }),
        4 => time.prop_map(ModelStep::Pass),
        1 => (0..9_usize, 0..99_usize).prop_map(|(chunk, byte)| ModelStep::Damage { chunk, byte }),
        1 => (0..9_usize).prop_map(|chunk| ModelStep::Lose { chunk }),
        1 => Just(ModelStep::Reopen),
        2 => Just(ModelStep::Crash),
        1 => Just(ModelStep::LookInto),
    ]
}

fn any_bool() -> impl Strategy<Value = bool> {
    prop::bool::ANY
}
