//! Detects changes of the files from which certificates and credentials are read.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

/// Returns a number that changes if the contents of a file change, or if a file appears,
/// disappears, or is replaced through a symbolic link.
pub(crate) async fn file_fingerprint(files: Vec<PathBuf>) -> u64 {
    let hashing = tokio::task::spawn_blocking(move || {
        let mut hash = DefaultHasher::new();
        for file in files {
            std::fs::read(file).map_err(|error| error.kind()).hash(&mut hash);
        }
        hash.finish()
    });
    hashing.await.unwrap_or_default()
}
