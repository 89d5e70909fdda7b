//! Tests of inflating within limits.

use std::io::Write;

use super::*;
use crate::receive::in_flight::InFlightBytes;

fn inflate_with(
    encoding: &str,
    bytes: &[u8],
    limit: u64,
    in_flight: u64,
) -> Result<Bytes, InflateError> {
    let mut reservation = InFlightBytes::new(in_flight).nothing();
    inflate(Bytes::copy_from_slice(bytes), &[encoding.to_owned()], limit, &mut reservation)
}

#[test]
fn a_bomb_is_stopped_at_the_limit_and_by_the_bytes_in_flight() {
    let bomb = zstd::encode_all(&vec![0; 10_000_000][..], 19).expect("compressed");
    assert!(bomb.len() < 2000);
    assert_eq!(
        inflate_with("zstd", &bomb, 10_000_000, 10_000_000).expect("fits").len(),
        10_000_000
    );
    assert!(matches!(
        inflate_with("zstd", &bomb, 9_999_999, u64::MAX),
        Err(InflateError::TooLarge)
    ));
    assert!(matches!(
        inflate_with("zstd", &bomb, u64::MAX, 9_999_999),
        Err(InflateError::InFlight)
    ));
}

#[test]
fn a_window_larger_than_http_allows_is_refused() {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).expect("an encoder");
    encoder.window_log(27).expect("set");
    encoder.include_contentsize(false).expect("set");
    encoder.write_all(&[0; 1000]).expect("written");
    let large_window = encoder.finish().expect("finished");
    let refused = inflate_with("zstd", &large_window, 10_000, 10_000);
    assert!(matches!(refused, Err(InflateError::Broken(_))), "{refused:?}");
}

#[test]
fn what_is_not_in_its_encoding_is_broken_and_no_more() {
    for encoding in ["gzip", "deflate", "zstd", "br", "compress"] {
        let refused = inflate_with(encoding, b"\x78plain text", 10_000, 10_000);
        assert!(matches!(refused, Err(InflateError::Broken(_))), "{encoding}: {refused:?}");
    }
}

#[test]
fn bytes_after_the_end_are_not_dropped_silently() {
    let deflated = |text: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).expect("compressed");
        encoder.finish().expect("compressed")
    };
    let one = deflated(b"[1]");
    assert_eq!(inflate_with("deflate", &one, 100, 100).expect("inflated"), "[1]");
    let two = [one, deflated(b"[2]")].concat();
    let refused = inflate_with("deflate", &two, 100, 100);
    assert!(matches!(refused, Err(InflateError::Broken(_))), "{refused:?}");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"[1]").expect("compressed");
    let gzip = [encoder.finish().expect("compressed"), b"junk".to_vec()].concat();
    let refused = inflate_with("gzip", &gzip, 100, 100);
    assert!(matches!(refused, Err(InflateError::Broken(_))), "{refused:?}");
    let zstd = [zstd::encode_all(&b"[1]"[..], 1).expect("compressed"), b"junk".to_vec()].concat();
    let refused = inflate_with("zstd", &zstd, 100, 100);
    assert!(matches!(refused, Err(InflateError::Broken(_))), "{refused:?}");
}
