//! File descriptors: every connection takes one, and so do the spool and the sinks. When they run out
//! nothing can be accepted, stored or delivered; so there have to be enough from the start.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

/// For everything that is no connection: spool, sinks, archives, certificates, the process itself.
const OTHERS: u64 = 256;

/// The process may not open as many files as it may need.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{connections} connections (limits.connections, and those of the admin listener) need {needed} file \
     descriptors, and this process may have {allowed}. Raise its hard limit (ulimit -Hn, systemd's \
     LimitNOFILE=, docker run --ulimit nofile=), or lower limits.connections"
)]
pub struct TooFew {
    connections: u64,
    needed: u64,
    allowed: u64,
}

/// Sees to it that so many connections can be open: raises this process' own limit where it is lower.
///
/// # Errors
/// [`TooFew`] if the hard limit (`getrlimit(2)`) does not allow that.
pub fn provide(connections: usize) -> Result<(), TooFew> {
    let connections = connections as u64;
    let needed = connections.saturating_add(OTHERS);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no limit.
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum });
    let allowed = maximum.or(current).unwrap_or(u64::MAX);
    raised.map_err(|_| TooFew { connections, needed, allowed })
}
