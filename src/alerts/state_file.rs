//! Persistence of open alerts in `alerts.json`, beside the spool. No guarantee depends on it: without it, messages are
//! repeated once.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::tracker::AlertTracker;
use crate::durable_dir;

const FILE_NAME: &str = "alerts.json";

/// Upper bound of the bytes read. An alert takes about 500 bytes.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Content of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AlertState {
    pub(super) tracker: AlertTracker,
    /// Totals of dead letters by sink, to tell new ones from old ones.
    pub(super) dead_letters: BTreeMap<String, u64>,
}

/// Reads the state of the previous process; an empty one if there is no file.
pub(super) fn load(directory: &Path) -> io::Result<AlertState> {
    let file = match File::open(directory.join(FILE_NAME)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(AlertState::default()),
        opened => opened?,
    };
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

/// Writes the state atomically.
pub(super) fn save(directory: &Path, state: &AlertState) -> io::Result<()> {
    let (new, name) = (directory.join("alerts.json.new"), directory.join(FILE_NAME));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(state)?)?;
    file.sync_all()?;
    fs::rename(&new, &name)?;
    durable_dir::sync(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_restored_and_a_malformed_file_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(load(directory.path()).expect("nothing yet"), AlertState::default());
        let dead_letters = BTreeMap::from([("siem".to_owned(), 3)]);
        let state = AlertState { dead_letters, ..AlertState::default() };
        save(directory.path(), &state).expect("saved");
        assert_eq!(load(directory.path()).expect("read"), state);
        fs::write(directory.path().join(FILE_NAME), "{").expect("written");
        assert!(load(directory.path()).is_err());
    }
}
