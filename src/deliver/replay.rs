//! Replay: what was received in a time is spooled once more, for one sink.
//!
//! The copies stand at the end of the log and belong to that sink alone, so that a replay needs no
//! second cursor: it is durable, in order, counted, and goes on after a restart. Only what the sink has
//! passed is copied; the rest comes to it anyway.

use std::ops::Range;
use std::sync::Arc;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::spool::{AppendError, Batch, DedupKey, Millis, NewEvent, ReadError, Spool, StoredEvent};

/// Bytes of events that one step spools at most, about.
const STEP: usize = 4 * 1024 * 1024;

/// Why a replay stopped.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The spool could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The spool could not take the copies.
    #[error(
        "the copies find no room: {0}. A replay leaves 30 % of spool.max_size free; go on when the sinks have caught up, or raise it"
    )]
    Append(#[from] AppendError),
    /// What was to be copied has gone.
    #[error(
        "{0} events of that time were removed while the replay ran; raise spool.retention or spool.max_size"
    )]
    Removed(u64),
}

/// What is to be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// After the first position, where the step before ended (0 for the first step), up to the second,
    /// the last that the sink has passed.
    pub positions: Range<u64>,
    /// When it was received.
    pub time: Range<Millis>,
}

/// How far a replay has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Events spooled by this step.
    pub replayed: u64,
    /// Where the next step begins; `None` when nothing is left.
    pub next: Option<u64>,
}

/// What a step has done, also where it could not do all of it.
#[derive(Debug)]
pub struct Step {
    /// How many events of which source were spooled.
    pub sources: Vec<(Arc<str>, u64)>,
    /// For whoever takes the next step.
    pub progress: Result<Progress, ReplayError>,
}

/// Does one step.
pub async fn step(spool: &Spool, sink: &Arc<str>, wanted: Wanted) -> Step {
    let after = wanted.positions.start;
    let (found, trimmed) = match spool.between(wanted.positions, wanted.time, STEP).await {
        Ok(found) => found,
        Err(error) => return Step { sources: Vec::new(), progress: Err(error.into()) },
    };
    if after > 0 && trimmed > after {
        let progress = Err(ReplayError::Removed(trimmed - after));
        return Step { sources: Vec::new(), progress };
    }
    let next = found.last().map(|stored| stored.position);
    // One batch has one source and one time, as it had when it was received. All are handed over at
    // once, in order, and share their commits.
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
        None => Ok(Progress { replayed, next }),
    };
    Step { sources, progress }
}

fn copy(group: &[StoredEvent], sink: &Arc<str>) -> Batch {
    let first = group.first();
    // Keys are not looked at: these events were remembered when they were received.
    let key = DedupKey::new("", "", (0, 0));
    Batch {
        source: first.map(|first| Arc::clone(&first.source)).unwrap_or_default(),
        received_at: first.map(|first| first.received_at).unwrap_or_default(),
        events: group.iter().map(|stored| NewEvent { key, bytes: stored.bytes.clone() }).collect(),
        only_sink: Some(Arc::clone(sink)),
        ..Batch::default()
    }
}
