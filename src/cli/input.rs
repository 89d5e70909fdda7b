//! Files and standard input that commands read, plain or compressed.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use super::CommandFailure;
use crate::error_chain::io_message;

/// First bytes of gzip (RFC 1952 §2.3.1), with which no JSON begins.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// First bytes of zstd (RFC 8878 §3.1.1), with which no JSON begins.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Opens a file, compressed or not.
///
/// # Errors
///
/// The file cannot be read.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read + Send>, CommandFailure> {
    File::open(path).and_then(decompressed).map_err(|error| {
        let file = path.display();
        CommandFailure::Usage(format!("{file} cannot be read: {}", io_message(&error)))
    })
}

/// Returns the input, decompressed if it begins like gzip or zstd, whatever its name is.
///
/// # Errors
///
/// The first bytes cannot be read.
pub(super) fn decompressed(
    mut input: impl Read + Send + 'static,
) -> io::Result<Box<dyn Read + Send>> {
    let mut start = Vec::with_capacity(ZSTD.len());
    input.by_ref().take(ZSTD.len() as u64).read_to_end(&mut start)?;
    let (is_gzip, is_zstd) = (start.starts_with(GZIP), start == ZSTD);
    let whole = Cursor::new(start).chain(input);
    Ok(match (is_gzip, is_zstd) {
        (true, _) => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        (_, true) => Box::new(zstd::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn compressed_input_is_recognised_by_its_first_bytes() {
        let text = b"{\"id\":1}\n{\"id\":2}\n".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).expect("compressed");
        let gzip = gzip.finish().expect("compressed");
        let zstd = zstd::encode_all(&*text, 1).expect("compressed");
        // Both formats allow several streams in one file, as `cat a.gz b.gz` makes them.
        for (input, times) in [
            (text.clone(), 1),
            (gzip.clone(), 1),
            (gzip.repeat(2), 2),
            (zstd.clone(), 1),
            (zstd.repeat(2), 2),
            (Vec::new(), 0),
            (b"{".to_vec(), 0),
        ] {
            let mut read = Vec::new();
            let expected = if times == 0 { input.clone() } else { text.repeat(times) };
            let mut reader = decompressed(Cursor::new(input)).expect("opened");
            reader.read_to_end(&mut read).expect("read");
            assert!(read == expected, "{} of {} bytes", read.len(), expected.len());
        }
    }
}
