//! Free space of a file system.

use std::path::PathBuf;
use std::time::Duration;

/// Timeout of the query: a network file system may not answer.
const DISK_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns the free space that an unprivileged process can use, and the size, of the file system of `directory`, in
/// bytes. Returns `None` if the file system does not answer.
pub(crate) async fn disk_space(directory: PathBuf) -> Option<(u64, u64)> {
    let query = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&directory));
    let found = tokio::time::timeout(DISK_TIMEOUT, query).await.ok()?.ok()?.ok()?;
    Some((found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize))
}
