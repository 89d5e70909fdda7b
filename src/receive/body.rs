//! Reads and inflates a body within its limits: bytes as sent, and bytes inflated.

use std::io::{self, Read};

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use flate2::bufread::{DeflateDecoder, ZlibDecoder};
use http_body_util::BodyExt;

use super::answer::{Unavailable, WebhookAnswer};
use super::in_flight::Reservation;

/// Window size of zstd, as a power of two: 8 MiB, the maximum that RFC 9659 allows a sender.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Frames of a body within its limits.
pub(super) struct Frames {
    body: Body,
    limit: u64,
    /// Bytes received so far.
    received: u64,
}

impl Frames {
    pub(super) fn new(body: Body, limit: u64) -> Frames {
        Frames { body, limit, received: 0 }
    }

    /// Returns the next frame, or `None` after the last one.
    ///
    /// # Errors
    ///
    /// Returns the answer if the body is too large or broken, or too many bytes are in flight.
    pub(super) async fn next(
        &mut self,
        reservation: &mut Reservation,
    ) -> Result<Option<Bytes>, WebhookAnswer> {
        while let Some(frame) = self.body.frame().await {
            // The connection broke or its framing is invalid, so no client receives this answer.
            let Ok(frame) = frame else { return Err(WebhookAnswer::Timeout) };
            let Ok(data) = frame.into_data() else { continue };
            self.received += data.len() as u64;
            if self.received > self.limit {
                return Err(WebhookAnswer::TooLarge);
            }
            if !reservation.grow(data.len() as u64) {
                return Err(WebhookAnswer::Unavailable(Unavailable::InFlight));
            }
            return Ok(Some(data));
        }
        Ok(None)
    }

    /// Returns `first` and all following frames in one piece.
    ///
    /// # Errors
    ///
    /// See [`next`](Self::next).
    pub(super) async fn gather(
        &mut self,
        first: Bytes,
        reservation: &mut Reservation,
    ) -> Result<Bytes, WebhookAnswer> {
        if self.body.is_end_stream() {
            return Ok(first);
        }
        let mut bytes = BytesMut::from(first);
        while let Some(frame) = self.next(reservation).await? {
            bytes.extend_from_slice(&frame);
        }
        Ok(bytes.freeze())
    }
}

/// Error of inflating a body.
#[derive(Debug, thiserror::Error)]
pub(super) enum InflateError {
    /// The inflated body is larger than allowed.
    #[error("larger than limits.body when inflated")]
    TooLarge,
    /// Too many bytes are in flight to hold the inflated body.
    #[error("too many bytes in flight")]
    InFlight,
    /// The encoding is unknown, or the bytes do not match it.
    #[error("{0}")]
    Broken(String),
}

/// Returns the encodings of a body, outermost first.
pub(super) fn encodings(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut names: Vec<String> = values
        .flat_map(|value| {
            String::from_utf8_lossy(value.as_bytes())
                .split(',')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty() && name != "identity")
        .collect();
    names.reverse();
    names
}

/// Detects the compression of a body without `Content-Encoding` by its first bytes (RFC 1952
/// §2.3.1, RFC 8878 §3.1.1), with which no JSON begins.
pub(super) fn undeclared_encoding(body: &[u8]) -> Option<&'static str> {
    match body {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        _ => None,
    }
}

/// Undoes the encodings. Each result is at most `limit` bytes, and is reserved.
///
/// # Errors
///
/// See [`InflateError`].
pub(super) fn inflate(
    body: Bytes,
    encodings: &[String],
    limit: u64,
    reservation: &mut Reservation,
) -> Result<Bytes, InflateError> {
    let mut bytes = body;
    if encodings.len() > 2 {
        return Err(InflateError::Broken("more than two encodings".to_owned()));
    }
    for encoding in encodings {
        bytes = undo(&bytes, encoding, limit, reservation)?;
    }
    Ok(bytes)
}

fn undo(
    bytes: &[u8],
    encoding: &str,
    limit: u64,
    reservation: &mut Reservation,
) -> Result<Bytes, InflateError> {
    let broken = |error: io::Error| InflateError::Broken(format!("not {encoding}: {error}"));
    match encoding {
        "gzip" | "x-gzip" => {
            drain(flate2::read::MultiGzDecoder::new(bytes), encoding, limit, reservation)
        }
        "deflate" => {
            // RFC 9110 defines `deflate` as zlib's format; some senders omit its header.
            let has_header = bytes.first().is_some_and(|first| first & 0x0f == 8);
            let mut rest = bytes;
            let inflated = if has_header {
                drain(ZlibDecoder::new(&mut rest), encoding, limit, reservation)
            } else {
                drain(DeflateDecoder::new(&mut rest), encoding, limit, reservation)
            }?;
            match rest.len() {
                0 => Ok(inflated),
                more => Err(InflateError::Broken(format!("{more} bytes follow the deflated ones"))),
            }
        }
        "zstd" => {
            let mut decoder = zstd::stream::Decoder::with_buffer(bytes).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(broken)?;
            drain(decoder, encoding, limit, reservation)
        }
        other => Err(InflateError::Broken(format!("the encoding {other:?} is not supported"))),
    }
}

/// Reads a decoder to its end and grows the reservation meanwhile.
fn drain(
    mut decoder: impl Read,
    encoding: &str,
    limit: u64,
    reservation: &mut Reservation,
) -> Result<Bytes, InflateError> {
    let mut inflated = Vec::new();
    let mut block = [0; 32 * 1024];
    loop {
        let length = match decoder.read(&mut block) {
            Ok(0) => return Ok(Bytes::from(inflated)),
            Ok(length) => length,
            Err(error) => return Err(InflateError::Broken(format!("not {encoding}: {error}"))),
        };
        if (inflated.len() + length) as u64 > limit {
            return Err(InflateError::TooLarge);
        }
        if !reservation.grow(length as u64) {
            return Err(InflateError::InFlight);
        }
        inflated.extend_from_slice(&block[..length]);
    }
}

#[cfg(test)]
mod tests;
