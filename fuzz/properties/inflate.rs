//! Arbitrary bytes as an encoded body, and encoded arbitrary bytes.

use std::io::Write;

use crate::receive::fuzzing::{NotInflated, inflate as undo};

/// Maximum size of an inflated result, in bytes.
const LIMIT: u64 = 256 * 1024;

/// Chains of encodings: each alone, and two combined.
const CHAINS: [&[&str]; 6] =
    [&["gzip"], &["deflate"], &["zstd"], &["gzip", "zstd"], &["deflate", "gzip"], &["br"]];

/// Checks that nothing inflates beyond its limit, that a whole body comes out unchanged, and that a
/// truncated or extended one is refused.
pub fn inflate(bytes: &[u8]) {
    for chain in CHAINS {
        let chain: Vec<String> = chain.iter().map(|name| (*name).to_owned()).collect();
        stays_within_limits(bytes, &chain);
    }
    for encoding in ["gzip", "deflate", "zstd"] {
        comes_out_as_it_went_in(bytes, encoding);
    }
    let one = [String::from("gzip")];
    let twice = encoded(&encoded(bytes, "zstd"), "gzip");
    let chain = ["gzip".to_owned(), "zstd".to_owned()];
    assert_eq!(undo(&twice, &chain, u64::MAX, u64::MAX).as_deref(), Ok(bytes));
    let thrice = [&chain[..], &one].concat();
    assert_eq!(undo(&twice, &thrice, u64::MAX, u64::MAX), Err(NotInflated::Broken), "three");
}

fn stays_within_limits(bytes: &[u8], chain: &[String]) {
    let found = undo(bytes, chain, LIMIT, u64::MAX);
    let Ok(inflated) = &found else { return };
    let length = inflated.len() as u64;
    assert!(length <= LIMIT);
    if let [_] = chain
        && length > 0
    {
        assert_eq!(undo(bytes, chain, length, length).as_ref(), Ok(inflated), "just enough");
        assert_eq!(undo(bytes, chain, length - 1, u64::MAX), Err(NotInflated::TooLarge));
        assert_eq!(undo(bytes, chain, LIMIT, length - 1), Err(NotInflated::InFlight));
    }
}

fn comes_out_as_it_went_in(bytes: &[u8], encoding: &str) {
    let chain = [encoding.to_owned()];
    let whole = encoded(bytes, encoding);
    let undo = |bytes: &[u8]| undo(bytes, &chain, u64::MAX, u64::MAX);
    assert_eq!(undo(&whole).as_deref(), Ok(bytes), "{encoding}");
    // The bytes determine the position of the cut.
    let sum: usize = bytes.iter().map(|byte| usize::from(*byte)).sum();
    for length in [whole.len() - 1, 1 + sum % (whole.len() - 1)] {
        assert_eq!(undo(&whole[..length]), Err(NotInflated::Broken), "{encoding}: cut at {length}");
    }
    assert_eq!(undo(&[&whole[..], b"x"].concat()), Err(NotInflated::Broken), "{encoding}: more");
}

fn encoded(bytes: &[u8], encoding: &str) -> Vec<u8> {
    let level = flate2::Compression::fast();
    let written = match encoding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).and_then(|()| encoder.finish())
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).and_then(|()| encoder.finish())
        }
        _ => zstd::encode_all(bytes, 1),
    };
    written.expect("compressed")
}
