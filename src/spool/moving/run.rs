//! The move itself: marks the old spool, copies, compares, and only then lets the service start with the new one.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::companions::{self, Companions};
use super::contents::MovedState;
use super::{MoveError, STREAM_FILE, mark, verify};
use crate::spool::embedded::transfer::{self, ReservedDirectory};
use crate::spool::inspect::{self, Inspection, Verification};
use crate::spool::jetstream::StreamImport;
use crate::spool::{Clock, Engine, JetStreamConfig, Millis, OpenError, SpoolConfig, embedded};

/// Maximum number of ids in one message.
const IDS_PER_MESSAGE: usize = 8192;

/// Result of a move.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
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
    /// Cursors of the service itself that the new engine does not have.
    pub cursors_left: Vec<String>,
    /// Files beside the spool that were copied to another directory.
    pub files: Vec<String>,
    /// Files that stay in the old directory, because the new one has others of the same name.
    pub files_left: Vec<String>,
    /// True if an earlier command had completed the move.
    pub was_complete: bool,
}

impl Moved {
    fn with(self, companions: Companions) -> Moved {
        let Companions { copied, left } = companions;
        Moved { files: copied, files_left: left, ..self }
    }
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
    if known.as_ref() != Some(&to) {
        mark::refuse(&old.directory)?;
    }
    let source = embedded::inspect::open(&old.directory)?;
    let mut state = source.export_state()?;
    let cursors_left = state.remove_internal_cursors();
    refuse_damage(&source.verify(|_, _| ())?, &directory(old), state.trimmed)?;
    let id = source.id()?;
    let runtime = runtime()?;
    let since = since(clock(), new);
    let begun = runtime.block_on(StreamImport::begin(new, Clock::clone(clock), &id, since))?;
    if known.is_some() && begun.as_ref().is_some_and(StreamImport::is_new) {
        // A stream of the same name elsewhere has the content, or had it.
        return Err(MoveError::Refused(format!(
            "{} was moved to {to}, or its move has begun, and {to} of these servers does not have the content: check \
             spool.jetstream. If that stream was deleted, delete the file spool.moved in the directory and repeat the \
             command: events that it has delivered are then delivered twice",
            directory(old)
        )));
    }
    if known.is_none() && begun.as_ref().is_some_and(StreamImport::has_content) {
        // A service may have used the spool since, and the messages would be those of an earlier state.
        return Err(MoveError::Refused(format!(
            "the move to {to} was given up: it has content that {} may not have any more. Delete the stream, its \
             quarantine and its bucket, and repeat the command",
            directory(old)
        )));
    }
    let Some(mut import) = begun else {
        return match known {
            Some(_) => Ok(complete(directory(old), to)),
            // A service may have used the spool since.
            None => Err(MoveError::Refused(format!(
                "{} was moved to {to} before, and its mark spool.moved was deleted since: events that it has accepted \
                 after that are not in the stream. Start the service with it until every sink has passed them and its \
                 quarantine is empty; or move it to another spool.jetstream.stream",
                directory(old)
            ))),
        };
    };
    // From here on, neither the old nor the new spool is used, until the move is complete.
    runtime.block_on(import.announce())?;
    mark::write(&old.directory, &to)?;
    let companions = companions::copy(&old.directory, &new.directory)?;
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
    let moved = moved(directory(old), to, &state, compared, ids);
    Ok(Moved { cursors_left, ..moved.with(companions) })
}

fn to_directory(
    old: &SpoolConfig,
    own: &JetStreamConfig,
    new: &SpoolConfig,
) -> Result<Moved, MoveError> {
    let (from, to) = (stream(own), directory(new));
    if mark::read(&new.directory).is_some() {
        return Err(MoveError::Refused(format!(
            "{to} has a spool that was moved: set another spool.directory, or delete that one (spool.db, spool.db-wal, \
             spool.db-shm, spool.mark, spool.moved)"
        )));
    }
    let source = inspect::open(old)?;
    refuse_damage(&source.verify(|_, _| ())?, &from, 0)?;
    let Inspection::Jetstream(spool, runtime) = &source else {
        return Err(OpenError::NoStream(from).into());
    };
    runtime.block_on(spool.refuse_receivers())?;
    let known = runtime.block_on(spool.moved_id(&to))?;
    let Some(reserved) = ReservedDirectory::reserve(&new.directory, known.as_deref())? else {
        forget_stream(&new.directory, &own.stream);
        return Ok(complete(from, to));
    };
    // From here on, no service starts in the new directory, and then none with the old stream.
    let id = runtime.block_on(spool.mark_as_moved(&to))?;
    let companions = companions::copy(&old.directory, &new.directory)?;
    let draft = reserved.begin()?;
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
    Ok(moved(from, to, &state, compared, ids).with(companions))
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
    Moved { from, to, events, entries, ids, sinks, ..Moved::default() }
}

fn complete(from: String, to: String) -> Moved {
    Moved { from, to, was_complete: true, ..Moved::default() }
}

/// Returns the time of the oldest ids that the new spool remembers.
fn since(now: Millis, new: &SpoolConfig) -> Millis {
    let window = i64::try_from(new.dedup_window.as_millis()).unwrap_or(i64::MAX);
    now.saturating_sub(window)
}

/// Describes the spool of a configuration.
pub fn describe(settings: &SpoolConfig) -> String {
    match &settings.engine {
        Engine::Embedded => directory(settings),
        Engine::Jetstream(own) => stream(own),
    }
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
