//! The real spool beside the model: both take each step, and are compared after it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::plain::Model;
use super::step::{LARGE, ModelStep, SINKS, SOURCES};
use super::*;
use crate::spool::PreparedBatch;
use crate::spool::embedded::tests::still;

/// Upper bound of the pages that a commit needs besides its data: SQLite may find no room within them.
const MARGIN: u64 = 16 * schema::PAGE_SIZE;

/// Bodies of the events that are larger than a chunk.
static NOISE: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let mut random = StdRng::seed_from_u64(1);
    let mut noise = || {
        let mut bytes = vec![0; 600 * 1024];
        random.fill(&mut bytes[..]);
        bytes.into()
    };
    (0..16).map(|_| noise()).collect()
});

/// The real spool with its model.
pub(super) struct Real {
    folders: Vec<TempDir>,
    now: Arc<AtomicI64>,
    spool: EmbeddedSpool,
    reader: EmbeddedReader,
    model: Model,
    turns: usize,
}

impl Real {
    pub(super) fn new(bounds: Bounds) -> Real {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = bounds.settings(&folder);
        let now = Arc::new(AtomicI64::new(100 * DAY));
        let spool = still::open(&settings, &now);
        let reader = spool.reader().expect("a reader");
        let model = Model::new(settings, 100 * DAY);
        Real { folders: vec![folder], now, spool, reader, model, turns: 0 }
    }

    /// Applies a step, and then lets a second pass. After a step that only moves the clock, no second passes, so that
    /// the next step is the first to see the new time.
    pub(super) async fn take(&mut self, step: &ModelStep) {
        self.turns += 1;
        let used = self.used();
        match step {
            ModelStep::Append { source, events, refused } => {
                let source: Arc<str> = SOURCES[*source].into();
                let quarantine = refused.iter().map(|number| self::refused(&source, *number));
                let quarantine = quarantine.collect();
                let batch = self.batch(&source, events);
                self.append(Batch { quarantine, ..batch }).await;
            }
            ModelStep::Copy { sink, events } => {
                let batch = self.batch(&SOURCES[0].into(), events);
                self.append(Batch { only_sink: Some(SINKS[*sink].into()), ..batch }).await;
            }
            ModelStep::Retry { entry, events } => self.retry(*entry, events).await,
            ModelStep::Remove { entries } => {
                let ids: Vec<_> = entries.iter().map(|entry| self.entry(*entry)).collect();
                let removed = self.spool.remove(ids.clone()).await;
                assert_eq!(removed, Ok(self.model.remove(&ids, used)), "of each source");
            }
            ModelStep::Commit { sink, by, dead } => {
                self.commit(SINKS[*sink].into(), *by, *dead).await;
            }
            ModelStep::Register { sinks } => {
                let sinks = sinks.iter().map(|(sink, start)| (SINKS[*sink].into(), *start));
                let sinks: Vec<_> = sinks.collect();
                let registered = self.spool.register(&sinks).await;
                assert_eq!(registered, Ok(self.model.register(&sinks, used)));
            }
            ModelStep::Pause { sink, is_paused } => {
                let sink = SINKS[*sink].into();
                self.spool.pause(&sink, *is_paused).await.expect("stored");
                self.model.pause(&sink, *is_paused, used);
            }
            ModelStep::Pass(time) => {
                self.model.now += time;
                self.now.store(self.model.now, Ordering::Relaxed);
                return;
            }
            ModelStep::Damage { chunk, byte } => self.damage(*chunk, *byte),
            ModelStep::Lose { chunk } => self.lose(*chunk),
            ModelStep::Reopen => {
                // Closing ends with a commit.
                self.spool.close();
                self.model.remove(&[], used);
                self.reopen();
            }
            ModelStep::Crash => self.crash(),
            ModelStep::LookInto => self.look_into().await,
        }
        let used = self.used();
        still::tick(&self.spool).await;
        self.model.remove(&[], used);
    }

    async fn append(&mut self, batch: Batch) {
        let used = self.used();
        let prepared: PreparedBatch = batch.clone().prepare();
        let model = &self.model;
        let room = model.settings.quarantine_max_size.saturating_sub(model.quarantined());
        let size = prepared.size(room);
        let result = self.spool.append(prepared).await;
        assert!(
            result != Err(AppendError::DiskFull)
                || used + size + MARGIN > self.model.settings.max_size,
            "no room for {size} bytes beside {used}"
        );
        assert_eq!(self.model.append(&batch, used, size, &result), result);
    }

    async fn retry(&mut self, entry: usize, events: &[u8]) {
        let id = self.entry(entry);
        let kept = self.model.entries.get(&id);
        let source = kept.map_or_else(|| SOURCES[0].into(), |(_, source, _)| Arc::clone(source));
        let only_sink = kept.and_then(|(_, _, entry)| entry.sink.clone());
        let batch = self.batch(&source, events);
        self.append(Batch { resolves: Some(id), only_sink, ..batch }).await;
    }

    async fn commit(&mut self, sink: Arc<str>, by: i64, dead: u64) {
        let used = self.used();
        let Some(place) = self.model.cursors.get(&sink) else { return };
        let position = place.cursor.saturating_add_signed(by).min(self.model.head);
        let moved = position.saturating_sub(place.cursor);
        let dead = dead.min(moved);
        let filtered = (moved - dead) / 3;
        let not_addressed = (moved - dead) % 3;
        let sampled = (moved - dead - filtered - not_addressed) / 4;
        let delivered = moved - dead - filtered - not_addressed - sampled;
        let dead_lettered = dead;
        let tally =
            Tally { delivered, filtered, sampled, dead_lettered, not_addressed, repeated: 0 };
        let letters: Vec<_> = (0..dead).map(|number| letter(&sink, number)).collect();
        let result = self.spool.commit(&sink, position, tally, letters.clone()).await;
        assert_eq!(result, self.model.commit(&sink, position, tally, &letters, used));
    }

    /// Changes a byte of the file, like a failing disk.
    fn damage(&mut self, chunk: usize, byte: usize) {
        let store = self.store();
        let Some(chunk) = self.pick(chunk).filter(|chunk| chunk.damage.is_none()) else { return };
        let last = chunk.last();
        let body = "SELECT body FROM chunks WHERE last = ?";
        let mut body: Vec<u8> = store.query_row(body, [last], |row| row.get(0)).expect("a chunk");
        let byte = byte % body.len();
        body[byte] ^= 1;
        let sql = "UPDATE chunks SET body = ? WHERE last = ?";
        store.execute(sql, (&body, last)).expect("changed");
        sweep(&store);
        chunk.damage = Some(body.into());
    }

    fn lose(&mut self, chunk: usize) {
        let store = self.store();
        let Some(last) = self.pick(chunk).map(|chunk| chunk.last()) else { return };
        store.execute("DELETE FROM chunks WHERE last = ?", [last]).expect("removed");
        sweep(&store);
        self.model.chunks.retain(|chunk| chunk.last() != last);
    }

    /// Continues with the files that `kill -9` would have left.
    fn crash(&mut self) {
        let (folder, settings) = still::remains(&self.model.settings);
        self.folders.push(folder);
        self.spool.close();
        self.model.settings = settings;
        self.reopen();
    }

    fn reopen(&mut self) {
        self.spool = still::open(&self.model.settings, &self.now);
        self.reader = self.spool.reader().expect("a reader");
        self.model.restart();
    }

    /// Compares the state that can be queried quickly.
    pub(super) async fn compare(&self) {
        let model = &self.model;
        assert_eq!(*self.spool.head().borrow(), model.head);
        let stats = self.spool.stats().await.expect("stats");
        let oldest_at = model.chunks.front().map(|chunk| chunk.received_at());
        let pages = self.spool.shared.used.load(Ordering::Relaxed);
        assert!((pages..=model.settings.max_size).contains(&stats.size), "{stats:?}");
        assert_eq!((stats.head, stats.events), (model.head, model.head - model.trimmed));
        assert_eq!(stats.oldest_at, oldest_at);
        assert_eq!((stats.full, stats.dedup_ids), (model.is_full, model.ids()));
        let quarantine = (stats.quarantine_size, stats.quarantine_full);
        assert_eq!(quarantine, (model.quarantined(), model.wanted > 0));
        let totals: BTreeMap<_, _> = stats
            .totals
            .into_iter()
            .map(|(name, disposition, count)| ((name, disposition), count))
            .collect();
        assert_eq!(totals, model.totals);
        let spooled = [Disposition::Accepted, Disposition::Released, Disposition::Replayed];
        let spooled = totals.iter().filter(|((_, disposition), _)| spooled.contains(disposition));
        assert_eq!(
            spooled.map(|(_, count)| count).sum::<u64>(),
            model.head,
            "the dispositions add up"
        );
        for (sink, place) in &model.cursors {
            let of_sink = |((name, disposition), _): &(&(String, Disposition), &u64)| {
                **sink == **name && Disposition::OF_SINKS.contains(disposition)
            };
            let sum: u64 = totals.iter().filter(of_sink).map(|(_, count)| count).sum();
            assert_eq!(sum, place.cursor, "what became of the events of {sink}: {totals:?}");
        }
        let sink = |(sink, place): (&Arc<str>, &Registered)| SinkStats {
            sink: sink.to_string(),
            cursor: place.cursor,
            lag: model.head - place.cursor,
        };
        assert_eq!(stats.sinks, model.cursors.iter().map(sink).collect::<Vec<_>>());
        let query = Query { limit: u32::MAX, ..Query::default() };
        let listed = self.spool.quarantine(query).await.expect("listed");
        let listed = listed
            .into_iter()
            .map(|found| (found.id, found.at, found.source, found.origin, found.sink, found.size));
        let entries = model.entries.iter().map(|(id, (at, source, entry))| {
            let sink = entry.sink.as_deref().map(str::to_owned);
            (*id, *at, source.to_string(), entry.origin, sink, entry.bytes.len() as u64)
        });
        assert_eq!(listed.collect::<Vec<_>>(), entries.collect::<Vec<_>>());
        // One sink after the other, with different byte limits.
        let turn = self.turns;
        let bytes = [1, 700 * 1024, usize::MAX][turn / SINKS.len() % 3];
        if let Some(place) = model.cursors.get(SINKS[turn % SINKS.len()]) {
            // No cursor points to removed events: registering a sink moves it past them.
            let place = place.cursor.max(model.trimmed);
            assert_eq!(self.read_all(place, bytes).await, briefly(&model.read(place)));
        }
    }

    /// Compares the state that takes longer to query.
    pub(super) async fn look_into(&self) {
        let model = &self.model;
        let all = self.read_all(model.trimmed, usize::MAX).await;
        assert_eq!(all, briefly(&model.read(model.trimmed)), "from the start");
        for (id, (_, _, entry)) in &model.entries {
            let found = self.spool.entry(*id).await.expect("read").expect("an entry");
            assert_eq!(found.bytes, entry.bytes);
        }
        let inspection = inspect::open(&model.settings.directory).expect("opened");
        let stats = inspection.stats().expect("read");
        assert_eq!(stats.quarantine_size, model.quarantined(), "as the rows say");
        let verified = inspection.verify(|_, _| ());
        assert_eq!(verified.expect("read").problems, model.problems());
        let time = model.now - DAY..model.now + 1;
        let found = self.spool.between(0..u64::MAX, time.clone(), usize::MAX).await.expect("read");
        let whole = model.chunks.iter().filter(|chunk| chunk.damage.is_none());
        let wanted = whole
            .flat_map(|chunk| &chunk.events)
            .filter(|event| event.only_sink.is_none() && time.contains(&event.received_at));
        let wanted: Vec<StoredEvent> = wanted.cloned().collect();
        let events = |events: Vec<StoredEvent>| {
            briefly(&events.into_iter().map(Read::Event).collect::<Vec<_>>())
        };
        assert_eq!((events(found.0), found.1), (events(wanted), model.trimmed));
    }

    /// Returns all events after a position, in as many reads as necessary.
    async fn read_all(&self, mut after: u64, bytes: usize) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let found = self.reader.read(after, bytes).await.expect("read");
            match found.last() {
                Some(Read::Event(stored)) => after = stored.position,
                Some(Read::Damaged(damage)) => after = damage.last,
                Some(Read::Repeated(position)) => after = *position,
                None => return briefly(&all),
            }
            all.extend(found);
        }
    }

    /// Returns the bytes that count against the limits. The WAL is written back before the next query.
    fn used(&self) -> u64 {
        self.spool.shared.used.load(Ordering::Relaxed) + bounds::log(self.model.settings.max_size)
    }

    fn store(&self) -> Connection {
        Connection::open(schema::database(&self.model.settings.directory)).expect("opened")
    }

    fn pick(&mut self, chunk: usize) -> Option<&mut plain::ModelChunk> {
        let count = self.model.chunks.len();
        self.model.chunks.get_mut(chunk.checked_rem(count)?)
    }

    /// Returns an existing entry, or the number of an entry that never existed.
    fn entry(&self, number: usize) -> i64 {
        self.model.entries.keys().nth(number).copied().unwrap_or(1_000_000)
    }

    fn batch(&self, source: &Arc<str>, events: &[u8]) -> Batch {
        let events = events.iter().map(|number| NewEvent {
            key: DedupKey::new(source, &number.to_string(), (0, 0)),
            bytes: match number.checked_sub(LARGE) {
                Some(large) => NOISE[usize::from(large)].clone(),
                None => format!("event {number} of {source}").into(),
            },
        });
        Batch {
            source: Arc::clone(source),
            received_at: self.model.now,
            events: events.collect(),
            ..Batch::default()
        }
    }
}

/// Overwrites pages that still contain an old version of a row, because the salvage would find it there.
fn sweep(store: &Connection) {
    store.execute_batch("PRAGMA synchronous = OFF; VACUUM;").expect("swept");
    // The WAL may contain one, too, after its current end.
    store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("written back");
}

/// Returns one line per event, short enough for a message.
fn briefly(found: &[Read]) -> Vec<String> {
    let line = |read: &Read| match read {
        Read::Event(StoredEvent { position, received_at, source, only_sink, bytes }) => {
            let (size, sum) = (bytes.len(), crc32fast::hash(bytes));
            format!("{position}: {source} {received_at} {only_sink:?} {size} bytes {sum:x}")
        }
        Read::Repeated(position) => format!("{position}: repeated"),
        Read::Damaged(Damage { first, last, source, detail, bytes }) => {
            let (size, sum) = (bytes.len(), crc32fast::hash(bytes));
            format!("{first} to {last}: {source} {detail} {size} bytes {sum:x}")
        }
    };
    found.iter().map(line).collect()
}

fn refused(source: &str, number: u8) -> NewEntry {
    let bytes = Bytes::from(format!("refused {number}"));
    // Element 0 has no key, so it is never a duplicate.
    let key = (number > 0).then(|| DedupKey::of_bytes(source, &bytes));
    NewEntry { key, ..entry(EntryOrigin::Element, None, bytes) }
}

fn letter(sink: &Arc<str>, number: u64) -> (String, NewEntry) {
    let bytes = Bytes::from(format!("dead letter {number}"));
    (SOURCES[1].to_owned(), entry(EntryOrigin::DeadLetter, Some(Arc::clone(sink)), bytes))
}

fn entry(origin: EntryOrigin, sink: Option<Arc<str>>, bytes: Bytes) -> NewEntry {
    NewEntry {
        origin,
        key: None,
        reason: "syntax",
        detail: "why".to_owned(),
        path: "$".to_owned(),
        index: 0,
        request_id: String::new(),
        encoding: String::new(),
        sink,
        target: None,
        bytes,
    }
}
