//! Content of a file after a power loss: each block has an older version, the newest, or parts of two.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rand::RngExt;
use rand::rngs::StdRng;

use super::journal::{Change, Record};
use super::{Loss, Lost};

/// Versions of each changed block, newest first.
type Versions = BTreeMap<u64, Vec<Vec<u8>>>;

/// Discards the unsynced changes of a file, or some of them.
pub fn undo(path: &Path, changes: &[&Record], loss: Loss, random: &mut StdRng, lost: &mut Lost) {
    let file = File::options().read(true).write(true).open(path).expect("a file");
    let length = file.metadata().expect("metadata").len();
    // Unit that a disk writes at once.
    let size = if random.random_bool(0.5) { 512 } else { 4096 };
    let (blocks, mut lengths) = versions(&file, changes, size);
    lengths.push(length);
    // The probability varies from file to file. Otherwise no long run of blocks would ever survive, and no file would
    // stay whole while another one is lost.
    let survival = [0.0, 0.05, 0.5, 0.95, 1.0][random.random_range(0..5)];
    for (block, versions) in blocks {
        let chosen = match loss {
            Loss::Everything => versions.len() - 1,
            Loss::Some if random.random_bool(survival) => 0,
            Loss::Some => random.random_range(1..versions.len()),
        };
        let mut bytes = versions[chosen].clone();
        if loss == Loss::Some && random.random_ratio(1, 8) {
            let at = random.random_range(0..size);
            bytes[at..].copy_from_slice(&versions[random.random_range(0..versions.len())][at..]);
            lost.torn_blocks += u64::from(versions.iter().all(|version| *version != bytes));
        }
        lost.blocks += 1;
        lost.old_blocks += u64::from(bytes != versions[0]);
        file.write_all_at(&bytes, block * size as u64).expect("written");
    }
    let chosen = match loss {
        Loss::Everything => lengths[0],
        Loss::Some if random.random_bool(survival) => length,
        Loss::Some => between(&lengths, random),
    };
    lost.lengths += u64::from(chosen != length);
    file.set_len(chosen).expect("cut");
}

/// Returns the changed blocks in all versions, and the lengths before each change.
fn versions(file: &File, changes: &[&Record], size: usize) -> (Versions, Vec<u64>) {
    let mut blocks = Versions::new();
    let mut lengths = Vec::new();
    for record in changes.iter().rev() {
        let (at, end, length, old) = match &record.change {
            Change::Written { at, count, length, old } => (*at, at + count, *length, old),
            Change::Resized { at, length, old } => (*at, at + old.len() as u64, *length, old),
            Change::Named { .. } | Change::Synced { .. } => continue,
        };
        lengths.push(length);
        let mut start = at;
        while start < end {
            let block = start / size as u64;
            let first = block * size as u64;
            let stop = end.min(first + size as u64);
            let versions = blocks.entry(block).or_insert_with(|| vec![read(file, first, size)]);
            let mut older = versions.last().expect("a version").clone();
            // Bytes beyond the old end of the file are zeros.
            let part = &mut older[(start - first) as usize..(stop - first) as usize];
            part.fill(0);
            let there = old.get((start - at) as usize..).unwrap_or_default();
            let there = &there[..there.len().min(part.len())];
            part[..there.len()].copy_from_slice(there);
            versions.push(older);
            start = stop;
        }
    }
    lengths.reverse();
    (blocks, lengths)
}

/// Returns a block; zeros beyond the file's end.
fn read(file: &File, mut at: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let mut rest = bytes.as_mut_slice();
    while !rest.is_empty() {
        let count = file.read_at(rest, at).expect("read");
        if count == 0 {
            break;
        }
        rest = &mut rest[count..];
        at += count as u64;
    }
    bytes
}

/// Returns one of these lengths, or one between two successive lengths.
fn between(lengths: &[u64], random: &mut StdRng) -> u64 {
    let at = random.random_range(0..lengths.len() - 1);
    let (one, next) = (lengths[at], lengths[at + 1]);
    match random.random_range(0..3) {
        0 => one,
        1 => next,
        _ => random.random_range(one.min(next)..=one.max(next)),
    }
}
