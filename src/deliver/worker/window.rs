//! Events after a cursor that wait for their objects, counted until they fill them or one of them is due.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::deliver::config::BatchConfig;
use crate::spool::{Millis, Read};

/// Upper bound of the sources and hours in a range, each of which makes objects of its own.
const MAX_PARTITIONS: usize = 256;

/// Milliseconds of one hour.
const HOUR_MILLIS: i64 = 3_600_000;

/// Events after the cursor that wait for their objects. Holds no event.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) last: u64,
    pub(super) events: usize,
    bytes: usize,
    partitions: BTreeSet<(Arc<str>, i64)>,
    /// Receive time of the first event.
    pub(super) received_at: Option<Millis>,
    /// Time at which the objects are written, however few events there are.
    pub(super) due: Option<Instant>,
}

impl Window {
    pub(super) fn after(position: u64) -> Window {
        Window {
            last: position,
            events: 0,
            bytes: 0,
            partitions: BTreeSet::new(),
            received_at: None,
            due: None,
        }
    }

    /// Counts the events of a read. Returns false if the window is full, with this read or without it.
    pub(super) fn take(&mut self, read: &Read, limits: BatchConfig) -> bool {
        let bytes = self.bytes + read.size();
        let partition = match read {
            Read::Event(event) => {
                Some((Arc::clone(&event.source), event.received_at.div_euclid(HOUR_MILLIS)))
            }
            Read::Damaged(_) | Read::Repeated(_) => None,
        };
        let is_new =
            partition.as_ref().is_some_and(|partition| !self.partitions.contains(partition));
        let has_no_room =
            bytes > limits.bytes || (is_new && self.partitions.len() >= MAX_PARTITIONS);
        if self.events > 0 && has_no_room {
            return false;
        }
        if let (None, Read::Event(event)) = (self.received_at, read) {
            self.received_at = Some(event.received_at);
        }
        self.partitions.extend(partition);
        self.last = read.last_position();
        self.bytes = bytes;
        self.events += 1;
        self.events < limits.events && self.bytes < limits.bytes
    }

    /// Sets the time at which the objects are written. `now` is the time of the clock by which events are received, if
    /// the events may have waited before.
    pub(super) fn note_due(&mut self, now: Option<Millis>, age: Duration) {
        if self.due.is_some() || self.events == 0 {
            return;
        }
        let waited = now.zip(self.received_at).map_or(0, |(now, received_at)| now - received_at);
        let waited = Duration::from_millis(u64::try_from(waited).unwrap_or(0));
        self.due = Some(Instant::now() + age.saturating_sub(waited));
    }

    pub(super) fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::StoredEvent;

    const LIMITS: BatchConfig = BatchConfig { events: 5, bytes: 100, age: Duration::from_mins(5) };

    fn event(position: u64, size: usize, source: &str, received_at: Millis) -> Read {
        let (source, bytes) = (source.into(), vec![b'x'; size].into());
        Read::Event(StoredEvent { position, received_at, source, only_sink: None, bytes })
    }

    /// Returns the last position of the window, and true if it is full.
    fn filled(reads: &[Read], limits: BatchConfig) -> (u64, bool) {
        let mut window = Window::after(0);
        let is_full = !reads.iter().all(|read| window.take(read, limits));
        (window.last, is_full)
    }

    #[test]
    fn a_window_ends_at_each_of_its_limits() {
        let sized = |sizes: &[usize]| -> Vec<Read> {
            (1..).zip(sizes).map(|(position, size)| event(position, *size, "s", 0)).collect()
        };
        for (sizes, last, is_full) in [
            (&[][..], 0, false),
            (&[1, 1, 1, 1], 4, false),
            (&[1, 1, 1, 1, 1, 1], 5, true),
            (&[60, 40, 1], 2, true),
            (&[60, 41, 1], 1, true),
            // An event above the limit is a range of its own.
            (&[500, 1], 1, true),
        ] {
            assert_eq!(filled(&sized(sizes), LIMITS), (last, is_full), "{sizes:?}");
        }
        let limits = BatchConfig { events: 10_000, bytes: 1 << 30, ..LIMITS };
        let hours = |count: u64| -> Vec<Read> {
            (1..=count).map(|n| event(n, 1, "s", n as i64 * HOUR_MILLIS)).collect()
        };
        let max = MAX_PARTITIONS as u64;
        assert_eq!(filled(&hours(max), limits), (max, false));
        assert_eq!(filled(&hours(max + 1), limits), (max, true), "one hour too many");
        let same: Vec<Read> = (1..=2 * max).map(|n| event(n, 1, "s", 0)).collect();
        assert_eq!(filled(&same, limits), (2 * max, false), "of one hour");
    }

    #[test]
    fn events_that_have_waited_before_wait_only_for_the_rest() {
        let age = Duration::from_mins(5);
        for (now, minutes) in [
            (None, 5),
            (Some(60_000), 4),
            (Some(300_000), 0),
            (Some(900_000), 0),
            // A clock that was set back.
            (Some(-60_000), 5),
        ] {
            let mut window = Window::after(0);
            window.note_due(now, age);
            assert_eq!(window.due, None, "no event waits");
            window.take(&event(1, 1, "s", 0), LIMITS);
            let wait = Duration::from_mins(minutes);
            let earliest = Instant::now() + wait;
            window.note_due(now, age);
            let due = window.due.expect("a time");
            assert!(earliest <= due && due <= Instant::now() + wait, "{now:?}");
        }
    }
}
