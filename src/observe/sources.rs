//! State of each source: last request, and start of a blockage.
//!
//! PingOne retries a batch that is not answered with 200, and sends nothing else meanwhile. After seven days it drops
//! events.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::source_file::{self, SourceTimes};

/// Time for which PingOne keeps undelivered events, in ms.
/// <https://developer.pingidentity.com/pingone-api/platform/subscriptions-webhooks.html>
pub(super) const PINGONE_RETENTION_MS: i64 = 7 * 24 * 3600 * 1000;

/// State of one source. Times are in ms since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceLine {
    /// Configured name.
    pub source: String,
    /// Time of the last request with valid credentials; `null` if there was none.
    pub last_heard: Option<i64>,
    /// Time of the last answer with 200.
    pub last_acknowledged: Option<i64>,
    /// Time of the first refused batch without a later 200.
    pub blocked_since: Option<i64>,
    /// Time at which PingOne drops events, if the source stays blocked.
    pub loses_events_at: Option<i64>,
    /// Number of refusals since `blocked_since`, or since the start of the process.
    pub refusals: u64,
    /// Time since the last request, or since the start, in ms.
    pub silent_millis: i64,
}

#[derive(Debug)]
struct SourceState {
    name: Arc<str>,
    /// Times in ms since the Unix epoch; 0 for never.
    heard: AtomicI64,
    acknowledged: AtomicI64,
    blocked: AtomicI64,
    refusals: AtomicU64,
}

/// State of all configured sources.
#[derive(Debug)]
pub(super) struct Sources {
    sources: Vec<SourceState>,
    /// `None` if the times are kept in memory only.
    file: Mutex<Option<File>>,
}

impl Sources {
    pub(super) fn new(names: impl Iterator<Item = Arc<str>>) -> Sources {
        let source = |name| SourceState {
            name,
            heard: AtomicI64::new(0),
            acknowledged: AtomicI64::new(0),
            blocked: AtomicI64::new(0),
            refusals: AtomicU64::new(0),
        };
        Sources { sources: names.map(source).collect(), file: Mutex::default() }
    }

    /// Takes over the times of the last process, and keeps them in `directory` from now on. Times after `now`
    /// count as `now`.
    pub(super) fn restore(&self, directory: &Path, now: i64) {
        let (times, file) = source_file::open(directory);
        let times = times.unwrap_or_else(|error| {
            tracing::warn!(%error, "the times of the sources begin anew: spool.sources cannot be read");
            Vec::new()
        });
        for SourceTimes { source, heard, acknowledged, blocked } in times {
            if let Some(source) = self.find(&source) {
                source.heard.store(heard.min(now), Ordering::Relaxed);
                source.acknowledged.store(acknowledged.min(now), Ordering::Relaxed);
                source.blocked.store(blocked.min(now), Ordering::Relaxed);
            }
        }
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
    }

    /// Writes the times to the file, if there is one.
    pub(super) fn save(&self) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = file.as_ref() else { return };
        let time = |time: &AtomicI64| time.load(Ordering::Relaxed);
        let times = self.sources.iter().map(|source| SourceTimes {
            source: source.name.to_string(),
            heard: time(&source.heard),
            acknowledged: time(&source.acknowledged),
            blocked: time(&source.blocked),
        });
        if let Err(error) = source_file::write(file, &times.collect::<Vec<_>>()) {
            tracing::warn!(%error, "the times of the sources are not kept for the next start");
        }
    }

    /// Notes an answer with 200.
    pub(super) fn acknowledged(&self, name: &str, now: i64) {
        if let Some(source) = self.find(name) {
            source.heard.store(now, Ordering::Relaxed);
            source.acknowledged.store(now, Ordering::Relaxed);
            source.refusals.store(0, Ordering::Relaxed);
            if source.blocked.swap(0, Ordering::Relaxed) != 0 {
                self.save();
            }
        }
    }

    /// Notes a refused batch, which PingOne will retry.
    pub(super) fn refused(&self, name: &str, now: i64) {
        if let Some(source) = self.find(name) {
            source.heard.store(now, Ordering::Relaxed);
            source.refusals.fetch_add(1, Ordering::Relaxed);
            // The first refusal counts.
            let relaxed = Ordering::Relaxed;
            if source.blocked.compare_exchange(0, now, relaxed, relaxed).is_ok() {
                self.save();
            }
        }
    }

    pub(super) fn lines(&self, started: i64, now: i64) -> Vec<SourceLine> {
        let time = |time: &AtomicI64| Some(time.load(Ordering::Relaxed)).filter(|time| *time > 0);
        let line = |source: &SourceState| {
            let (heard, blocked) = (time(&source.heard), time(&source.blocked));
            SourceLine {
                source: source.name.to_string(),
                last_heard: heard,
                last_acknowledged: time(&source.acknowledged),
                blocked_since: blocked,
                loses_events_at: blocked.map(|since| since + PINGONE_RETENTION_MS),
                refusals: source.refusals.load(Ordering::Relaxed),
                silent_millis: (now - heard.unwrap_or(started)).max(0),
            }
        };
        self.sources.iter().map(line).collect()
    }

    fn find(&self, name: &str) -> Option<&SourceState> {
        self.sources.iter().find(|source| *source.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * 1000;

    fn started(directory: &Path, now: i64) -> Sources {
        let sources = Sources::new(["one", "two"].into_iter().map(Arc::from));
        sources.restore(directory, now);
        sources
    }

    #[test]
    fn a_blocked_and_a_silent_source_stay_so_after_the_process_was_killed() {
        let directory = tempfile::tempdir().expect("a directory");
        let (directory, long_before) = (directory.path(), 5);
        let sources = started(directory, long_before);
        sources.acknowledged("two", 1000);
        sources.refused("one", 2000);
        sources.refused("one", 3000);
        // Dropped without a farewell, as by a kill.
        drop(sources);
        let sources = started(directory, 4000);
        let lines = sources.lines(4000, 2000 + DAY);
        assert_eq!((lines[0].blocked_since, lines[0].last_heard), (Some(2000), Some(2000)));
        assert_eq!((lines[1].blocked_since, lines[1].last_acknowledged), (None, Some(1000)));
        assert_eq!((lines[0].silent_millis, lines[1].silent_millis), (DAY, DAY + 1000));
        sources.refused("one", 5000);
        assert_eq!(sources.lines(4000, 5000)[0].blocked_since, Some(2000), "still the same block");
        sources.acknowledged("one", 6000);
        drop(sources);
        let line = &started(directory, 5500).lines(0, 7000)[0];
        assert_eq!((line.blocked_since, line.last_acknowledged), (None, Some(5500)), "no future");
    }

    #[test]
    fn a_corrupt_file_is_written_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("spool.sources");
        std::fs::write(&file, "[{").expect("written");
        let sources = started(directory.path(), 1);
        sources.refused("two", 10);
        assert_eq!(started(directory.path(), 20).lines(0, 20)[1].blocked_since, Some(10));
        std::fs::remove_file(&file).expect("removed");
        assert_eq!(started(directory.path(), 20).lines(0, 20)[1].blocked_since, None);
    }
}
