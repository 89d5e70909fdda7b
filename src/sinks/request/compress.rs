//! Compressing a request's body, away from the threads that wait for sockets.

use std::io::Write;

use flate2::write::GzEncoder;

use crate::config::Compression;
use crate::sinks::{Reason, Verdict};

/// Below this, a header costs more than it saves.
const WORTHWHILE: usize = 1024;

/// The body as it is sent, and its `Content-Encoding`.
pub(super) async fn compress(
    body: Vec<u8>,
    compression: Compression,
) -> Result<(Vec<u8>, Option<&'static str>), Verdict> {
    if body.len() < WORTHWHILE || compression == Compression::None {
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
    compressed.map_err(|error| Verdict::Retry {
        after: None,
        reason: Reason::new(format!("the body could not be compressed: {error}")),
    })
}
