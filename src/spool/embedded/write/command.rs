//! Commands of the writer thread and their replies.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::spool::embedded::store::fault::Fault;
use crate::spool::{
    AppendError, CommitError, CommitRecord, NewEntry, PlannedRange, PreparedBatch, Receipt,
    Registered, Start,
};

type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// Request to the writer. The queue of commands is not bounded by itself: each waiting append
/// holds a part of the receiver's bytes in flight, and each sink waits for its own commit.
pub(crate) enum WriterCommand {
    Append {
        batch: Box<PreparedBatch>,
        reply: Reply<Receipt, AppendError>,
    },
    Register {
        sinks: Vec<(Arc<str>, Start)>,
        reply: Reply<Vec<Registered>, CommitError>,
    },
    Pause {
        sink: Arc<str>,
        is_paused: bool,
        reply: Reply<(), CommitError>,
    },
    Plan {
        sink: Arc<str>,
        range: PlannedRange,
        reply: Reply<(), CommitError>,
    },
    Commit {
        sink: Arc<str>,
        position: u64,
        record: Box<CommitRecord>,
        dead_letters: Vec<(String, NewEntry)>,
        reply: Reply<(), CommitError>,
    },
    Remove {
        ids: Vec<i64>,
        reply: Reply<BTreeMap<Arc<str>, u64>, CommitError>,
    },
    Close,
}

/// Outcome of a command within a transaction that is not committed yet. A refused command has
/// put nothing into the transaction and does not affect its neighbours.
pub(crate) enum CommandOutcome {
    Appended(Result<Receipt, AppendError>),
    Registered(Vec<Registered>),
    Moved(Result<(), CommitError>),
    Removed(BTreeMap<Arc<str>, u64>),
}

impl WriterCommand {
    pub(crate) fn is_append(&self) -> bool {
        matches!(self, WriterCommand::Append { .. })
    }

    /// Returns true for an append that a full spool refuses.
    pub(crate) fn is_refusable(&self) -> bool {
        match self {
            WriterCommand::Append { batch, .. } => !batch.batch.is_derived,
            _ => false,
        }
    }

    /// Returns true for a command that only moves a cursor.
    pub(crate) fn is_cursor(&self) -> bool {
        matches!(self, WriterCommand::Commit { .. })
    }

    /// Returns true for an append of a replay.
    pub(crate) fn is_copy(&self) -> bool {
        match self {
            WriterCommand::Append { batch, .. } => batch.is_copy(),
            _ => false,
        }
    }

    /// Returns the maximum of bytes added to the store, if the quarantine has `room` bytes left.
    pub(crate) fn size(&self, room: u64) -> u64 {
        match self {
            WriterCommand::Append { batch, .. } => batch.size(room),
            WriterCommand::Commit { record, dead_letters, .. } => {
                let entries = dead_letters.iter().map(|(_, entry)| entry.size()).sum::<u64>();
                entries.min(room) + record.runs.size()
            }
            _ => 0,
        }
    }

    /// Answers a command after its commit. A caller that has gone away is no error.
    pub(crate) fn succeed(self, done: CommandOutcome) {
        match (self, done) {
            (WriterCommand::Append { reply, .. }, CommandOutcome::Appended(result)) => {
                drop(reply.send(result));
            }
            (WriterCommand::Register { reply, .. }, CommandOutcome::Registered(sinks)) => {
                drop(reply.send(Ok(sinks)));
            }
            (WriterCommand::Pause { reply, .. }, CommandOutcome::Moved(result)) => {
                drop(reply.send(result));
            }
            (WriterCommand::Plan { reply, .. }, CommandOutcome::Moved(result)) => {
                drop(reply.send(result));
            }
            (WriterCommand::Commit { reply, .. }, CommandOutcome::Moved(result)) => {
                drop(reply.send(result));
            }
            (WriterCommand::Remove { reply, .. }, CommandOutcome::Removed(count)) => {
                drop(reply.send(Ok(count)));
            }
            // Unreachable: the group pairs each command with its outcome. Dropping the reply reports a
            // failure to the caller.
            _ => {}
        }
    }

    /// Answers a command whose commit failed or was not attempted.
    pub(crate) fn fail(self, reason: &str, fault: Fault) {
        let store = || CommitError::Store(reason.to_owned());
        match self {
            WriterCommand::Append { reply, .. } => drop(reply.send(Err(match fault {
                Fault::Full => AppendError::DiskFull,
                Fault::Fatal => AppendError::Closed,
                Fault::Other => AppendError::Store(reason.to_owned()),
            }))),
            WriterCommand::Register { reply, .. } => drop(reply.send(Err(store()))),
            WriterCommand::Pause { reply, .. } => drop(reply.send(Err(store()))),
            WriterCommand::Plan { reply, .. } => drop(reply.send(Err(store()))),
            WriterCommand::Commit { reply, .. } => drop(reply.send(Err(store()))),
            WriterCommand::Remove { reply, .. } => drop(reply.send(Err(store()))),
            WriterCommand::Close => {}
        }
    }

    /// Refuses an append for want of room.
    pub(crate) fn refuse(self) {
        if let WriterCommand::Append { reply, .. } = self {
            drop(reply.send(Err(AppendError::Full)));
        }
    }
}
