//! Request id in logs, quarantine and spans: the caller's `x-request-id`, or a generated one.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue};

use super::redacted;
use crate::redact::Redaction;

/// Maximum length of a request id, in bytes.
const MAX_ID_BYTES: usize = 128;

/// Returns the redacted request id, since a caller may have put anything there.
pub(super) fn of(headers: &HeaderMap, redaction: Option<&Redaction>) -> Arc<str> {
    let id = headers.get("x-request-id").map_or(&[][..], HeaderValue::as_bytes);
    // A header may contain tabs and non-ASCII bytes, which a terminal might interpret.
    let plain = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    };
    let id = redacted::words(redaction, id.iter().map(plain).collect());
    // Redacted before the cut: half an address would not be recognised.
    id.get(..MAX_ID_BYTES).unwrap_or(&id).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: &[u8], redaction: Option<&Redaction>) -> String {
        let value = HeaderValue::from_bytes(value).expect("a header's value");
        of(&HeaderMap::from_iter([("x-request-id".parse().expect("a name"), value)]), redaction)
            .to_string()
    }

    #[test]
    fn an_id_is_kept_as_far_as_it_is_harmless() {
        assert_eq!(id(b"abc", None), "abc");
        assert_eq!(id(b"a b=\"c\" source=d", None), "a b=\"c\" source=d");
        assert_eq!(id("é\u{9b}31m\t".as_bytes(), None), "????31m?");
        assert_eq!(id(&[b'x'; 10_000], None), "x".repeat(128));
        assert_eq!(id(b"", None), "");
        assert_eq!(*of(&HeaderMap::new(), None), *"");
    }

    #[test]
    fn an_address_in_an_id_is_redacted_before_it_is_cut() {
        let config = crate::config::parse("[redact]\npii = \"mask\"", None, std::iter::empty());
        let redaction = Redaction::new(&config.expect("valid").redact.expect("a table"));
        let long = format!("{} bob@example.com", "x".repeat(120));
        assert_eq!(id(long.as_bytes(), Some(&redaction)), format!("{} ***", "x".repeat(120)));
    }
}
