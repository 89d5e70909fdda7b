//! Replay: spools the events of a time range once more, for one sink.
//!
//! The copies are at the end of the log and addressed to that sink alone, so a replay needs no second
//! cursor: it is durable, in order, counted, and continues after a restart. Only events below the sink's
//! cursor are copied; the sink gets the others anyway.

use std::ops::Range;
use std::sync::Arc;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::spool::{AppendError, Batch, DedupKey, Millis, NewEvent, ReadError, Spool, StoredEvent};

/// Approximate bound of the event bytes that one step spools.
const STEP_BYTES: usize = 4 * 1024 * 1024;

/// Reason why a replay stopped.
#[derive(Debug, Error)]
pub(crate) enum ReplayError {
    /// The spool could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The spool refused the copies.
    #[error(
        "the spool refused the copies: {0}. A replay leaves 30 % of spool.max_size free; continue when the sinks have caught up, or raise spool.max_size"
    )]
    Append(#[from] AppendError),
    /// Events were removed by retention before they were copied.
    #[error(
        "{0} events of that time were removed while the replay ran; raise spool.retention or spool.max_size"
    )]
    Removed(u64),
}

/// Events to replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplayRange {
    /// `start` is exclusive: the position where the previous step ended, 0 for the first step. `end` is
    /// inclusive: the sink's cursor.
    pub positions: Range<u64>,
    /// Receive time, in ms since the Unix epoch.
    pub time: Range<Millis>,
}

/// Progress of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplayProgress {
    /// Number of events spooled by this step.
    pub replayed: u64,
    /// Position after which the next step begins; `None` at the end.
    pub next: Option<u64>,
}

/// Result of a step, also if it failed in part.
#[derive(Debug)]
pub(crate) struct ReplayStep {
    /// Number of spooled events per source.
    pub sources: Vec<(Arc<str>, u64)>,
    /// Input of the next step, or the first error.
    pub progress: Result<ReplayProgress, ReplayError>,
}

/// Spools the next events of the range, up to `STEP_BYTES`.
pub(crate) async fn step(spool: &Spool, sink: &Arc<str>, range: ReplayRange) -> ReplayStep {
    let after = range.positions.start;
    let (found, trimmed) = match spool.between(range.positions, range.time, STEP_BYTES).await {
        Ok(found) => found,
        Err(error) => return ReplayStep { sources: Vec::new(), progress: Err(error.into()) },
    };
    if after > 0 && trimmed > after {
        let progress = Err(ReplayError::Removed(trimmed - after));
        return ReplayStep { sources: Vec::new(), progress };
    }
    let next = found.last().map(|stored| stored.position);
    // A batch has one source and one receive time, so each run of equal ones becomes a batch. All are
    // handed over at once, in order, and share their commits.
    let groups = found.chunk_by(|one, other| {
        (&one.source, one.received_at) == (&other.source, other.received_at)
    });
    let appended = join_all(groups.map(|group| {
        let batch = copy(group, sink);
        let source = Arc::clone(&batch.source);
        async move { (source, spool.append(batch.prepare()).await) }
    }));
    let mut sources = Vec::new();
    let mut failed = None;
    for (source, receipt) in appended.await {
        match receipt {
            Ok(receipt) => sources.push((source, receipt.accepted)),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let replayed = sources.iter().map(|(_, count)| count).sum();
    let progress = match failed {
        Some(error) => Err(error.into()),
        None => Ok(ReplayProgress { replayed, next }),
    };
    ReplayStep { sources, progress }
}

/// Returns the number of events that a replay of the range would spool.
///
/// # Errors
///
/// The spool cannot be read.
pub(crate) async fn count(spool: &Spool, range: ReplayRange) -> Result<u64, ReadError> {
    let ReplayRange { mut positions, time } = range;
    let mut count = 0;
    loop {
        let (found, _) = spool.between(positions.clone(), time.clone(), STEP_BYTES).await?;
        let Some(last) = found.last() else { return Ok(count) };
        count += found.len() as u64;
        positions.start = last.position;
    }
}

fn copy(group: &[StoredEvent], sink: &Arc<str>) -> Batch {
    let first = group.first();
    // Copies are not deduplicated: the keys are ignored.
    let key = DedupKey::new("", "", (0, 0));
    Batch {
        source: first.map(|first| Arc::clone(&first.source)).unwrap_or_default(),
        received_at: first.map(|first| first.received_at).unwrap_or_default(),
        events: group.iter().map(|stored| NewEvent { key, bytes: stored.bytes.clone() }).collect(),
        only_sink: Some(Arc::clone(sink)),
        ..Batch::default()
    }
}
