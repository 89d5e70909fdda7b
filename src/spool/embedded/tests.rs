//! The engine with a controlled clock: stored events, retention, and remembered ids.

mod commits;
mod damage;
mod identity;
mod limits;
mod model;
mod plans;
mod quarantine;
mod record;
mod search;
mod steering;
mod still;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::store::{bounds, high_watermark, schema};
use super::write::writer;
use super::*;
use crate::spool::{
    Batch, Damage, DedupKey, Disposition, EntryOrigin, NewEvent, Read, SinkStats, Tally,
};

const DAY: i64 = 24 * 60 * 60 * 1000;

struct SpoolBench {
    _folder: TempDir,
    settings: SpoolConfig,
    now: Arc<AtomicI64>,
}

impl SpoolBench {
    fn new(change: impl FnOnce(&mut SpoolConfig)) -> SpoolBench {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = SpoolConfig {
            engine: crate::spool::Engine::Embedded,
            directory: folder.path().join("spool"),
            max_size: 64 * 1024 * 1024,
            quarantine_max_size: 16 * 1024 * 1024,
            retention: Duration::ZERO,
            dedup_window: Duration::from_hours(24),
            dedup_max_ids: 1_000_000,
            sync: true,
        };
        change(&mut settings);
        SpoolBench { _folder: folder, settings, now: Arc::new(AtomicI64::new(100 * DAY)) }
    }

    fn open(&self) -> EmbeddedSpool {
        let writer = open::recover(&self.settings, self.clock(), self.clock()).expect("recovered");
        open::start(writer, mpsc::Receiver::recv_timeout).expect("started")
    }

    /// Returns the test's clock, which serves as wall clock and as monotonic clock.
    fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Arc::new(move || now.load(Ordering::Relaxed))
    }

    fn pass(&self, millis: i64) {
        self.now.fetch_add(millis, Ordering::Relaxed);
    }

    fn batch(&self, ids: impl IntoIterator<Item = u64>) -> Batch {
        let event = |id: u64| NewEvent {
            key: DedupKey::new("source", &id.to_string(), (0, 0)),
            bytes: Bytes::from(format!("event {id}")),
        };
        Batch {
            source: "source".into(),
            received_at: self.now.load(Ordering::Relaxed),
            events: ids.into_iter().map(event).collect(),
            ..Batch::default()
        }
    }

    async fn append(&self, spool: &EmbeddedSpool, ids: impl IntoIterator<Item = u64>) -> Receipt {
        let receipt = spool.append(self.batch(ids).prepare()).await.expect("appended");
        assert!(receipt.repeated.len() as u64 <= receipt.duplicates);
        Receipt { repeated: Vec::new(), ..receipt }
    }
}

fn receipt(accepted: u64, duplicates: u64) -> Receipt {
    Receipt { accepted, duplicates, ..Receipt::default() }
}

/// Registers sinks that start with the oldest event. Returns their cursors.
async fn register(spool: &EmbeddedSpool, names: &[&str]) -> Vec<u64> {
    let sinks: Vec<_> = names.iter().map(|name| (Arc::from(*name), Start::Oldest)).collect();
    let registered = spool.register(&sinks).await.expect("registered");
    registered.iter().map(|sink| sink.cursor).collect()
}

/// Purges entries. Returns their number.
async fn removed(spool: &EmbeddedSpool, ids: Vec<i64>) -> u64 {
    spool.remove(ids).await.expect("committed").values().sum()
}

/// Reads everything after a position like a worker: repeats a read that fails.
async fn read_all(reader: &EmbeddedReader, after: u64) -> Vec<Read> {
    let (mut all, mut after, mut failures) = (Vec::new(), after, 0);
    loop {
        let Ok(read) = reader.read(after, 64 * 1024).await else {
            failures += 1;
            assert!(failures < 100, "reading after {after} fails for ever");
            continue;
        };
        let Some(last) = read.last() else { return all };
        after = match last {
            Read::Event(stored) => stored.position,
            Read::Damaged(damage) => damage.last,
            Read::Repeated(position) => *position,
        };
        all.extend(read);
    }
}

async fn texts(spool: &EmbeddedSpool, after: u64) -> Vec<String> {
    read_all(&spool.reader().expect("a reader"), after)
        .await
        .into_iter()
        .map(|read| match read {
            Read::Event(stored) => {
                format!("{} {}", stored.position, String::from_utf8_lossy(&stored.bytes))
            }
            Read::Damaged(damage) => format!("{}-{} {}", damage.first, damage.last, damage.detail),
            Read::Repeated(position) => format!("{position} repeated"),
        })
        .collect()
}

#[tokio::test]
async fn what_is_appended_is_read_in_order_from_any_position() {
    let bench = SpoolBench::new(|_| {});
    let spool = bench.open();
    assert_eq!(bench.append(&spool, 1..=3).await, receipt(3, 0));
    assert_eq!(bench.append(&spool, [4, 2, 4, 5]).await, receipt(2, 2));
    let all = ["1 event 1", "2 event 2", "3 event 3", "4 event 4", "5 event 5"];
    assert_eq!(texts(&spool, 0).await, all);
    assert_eq!(texts(&spool, 1).await, all[1..]);
    assert_eq!(texts(&spool, 3).await, all[3..]);
    assert!(texts(&spool, 5).await.is_empty());
    assert_eq!(*spool.head().borrow(), 5);
    spool.close();
    assert_eq!(texts(&bench.open(), 0).await, all, "after a restart");
}

#[tokio::test]
async fn a_cursor_survives_and_what_all_have_passed_is_removed() {
    let bench = SpoolBench::new(|_| {});
    let (one, two): (Arc<str>, Arc<str>) = ("one".into(), "two".into());
    let spool = bench.open();
    assert_eq!(register(&spool, &[&one, &two]).await, [0, 0]);
    bench.append(&spool, 1..=10).await;
    bench.append(&spool, 11..=20).await;
    let tally = |delivered| Tally { delivered, ..Tally::default() };
    spool.commit(&one, 20, tally(20), Vec::new()).await.expect("committed");
    spool.commit(&two, 15, tally(15), Vec::new()).await.expect("committed");
    assert_eq!(texts(&spool, 10).await.len(), 10, "the first chunk is gone");
    assert_eq!(spool.stats().await.expect("stats").events, 10);
    spool.close();
    let spool = bench.open();
    assert_eq!(register(&spool, &[&one, &two]).await, [20, 15]);
    let stats = spool.stats().await.expect("stats");
    assert!(stats.totals.contains(&("two".to_owned(), Disposition::Delivered, 15)), "{stats:?}");
    spool.commit(&two, 20, tally(5), Vec::new()).await.expect("committed");
    assert_eq!(spool.stats().await.expect("stats").events, 0);
    // Positions continue, although no stored event has them.
    spool.close();
    let spool = bench.open();
    bench.append(&spool, [21]).await;
    assert_eq!(texts(&spool, 20).await, ["21 event 21"]);
}

#[tokio::test]
async fn a_sink_that_is_no_longer_configured_holds_nothing_back() {
    let bench = SpoolBench::new(|_| {});
    let spool = bench.open();
    let here: Arc<str> = "here".into();
    register(&spool, &["gone"]).await;
    bench.append(&spool, 1..=10).await;
    assert_eq!(register(&spool, &[&here]).await, [0], "a new one starts at the oldest");
    spool.commit(&here, 10, Tally::default(), Vec::new()).await.expect("committed");
    let stats = spool.stats().await.expect("stats");
    assert_eq!((stats.events, stats.sinks[0].cursor), (0, 10));
    let retired = ("gone".to_owned(), Disposition::Retired, 10);
    assert!(stats.totals.contains(&retired), "what it will never get is counted: {stats:?}");
    // When the sink returns, the events that were removed meanwhile do not count as damage.
    bench.append(&spool, [11]).await;
    assert_eq!(register(&spool, &["gone", "here", "new"]).await, [10, 10, 10]);
    let totals = spool.stats().await.expect("stats").totals;
    assert!(
        totals.contains(&retired)
            && totals.contains(&("new".to_owned(), Disposition::BeforeStart, 10))
    );
    assert_eq!(texts(&spool, 10).await, ["11 event 11"]);
}

#[tokio::test]
async fn a_clock_that_was_ahead_keeps_nothing_for_ever() {
    let bench = SpoolBench::new(|settings| settings.retention = Duration::from_hours(1));
    let spool = bench.open();
    let sink: Arc<str> = "sink".into();
    register(&spool, &["sink"]).await;
    bench.pass(300 * DAY);
    bench.append(&spool, [1]).await;
    bench.pass(-300 * DAY);
    bench.append(&spool, [2]).await;
    spool.commit(&sink, 2, Tally::default(), Vec::new()).await.expect("committed");
    assert_eq!(spool.stats().await.expect("stats").events, 1, "only the one of now is kept");
}

#[tokio::test]
async fn retention_keeps_what_was_delivered() {
    let bench = SpoolBench::new(|settings| settings.retention = Duration::from_hours(48));
    let spool = bench.open();
    let sink: Arc<str> = "sink".into();
    register(&spool, &["sink"]).await;
    bench.append(&spool, [1]).await;
    bench.pass(DAY);
    bench.append(&spool, [2]).await;
    spool.commit(&sink, 2, Tally::default(), Vec::new()).await.expect("committed");
    assert_eq!(spool.stats().await.expect("stats").events, 2);
    bench.pass(DAY + 1);
    bench.append(&spool, [3]).await;
    assert_eq!(texts(&spool, 1).await, ["2 event 2", "3 event 3"], "the first is two days old");
}

#[tokio::test]
async fn ids_are_forgotten_by_age_and_not_sooner() {
    let bench = SpoolBench::new(|_| {});
    let spool = bench.open();
    bench.append(&spool, [1]).await;
    bench.pass(DAY);
    assert_eq!(bench.append(&spool, [1, 2]).await, receipt(1, 1), "a day old is in the window");
    bench.pass(1);
    bench.append(&spool, [3]).await;
    assert_eq!(bench.append(&spool, [1, 2, 3]).await, receipt(1, 2), "the first has left it");
    spool.close();
    bench.pass(DAY);
    let spool = bench.open();
    bench.append(&spool, [4]).await;
    assert_eq!(bench.append(&spool, [1, 2, 3]).await, receipt(1, 2), "and so after a restart");
}

#[tokio::test]
async fn ids_are_bounded_by_count() {
    let bench = SpoolBench::new(|settings| settings.dedup_max_ids = 100);
    let spool = bench.open();
    for first in (0..1000).step_by(10) {
        bench.append(&spool, first..first + 10).await;
    }
    let ids = spool.stats().await.expect("stats").dedup_ids;
    assert!(ids <= 110, "{ids} ids");
    assert_eq!(bench.append(&spool, 990..1000).await, receipt(0, 10), "the newest are remembered");
    assert_eq!(bench.append(&spool, 0..10).await, receipt(10, 0), "the oldest are not");
}

#[tokio::test]
async fn quarantine_entries_come_and_go_with_their_bytes() {
    let bench = SpoolBench::new(|_| {});
    let spool = bench.open();
    let entry = |bytes: &'static [u8]| NewEntry {
        origin: EntryOrigin::Element,
        key: Some(DedupKey::of_bytes("source", bytes)),
        reason: "syntax",
        detail: "why".to_owned(),
        path: "$[1]".to_owned(),
        index: 1,
        request_id: "request".to_owned(),
        encoding: String::new(),
        sink: None,
        target: None,
        bytes: Bytes::from_static(bytes),
    };
    let batch = Batch { quarantine: vec![entry(b"\0\xff"), entry(b"")], ..bench.batch([1]) };
    let stored = spool.append(batch.prepare()).await.expect("appended");
    assert_eq!(stored, Receipt { accepted: 1, quarantined: 2, ..Receipt::default() });
    let found = spool.entry(1).await.expect("read").expect("an entry");
    assert_eq!((found.bytes.as_slice(), found.summary.path.as_str()), (&b"\0\xff"[..], "$[1]"));
    let released = Batch { resolves: Some(1), ..bench.batch([2]) };
    spool.append(released.prepare()).await.expect("appended");
    assert_eq!(spool.entry(1).await.expect("read"), None);
    let listed = spool.quarantine(Query { limit: 10, ..Query::default() }).await.expect("read");
    assert_eq!(listed.iter().map(|entry| entry.id).collect::<Vec<_>>(), [2]);
    let again = Batch { resolves: Some(1), ..bench.batch([3]) };
    assert_eq!(
        spool.append(again.prepare()).await,
        Err(AppendError::EntryGone),
        "not a second time"
    );
    assert_eq!(bench.append(&spool, [3]).await, receipt(1, 0), "and nothing of it was remembered");
    let repeated = Batch { quarantine: vec![entry(b"\0\xff")], ..bench.batch([1]) };
    let stored = spool.append(repeated.prepare()).await.expect("appended");
    let expected = Receipt { repeated: vec![0], ..receipt(0, 2) };
    assert_eq!(stored, expected, "what was refused once is known, too");
    assert_eq!(removed(&spool, vec![2, 3]).await, 1);
    let totals = spool.stats().await.expect("stats").totals;
    for (disposition, count) in [
        (Disposition::Accepted, 2),
        (Disposition::Quarantined, 2),
        (Disposition::Released, 1),
        (Disposition::Purged, 1),
    ] {
        assert!(totals.contains(&("source".to_owned(), disposition, count)), "{totals:?}");
    }
}

#[tokio::test]
async fn a_missing_chunk_is_noticed() {
    let bench = SpoolBench::new(|_| {});
    let spool = bench.open();
    for id in 1..=3 {
        bench.append(&spool, [id]).await;
    }
    spool.close();
    let store = Connection::open(bench.settings.directory.join("spool.db")).expect("opened");
    store.execute("DELETE FROM chunks WHERE last = 2", []).expect("deleted");
    drop(store);
    let found = texts(&bench.open(), 0).await;
    assert_eq!(
        found,
        ["1 event 1", "2-2 positions 2 to 2 are missing from the spool", "3 event 3"]
    );
}

#[tokio::test]
async fn appends_after_closing_are_refused() {
    let bench = SpoolBench::new(|_| {});
    let spool = bench.open();
    spool.close();
    assert_eq!(spool.append(bench.batch([1]).prepare()).await, Err(AppendError::Closed));
    spool.close();
}

#[tokio::test]
async fn its_files_are_for_its_user_alone_and_stay_so_after_a_repair() {
    use std::os::unix::fs::PermissionsExt;
    let bench = SpoolBench::new(|_| {});
    let directory = &bench.settings.directory;
    // Created by another user, readable for everybody.
    std::fs::create_dir(directory).expect("made");
    std::fs::set_permissions(directory, PermissionsExt::from_mode(0o755)).expect("set");
    let open_to_others = || -> Vec<String> {
        let files = directory.read_dir().expect("a folder").map(|entry| entry.expect("an entry"));
        let files = files.filter(|file| file.file_type().expect("a type").is_file());
        let open =
            files.filter(|file| file.metadata().expect("there").permissions().mode() & 0o077 != 0);
        open.map(|file| file.file_name().to_string_lossy().into_owned()).collect()
    };
    let spool = bench.open();
    spool.append(bench.batch(1..3).prepare()).await.expect("appended");
    assert_eq!(open_to_others(), [""; 0], "while it is open");
    spool.close();
    let broken = schema::database(directory);
    std::fs::write(&broken, [0; 512]).expect("broken");
    let spool = bench.open();
    assert!(spool.health().set_aside.is_some(), "it was repaired");
    assert_eq!(open_to_others(), [""; 0], "after the repair");
    spool.close();
}
