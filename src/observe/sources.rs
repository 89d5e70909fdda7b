//! When each source was last heard from, and since when it is blocked.
//!
//! PingOne repeats a batch that is not answered with 200, and nothing else comes until it is. After seven
//! days it begins to lose events.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use serde::Serialize;

/// How long PingOne keeps what it cannot deliver.
/// <https://developer.pingidentity.com/pingone-api/platform/subscriptions-webhooks.html>
pub(super) const KEEPS: i64 = 7 * 24 * 3600 * 1000;

/// One source, as it is shown. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceLine {
    /// Its configured name.
    pub source: String,
    /// When a request with valid credentials last came; `null` if none did since the start.
    pub last_heard: Option<i64>,
    /// When one was last answered with 200.
    pub last_acknowledged: Option<i64>,
    /// When the first batch was refused that has not been followed by a 200.
    pub blocked_since: Option<i64>,
    /// When PingOne will begin to lose events, if that goes on.
    pub loses_events_at: Option<i64>,
    /// Refusals since then.
    pub refusals: u64,
    /// Milliseconds since it was last heard from, or since the start.
    pub silent_millis: i64,
}

#[derive(Debug)]
struct Source {
    name: Arc<str>,
    /// 0: not yet.
    heard: AtomicI64,
    acknowledged: AtomicI64,
    blocked: AtomicI64,
    refusals: AtomicU64,
}

/// All configured sources.
#[derive(Debug)]
pub(super) struct Sources(Vec<Source>);

impl Sources {
    pub(super) fn new(names: impl Iterator<Item = Arc<str>>) -> Sources {
        let source = |name| Source {
            name,
            heard: AtomicI64::new(0),
            acknowledged: AtomicI64::new(0),
            blocked: AtomicI64::new(0),
            refusals: AtomicU64::new(0),
        };
        Sources(names.map(source).collect())
    }

    /// A batch was stored.
    pub(super) fn acknowledged(&self, name: &str, now: i64) {
        if let Some(source) = self.find(name) {
            source.heard.store(now, Ordering::Relaxed);
            source.acknowledged.store(now, Ordering::Relaxed);
            source.blocked.store(0, Ordering::Relaxed);
            source.refusals.store(0, Ordering::Relaxed);
        }
    }

    /// A batch was refused, and will be repeated.
    pub(super) fn refused(&self, name: &str, now: i64) {
        if let Some(source) = self.find(name) {
            source.heard.store(now, Ordering::Relaxed);
            // Only the first one counts; it is no error that there was one.
            let (none, relaxed) = (0, Ordering::Relaxed);
            source.blocked.compare_exchange(none, now, relaxed, relaxed).unwrap_or(none);
            source.refusals.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn lines(&self, started: i64, now: i64) -> Vec<SourceLine> {
        let time = |time: &AtomicI64| Some(time.load(Ordering::Relaxed)).filter(|time| *time > 0);
        let line = |source: &Source| {
            let (heard, blocked) = (time(&source.heard), time(&source.blocked));
            SourceLine {
                source: source.name.to_string(),
                last_heard: heard,
                last_acknowledged: time(&source.acknowledged),
                blocked_since: blocked,
                loses_events_at: blocked.map(|since| since + KEEPS),
                refusals: source.refusals.load(Ordering::Relaxed),
                silent_millis: (now - heard.unwrap_or(started)).max(0),
            }
        };
        self.0.iter().map(line).collect()
    }

    fn find(&self, name: &str) -> Option<&Source> {
        self.0.iter().find(|source| *source.name == *name)
    }
}
