//! `[limits]`: what one request, and all requests together, may take.

use std::time::Duration;

use super::section::Section;

const MIB: u64 = 1024 * 1024;

/// More than a hundred times what PingOne sends, and well below what the store takes in one piece.
const MAX_BODY: u64 = 512 * MIB;

/// Bounds on what a sender can make the service hold or wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one body, compressed and inflated each.
    pub body: u64,
    /// Bytes of all bodies being received or stored.
    pub in_flight: u64,
    /// Connections that may be open.
    pub connections: usize,
    /// Time for a TLS handshake, and for the PROXY protocol's header before it.
    pub handshake_timeout: Duration,
    /// Time for a request's headers, and for the next request on an idle connection.
    pub header_timeout: Duration,
    /// Time for a request's body.
    pub body_timeout: Duration,
    /// Requests with wrong credentials that one address may make in a minute before it is told to wait.
    pub failed_logins: u32,
    /// Time for requests in flight, and then for the sinks, after SIGTERM.
    pub shutdown_grace: Duration,
}

pub(super) fn read(mut section: Section<'_>) -> Limits {
    let limits = Limits {
        body: section.size("body", 1024).unwrap_or(32 * MIB),
        in_flight: section.size("in_flight", 2048).unwrap_or(256 * MIB),
        connections: section.integer("connections", 1).unwrap_or(1024) as usize,
        handshake_timeout: section.timeout("handshake_timeout").unwrap_or(Duration::from_secs(10)),
        header_timeout: section.timeout("header_timeout").unwrap_or(Duration::from_secs(30)),
        body_timeout: section.timeout("body_timeout").unwrap_or(Duration::from_secs(60)),
        failed_logins: section
            .integer("failed_logins", 1)
            .map_or(10, |number| u32::try_from(number).unwrap_or(u32::MAX)),
        shutdown_grace: section.duration("shutdown_grace").unwrap_or(Duration::from_secs(8)),
    };
    if limits.body > MAX_BODY {
        section.report("body", format!("must be at most {} MiB", MAX_BODY / MIB));
    }
    section.finish();
    limits
}
