//! Keyed hashes: HMAC-SHA-256 as 64 hexadecimal digits.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// Length of a hash, in hexadecimal digits.
const HASH_DIGITS: usize = 64;

/// HMAC key. Its `Debug` output does not contain it.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    pub(super) fn new(secret: &Secret) -> Option<Key> {
        Hmac::new_from_slice(secret.expose().as_bytes()).ok().map(Key)
    }

    /// Returns the hash of a value as text.
    pub(super) fn hash(&self, value: &str) -> String {
        let mut text = String::with_capacity(HASH_DIGITS);
        for byte in self.digest("", value.as_bytes()) {
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(digit.into(), 16));
            }
        }
        text
    }

    /// Returns the hash of `bytes`. `purpose` separates it from hashes of values.
    pub(super) fn digest(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        let keyed = self.0.clone().chain_update(purpose).chain_update(bytes);
        keyed.finalize().into_bytes().into()
    }
}

/// Returns whether a text has the form of a hash.
pub(super) fn is_hash(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == HASH_DIGITS && text.bytes().all(is_digit)
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Key")
    }
}
