//! `[outcomes]`: words by which the operator's flows report a success or a failure.

use crate::settings::{Pattern, Section};

use super::Outcome;

/// Words of flow authors beside the built-in ones, over which they take precedence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutcomeWords {
    /// Words for a success.
    pub success: Vec<Pattern>,
    /// Words for a failure. They outweigh those for a success.
    pub failure: Vec<Pattern>,
}

impl OutcomeWords {
    /// Reads `[outcomes]`.
    pub(crate) fn read(section: &mut Section<'_>) -> Option<OutcomeWords> {
        let wanted = "a text with at most one *, at its end";
        let doc = "Values of outcomeStatus, or else of outcomeType, that mean a success.";
        let success = section.list("success", wanted, doc).or_empty();
        let doc = "Values of outcomeStatus, or else of outcomeType, that mean a failure.";
        let failure = section.list("failure", wanted, doc).or_empty();
        let words = OutcomeWords { success: success?, failure: failure? };
        if let Some(word) = words.failure.iter().find(|word| words.success.contains(word)) {
            section.report("failure", format!("{word} is in success too; leave it in one"));
        }
        Some(words)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.success.is_empty() && self.failure.is_empty()
    }

    /// Returns the outcome that a word means; `None` for a word that is in neither list.
    pub(super) fn outcome(&self, word: &str) -> Option<Outcome> {
        let word = word.trim();
        let is_among = |words: &[Pattern]| words.iter().any(|pattern| pattern.matches(word));
        if is_among(&self.failure) {
            return Some(Outcome::Failure);
        }
        is_among(&self.success).then_some(Outcome::Success)
    }
}
