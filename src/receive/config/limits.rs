//! `[limits]`: upper bounds of one request and of all requests together.

use std::time::Duration;

use crate::settings::Section;

const MIB: u64 = 1024 * 1024;

/// Upper bound of `limits.body`, in bytes: more than a hundred times what PingOne sends, and well below the size
/// that the spool stores as one value.
const MAX_BODY_BYTES: u64 = 512 * MIB;

/// Bounds on the memory and the time that senders can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Upper bound of one body, in bytes: compressed, and again inflated.
    pub body: u64,
    /// Upper bound of all bodies that are being received or stored, in bytes.
    pub in_flight: u64,
    /// Upper bound of open connections.
    pub connections: usize,
    /// Timeout of a TLS handshake, and of the PROXY protocol's header before it.
    pub handshake_timeout: Duration,
    /// Timeout of a request's headers, and of the next request on an idle connection.
    pub header_timeout: Duration,
    /// Timeout of a request's body.
    pub body_timeout: Duration,
    /// Requests with wrong credentials that one address may make in a minute before it gets 429.
    pub failed_logins: u32,
    /// Time for requests in flight, and then for the sinks, after SIGTERM.
    pub shutdown_grace: Duration,
}

impl LimitsConfig {
    /// Reads `[limits]`.
    pub(crate) fn read(section: &mut Section<'_>) -> Option<LimitsConfig> {
        let doc = "Upper bound of one body: compressed, and again inflated. Larger bodies get 413.";
        let body = section.size("body", 1024..=MAX_BODY_BYTES, doc).or("32 MiB");
        let doc = "Upper bound of all bodies that are being received or stored; above it, requests get 503. At \
                   least twice body.";
        let in_flight = section.size("in_flight", 2048..=u64::MAX, doc).or("256 MiB");
        let doc = "Upper bound of open connections. Above it, the connection that is idle longest is closed.";
        let connections = section.integer("connections", 1..=u64::MAX, doc).or("1024");
        let doc = "Timeout of a TLS handshake, and of the PROXY protocol's header before it.";
        let handshake_timeout = section.timeout("handshake_timeout", doc).or("10s");
        let doc = "Timeout of a request's headers, and of the next request on a connection.";
        let header_timeout = section.timeout("header_timeout", doc).or("30s");
        let doc = "Timeout of a request's body; then the request gets 408.";
        let body_timeout = section.timeout("body_timeout", doc).or("60s");
        let doc = "Requests with wrong credentials from one address in a minute; above it, requests get 429.";
        let failed_logins = section.integer("failed_logins", 1..=u64::MAX, doc).or("10");
        let doc = "Time for requests in flight, and then for the sinks, after SIGTERM.";
        let shutdown_grace = section.duration("shutdown_grace", doc).or("8s");
        let limits = LimitsConfig {
            body: body?,
            in_flight: in_flight?,
            connections: connections? as usize,
            handshake_timeout: handshake_timeout?,
            header_timeout: header_timeout?,
            body_timeout: body_timeout?,
            failed_logins: u32::try_from(failed_logins?).unwrap_or(u32::MAX),
            shutdown_grace: shutdown_grace?,
        };
        let least = limits.body.saturating_mul(2);
        if limits.in_flight < least {
            section.report("in_flight", format!(
                "must be at least {least} bytes, twice limits.body, to hold one body compressed and inflated"
            ));
        }
        Some(limits)
    }
}
