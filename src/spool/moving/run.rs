//! The move itself: marks the old spool, copies, compares, and only then lets the service start with the new one.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::contents::MovedState;
use super::{MoveError, STREAM_FILE, mark, verify};
use crate::spool::embedded::transfer::{self, SpoolDraft};
use crate::spool::inspect::{self, Inspection, Verification};
use crate::spool::jetstream::StreamImport;
use crate::spool::{Clock, Engine, JetStreamConfig, Millis, OpenError, SpoolConfig, embedded};

/// Maximum number of ids in one message.
const IDS_PER_MESSAGE: usize = 8192;

/// Result of a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Description of the old spool.
    pub from: String,
    /// Description of the new spool.
    pub to: String,
    /// Events moved, delivered ones that are still stored included.
    pub events: u64,
    /// Quarantine entries moved.
    pub entries: u64,
    /// Ids moved.
    pub ids: u64,
    /// Sinks that continue at their cursors.
    pub sinks: Vec<String>,
    /// True if an earlier command had completed the move.
    pub was_complete: bool,
}

/// Moves the content of the spool `old` to the spool `new` of the other engine. A repetition after any interruption
/// continues the move.
///
/// # Errors
///
/// [`MoveError`] with the reason and the remedy. The old spool is unchanged except for its mark.
pub fn run(old: &SpoolConfig, new: &SpoolConfig, clock: &Clock) -> Result<Moved, MoveError> {
    match (&old.engine, &new.engine) {
        (Engine::Embedded, Engine::Jetstream(own)) => to_stream(old, new, own, clock),
        (Engine::Jetstream(own), Engine::Embedded) => to_directory(old, own, new),
        _ => Err(MoveError::Refused(
            "both configurations have the same spool.engine: move a directory with the service stopped and rsync -a \
             (docs/runbook.md)"
                .into(),
        )),
    }
}

fn to_stream(
    old: &SpoolConfig,
    new: &SpoolConfig,
    own: &JetStreamConfig,
    clock: &Clock,
) -> Result<Moved, MoveError> {
    if !transfer::exists(&old.directory) {
        return Err(OpenError::Missing(old.directory.clone()).into());
    }
    let _locks = transfer::lock(&old.directory)?;
    let to = stream(own);
    let known = mark::read(&old.directory);
    if known.as_ref().is_some_and(|known| *known != to) {
        mark::refuse(&old.directory)?;
    }
    let source = embedded::inspect::open(&old.directory)?;
    let state = source.export_state()?;
    refuse_damage(&source.verify(|_, _| ())?, &directory(old), state.trimmed)?;
    let id = source.id()?;
    let runtime = runtime()?;
    let since = since(clock(), new);
    let begun = runtime.block_on(StreamImport::begin(new, Clock::clone(clock), &id, since))?;
    if known.is_some() && begun.as_ref().is_some_and(StreamImport::is_new) {
        // A stream of the same name elsewhere has the content, or had it.
        mark::refuse(&old.directory)?;
    }
    let Some(mut import) = begun else {
        mark::write(&old.directory, &to)?;
        return Ok(complete(directory(old), to));
    };
    // From here on, neither the old nor the new spool is used, until the move is complete.
    runtime.block_on(import.announce())?;
    mark::write(&old.directory, &to)?;
    let mut ids = 0;
    let name = state.totals_of(false).next().map_or("moved", |(source, ..)| source).to_owned();
    source.each_id(import.since(), |at, keys| {
        ids += keys.len() as u64;
        keys.chunks(IDS_PER_MESSAGE)
            .try_for_each(|keys| runtime.block_on(import.add_ids(&name, at, keys)))
    })?;
    import.start_at(&state);
    source.each_chunk(&state, |chunk| runtime.block_on(import.add_chunk(chunk, &state)))?;
    let source = Inspection::Embedded(source);
    verify::each_entry(&source, |entry| runtime.block_on(import.add_entry(entry)))?;
    runtime.block_on(import.store_state(&state))?;
    let compared = verify::compare(&source, &inspect::open(new)?, &state)?;
    runtime.block_on(import.complete())?;
    Ok(moved(directory(old), to, &state, compared, ids))
}

fn to_directory(
    old: &SpoolConfig,
    own: &JetStreamConfig,
    new: &SpoolConfig,
) -> Result<Moved, MoveError> {
    let (from, to) = (stream(own), directory(new));
    if mark::read(&new.directory).is_some() {
        return Err(MoveError::Refused(format!(
            "{to} has a spool that was moved: set another spool.directory, or delete that one"
        )));
    }
    let source = inspect::open(old)?;
    refuse_damage(&source.verify(|_, _| ())?, &from, 0)?;
    let Inspection::Jetstream(spool, runtime) = &source else {
        return Err(OpenError::NoStream(from).into());
    };
    runtime.block_on(spool.refuse_receivers())?;
    let known = runtime.block_on(spool.moved_id(&to))?;
    let Some(draft) = SpoolDraft::begin(&new.directory, known.as_deref())? else {
        forget_stream(&new.directory, &own.stream);
        return Ok(complete(from, to));
    };
    let id = runtime.block_on(spool.mark_as_moved(&to))?;
    let last = runtime.block_on(spool.last_message())?;
    let mut ids = 0;
    let mut state = runtime.block_on(spool.export_state(|at, keys| {
        ids += keys.len() as u64;
        draft.add_ids(at, keys)
    }))?;
    runtime.block_on(spool.each_chunk(&mut state, |chunk| draft.add_chunk(chunk)))?;
    verify::each_entry(&source, |entry| draft.add_entry(&entry))?;
    let target = draft.finish(&state, &id)?;
    let compared = verify::compare(&source, &target, &state)?;
    // A receiver that was cut off and has come back would have been missed before.
    runtime.block_on(spool.refuse_receivers())?;
    if runtime.block_on(spool.last_message())? != last {
        return Err(MoveError::Refused(format!(
            "{from} has received events during the move: stop every receiver, and repeat the command"
        )));
    }
    drop(target);
    draft.publish()?;
    forget_stream(&new.directory, &own.stream);
    Ok(moved(from, to, &state, compared, ids))
}

/// Refuses a spool with problems, or with lost events after the position `trimmed`.
fn refuse_damage(found: &Verification, spool: &str, trimmed: u64) -> Result<(), MoveError> {
    let lost = found.losses.iter().find(|loss| loss.last > trimmed);
    let lost = lost.map(|loss| format!("events {} to {} are lost", loss.first, loss.last));
    match found.problems.first().cloned().or(lost) {
        None => Ok(()),
        Some(problem) => Err(MoveError::Refused(format!(
            "{spool} cannot be moved as it is: {problem} (spool verify shows all). Start the service with it and \
             retention = \"0s\", until every sink has passed these events, and repeat the command"
        ))),
    }
}

/// Removes the note that a receiver of this directory has used the stream: nothing is left in it.
fn forget_stream(directory: &Path, stream: &str) {
    let file = directory.join(STREAM_FILE);
    if fs::read_to_string(&file).is_ok_and(|noted| noted.trim() == stream) {
        drop(fs::remove_file(file));
    }
}

fn moved(
    from: String,
    to: String,
    state: &MovedState,
    compared: verify::Compared,
    ids: u64,
) -> Moved {
    let verify::Compared { events, entries } = compared;
    let sinks = state.sinks.iter().map(|sink| sink.name.clone()).collect();
    Moved { from, to, events, entries, ids, sinks, was_complete: false }
}

fn complete(from: String, to: String) -> Moved {
    Moved { from, to, events: 0, entries: 0, ids: 0, sinks: Vec::new(), was_complete: true }
}

/// Returns the time of the oldest ids that the new spool remembers.
fn since(now: Millis, new: &SpoolConfig) -> Millis {
    let window = i64::try_from(new.dedup_window.as_millis()).unwrap_or(i64::MAX);
    now.saturating_sub(window)
}

/// Describes the stream of an engine.
pub(super) fn stream(own: &JetStreamConfig) -> String {
    format!("stream {}", own.stream)
}

fn directory(settings: &SpoolConfig) -> String {
    let directory = &settings.directory;
    format!("directory {}", std::path::absolute(directory).as_ref().unwrap_or(directory).display())
}

fn runtime() -> Result<tokio::runtime::Runtime, MoveError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| MoveError::Refused(error.to_string()))
}
