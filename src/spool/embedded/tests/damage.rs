//! Damage of every kind in every file, compared with the events that were stored.
//!
//! The short form takes every length and every page once and some random bits; `DAMAGE_CASES` adds random
//! ones, `DAMAGE_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Files of a spool with some history, and its content.
pub(super) struct Original {
    bench: SpoolBench,
    /// Copy of the original directory.
    pub(super) copy: PathBuf,
    /// Bytes of the events that the sink has not read, by position.
    pub(super) stored: BTreeMap<u64, Bytes>,
    chunks: Vec<std::ops::RangeInclusive<u64>>,
    cursor: u64,
}

/// Damage done to a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Harm {
    Cut(u64),
    Flip(u64, u8),
}

/// Returns a spool as a killed process leaves it: some events are in the database, some in the WAL.
pub(super) async fn original() -> Original {
    let bench = SpoolBench::new(|_| {});
    let mut spool = bench.open();
    let sink: Arc<str> = "sink".into();
    register(&spool, &[&sink]).await;
    let mut random = StdRng::seed_from_u64(7);
    let (mut stored, mut chunks) = (BTreeMap::new(), Vec::new());
    let mut next = 1;
    // From events of a few bytes to some that need several pages.
    for (count, size) in [(20, 50), (5, 9000), (1, 60_000), (40, 700)].into_iter().cycle().take(30)
    {
        let mut batch = bench.batch(next..next + count);
        for event in &mut batch.events {
            let noise: Vec<u8> = (0..size).map(|_| random.random()).collect();
            event.bytes = Bytes::from([&event.bytes[..], &noise].concat());
        }
        stored.extend((next..).zip(batch.events.iter().map(|event| event.bytes.clone())));
        spool.append(batch.prepare()).await.expect("appended");
        chunks.push(next..=next + count - 1);
        next += count;
        if chunks.len() == 20 {
            // Moves the events so far to the database.
            spool.close();
            spool = bench.open();
            register(&spool, &[&sink]).await;
        }
    }
    let cursor = *chunks[4].end();
    spool.commit(&sink, cursor, Tally::default(), Vec::new()).await.expect("committed");
    stored.retain(|position, _| *position > cursor);
    chunks.retain(|chunk| *chunk.start() > cursor);
    let copy = bench.settings.directory.with_extension("copy");
    copy_files(&bench.settings.directory, &copy);
    spool.close();
    Original { bench, copy, stored, chunks, cursor }
}

fn copy_files(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    fs::create_dir(to).expect("made");
    for entry in from.read_dir().expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    }
}

impl Original {
    pub(super) fn directory(&self) -> &Path {
        &self.bench.settings.directory
    }

    pub(super) fn restore(&self) {
        copy_files(&self.copy, self.directory());
    }

    pub(super) fn harm(&self, name: &str, harm: Harm) {
        let path = self.directory().join(name);
        let file = fs::File::options().write(true).open(&path).expect("opened");
        match harm {
            Harm::Cut(length) => file.set_len(length).expect("cut"),
            Harm::Flip(at, bit) => {
                use std::os::unix::fs::FileExt;
                let byte = fs::read(&path).expect("read")[at as usize] ^ 1 << bit;
                file.write_all_at(&[byte], at).expect("written");
            }
        }
    }

    fn open(&self, what: &str) -> EmbeddedSpool {
        let now = Arc::clone(&self.bench.now);
        let clock: Clock = Arc::new(move || now.load(Ordering::Relaxed));
        EmbeddedSpool::open(&self.bench.settings, clock)
            .unwrap_or_else(|error| panic!("{what}: no start: {error}"))
    }

    /// Opens the spool, reads it to its end, and checks the events. Returns the lost positions.
    async fn judge(&self, what: &str) -> BTreeSet<u64> {
        let spool = self.open(what);
        let cursor = register(&spool, &["sink"]).await[0];
        assert!(
            cursor <= self.cursor,
            "{what}: the cursor went on from {} to {cursor}",
            self.cursor
        );
        let head = *spool.head().borrow();
        let mut seen = BTreeSet::new();
        let mut expected = cursor + 1;
        let mut reported = BTreeSet::new();
        for read in read_all(&spool.reader().expect("a reader"), cursor).await {
            match read {
                Read::Event(event) => {
                    assert_eq!(event.position, expected, "{what}: in order, and nothing left out");
                    expected = event.position + 1;
                    if event.position > self.cursor {
                        let sent = self.stored.get(&event.position);
                        assert_eq!(
                            sent,
                            Some(&event.bytes),
                            "{what}: {} was made up",
                            event.position
                        );
                        seen.insert(event.position);
                    }
                }
                Read::Damaged(damage) => {
                    assert_eq!(damage.first, expected, "{what}: {damage:?}");
                    assert!(
                        damage.last >= damage.first && damage.last <= head,
                        "{what}: {damage:?}"
                    );
                    expected = damage.last + 1;
                    reported.extend(damage.first..=damage.last);
                }
            }
        }
        assert_eq!(expected, head + 1, "{what}: all of the log was accounted for");
        let lost: BTreeSet<u64> =
            self.stored.keys().copied().filter(|position| !seen.contains(position)).collect();
        assert!(lost.is_subset(&reported), "{what}: {lost:?} went without a word");
        // The spool accepts new events, at positions that were never assigned.
        let last = *self.stored.last_key_value().expect("events").0;
        let fresh = self.bench.batch(1_000_000..1_000_001);
        let mut appended = spool.append(fresh.clone().prepare()).await;
        let mut spool = spool;
        if appended.is_err() {
            // Where the writer meets a corrupt page, the next start repairs it.
            assert!(spool.health().is_damaged, "{what}: {appended:?}");
            spool.close();
            spool = self.open(what);
            assert!(spool.health().set_aside.is_some(), "{what}: {appended:?}");
            appended = spool.append(fresh.prepare()).await;
        }
        assert_eq!(appended, Ok(receipt(1, 0)), "{what}");
        assert!(*spool.head().borrow() > last, "{what}: a position was given twice");
        let read = read_all(&spool.reader().expect("a reader"), *spool.head().borrow() - 1).await;
        assert!(matches!(read[..], [Read::Event(_)]), "{what}: {read:?}");
        spool.close();
        lost
    }

    /// Events in chunks that damage to these bytes can affect.
    fn most_lost(&self, chunks: usize) -> usize {
        let mut sizes: Vec<usize> = self.chunks.iter().map(|chunk| chunk.clone().count()).collect();
        sizes.sort_unstable();
        sizes.iter().rev().take(chunks).sum()
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[tokio::test]
async fn one_flipped_bit_costs_no_more_than_what_it_stands_in() {
    let original = original().await;
    let seed = number("DAMAGE_SEED").unwrap_or_else(|| rand::rng().random());
    println!("DAMAGE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let page = schema::PAGE_SIZE;
    for name in ["spool.db", "spool.db-wal", "spool.mark", "spool.db-shm"] {
        let size = fs::metadata(original.copy.join(name)).expect("a file").len();
        let header: Vec<u64> = (0..100).chain([108]).filter(|at| *at < size).collect();
        let random_places = 8 + number("DAMAGE_CASES").unwrap_or(0);
        let mut places: Vec<u64> =
            (0..random_places).map(|_| random.random_range(0..size)).collect();
        if name == "spool.db" {
            places.extend((0..size / page).step_by(2).map(|number| number * page));
        } else if name == "spool.db-wal" {
            places
                .extend((0..size / (page + 24)).step_by(4).map(|number| 32 + number * (page + 24)));
        }
        let step = if number("DAMAGE_CASES").is_some() { 1 } else { 12 };
        places.extend(header.into_iter().skip(random.random_range(0..step)).step_by(step));
        for at in places {
            let harm = Harm::Flip(at, random.random_range(0..8));
            original.restore();
            original.harm(name, harm);
            let lost = original.judge(&format!("DAMAGE_SEED={seed} {name} {harm:?}")).await;
            // A damaged leaf page may have contained a few chunks.
            assert!(lost.len() <= original.most_lost(8), "{name} {harm:?} cost {}", lost.len());
            if name == "spool.mark" || name == "spool.db-shm" {
                assert!(lost.is_empty(), "{name} holds no event");
            }
        }
    }
}

#[tokio::test]
async fn a_file_cut_short_is_noticed_and_the_rest_goes_on() {
    let original = original().await;
    let page = schema::PAGE_SIZE;
    for name in ["spool.db", "spool.db-wal", "spool.mark", "spool.db-shm", "spool.lock"] {
        let size = fs::metadata(original.copy.join(name)).expect("a file").len();
        let (header, unit) = match name {
            "spool.db" => (100, page),
            "spool.db-wal" => (32, page + 24),
            _ => (64, 4096),
        };
        let middle = header % unit + size / 2 / unit * unit;
        let lengths = [
            0,
            1,
            header - 1,
            header,
            header + unit - 1,
            header + unit,
            unit + 1,
            middle - 1,
            middle,
            middle + 1,
            size.saturating_sub(1),
        ];
        for length in lengths.into_iter().filter(|length| *length < size) {
            original.restore();
            original.harm(name, Harm::Cut(length));
            let lost = original.judge(&format!("{name} cut to {length} of {size}")).await;
            if !name.starts_with("spool.db") || name.ends_with("shm") {
                assert!(lost.is_empty(), "{name} holds no event");
            }
        }
    }
}

#[tokio::test]
async fn a_lost_log_a_lost_database_and_an_older_copy_are_noticed() {
    let original = original().await;
    let older = original.bench.settings.directory.with_extension("older");
    original.restore();
    original.judge("untouched").await;
    copy_files(original.directory(), &older);
    for (what, files, most) in [
        ("the log is gone", &["spool.db-wal"][..], usize::MAX),
        ("the database is gone", &["spool.db", "spool.db-shm"], usize::MAX),
        (
            "everything but the mark is gone",
            &["spool.db", "spool.db-wal", "spool.db-shm"],
            usize::MAX,
        ),
        ("the mark is gone", &["spool.mark"], 0),
    ] {
        original.restore();
        for name in files {
            fs::remove_file(original.directory().join(name)).expect("removed");
        }
        let lost = original.judge(what).await;
        assert!(lost.len() <= most, "{what}: {} are lost", lost.len());
        let stats = inspect::open(original.directory()).expect("opened").stats().expect("stats");
        let counted: u64 = stats.lost.iter().map(crate::spool::Loss::events).sum();
        assert!(counted >= lost.len() as u64, "{what}: {} lost, {counted} counted", lost.len());
    }
    // An older copy, with the current high watermark.
    original.restore();
    let spool = original.bench.open();
    let fresh = original.bench.append(&spool, 2_000_000..2_000_010).await;
    assert_eq!(fresh, receipt(10, 0));
    let head = *spool.head().borrow();
    spool.close();
    for name in ["spool.db", "spool.db-wal", "spool.db-shm"] {
        fs::copy(original.copy.join(name), original.directory().join(name)).expect("copied");
    }
    let verified = inspect::open(original.directory()).expect("opened").verify(|_, _| ());
    let problems = verified.expect("read").problems.join("\n");
    assert!(problems.contains("spool.mark: events"), "{problems}");
    let spool = original.bench.open();
    assert_eq!((*spool.head().borrow(), spool.health().lost), (head, 10));
    assert_eq!(register(&spool, &["sink"]).await, [original.cursor]);
    let read = texts(&spool, head - 10).await;
    let missing = format!("{}-{head} positions", head - 9);
    assert!(read.len() == 1 && read[0].starts_with(&missing), "{read:?}");
}

#[tokio::test]
async fn a_torn_tail_is_no_damage_unless_it_was_answered() {
    let bench = SpoolBench::new(|_| {});
    let directory = &bench.settings.directory;
    let spool = bench.open();
    bench.append(&spool, 1..=10).await;
    let before = fs::read(high_watermark::path(directory)).expect("a mark");
    bench.append(&spool, 11..=20).await;
    let copy = directory.with_extension("copy");
    copy_files(directory, &copy);
    spool.close();
    for (is_answered, lost) in [(false, 0), (true, 10)] {
        copy_files(&copy, directory);
        let log = schema::log(directory);
        let size = fs::metadata(&log).expect("a log").len();
        fs::File::options()
            .write(true)
            .open(&log)
            .and_then(|log| log.set_len(size - 1))
            .expect("cut");
        if !is_answered {
            fs::write(high_watermark::path(directory), &before).expect("written");
        }
        let spool = bench.open();
        assert_eq!((spool.health().set_aside.is_some(), spool.health().lost), (is_answered, lost));
        assert_eq!(*spool.head().borrow(), 10 + lost);
        assert_eq!(texts(&spool, 0).await.len() as u64, 10 + u64::from(is_answered));
        spool.close();
    }
}

#[tokio::test]
async fn what_stands_behind_the_damage_is_found_without_the_mark() {
    let original = original().await;
    let logged = *original.chunks[original.chunks.len() - 10].start();
    // SQLite deletes the WAL of an empty file.
    original.restore();
    fs::remove_file(high_watermark::path(original.directory())).expect("removed");
    original.harm("spool.db", Harm::Cut(0));
    let spool = original.open("an empty file");
    let read = read_all(&spool.reader().expect("a reader"), logged - 1).await;
    let events = read.iter().filter(|read| matches!(read, Read::Event(_))).count();
    assert_eq!(events, original.stored.range(logged..).count(), "all that is in the log");
    spool.close();
    // SQLite stops at the first corrupt frame.
    original.restore();
    fs::remove_file(high_watermark::path(original.directory())).expect("removed");
    original.harm("spool.db-wal", Harm::Flip(32 + 24 + schema::PAGE_SIZE - 50, 3));
    let lost = original.judge("a broken frame").await;
    assert!(lost.len() <= original.most_lost(1), "{lost:?}");
}

#[tokio::test]
async fn a_page_that_breaks_while_the_service_runs_wedges_no_reader() {
    let original = original().await;
    original.restore();
    original.bench.open().close();
    let spool = original.bench.open();
    let database = schema::database(original.directory());
    let root = "SELECT rootpage - 1 FROM sqlite_schema WHERE name = 'chunks'";
    let root: u64 =
        Connection::open_with_flags(&database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|store| store.query_row(root, [], |row| row.get(0)))
            .expect("a page");
    original.harm("spool.db", Harm::Flip(root * schema::PAGE_SIZE, 7));
    let reader = spool.reader().expect("a reader");
    reader.read(original.cursor, usize::MAX).await.expect_err("the way to the chunks is broken");
    let read = read_all(&reader, original.cursor).await;
    let read: Vec<_> = read
        .into_iter()
        .map(|read| match read {
            Read::Event(event) => (event.position, event.bytes),
            Read::Damaged(damage) => panic!("nothing is lost: {damage:?}"),
        })
        .collect();
    assert_eq!(read, original.stored.clone().into_iter().collect::<Vec<_>>());
}
