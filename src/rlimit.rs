//! File descriptor limit. Every connection, the spool and the sinks need descriptors. Without free
//! ones, nothing can be accepted, stored or delivered, so the limit is checked at the start.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

/// Descriptors for everything except connections: spool, sinks, archives, certificates, the process
/// itself.
const OTHER_DESCRIPTORS: u64 = 256;

/// The limit of open files is too low.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{connections} connections (limits.connections, and those of the admin listener) need {needed} file \
     descriptors, and this process may have {allowed}. Raise its hard limit (ulimit -Hn, systemd's \
     LimitNOFILE=, docker run --ulimit nofile=), or lower limits.connections"
)]
pub struct DescriptorLimitError {
    connections: u64,
    needed: u64,
    allowed: u64,
}

/// Raises the soft `RLIMIT_NOFILE` to fit `connections`.
///
/// # Errors
///
/// [`DescriptorLimitError`] if the hard limit (`getrlimit(2)`) is too low.
pub(crate) fn provide(connections: usize) -> Result<(), DescriptorLimitError> {
    let connections = connections as u64;
    let needed = connections.saturating_add(OTHER_DESCRIPTORS);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` means unlimited.
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum });
    let allowed = maximum.or(current).unwrap_or(u64::MAX);
    raised.map_err(|_| DescriptorLimitError { connections, needed, allowed })
}
