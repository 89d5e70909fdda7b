//! Redacts events as `[redact]` configures it, and keeps every other byte unchanged. Pure.
//!
//! | file | content |
//! | --- | --- |
//! | [`rules`] | the action for a field: rules, the profile, exceptions |
//! | [`walk`] | one pass over an event's text |
//! | [`address`] | e-mail addresses within text |
//! | [`ip`] | IP addresses, lists of them, and their networks |
//! | [`recurrence`] | redacted values in other texts of the same event |
//! | [`key`] | keyed hashes |
//! | [`output`] | the text with its replacements, copied only if there are any |
//! | [`fragment`] | other JSON, and bytes that are not JSON |
//!
//! A redacted event is still an event with the same `id`, `recordedAt`, `action.type` and
//! `interactionId`: the configuration refuses rules for these fields ([`REQUIRED`]), and
//! the search for addresses skips them. Time and memory grow linearly with the input, and nothing
//! recurses on it.

mod address;
mod config;
mod fragment;
mod ip;
mod key;
mod output;
mod path;
mod recurrence;
mod rules;
mod walk;

use std::borrow::Cow;

pub use config::{REQUIRED, RedactAction, RedactConfig};
pub use path::FieldPath;
pub use rules::Redaction;

use walk::InputKind;

/// Replacement of a masked value.
const MASK: &str = "***";

impl Redaction {
    /// Prepares the rules of a configuration.
    pub fn new(config: &RedactConfig) -> Redaction {
        Redaction::compile(config)
    }

    /// Returns the rules for input that was redacted before: a value of 64 hexadecimal digits in a
    /// hashed field is kept. A hash of a hash would no longer identify the value.
    pub fn again(&self) -> Redaction {
        let mut redaction = self.clone();
        redaction.spares_hashes = true;
        redaction
    }

    /// Redacts an event that [`crate::decode`] has accepted.
    pub fn event<'a>(&self, event: &'a [u8]) -> Cow<'a, [u8]> {
        let text = std::str::from_utf8(event).ok();
        text.and_then(|text| walk::walk(self, text, InputKind::Event))
            .unwrap_or_else(|| fragment::redact(self, event))
    }

    /// Redacts bytes that are not an event, where positions cannot be trusted: rules match as if
    /// they began with `**.`, values outside of any object are masked, and of bytes that are not
    /// JSON only the punctuation is kept.
    pub fn fragment<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        fragment::redact(self, bytes)
    }

    /// Hides everything but the punctuation, for bytes of unknown meaning.
    pub fn hide(&self, bytes: &[u8]) -> Vec<u8> {
        fragment::hide(bytes)
    }

    /// Redacts a text about an event that may contain names of its fields.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Some(action) = self.profile_action() else { return Cow::Borrowed(text) };
        let found = address::find(text);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut output = output::RedactedText::new(text);
        for address::AddressMatch { range, address } in found {
            output.replace(range, &self.stand_in(action, &address, &output));
        }
        Cow::Owned(output.finish().into_owned())
    }

    /// Returns a keyed digest from which the bytes cannot be guessed; `None` without a key.
    pub fn digest(&self, bytes: &[u8]) -> Option<[u8; 32]> {
        Some(self.key.as_ref()?.digest("davinci-siem refused\0", bytes))
    }

    /// Returns the replacement of a part of a text. It is never empty, so that the rest of the text
    /// cannot take on another meaning.
    fn stand_in(
        &self,
        action: RedactAction,
        value: &str,
        output: &output::RedactedText<'_>,
    ) -> Cow<'static, str> {
        let hash = |value: &str| {
            let key = self.key.as_ref().filter(|_| output.has_room());
            key.map_or(Cow::Borrowed(MASK), |key| Cow::Owned(key.hash(value)))
        };
        match action {
            RedactAction::Truncate => match ip::truncate(value) {
                Some(network) => Cow::Owned(network),
                None => self.stand_in(
                    self.profile_action().unwrap_or(RedactAction::Mask),
                    value,
                    output,
                ),
            },
            // The hash of an address is the same in a list of addresses.
            RedactAction::Hash => ip::replace_each(value, |part| hash(part).into_owned())
                .map_or_else(|| hash(value), Cow::Owned),
            RedactAction::Mask | RedactAction::Drop => Cow::Borrowed(MASK),
        }
    }
}

#[cfg(test)]
mod tests;
