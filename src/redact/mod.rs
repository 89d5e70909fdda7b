//! Takes out of events what a configuration says, and leaves every other byte as it came. Pure.
//!
//! | file | what |
//! | --- | --- |
//! | [`rules`] | what applies to a member: rules, the profile, exceptions |
//! | [`walk`] | one pass over an event's text |
//! | [`address`] | e-mail addresses within text |
//! | [`key`] | keyed hashes |
//! | [`output`] | the text with its replacements, copied only if there are any |
//! | [`fragment`] | what is no event: JSON of any shape, and what is no JSON |
//!
//! An event stays one, with the same `id`, `recordedAt`, `action.type` and `interactionId`: the
//! configuration refuses rules that take them ([`REQUIRED`]), and the search for addresses
//! passes them over. Time and memory grow linearly with the bytes, whatever they hold, and nothing
//! recurses on them.

mod address;
mod config;
mod fragment;
mod key;
mod output;
mod path;
mod rules;
mod walk;

use std::borrow::Cow;

pub use config::{Action, REQUIRED, RedactConfig};
pub use path::FieldPath;
pub use rules::Redaction;

use walk::Shape;

/// What stands for a masked value.
const MASK: &str = "***";

impl Redaction {
    /// What a configuration says, ready to be applied.
    pub fn new(config: &RedactConfig) -> Redaction {
        Redaction::compile(config)
    }

    /// The same rules for what was redacted once before: 64 hexadecimal digits that stand where a hash
    /// belongs are taken for one. A hash of a hash would no longer tell who is who.
    pub fn again(&self) -> Redaction {
        let mut redaction = self.clone();
        redaction.spares_hashes = true;
        redaction
    }

    /// Redacts what `decode` has accepted as an event.
    pub fn event<'a>(&self, event: &'a [u8]) -> Cow<'a, [u8]> {
        let text = std::str::from_utf8(event).ok();
        text.and_then(|text| walk::walk(self, text, Shape::Event))
            .unwrap_or_else(|| fragment::redact(self, event))
    }

    /// Redacts what is no event, where no position can be trusted: rules match as if they began with
    /// `**.`, values outside of any object are masked, and what is no JSON keeps its punctuation only.
    pub fn fragment<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        fragment::redact(self, bytes)
    }

    /// Hides everything but the punctuation: for bytes of which nobody can say what they mean.
    pub fn hide(&self, bytes: &[u8]) -> Vec<u8> {
        fragment::hide(bytes)
    }

    /// Redacts a text about an event, which may name a member of it.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Some(action) = self.profile_action() else { return Cow::Borrowed(text) };
        let found = address::find(text);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut output = output::Output::new(text);
        for address::Found { range, address } in found {
            output.replace(range, &self.stand_in(action, &address, &output));
        }
        Cow::Owned(output.finish().into_owned())
    }

    /// A keyed digest of bytes that are not to be guessed from it, if there is a key.
    pub fn digest(&self, bytes: &[u8]) -> Option<[u8; 32]> {
        Some(self.key.as_ref()?.digest("davinci-siem refused\0", bytes))
    }

    /// What stands for a part of a text. Never nothing: what is left of a text must not become another
    /// one that means something.
    fn stand_in(
        &self,
        action: Action,
        value: &str,
        output: &output::Output<'_>,
    ) -> Cow<'static, str> {
        let hash = || self.key.as_ref().filter(|_| output.has_room()).map(|key| key.hash(value));
        match action {
            Action::Hash => hash().map_or(Cow::Borrowed(MASK), Cow::Owned),
            Action::Mask | Action::Drop => Cow::Borrowed(MASK),
        }
    }
}

#[cfg(test)]
mod tests;
