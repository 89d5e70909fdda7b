//! What a failed statement means for the process: wait for room, report, or end.

use rusqlite::{Error, ErrorCode, ffi};

/// The three ways in which the store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No room, on the disk or under `max_page_count`. Passes when there is room again.
    Full,
    /// A sync failed, so that what the kernel holds is unknown, or another process has written: only a new
    /// process can go on.
    Fatal,
    /// Anything else. The transaction was rolled back.
    Other,
}

/// The error of a commit that finds what another process has stored. SQLite has a code for it, and uses that in
/// transactions of another kind only.
pub(crate) fn foreign_writer() -> Error {
    let error = ffi::Error::new(ffi::SQLITE_BUSY_SNAPSHOT);
    Error::SqliteFailure(error, Some("another process has written to the spool".to_owned()))
}

/// Tells [`foreign_writer`] from other errors.
pub(crate) fn is_foreign_writer(error: &Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_BUSY_SNAPSHOT)
}

/// Sorts an error of SQLite.
pub(crate) fn classify(error: &Error) -> Fault {
    const FATAL: [i32; 2] = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC];
    if is_foreign_writer(error) {
        return Fault::Fatal;
    }
    match error.sqlite_error() {
        Some(error) if FATAL.contains(&error.extended_code) => Fault::Fatal,
        Some(error) if error.code == ErrorCode::DiskFull => Fault::Full,
        _ => Fault::Other,
    }
}

/// Whether the file itself is no database, or a broken one.
pub(crate) fn is_damaged(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// Whether a store that was whole once could not fail like this while it is opened: a table that is not
/// there, a value that cannot be, a version that never was. What the system refuses is no damage.
pub(crate) fn is_damaged_at_start(error: &Error) -> bool {
    match error.sqlite_error_code() {
        // A flipped bit in the file's header forbids writing; the file's permissions are looked at before.
        Some(code) => {
            use ErrorCode::{ConstraintViolation, ReadOnly, SchemaChanged, TypeMismatch, Unknown};
            let odd = [ConstraintViolation, ReadOnly, SchemaChanged, TypeMismatch, Unknown];
            is_damaged(error) || odd.contains(&code)
        }
        None => !matches!(error, Error::InvalidPath(_) | Error::NulError(_)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failed_sync_is_fatal() {
        let error = |code| Error::SqliteFailure(ffi::Error::new(code), None);
        assert_eq!(classify(&error(ffi::SQLITE_IOERR_FSYNC)), Fault::Fatal);
        assert_eq!(classify(&error(ffi::SQLITE_IOERR_DIR_FSYNC)), Fault::Fatal);
        assert_eq!(classify(&error(ffi::SQLITE_FULL)), Fault::Full);
        assert_eq!(classify(&error(ffi::SQLITE_IOERR_WRITE)), Fault::Other);
        assert_eq!(classify(&error(ffi::SQLITE_BUSY)), Fault::Other);
        assert!(is_damaged(&error(ffi::SQLITE_NOTADB)) && !is_damaged(&error(ffi::SQLITE_IOERR)));
    }
}
