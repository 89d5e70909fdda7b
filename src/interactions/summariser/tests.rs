//! Storing of summaries in a real spool: a key that is taken, and a cursor that moves while an append is retried.

use tempfile::TempDir;

use super::*;
use crate::shutdown;
use crate::spool::{SpoolConfig, Start};

struct Storing {
    _directory: TempDir,
    summariser: Summariser,
    trigger: shutdown::Trigger,
    shutdown: Shutdown,
}

fn config() -> InteractionsConfig {
    InteractionsConfig {
        enabled: true,
        timeout: Duration::from_hours(1),
        settle: Duration::from_hours(1),
        max_age: Duration::from_hours(1),
        memory: 1 << 20,
        timeouts: [].into(),
    }
}

impl Storing {
    async fn new() -> Storing {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = SpoolConfig {
            engine: crate::spool::Engine::Embedded,
            directory: directory.path().join("spool"),
            max_size: 64 << 20,
            quarantine_max_size: 1 << 20,
            retention: Duration::ZERO,
            dedup_window: Duration::from_hours(24),
            dedup_max_ids: 1000,
            sync: false,
        };
        let clock: Clock = Arc::new(|| 1_796_032_800_000);
        let spool = Spool::open(&settings, Arc::clone(&clock)).expect("a spool");
        spool.register(&[(CURSOR_NAME.into(), Start::Oldest)]).await.expect("registered");
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let analytics = Arc::new(FlowAnalytics::new(0));
        let outcomes = Arc::default();
        let summariser =
            Summariser::new(config(), outcomes, Arc::new(spool), 0, analytics, metrics, clock);
        let (trigger, shutdown) = shutdown::channel();
        let summariser = summariser.expect("a summariser");
        Storing { _directory: directory, summariser, trigger, shutdown }
    }

    /// Receives events of the run.
    async fn receive(&self, ids: std::ops::Range<u64>) {
        let raw = include_bytes!("../../../fixtures/events/start_interaction.json");
        let event = |id: u64| crate::spool::NewEvent {
            key: crate::spool::DedupKey::new("pingone", &id.to_string(), (0, 0)),
            bytes: bytes::Bytes::from_static(raw),
        };
        let events = ids.map(event).collect();
        let batch = Batch { source: "pingone".into(), events, ..Batch::default() };
        self.summariser.spool.append(batch.prepare()).await.expect("appended");
    }

    fn tracker(&self) -> Tracker {
        Tracker::new(&config(), Arc::default(), CoveredRanges::default(), 0)
    }

    async fn read(&self, tracker: &mut Tracker) {
        let after = tracker.read();
        let reads = self.summariser.reader.read(after, READ_BYTES).await.expect("read");
        tracker.take(&reads, (self.summariser.clock)());
    }

    async fn cursor(&self) -> u64 {
        let stats = self.summariser.spool.stats().await.expect("stats");
        stats.sinks.iter().find(|sink| sink.sink == CURSOR_NAME).map_or(0, |sink| sink.cursor)
    }
}

/// The key of a summary is remembered although a corrupt part of the spool held the summary.
#[tokio::test]
async fn a_summary_that_cannot_be_read_any_more_is_stored_again() {
    let mut storing = Storing::new().await;
    storing.receive(0..3).await;
    let mut tracker = storing.tracker();
    storing.read(&mut tracker).await;
    tracker.release(u64::MAX);
    let ended = tracker.take_ended();
    assert_eq!(ended.len(), 1);
    for copy in 0..2 {
        let batch = Batch {
            source: SUMMARY_SOURCE.into(),
            events: vec![document::event(&ended[0], copy)],
            is_derived: true,
            ..Batch::default()
        };
        storing.summariser.spool.append(batch.prepare()).await.expect("appended");
    }
    let head = || *storing.summariser.reader.head().borrow();
    assert_eq!(head(), 5);
    storing
        .summariser
        .append_part(&ended, (&mut tracker, u64::MAX), &mut storing.shutdown)
        .await
        .expect("stored");
    assert_eq!(head(), 6, "stored under the third key");
    let reads = storing.summariser.reader.read(3, READ_BYTES).await.expect("read");
    let ids: Vec<String> = reads
        .iter()
        .map(|read| match read {
            Read::Event(stored) => {
                decode::event(&stored.bytes).expect("a summary").event.envelope().id.to_string()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "the same id: {ids:?}");
    let metric = storing.summariser.metrics.interactions.with_label_values(&["limit", "unknown"]);
    assert_eq!(metric.get(), 1, "counted once");
}

/// While an append is retried, for example on a full disk, the events before the waiting interactions are trimmed.
#[tokio::test]
async fn the_cursor_moves_while_summaries_wait_to_be_stored() {
    let storing = Storing::new().await;
    let mut tracker = storing.tracker();
    // Sections of the log are passed as a whole.
    storing.receive(0..5000).await;
    while tracker.read() < 5000 {
        storing.read(&mut tracker).await;
    }
    tracker.release(u64::MAX);
    assert_eq!(tracker.take_ended().len(), 1);
    assert_eq!(storing.cursor().await, 0);
    storing.summariser.commit_before(&mut tracker, 4900).await;
    let cursor = storing.cursor().await;
    assert!((1..4900).contains(&cursor), "{cursor}");
    // A cursor that cannot be moved is moved later, with the same sums.
    storing.summariser.spool.close();
    storing.summariser.commit_before(&mut tracker, u64::MAX).await;
    let (position, tally) = tracker.take_passed().expect("still to be committed");
    assert_eq!((position, tally.delivered), (5000, 5000 - cursor));
    drop(storing.trigger);
}
