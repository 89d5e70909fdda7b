//! Replay: what was received in a time is spooled once more, for one sink.
//!
//! The copies stand at the end of the log and belong to that sink alone, so that a replay needs no
//! second cursor: it is durable, in order, counted, and goes on after a restart.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::spool::{AppendError, Batch, DedupKey, Event, Millis, ReadError, Spool, Stored};

/// Bytes of events that one step spools at most, about.
const STEP: usize = 4 * 1024 * 1024;

/// Why a replay stopped.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The spool could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The spool could not take the copies.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// How far a replay has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Events spooled by this step.
    pub replayed: u64,
    /// Where the next step begins; `None` when nothing is left.
    pub next: Option<u64>,
}

/// What a step has done.
#[derive(Debug)]
pub struct Step {
    /// For whoever takes the next.
    pub progress: Progress,
    /// How many events of which source were spooled.
    pub sources: Vec<(Arc<str>, u64)>,
}

/// Does one step: spools what follows `after` and was received in `time`. Events received while a
/// replay runs are not part of it as long as `time` ends before.
pub async fn step(
    spool: &Spool,
    sink: &Arc<str>,
    after: u64,
    time: Range<Millis>,
) -> Result<Step, ReplayError> {
    let found = spool.between(after, time, STEP).await?;
    let next = found.last().map(|stored| stored.position);
    let mut sources: Vec<(Arc<str>, u64)> = Vec::new();
    // One batch has one source and one time, as it had when it was received.
    for group in found
        .chunk_by(|one, other| (&one.source, one.received_at) == (&other.source, other.received_at))
    {
        let batch = copy(group, sink);
        let source = Arc::clone(&batch.source);
        sources.push((source, spool.append(batch.prepare()).await?.accepted));
    }
    let replayed = sources.iter().map(|(_, count)| count).sum();
    Ok(Step { progress: Progress { replayed, next }, sources })
}

fn copy(group: &[Stored], sink: &Arc<str>) -> Batch {
    let first = group.first();
    // Keys are not looked at: these events were remembered when they were received.
    let key = DedupKey::new("", "", (0, 0));
    Batch {
        source: first.map(|first| Arc::clone(&first.source)).unwrap_or_default(),
        received_at: first.map(|first| first.received_at).unwrap_or_default(),
        events: group.iter().map(|stored| Event { key, bytes: stored.bytes.clone() }).collect(),
        only_sink: Some(Arc::clone(sink)),
        ..Batch::default()
    }
}
