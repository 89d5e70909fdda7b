//! Inflating within limits.

use super::*;
use crate::receive::in_flight::InFlight;

fn inflate_with(
    encoding: &str,
    bytes: &[u8],
    limit: u64,
    in_flight: u64,
) -> Result<Bytes, InflateError> {
    let mut reservation = InFlight::new(in_flight).reserve(0).expect("nothing");
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
    std::io::Write::write_all(&mut encoder, &[0; 1000]).expect("written");
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
