//! Classification of failed statements: wait for room, report, or end the process.

use rusqlite::{Error, ErrorCode, ffi};

/// Kinds of failure of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No space on the disk or under `max_page_count`. Temporary.
    Full,
    /// A sync failed, so that the state of the disk is unknown, or another process has written. Only a new process
    /// can recover.
    Fatal,
    /// Any other error. The transaction was rolled back.
    Other,
}

/// Error of a commit that finds rows of another process. SQLite uses this code in other kinds of transactions
/// only.
pub(crate) fn foreign_writer() -> Error {
    let error = ffi::Error::new(ffi::SQLITE_BUSY_SNAPSHOT);
    Error::SqliteFailure(error, Some("another process has written to the spool".to_owned()))
}

/// Returns true for [`foreign_writer`].
pub(crate) fn is_foreign_writer(error: &Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_BUSY_SNAPSHOT)
}

/// Classifies an error of SQLite.
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

/// Returns true if the file is no database, or a corrupt one.
pub(crate) fn is_damaged(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// Returns true if an intact store cannot fail like this at opening: a missing table, an invalid value, an
/// unknown version. An error of the operating system is not corruption.
pub(crate) fn is_damaged_at_start(error: &Error) -> bool {
    match error.sqlite_error_code() {
        // A flipped bit in the file's header forbids writing; the caller checks the file's permissions first.
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
