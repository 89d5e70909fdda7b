//! Whether files have changed that certificates and credentials are read from.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

/// A number that changes when the contents of one of the files do; also when one appears, goes, or
/// is replaced through a symbolic link.
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
