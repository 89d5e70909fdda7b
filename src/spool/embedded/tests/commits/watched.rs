//! Callers that check the store at the moment of their answer.

use std::collections::HashSet;
use std::pin::Pin;
use std::task::{Context, Wake, Waker};

use rusqlite::Connection;

use super::super::*;
use crate::spool::embedded::store::row::ChunkRow;

/// A future that continues on the thread that wakes it: the code after an answer runs before that thread does anything
/// else.
pub(super) struct WatchedSpool(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl WatchedSpool {
    /// Starts to wait.
    pub(super) fn start(future: impl Future<Output = ()> + Send + 'static) -> Arc<WatchedSpool> {
        let watched = Arc::new(WatchedSpool(Mutex::new(Some(Box::pin(future)))));
        Arc::clone(&watched).wake();
        watched
    }

    /// Stops waiting.
    pub(super) fn leave(&self) {
        *self.0.lock().expect("no panic before") = None;
    }

    /// True while the caller waits.
    pub(super) fn waits(&self) -> bool {
        self.0.lock().expect("no panic before").is_some()
    }
}

impl Wake for WatchedSpool {
    fn wake(self: Arc<Self>) {
        // Another caller has already found the failure; the rest are woken while the test ends.
        if std::thread::panicking() {
            return;
        }
        let waker = Waker::from(Arc::clone(&self));
        let mut future = self.0.lock().expect("no panic before");
        if let Some(waiting) = future.as_mut()
            && waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        {
            *future = None;
        }
    }
}

/// State of the store as another connection reads it.
#[derive(Debug)]
pub(super) struct SeenState {
    /// Events in order, as `SpoolBench` makes them.
    pub(super) events: Vec<String>,
    pub(super) keys: HashSet<DedupKey>,
    /// Cursor of the sink that was registered first.
    pub(super) cursor: u64,
    /// Σ of the disposition of events received and spooled.
    pub(super) accepted: u64,
}

impl SeenState {
    pub(super) fn now(connection: &Connection) -> SeenState {
        let sql = format!("SELECT {} FROM chunks ORDER BY last", ChunkRow::COLUMNS);
        let mut statement = connection.prepare_cached(&sql).expect("prepared");
        let rows = statement.query_map([], ChunkRow::from_row).expect("read");
        let events = rows.flat_map(|row| row.expect("a row").events().expect("sound"));
        let events = events.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
        let mut statement = connection.prepare_cached("SELECT keys FROM ids").expect("prepared");
        let keys = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).expect("read");
        let keys = keys.map(|keys| keys.expect("a row")).collect::<Vec<_>>().concat();
        let keys = keys.as_chunks().0.iter().map(|key| DedupKey::from_bytes(*key)).collect();
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get(0)).expect("a number");
        SeenState {
            events,
            keys,
            cursor: number("SELECT coalesce(max(position), 0) FROM cursors"),
            accepted: number(
                "SELECT coalesce(sum(count), 0) FROM totals WHERE disposition = 'accepted'",
            ),
        }
    }
}
