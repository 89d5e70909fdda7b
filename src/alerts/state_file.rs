//! Persistence of open alerts in `alerts.json`, beside the spool. No guarantee depends on it: without it, messages are
//! repeated once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::conditions::Growth;
use super::tracker::AlertTracker;
use crate::durable_dir;

const FILE_NAME: &str = "alerts.json";

/// Upper bound of the bytes read. An alert takes about 500 bytes, at most 5 KiB, and a service has at most a few per
/// sink.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Content of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AlertState {
    pub(super) tracker: AlertTracker,
    /// Totals of dead letters by sink, to tell new ones from old ones.
    pub(super) dead_letters: Growth,
}

/// Reads the state of the previous process; an empty one if there is no file.
pub(super) fn load(directory: &Path) -> io::Result<AlertState> {
    let file = match File::open(directory.join(FILE_NAME)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(AlertState::default()),
        opened => opened?,
    };
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "the file has more than 256 MiB"));
    }
    Ok(serde_json::from_slice(&text)?)
}

/// Writes the text of a state atomically.
pub(super) fn save(directory: &Path, text: &[u8]) -> io::Result<()> {
    let (new, name) = (directory.join("alerts.json.new"), directory.join(FILE_NAME));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, &name)?;
    durable_dir::sync(directory)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::alerts::{AlertKind, Condition};

    #[test]
    fn the_state_is_restored_also_a_large_one_and_a_malformed_file_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(load(directory.path()).expect("nothing yet"), AlertState::default());
        let conditions: Vec<Condition> = (0..10_000)
            .map(|sink| Condition {
                kind: AlertKind::SinkPaused,
                subject: format!("sink-{sink}"),
                summary: "paused ".repeat(70),
            })
            .collect();
        let mut state = AlertState::default();
        state.tracker.observe(1, &conditions, Duration::ZERO);
        let text = serde_json::to_vec(&state).expect("JSON");
        assert!(text.len() > 5_000_000);
        save(directory.path(), &text).expect("saved");
        assert_eq!(load(directory.path()).expect("read"), state);
        fs::write(directory.path().join(FILE_NAME), "{").expect("written");
        assert!(load(directory.path()).is_err());
    }
}
