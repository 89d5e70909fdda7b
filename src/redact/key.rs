//! Keyed hashes: HMAC-SHA-256, as 64 hexadecimal digits.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// Digits of a hash.
const DIGITS: usize = 64;

/// A key, ready to hash with. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    pub(super) fn new(secret: &Secret) -> Option<Key> {
        Hmac::new_from_slice(secret.expose().as_bytes()).ok().map(Key)
    }

    /// The hash of a value, as text.
    pub(super) fn hash(&self, value: &str) -> String {
        let mut text = String::with_capacity(DIGITS);
        for byte in self.digest("", value.as_bytes()) {
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(digit.into(), 16));
            }
        }
        text
    }

    /// The hash of what `purpose` keeps apart from values.
    pub(super) fn digest(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        let keyed = self.0.clone().chain_update(purpose).chain_update(bytes);
        keyed.finalize().into_bytes().into()
    }
}

/// Whether a text is spelt as a hash is.
pub(super) fn is_hash(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == DIGITS && text.bytes().all(is_digit)
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Key")
    }
}
