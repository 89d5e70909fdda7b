//! A power loss: unsynced writes of a killed process disappear, completely or partly.
//!
//! `power_loss.c`, preloaded into the service, records every change below the home's directory with the state before
//! it. [`Power::cut`] undoes the changes that no sync has made durable:
//!
//! * each block of a file on its own: it has the content of the last sync, the newest, any in between, or parts of two
//!   of these; and so has the file's length ([`contents`]);
//! * each name on its own, unless one change moved several: the change is kept or undone ([`names`]).
//!
//! Real disks and file systems lose less. A spool that survives this survives them.

mod contents;
mod journal;
mod names;

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use super::service::Home;
use journal::{Change, Record};

/// Part of the unsynced changes that is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    Everything,
    /// A random part; the rest survives, in no order.
    Some,
}

/// Counts of a power loss, to be printed.
#[derive(Debug, Default, Clone, Copy)]
pub struct Lost {
    pub cuts: u64,
    /// Unsynced blocks; those of them that were undone, or torn.
    pub blocks: u64,
    pub old_blocks: u64,
    pub torn_blocks: u64,
    /// Files whose length was undone, partly or completely.
    pub lengths: u64,
    /// Unsynced changes of names; those of them that were undone.
    pub names: u64,
    pub undone_names: u64,
}

/// Power supply of one home.
pub struct Power {
    directory: PathBuf,
    store: TempDir,
    random: StdRng,
    pub lost: Lost,
}

impl Power {
    /// Records the changes of every process that is started in `home` from now on.
    pub fn connect(home: &mut Home, seed: u64) -> Power {
        let store = tempfile::tempdir().expect("a directory");
        let directory = home.directory.path().canonicalize().expect("a path");
        home.preload("power_loss.c");
        for (name, path) in [("POWER_WATCHED", directory.as_path()), ("POWER_STORE", store.path())]
        {
            home.variables.push((name.to_owned(), path.display().to_string()));
        }
        Power { directory, store, random: StdRng::seed_from_u64(seed), lost: Lost::default() }
    }

    /// The directory whose changes are recorded.
    pub fn directory(&self) -> String {
        self.directory.display().to_string()
    }

    /// From now on until the process is killed, no sync of the file that `POWER_HOLDS` names returns.
    pub fn hold(&self) {
        std::fs::write(self.store.path().join("hold"), "").expect("written");
    }

    /// Returns true if a sync is held.
    pub fn is_held(&self) -> bool {
        self.store.path().join("held").exists()
    }

    /// Continues after a killed process without a power loss: its writes stay, and stay unsynced.
    pub fn stay(&self) {
        for name in ["hold", "held"] {
            // Usually, nothing was held.
            drop(std::fs::remove_file(self.store.path().join(name)));
        }
        journal::cut_torn_record(&self.journal());
    }

    /// Applies a power loss at the moment of the kill to the files on disk.
    pub fn cut(&mut self, loss: Loss) {
        let records = journal::unsynced(journal::read(&self.journal()));
        let files = self.files();
        let mut by_file: BTreeMap<u64, Vec<&Record>> = BTreeMap::new();
        for record in &records {
            if !matches!(record.change, Change::Named { .. }) {
                by_file.entry(record.file).or_default().push(record);
            }
        }
        for (file, changes) in by_file {
            let path = files.get(&file).expect("a changed file has a name, or is kept");
            contents::undo(path, &changes, loss, &mut self.random, &mut self.lost);
        }
        names::undo(&records, &files, self.store.path(), loss, &mut self.random, &mut self.lost);
        self.scramble_shared_memory();
        for entry in self.store.path().read_dir().expect("a directory") {
            std::fs::remove_file(entry.expect("an entry").path()).expect("removed");
        }
        self.lost.cuts += 1;
    }

    fn journal(&self) -> PathBuf {
        self.store.path().join("journal")
    }

    /// Returns a path of each file that has one, by its inode.
    fn files(&self) -> HashMap<u64, PathBuf> {
        [self.store.path(), &self.directory]
            .into_iter()
            .flat_map(|directory| below(directory).into_iter().chain([directory.to_owned()]))
            .map(|path| (path.symlink_metadata().expect("metadata").ino(), path))
            .collect()
    }

    /// SQLite's shared memory is never synced: after a power loss it is missing, or has any content.
    fn scramble_shared_memory(&mut self) {
        for path in below(&self.directory) {
            if path.to_string_lossy().ends_with("-shm") {
                std::fs::remove_file(&path).expect("removed");
                if self.random.random_bool(0.5) {
                    let noise: Vec<u8> = (0..32 * 1024).map(|_| self.random.random()).collect();
                    std::fs::write(&path, noise).expect("written");
                }
            }
        }
    }
}

/// Returns all paths below a directory.
pub fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in directory.read_dir().expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found
}
