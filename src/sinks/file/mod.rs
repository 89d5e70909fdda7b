//! `file`: one line per event, appended to a file, on disk before the cursor moves.
//!
//! Only whole lines stay: what a failed write or a power loss left behind is cut off again, at once or when
//! the file is opened next. A file that was renamed or removed by others (logrotate) is noticed and opened
//! anew. Rotation and compression are in [`rotate`].

mod open;
mod rotate;

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::{Deliver, Item, Reason, Report, Verdict, lines};
use crate::config::FileSink;
use open::Open;

/// A file that events are appended to.
#[derive(Debug)]
pub struct File(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    settings: FileSink,
    open: Option<Open>,
    compressing: rotate::Compressing,
}

impl File {
    pub(super) fn new(settings: FileSink) -> File {
        File(Arc::new(Mutex::new(State { settings, open: None, compressing: Arc::default() })))
    }
}

impl Deliver for File {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let lines = lines(items);
        let state = Arc::clone(&self.0);
        let written = tokio::task::spawn_blocking(move || {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.append(&lines).map_err(|error| state.verdict(&error))
        });
        let verdict = match written.await {
            Ok(Ok(())) => Verdict::Delivered,
            Ok(Err(verdict)) => verdict,
            Err(error) => Verdict::Retry { after: None, reason: Reason::new(error.to_string()) },
        };
        Report::all(items, verdict)
    }

    /// Opens the file for appending, and makes it if need be.
    async fn probe(&mut self) -> Result<String, Reason> {
        let state = Arc::clone(&self.0);
        let opened = tokio::task::spawn_blocking(move || {
            let state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let path = state.settings.path.display().to_string();
            match open::open(&state.settings.path) {
                Ok(_) => Ok(format!("{path} can be written")),
                Err(error) => Err(Reason::new(format!("{path} cannot be written: {error}"))),
            }
        });
        opened.await.unwrap_or_else(|error| Err(Reason::new(error.to_string())))
    }
}

impl State {
    /// Appends and syncs. On failure the file ends where it ended before, or is opened anew next.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) if open.is_current(&self.settings.path) => open,
            _ => self.reopen()?,
        };
        if self.is_due(&open, lines.len() as u64) {
            drop(open);
            rotate::rotate(&self.settings, SystemTime::now(), &self.compressing)?;
            open = self.reopen()?;
        }
        match open.file.write_all(lines).and_then(|()| open.sync()) {
            Ok(()) => {
                open.length += lines.len() as u64;
                self.open = Some(open);
                Ok(())
            }
            Err(error) => {
                // If cutting fails as well, opening the file again will cut it.
                drop(open.cut());
                Err(error)
            }
        }
    }

    fn reopen(&self) -> io::Result<Open> {
        let open = open::open(&self.settings.path)?;
        if self.settings.rotates() {
            rotate::compress_leftovers(&self.settings, &self.compressing)?;
        }
        Ok(open)
    }

    fn is_due(&self, open: &Open, added: u64) -> bool {
        let too_large = self.settings.rotate_size.is_some_and(|size| open.length + added > size);
        let age = || SystemTime::now().duration_since(open.born).unwrap_or_default();
        let too_old = self.settings.rotate_age.is_some_and(|limit| age() > limit);
        open.length > 0 && open.is_regular && (too_large || too_old)
    }

    fn verdict(&self, error: &io::Error) -> Verdict {
        let path = self.settings.path.display();
        match error.kind() {
            ErrorKind::PermissionDenied
            | ErrorKind::IsADirectory
            | ErrorKind::NotADirectory
            | ErrorKind::ReadOnlyFilesystem => Verdict::Fatal {
                reason: Reason::new(format!(
                    "{path} cannot be written: {error}. Correct the path or its permissions"
                )),
            },
            _ => Verdict::Retry { after: None, reason: Reason::new(format!("{path}: {error}")) },
        }
    }
}

#[cfg(test)]
mod tests;
