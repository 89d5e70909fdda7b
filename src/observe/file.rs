//! Drift outlasts the process: a small file beside the spool, `drift.json`. It holds types and shapes, no
//! values. Losing it loses nothing that was promised.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{Drifted, Observer};
use crate::durable_dir;

const NAME: &str = "drift.json";

/// How often it is written, at most.
const EVERY: Duration = Duration::from_mins(5);

/// Bytes of the file, at most: all rows with texts of full length take less.
const MOST: u64 = 4 * 1024 * 1024;

/// What was known when the service last ran; `None` if it never did.
fn load(directory: &Path) -> io::Result<Option<Drifted>> {
    let file = match fs::File::open(directory.join(NAME)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text)?;
    Ok(Some(serde_json::from_str(&text)?))
}

/// Keeps what is known: whole, or as it was before.
fn save(directory: &Path, drifted: &Drifted) -> io::Result<()> {
    let (new, name) = (directory.join("drift.json.new"), directory.join(NAME));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(drifted)?)?;
    file.sync_all()?;
    fs::rename(&new, &name)?;
    durable_dir::sync(directory)
}

/// Goes on where the last process ended. What cannot be read is said, and is no reason not to start.
pub fn remember(observer: &Observer, directory: &Path, now: i64) {
    match load(directory) {
        Ok(None) => {}
        Ok(Some(known)) => observer.remember(known, now),
        Err(error) => {
            tracing::warn!(file = NAME, %error, "schema drift begins anew: what was known cannot be read");
        }
    }
}

/// Keeps what changes, from time to time, until it is aborted.
pub async fn keep(observer: Arc<Observer>, directory: PathBuf) {
    let mut kept = observer.drifted();
    loop {
        sleep(EVERY).await;
        observer.save_sources();
        let drifted = observer.drifted();
        if drifted != kept {
            keep_once(&observer, &directory).await;
            kept = drifted;
        }
    }
}

/// Keeps what is known now.
pub async fn keep_once(observer: &Observer, directory: &Path) {
    observer.save_sources();
    let (drifted, directory) = (observer.drifted(), directory.to_owned());
    let saving = tokio::task::spawn_blocking(move || save(&directory, &drifted));
    if let Ok(Err(error)) = saving.await {
        tracing::warn!(file = NAME, %error, "schema drift is not kept for the next start");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_what_is_broken_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(load(folder.path()).expect("nothing yet").is_none());
        let drifted = Drifted { since: 7, drift: Vec::new(), other: 3 };
        save(folder.path(), &drifted).expect("saved");
        save(folder.path(), &drifted).expect("saved again");
        assert_eq!(load(folder.path()).expect("read"), Some(drifted));
        let mode = fs::metadata(folder.path().join(NAME)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(folder.path().join(NAME), "{\"since\":").expect("written");
        assert!(load(folder.path()).is_err());
    }
}
