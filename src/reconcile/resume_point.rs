//! File from which an ended comparison continues: the report so far, and the time until which it is complete.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::report::{ReconcileReport, time_text};
use super::{Comparison, ReconcileError};
use crate::spool::Millis;

/// State of a comparison.
pub(super) struct ResumePoint {
    file: Option<PathBuf>,
    /// Time until which audit events are compared, in ms since the Unix epoch.
    pub(super) done_until: Millis,
    pub(super) report: ReconcileReport,
}

#[derive(Serialize, Deserialize)]
struct StoredResumePoint {
    done_until: Millis,
    report: ReconcileReport,
}

impl ResumePoint {
    /// Reads the file of the comparison, if there is one.
    pub(super) fn open(comparison: &Comparison<'_>) -> Result<ResumePoint, ReconcileError> {
        let new = ReconcileReport {
            source: comparison.source.to_owned(),
            environment: comparison.pingone.environment.to_string(),
            from: comparison.range.start,
            to: comparison.range.end,
            ..ReconcileReport::default()
        };
        let file = comparison.resume.clone();
        let stored = file.as_deref().map(read).transpose()?.flatten();
        let Some(StoredResumePoint { done_until, report }) = stored else {
            return Ok(ResumePoint { file, done_until: Millis::MIN, report: new });
        };
        if (&report.source, &report.environment, report.from, report.to)
            != (&new.source, &new.environment, new.from, new.to)
        {
            return Err(ReconcileError::Resume(format!(
                "the file of --resume belongs to another comparison: source {}, environment {}, {} to {}. Name another \
                 file",
                report.source,
                report.environment,
                time_text(report.from),
                time_text(report.to)
            )));
        }
        Ok(ResumePoint { file, done_until, report })
    }

    /// Records that the audit events before `done_until` are compared.
    pub(super) fn advance(
        &mut self,
        done_until: Millis,
        report: ReconcileReport,
    ) -> Result<(), ReconcileError> {
        (self.done_until, self.report) = (done_until, report);
        let Some(file) = &self.file else { return Ok(()) };
        write(file, &StoredResumePoint { done_until, report: self.report.clone() })
            .map_err(|error| failure(file, "written", &error))
    }

    /// Removes the file and returns the report.
    pub(super) fn finish(self) -> Result<ReconcileReport, ReconcileError> {
        if let Some(file) = &self.file {
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failure(file, "removed", &error));
                }
                _ => {}
            }
        }
        Ok(self.report)
    }
}

/// Returns the time range of an ended comparison, in ms since the Unix epoch; `None` if there is no file.
///
/// # Errors
///
/// The file cannot be read, or is another one.
pub(crate) fn stored_range(file: &Path) -> Result<Option<Range<Millis>>, ReconcileError> {
    Ok(read(file)?.map(|stored| stored.report.from..stored.report.to))
}

fn read(file: &Path) -> Result<Option<StoredResumePoint>, ReconcileError> {
    let bytes = match std::fs::read(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| failure(file, "read", &error))?,
    };
    let stored = serde_json::from_slice(&bytes).map_err(|_| {
        let file = file.display();
        ReconcileError::Resume(format!(
            "{file} is no file of --resume, and is not overwritten. Name another file"
        ))
    })?;
    Ok(Some(stored))
}

/// Replaces the file as a whole: after a crash it is the old or the new one.
fn write(file: &Path, stored: &StoredResumePoint) -> std::io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    std::fs::write(&new, serde_json::to_vec(stored)?)?;
    std::fs::rename(&new, file)
}

fn failure(file: &Path, verb: &str, error: &std::io::Error) -> ReconcileError {
    ReconcileError::Resume(format!(
        "{} cannot be {verb}: {}. Correct --resume",
        file.display(),
        crate::error_chain::io_message(error)
    ))
}
