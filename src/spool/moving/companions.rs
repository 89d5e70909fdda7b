//! Files beside the spool that belong to the service rather than to an engine: they move along to another directory.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::durable_dir;
use crate::spool::OpenError;

/// Names of the files: the audit log, the state of pushed alerts, and schema drift. `spool.sources` is not among them,
/// because its times are only those of one receiver.
const FILES: [&str; 4] = ["audit.1.ndjson", "audit.ndjson", "alerts.json", "drift.json"];

/// Names of the files that were found in the old directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Companions {
    /// Files that the new directory has now.
    pub(super) copied: Vec<String>,
    /// Files that stay, because the new directory has others of the same name.
    pub(super) left: Vec<String>,
}

/// Copies the files to the directory `to`, which is created. A repetition completes an interrupted attempt: a file that
/// an earlier attempt has copied is replaced, also if the audit log has grown since.
///
/// # Errors
///
/// [`OpenError::File`] with the file that cannot be read or written.
pub(super) fn copy(from: &Path, to: &Path) -> Result<Companions, OpenError> {
    let unusable = |source| OpenError::Directory { directory: to.to_owned(), source };
    durable_dir::make(to, 0o700).map_err(unusable)?;
    let mut companions = Companions::default();
    if fs::canonicalize(from).is_ok_and(|from| fs::canonicalize(to).is_ok_and(|to| from == to)) {
        return Ok(companions);
    }
    for name in FILES {
        let (old, new) = (from.join(name), to.join(name));
        let Some(content) = read(&old)? else { continue };
        let known = read(&new)?;
        if known.as_ref().is_some_and(|known| !content.starts_with(known)) {
            companions.left.push(name.to_owned());
            continue;
        }
        if known.as_ref() != Some(&content) {
            write(to, name, &content).map_err(|source| OpenError::File { file: new, source })?;
        }
        companions.copied.push(name.to_owned());
    }
    Ok(companions)
}

fn read(file: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    match fs::read(file) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::File { file: file.to_owned(), source }),
    }
}

/// Writes a file atomically.
fn write(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let new = directory.join(format!("{name}.moving"));
    let mut options = File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, directory.join(name))?;
    durable_dir::sync(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_copied_once_and_those_of_the_new_directory_are_kept() {
        let root = tempfile::tempdir().expect("a directory");
        let (old, new) = (root.path().join("old"), root.path().join("new"));
        assert_eq!(copy(&old, &new).expect("nothing there"), Companions::default());
        fs::create_dir(&old).expect("made");
        let write = |name: &str, text: &str| fs::write(old.join(name), text).expect("written");
        write("audit.ndjson", "one\n");
        write("drift.json", "{}");
        fs::write(new.join("drift.json"), "other").expect("written");
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let expected =
            Companions { copied: owned(&["audit.ndjson"]), left: owned(&["drift.json"]) };
        assert_eq!(copy(&old, &new).expect("copied"), expected);
        // The failure of the first attempt was recorded meanwhile.
        write("audit.ndjson", "one\ntwo\n");
        assert_eq!(copy(&old, &new).expect("copied again"), expected);
        let text = |name: &str| fs::read_to_string(new.join(name)).expect("there");
        assert_eq!(
            (text("audit.ndjson"), text("drift.json")),
            ("one\ntwo\n".into(), "other".into())
        );
        let same = root.path().join("old/../old");
        assert_eq!(copy(&old, &same).expect("the same"), Companions::default());
    }
}
