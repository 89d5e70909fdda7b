//! Stored form of received bytes with `[redact]`. Pure.

use std::borrow::Cow;

use bytes::Bytes;

use crate::redact::Redaction;
use crate::spool::DedupKey;

/// Suffix of the detail of a quarantine entry whose bytes were redacted.
pub(super) const MARK: &str = " (redacted)";

/// Maximum number of characters of a field name in a path of `decode`. A longer name is cut and can
/// no longer be checked.
const MAX_NAME_CHARS: usize = 80;

/// Replacement of the end of a path.
const HIDDEN_NAME: &str = "***";

/// Returns the stored bytes of an event, and whether redaction changed them.
pub(super) fn event(redaction: Option<&Redaction>, body: &Bytes, raw: &[u8]) -> (Bytes, bool) {
    match redaction.map(|redaction| redaction.event(raw)) {
        Some(Cow::Owned(redacted)) => (Bytes::from(redacted), true),
        _ => (body.slice_ref(raw), false),
    }
}

/// Returns the stored bytes of a refused element, and whether redaction changed them.
pub(super) fn refused(redaction: Option<&Redaction>, body: &Bytes, raw: &[u8]) -> (Bytes, bool) {
    match redaction.map(|redaction| redaction.fragment(raw)) {
        Some(Cow::Owned(redacted)) => (Bytes::from(redacted), true),
        _ => (body.slice_ref(raw), false),
    }
}

/// Returns the stored bytes of a body that could not be inflated, and whether redaction changed
/// them.
pub(super) fn encoded(redaction: Option<&Redaction>, body: &Bytes) -> (Bytes, bool) {
    redaction.map_or_else(
        || (body.clone(), false),
        |redaction| (Bytes::from(redaction.hide(body)), true),
    )
}

/// Returns the key by which a repeated refused element is recognised.
///
/// Without redaction it is a hash of the bytes. With redaction such a hash would allow a reader of
/// the disk to guess short texts. It is then keyed, or, without a key, a hash of the stored bytes:
/// two elements that are equal after redaction count as one, which loses nothing that the disk
/// could show.
pub(super) fn key(
    redaction: Option<&Redaction>,
    source: &str,
    raw: &[u8],
    stored: &[u8],
) -> DedupKey {
    match redaction.and_then(|redaction| redaction.digest(raw)) {
        Some(digest) => DedupKey::of_bytes(source, &digest),
        None => DedupKey::of_bytes(source, stored),
    }
}

/// Redacts a text that may contain words of the sender.
pub(super) fn words(redaction: Option<&Redaction>, text: String) -> String {
    match redaction.map(|redaction| redaction.text(&text)) {
        Some(Cow::Owned(redacted)) => redacted,
        _ => text,
    }
}

/// Redacts the path of a refusal, whose last names may be the sender's.
pub(super) fn path(redaction: Option<&Redaction>, path: &str) -> String {
    const PAYLOAD: &str = "flowInteractionEvent.";
    let after = |text: &str| path.find(text).map(|at| at + text.len());
    // The first part cannot contain an address, though its dots might look like one.
    let (ours, names) = path.split_at(after(PAYLOAD).or(after(".")).unwrap_or_default());
    if redaction.is_some() && names.chars().count() >= MAX_NAME_CHARS {
        return format!("{ours}{HIDDEN_NAME}");
    }
    format!("{ours}{}", words(redaction, names.to_owned()))
}

/// Returns the detail of a quarantine entry, with [`MARK`] if its bytes were redacted.
pub(super) fn detail(redaction: Option<&Redaction>, detail: String, is_changed: bool) -> String {
    let mark = if is_changed { MARK } else { "" };
    words(redaction, detail) + mark
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction(rules: &str) -> Redaction {
        let text = format!("[redact]\nkey_env = \"KEY\"\n{rules}");
        let variables = [("KEY".into(), "0123456789abcdef".into())].into_iter();
        let config = crate::config::parse(&text, None, variables).expect("valid");
        Redaction::new(&config.redact.expect("a table"))
    }

    #[test]
    fn paths_keep_what_is_ours() {
        let redaction = redaction("pii = \"mask\"");
        let long = "a".repeat(MAX_NAME_CHARS);
        for (came, kept) in [
            ("$", "$"),
            ("$[250].recordedAt", "$[250].recordedAt"),
            ("$[1].bob@x.co", "$[1].***"),
            ("$._embedded.flowInteractionEvent.b.ob@x.co", "$._embedded.flowInteractionEvent.***"),
            (
                &format!("$[3]._embedded.flowInteractionEvent.{long}"),
                "$[3]._embedded.flowInteractionEvent.***",
            ),
            (&format!("$.{long}"), "$.***"),
        ] {
            assert_eq!(path(Some(&redaction), came), kept);
            assert_eq!(path(None, came), came);
        }
    }

    #[test]
    fn what_is_refused_again_has_the_same_key_and_no_guess_does() {
        let guess = DedupKey::of_bytes("s", b"\"bob\"");
        let keyed = redaction("mask = [\"a\"]");
        let of = |redaction: &Redaction, raw: &'static [u8]| {
            let body = Bytes::from_static(raw);
            let (stored, is_changed) = refused(Some(redaction), &body, &body);
            assert!(is_changed);
            key(Some(redaction), "s", raw, &stored)
        };
        assert_eq!(of(&keyed, b"\"bob\""), of(&keyed, b"\"bob\""));
        assert_ne!(of(&keyed, b"\"bob\""), of(&keyed, b"\"ann\""));
        assert_ne!(of(&keyed, b"\"bob\""), guess);
        let config = crate::config::parse("[redact]\npii = \"mask\"", None, std::iter::empty());
        let unkeyed = Redaction::new(&config.expect("valid").redact.expect("a table"));
        assert_eq!(of(&unkeyed, b"\"bob\""), of(&unkeyed, b"\"ann\""), "stored alike");
        assert_ne!(of(&unkeyed, b"\"bob\""), guess);
        assert_eq!(key(None, "s", b"\"bob\"", b"\"bob\""), guess, "as it was without redaction");
    }
}
