//! Compresses request bodies on blocking threads, and inflates answers.

use std::io::{Read, Write};

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::GzEncoder;

use super::{Compression, RequestError};

/// Smallest body that is compressed. Below it, the header costs more than the compression saves.
const MIN_COMPRESSED_BYTES: usize = 1024;

/// Compresses a body. Returns it with its `Content-Encoding`.
///
/// # Errors
///
/// The encoder failed.
pub(super) async fn compress(
    body: Vec<u8>,
    compression: Compression,
) -> Result<(Vec<u8>, Option<&'static str>), RequestError> {
    if body.len() < MIN_COMPRESSED_BYTES || compression == Compression::None {
        return Ok((body, None));
    }
    let compressed = tokio::task::spawn_blocking(move || match compression {
        Compression::None => Ok((body, None)),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&body)?;
            Ok((encoder.finish()?, Some("gzip")))
        }
        Compression::Zstd => Ok((zstd::encode_all(body.as_slice(), 3)?, Some("zstd"))),
    });
    let compressed = compressed.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    compressed
        .map_err(|error| RequestError::new(format!("the body could not be compressed: {error}")))
}

/// Inflated body of an answer.
pub(super) struct Inflated {
    pub(super) bytes: Vec<u8>,
    /// False if the body is truncated or too long.
    pub(super) is_whole: bool,
    pub(super) is_too_long: bool,
}

/// Inflates up to `limit` bytes. Returns `None` for a body that is not compressed, or in an unknown
/// encoding.
pub(super) fn inflate(body: &[u8], encoding: &str, limit: usize) -> Option<Inflated> {
    let decoder: Box<dyn Read + '_> = match encoding.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Box::new(MultiGzDecoder::new(body)),
        "deflate" => Box::new(ZlibDecoder::new(body)),
        "zstd" => Box::new(zstd::Decoder::new(body).ok()?),
        _ => return None,
    };
    let mut bytes = Vec::new();
    let read = decoder.take(limit as u64 + 1).read_to_end(&mut bytes);
    let is_too_long = bytes.len() > limit;
    bytes.truncate(limit);
    Some(Inflated { bytes, is_whole: read.is_ok() && !is_too_long, is_too_long })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_inflated_within_its_bound() {
        let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&[b'x'; 1000]).expect("written");
        let gzip = gzip.finish().expect("finished");
        let zstd = zstd::encode_all([b'x'; 1000].as_slice(), 3).expect("packed");
        for (body, encoding) in [(&gzip, "gzip"), (&gzip, " X-GZIP"), (&zstd, "zstd")] {
            let whole = inflate(body, encoding, 1000).expect("known");
            assert!(whole.is_whole && whole.bytes == [b'x'; 1000], "{encoding}");
            let long = inflate(body, encoding, 999).expect("known");
            assert!(long.is_too_long && !long.is_whole && long.bytes.len() == 999, "{encoding}");
            let torn = inflate(&body[..body.len() / 2], encoding, 1000).expect("known");
            assert!(!torn.is_whole && !torn.is_too_long, "{encoding}");
        }
        assert!(inflate(&gzip, "identity", 1000).is_none());
    }
}
