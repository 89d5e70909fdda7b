//! `file`: one line per event, appended to a file, on disk before the cursor moves.
//!
//! The sink holds a lock on the open file, and a record beside the file says which bytes the sink has written.
//! The file contains whole lines only: a failed write is undone at once, and the torn end of a power loss is cut when
//! the file is opened again. The sink never cuts bytes that it has not written. When another process (logrotate)
//! renames or removes the file, the sink opens the path again. [`rotate`] rotates and compresses.

mod config;
mod look;
mod names;
mod open;
mod pipe;
mod record;
mod rotate;
mod torn;

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::{
    BatchDefaults, Deliver, Item, OutputFile, Reason, Rendered, Report, SinkFinding, SinkType,
    Verdict, lines,
};
use crate::format::Format;
use crate::settings::Section;
pub(crate) use config::FileSinkConfig;
use open::{Failed, Open};
use pipe::Pipe;

/// Times that a batch is written again because the file was renamed meanwhile.
const RENAME_RETRIES: usize = 3;

impl SinkType for FileSinkConfig {
    const NAME: &'static str = "file";
    // Each batch costs one sync. With full batches, the sync takes less time than the writes.
    const BATCH: BatchDefaults = BatchDefaults { events: "5000", bytes: "4 MiB" };
    const IS_ORDERED: bool = true;
    const SENDS_LINES: bool = true;

    type Sink = File;

    fn read(section: &mut Section<'_>, _: Format) -> Option<FileSinkConfig> {
        config::read(section)
    }

    fn refuses_lines(&self) -> Option<&'static str> {
        None
    }

    fn output(&self) -> Option<OutputFile<'_>> {
        Some(OutputFile { path: &self.path, key: Some("path") })
    }

    fn takes_name(&self, path: &Path) -> bool {
        names::takes_name(&self.path, path)
    }

    fn target(&self) -> String {
        self.path.display().to_string()
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((rendered.line, None))
    }

    fn open(&self) -> Result<File, Reason> {
        Ok(File::new(self.clone()))
    }

    async fn reopen(&self, _: &mut File) -> Result<(), Reason> {
        // The sink has no credentials, and it checks its file at each batch.
        Ok(())
    }
}

/// A file that events are appended to.
#[derive(Debug)]
pub(crate) struct File {
    state: Arc<Mutex<State>>,
    /// Writer for a path that is not a regular file.
    pipe: Pipe,
}

#[derive(Debug)]
struct State {
    settings: FileSinkConfig,
    open: Option<Open>,
    compressing: rotate::Compressing,
}

/// Result of appending a batch.
enum Appended {
    /// Number of lines on disk, from the first on, and the error that kept the others from it.
    Lines(usize, io::Result<()>),
    /// The path is not a regular file.
    NoFile,
}

impl File {
    pub(super) fn new(settings: FileSinkConfig) -> File {
        let state = State { settings, open: None, compressing: Arc::default() };
        File { state: Arc::new(Mutex::new(state)), pipe: Pipe::default() }
    }

    /// Runs `work` on a thread that may wait for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> io::Result<T> {
        let state = Arc::clone(&self.state);
        let work = move || work(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(tokio::task::spawn_blocking(work).await?)
    }

    fn settings(&self) -> FileSinkConfig {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).settings.clone()
    }
}

impl Deliver for File {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let lines = lines(items);
        let ends = |end: &mut usize, item: &Item| {
            *end += item.payload.len() + 1;
            Some(*end)
        };
        let ends: Vec<usize> = items.iter().scan(0, ends).collect();
        let appended = self.blocking(move |state| state.append(&lines, &ends)).await;
        let (written, result) = match appended {
            Ok(Appended::Lines(written, result)) => (written, result),
            Ok(Appended::NoFile) => self.pipe.write(&self.settings().path, items).await,
            Err(error) => (0, Err(error)),
        };
        let verdict = match result {
            Ok(()) => Verdict::Delivered,
            Err(error) => verdict(&self.settings(), &error),
        };
        Report::first_delivered(items, written, verdict)
    }

    /// Checks if the file could be written. Opens and creates nothing.
    async fn probe(&mut self) -> Result<String, Reason> {
        let looked = self.blocking(|state| look::look(&state.settings)).await;
        looked.unwrap_or_else(|error| Err(Reason::new(error.to_string())))
    }

    async fn close(&mut self) {
        let closed = self.blocking(|state| state.open.take().map(Open::close)).await;
        drop(closed);
    }
}

impl State {
    /// Appends and syncs. After a failure, the file ends with a whole line, or the next call opens it again.
    fn append(&mut self, lines: &[u8], ends: &[usize]) -> Appended {
        if std::fs::metadata(&self.settings.path)
            .is_ok_and(|found| !found.is_file() && !found.is_dir())
        {
            self.open = None;
            return Appended::NoFile;
        }
        let mut attempts = 0..RENAME_RETRIES;
        loop {
            let appended = self.ready(lines.len() as u64).map(|mut open| {
                let appended = open.append(&self.settings.path, lines, ends);
                (open, appended)
            });
            match appended {
                Err(error) => return Appended::Lines(0, Err(error)),
                Ok((open, Ok(()))) => {
                    self.open = Some(open);
                    return Appended::Lines(ends.len(), Ok(()));
                }
                Ok((_, Err(failed))) if failed.is_renamed && attempts.next().is_some() => {}
                Ok((open, Err(Failed { kept, error, is_clean, .. }))) => {
                    // An unclean file is closed; opening it again repairs its end.
                    self.open = Some(open).filter(|_| is_clean);
                    return Appended::Lines(ends.partition_point(|end| *end <= kept), Err(error));
                }
            }
        }
    }

    /// Returns the open file. Rotates it first if `added` bytes would make it too large, or if it is too old.
    fn ready(&mut self, added: u64) -> io::Result<Open> {
        let mut open = match self.open.take() {
            Some(open) if open.is_current(&self.settings.path) => open,
            _ => self.reopen()?,
        };
        open.catch_up()?;
        if self.is_due(&open, added) {
            let path = open.path.clone();
            drop(open);
            rotate::rotate(&path, &self.settings, SystemTime::now(), &self.compressing)?;
            open = self.reopen()?;
        }
        Ok(open)
    }

    fn reopen(&self) -> io::Result<Open> {
        let open = open::open(&self.settings.path)?;
        if self.settings.rotates() {
            rotate::compress_leftovers(&open.path, &self.settings, &self.compressing)?;
        }
        Ok(open)
    }

    fn is_due(&self, open: &Open, added: u64) -> bool {
        let too_large = self.settings.rotate_size.is_some_and(|size| open.length + added > size);
        let age = || SystemTime::now().duration_since(open.born).unwrap_or_default();
        let too_old = self.settings.rotate_age.is_some_and(|limit| age() > limit);
        open.length > 0 && (too_large || too_old)
    }
}

fn verdict(settings: &FileSinkConfig, error: &io::Error) -> Verdict {
    let path = settings.path.display();
    match error.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::IsADirectory
        | ErrorKind::NotADirectory
        | ErrorKind::ReadOnlyFilesystem => Verdict::Fatal {
            reason: Reason::new(format!(
                "{path} cannot be written: {error}. Correct the path or its permissions"
            )),
        },
        ErrorKind::ResourceBusy => Verdict::Retry {
            after: None,
            reason: Reason::new(format!(
                "{path} is in use by another process: stop it, or give each a file of its own"
            )),
        },
        _ => Verdict::Retry { after: None, reason: Reason::new(format!("{path}: {error}")) },
    }
}

#[cfg(test)]
mod tests;
