//! What the fuzz targets and the properties beside them reach of this module.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use bytes::Bytes;

use super::auth::Credentials;
use super::body::{self, InflateError};
use super::client::Proxies;
use super::in_flight::InFlight;
use super::ingest::{self, Context};
use crate::decode::Refusal;
use crate::receive::{Credential, ForwardedHeader};
use crate::spool::Batch;

/// Why a body was not inflated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotInflated {
    TooLarge,
    InFlight,
    Broken,
}

/// The batch that a body becomes.
pub(crate) fn batch(body: &Bytes) -> Result<Batch, Refusal> {
    let context = Context {
        source: Arc::from("pingone"),
        received_at: 0,
        request_id: "".into(),
        strict: false,
        redaction: None,
    };
    ingest::ingest(&context, body).map(|ingested| ingested.batch)
}

/// The encodings that a request names, outermost first.
pub(crate) fn encodings(headers: &HeaderMap) -> Vec<String> {
    body::encodings(headers)
}

/// Undoes the encodings, with so many bytes for each result and for all of them.
pub(crate) fn inflate(
    body: &[u8],
    encodings: &[String],
    limit: u64,
    in_flight: u64,
) -> Result<Bytes, NotInflated> {
    let mut reservation = InFlight::new(in_flight).nothing();
    let body = Bytes::copy_from_slice(body);
    body::inflate(body, encodings, limit, &mut reservation).map_err(|error| match error {
        InflateError::TooLarge => NotInflated::TooLarge,
        InflateError::InFlight => NotInflated::InFlight,
        InflateError::Broken(_) => NotInflated::Broken,
    })
}

/// Whether a request with these headers may come in.
pub(crate) fn is_allowed(credentials: &[Credential], headers: &HeaderMap) -> bool {
    Credentials::new(credentials).allow(headers, None)
}

/// Whom a request comes from that a trusted proxy at this address sent.
pub(crate) fn client(proxy: IpAddr, header: ForwardedHeader, headers: &HeaderMap) -> IpAddr {
    Proxies { trusted: vec![proxy.into()], header }.client(proxy, headers)
}
