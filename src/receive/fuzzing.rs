//! Access of the fuzz properties to this module.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use bytes::Bytes;

use super::auth::Credentials;
use super::body::{self, InflateError};
use super::client::Proxies;
use super::in_flight::InFlightBytes;
use super::ingest::Context;
use super::intake::Intake;
use crate::decode::Refusal;
use crate::listener::ForwardedHeader;
use crate::receive::Credential;
use crate::spool::Batch;

/// Error of [`inflate`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotInflated {
    TooLarge,
    InFlight,
    Broken,
}

/// Returns the batch of a body that arrives in pieces of about `piece` bytes.
///
/// # Errors
///
/// The body cannot be parsed.
pub(crate) fn batch(body: &Bytes, piece: usize) -> Result<Batch, Refusal> {
    let context = Context {
        source: Arc::from("pingone"),
        received_at: 0,
        request_id: "".into(),
        strict: false,
        outcomes: Arc::default(),
        redaction: None,
    };
    let mut intake = Intake::new(context);
    body.chunks(piece.max(1)).for_each(|piece| intake.push(body.slice_ref(piece)));
    let decoded = intake.end().decode();
    decoded.map(|ingested| ingested.batch).map_err(|(refusal, whole)| {
        assert_eq!(whole, body, "the whole body goes to quarantine");
        refusal
    })
}

/// Returns the encodings that a request names, outermost first.
pub(crate) fn encodings(headers: &HeaderMap) -> Vec<String> {
    body::encodings(headers)
}

/// Undoes the encodings, within a limit for each result and a limit for the sum.
///
/// # Errors
///
/// See [`NotInflated`].
pub(crate) fn inflate(
    body: &[u8],
    encodings: &[String],
    limit: u64,
    in_flight: u64,
) -> Result<Bytes, NotInflated> {
    let mut reservation = InFlightBytes::new(in_flight).nothing();
    let body = Bytes::copy_from_slice(body);
    body::inflate(body, encodings, limit, &mut reservation).map_err(|error| match error {
        InflateError::TooLarge => NotInflated::TooLarge,
        InflateError::InFlight => NotInflated::InFlight,
        InflateError::Broken(_) => NotInflated::Broken,
    })
}

/// Returns whether a request with these headers is admitted.
pub(crate) fn is_allowed(credentials: &[Credential], headers: &HeaderMap) -> bool {
    Credentials::new(credentials).allow(headers, None)
}

/// Returns the client address of a request that a trusted proxy at `proxy` sent.
pub(crate) fn client(proxy: IpAddr, header: ForwardedHeader, headers: &HeaderMap) -> IpAddr {
    Proxies { trusted: vec![proxy.into()], header }.client(proxy, headers)
}
