//! Names after a power loss. Changes without a common name survive or are lost independently; of changes with a common
//! name, an older one is never lost without the younger ones.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand::rngs::StdRng;

use super::journal::{Change, Record};
use super::{Loss, Lost};

/// Returns groups of changes with common names, oldest first.
#[derive(Default)]
struct Chain<'a> {
    names: BTreeSet<(u64, &'a OsString)>,
    changes: Vec<(usize, &'a Record)>,
}

/// Discards unsynced changes of names, or some of them.
pub fn undo(
    records: &[Record],
    files: &HashMap<u64, PathBuf>,
    store: &Path,
    loss: Loss,
    random: &mut StdRng,
    lost: &mut Lost,
) {
    let mut undone = Vec::new();
    for mut chain in chains(records) {
        let surviving = match loss {
            Loss::Everything => 0,
            Loss::Some => random.random_range(0..=chain.changes.len()),
        };
        lost.names += chain.changes.len() as u64;
        undone.extend(chain.changes.drain(surviving..));
    }
    lost.undone_names += undone.len() as u64;
    // The youngest first: the names in a directory before the directory itself.
    undone.sort_by_key(|(index, _)| std::cmp::Reverse(*index));
    for (_, record) in undone {
        let Change::Named { names } = &record.change else { continue };
        let directory = files.get(&record.file).expect("a directory has a path");
        for (name, before) in names {
            give_back(&directory.join(name), *before, store);
        }
    }
}

fn chains(records: &[Record]) -> Vec<Chain<'_>> {
    let mut chains: Vec<Chain<'_>> = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let Change::Named { names } = &record.change else { continue };
        let mut joined = Chain::default();
        joined.names.extend(names.iter().map(|(name, _)| (record.file, name)));
        for tied in chains
            .extract_if(.., |chain| !chain.names.is_disjoint(&joined.names))
            .collect::<Vec<_>>()
        {
            joined.names.extend(tied.names);
            joined.changes.extend(tied.changes);
        }
        joined.changes.push((index, record));
        joined.changes.sort_by_key(|(index, _)| *index);
        chains.push(joined);
    }
    chains
}

/// Restores the old target of a name: a kept file, or none.
fn give_back(path: &Path, before: u64, store: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).expect("removed");
    } else if path.exists() {
        fs::remove_file(path).expect("removed");
    }
    if before != 0 {
        fs::hard_link(store.join(before.to_string()), path).expect("linked");
    }
}
