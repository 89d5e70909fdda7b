//! State of each source: last request, and start of a blockage.
//!
//! PingOne retries a batch that is not answered with 200, and sends nothing else meanwhile. After seven days it drops
//! events.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use serde::Serialize;

/// Time for which PingOne keeps undelivered events, in ms.
/// <https://developer.pingidentity.com/pingone-api/platform/subscriptions-webhooks.html>
pub(super) const PINGONE_RETENTION_MS: i64 = 7 * 24 * 3600 * 1000;

/// State of one source. Times are in ms since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceLine {
    /// Configured name.
    pub source: String,
    /// Time of the last request with valid credentials; `null` if none since the start.
    pub last_heard: Option<i64>,
    /// Time of the last answer with 200.
    pub last_acknowledged: Option<i64>,
    /// Time of the first refused batch without a later 200.
    pub blocked_since: Option<i64>,
    /// Time at which PingOne drops events, if the source stays blocked.
    pub loses_events_at: Option<i64>,
    /// Number of refusals since `blocked_since`.
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
pub(super) struct Sources(Vec<SourceState>);

impl Sources {
    pub(super) fn new(names: impl Iterator<Item = Arc<str>>) -> Sources {
        let source = |name| SourceState {
            name,
            heard: AtomicI64::new(0),
            acknowledged: AtomicI64::new(0),
            blocked: AtomicI64::new(0),
            refusals: AtomicU64::new(0),
        };
        Sources(names.map(source).collect())
    }

    /// Notes an answer with 200.
    pub(super) fn acknowledged(&self, name: &str, now: i64) {
        if let Some(source) = self.find(name) {
            source.heard.store(now, Ordering::Relaxed);
            source.acknowledged.store(now, Ordering::Relaxed);
            source.blocked.store(0, Ordering::Relaxed);
            source.refusals.store(0, Ordering::Relaxed);
        }
    }

    /// Notes a refused batch, which PingOne will retry.
    pub(super) fn refused(&self, name: &str, now: i64) {
        if let Some(source) = self.find(name) {
            source.heard.store(now, Ordering::Relaxed);
            // Keeps the time of the first refusal.
            let (none, relaxed) = (0, Ordering::Relaxed);
            source.blocked.compare_exchange(none, now, relaxed, relaxed).unwrap_or(none);
            source.refusals.fetch_add(1, Ordering::Relaxed);
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
        self.0.iter().map(line).collect()
    }

    fn find(&self, name: &str) -> Option<&SourceState> {
        self.0.iter().find(|source| *source.name == *name)
    }
}
