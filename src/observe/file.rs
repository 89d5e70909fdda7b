//! Persistence of schema drift in `drift.json`, beside the spool. The file contains types and shapes, no values. No
//! guarantee depends on it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{DriftReport, Observer};
use crate::durable_dir;

const FILE_NAME: &str = "drift.json";

/// Interval between two writes.
const SAVE_INTERVAL: Duration = Duration::from_mins(5);

/// Upper bound of the bytes read; a full table with texts of maximum length takes less.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Reads the drift of the previous process; `None` if there is no file.
fn load(directory: &Path) -> io::Result<Option<DriftReport>> {
    let file = match fs::File::open(directory.join(FILE_NAME)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(Some(serde_json::from_str(&text)?))
}

/// Writes the drift atomically.
fn save(directory: &Path, drifted: &DriftReport) -> io::Result<()> {
    let (new, name) = (directory.join("drift.json.new"), directory.join(FILE_NAME));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(drifted)?)?;
    file.sync_all()?;
    fs::rename(&new, &name)?;
    durable_dir::sync(directory)
}

/// Restores the drift of the previous process. An unreadable file is logged and ignored.
pub fn remember(observer: &Observer, directory: &Path, now: i64) {
    match load(directory) {
        Ok(None) => {}
        Ok(Some(known)) => observer.remember(known, now),
        Err(error) => {
            tracing::warn!(file = FILE_NAME, %error, "cannot read the saved schema drift; counting starts at zero");
        }
    }
}

/// Saves changes every `SAVE_INTERVAL`, until aborted.
pub async fn save_periodically(observer: Arc<Observer>, directory: PathBuf) {
    let mut saved = observer.drifted();
    loop {
        sleep(SAVE_INTERVAL).await;
        observer.save_sources();
        let drifted = observer.drifted();
        if drifted != saved {
            save_now(&observer, &directory).await;
            saved = drifted;
        }
    }
}

/// Saves the current drift.
pub async fn save_now(observer: &Observer, directory: &Path) {
    observer.save_sources();
    let (drifted, directory) = (observer.drifted(), directory.to_owned());
    let saving = tokio::task::spawn_blocking(move || save(&directory, &drifted));
    if let Ok(Err(error)) = saving.await {
        tracing::warn!(file = FILE_NAME, %error, "cannot save the schema drift");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn saved_drift_is_restored_and_a_malformed_file_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(load(directory.path()).expect("nothing yet").is_none());
        let drifted = DriftReport { since: 7, drift: Vec::new(), other: 3 };
        save(directory.path(), &drifted).expect("saved");
        save(directory.path(), &drifted).expect("saved again");
        assert_eq!(load(directory.path()).expect("read"), Some(drifted));
        let mode =
            fs::metadata(directory.path().join(FILE_NAME)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(directory.path().join(FILE_NAME), "{\"since\":").expect("written");
        assert!(load(directory.path()).is_err());
    }
}
