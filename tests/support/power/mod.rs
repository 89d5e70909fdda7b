//! A power loss: what a killed process had written and not synced disappears, in whole or in part.
//!
//! `power_loss.c`, preloaded into the service, notes every change below the home's directory with what was
//! there before. [`Power::cut`] undoes what no sync has made durable:
//!
//! * each block of a file by itself: it is as it was at the last sync, as it is now, or as it was at any
//!   time in between, or torn between two of these; and so is the file's length ([`contents`]);
//! * each name by itself, unless one change moved several: it is there or gone ([`names`]).
//!
//! Real disks and filesystems are kinder than that. What comes through this does not need them to be.

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

/// How much of what was not synced is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    Everything,
    /// Whatever chance takes; the rest survives, in no order.
    Some,
}

/// What was found and done, to be printed.
#[derive(Debug, Default, Clone, Copy)]
pub struct Lost {
    pub cuts: u64,
    /// Blocks written and not synced; those of them that fell back, or were torn.
    pub blocks: u64,
    pub old_blocks: u64,
    pub torn_blocks: u64,
    /// Files whose length fell back or stopped on the way.
    pub lengths: u64,
    /// Changes of names that were not synced; those of them that were undone.
    pub names: u64,
    pub undone_names: u64,
}

/// The power of one home.
pub struct Power {
    directory: PathBuf,
    store: TempDir,
    random: StdRng,
    pub lost: Lost,
}

impl Power {
    /// Lets every process that is started in `home` from now on run on a disk that can forget.
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

    /// The directory whose changes are noted.
    pub fn directory(&self) -> String {
        self.directory.display().to_string()
    }

    /// From now on until the process is killed, no sync returns of the file that `POWER_HOLDS` names.
    pub fn hold(&self) {
        std::fs::write(self.store.path().join("hold"), "").expect("written");
    }

    /// Whether a sync is held.
    pub fn is_held(&self) -> bool {
        self.store.path().join("held").exists()
    }

    /// A process was killed, and the power stays: what it wrote is there, and still not synced.
    pub fn stay(&self) {
        for name in ["hold", "held"] {
            // Most often, nothing was held.
            drop(std::fs::remove_file(self.store.path().join(name)));
        }
        journal::cut_torn_record(&self.journal());
    }

    /// The power was cut, in the moment that the process was killed. What is left is on disk.
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

    /// A path of everything that has one, by the number that the journal knows it by.
    fn files(&self) -> HashMap<u64, PathBuf> {
        [self.store.path(), &self.directory]
            .into_iter()
            .flat_map(|directory| below(directory).into_iter().chain([directory.to_owned()]))
            .map(|path| (path.symlink_metadata().expect("metadata").ino(), path))
            .collect()
    }

    /// Nobody syncs SQLite's shared memory: after a power loss it is gone, or holds anything.
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

/// Everything below a directory.
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
