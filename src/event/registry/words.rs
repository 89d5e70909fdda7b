//! Patterns over the words of a type, and the tables of verbs and kinds.

use std::sync::LazyLock;

use super::rows;
use crate::event::Severity;

/// Words that state a failure.
pub(super) const FAILURES: &str = "word:FAILED word:FAILURE word:INVALID word:DENIED word:REJECTED \
    word:DECLINED word:COMPROMISED word:MISCONFIGURATION word:ERROR word:EXCEEDED word:TIMEOUT";

/// Words that state a success.
pub(super) const SUCCESSES: &str = "word:SUCCEEDED word:SUCCESS word:ALLOWED word:COMPLETED";

/// Words that alarm whatever else the type says.
pub(super) const ALARMS: &str = "word:FRAUD word:COMPROMISED";

/// A row of `verbs.tsv`: what was done.
#[derive(Debug)]
pub(super) struct VerbRow {
    pub(super) name: &'static str,
    pub(super) pattern: &'static str,
    pub(super) ecs_type: &'static str,
    /// Activities of Account Change in OCSF 1.3.0 and 1.8.0.
    pub(super) account_change: [u8; 2],
    /// Activity of Entity Management.
    pub(super) entity_management: u8,
    /// Activity of API Activity.
    pub(super) api_activity: u8,
}

/// A row of `kinds.tsv`: what it was done to. The texts of ECS and OCSF are alternatives, see
/// [`super::derive`].
#[derive(Debug)]
pub(super) struct KindRow {
    pub(super) name: &'static str,
    pub(super) pattern: &'static str,
    pub(super) ecs_category: &'static str,
    pub(super) ecs_type: &'static str,
    pub(super) ocsf: [&'static str; 2],
    /// Severity of what was created, updated, deleted, or anything else.
    pub(super) severities: [Severity; 4],
    pub(super) target: &'static str,
    pub(super) category: &'static str,
}

pub(super) const VERB_TABLE: &str = include_str!("verbs.tsv");
pub(super) const KIND_TABLE: &str = include_str!("kinds.tsv");

pub(super) static VERBS: LazyLock<Vec<VerbRow>> =
    LazyLock::new(|| rows(VERB_TABLE).filter_map(verb).collect());

pub(super) static KINDS: LazyLock<Vec<KindRow>> =
    LazyLock::new(|| rows(KIND_TABLE).filter_map(kind).collect());

fn verb(row: [&'static str; 7]) -> Option<VerbRow> {
    let [name, pattern, ecs_type, ..] = row;
    let [.., in_1_3, in_1_8, entity, api] = row;
    Some(VerbRow {
        name,
        pattern,
        ecs_type,
        account_change: [in_1_3.parse().ok()?, in_1_8.parse().ok()?],
        entity_management: entity.parse().ok()?,
        api_activity: api.parse().ok()?,
    })
}

fn kind(row: [&'static str; 12]) -> Option<KindRow> {
    let [name, pattern, ecs_category, ecs_type, ocsf_1_3, ocsf_1_8, ..] = row;
    let [.., created, updated, deleted, other, target, category] = row;
    Some(KindRow {
        name,
        pattern,
        ecs_category,
        ecs_type,
        ocsf: [ocsf_1_3, ocsf_1_8],
        severities: severities([created, updated, deleted, other])?,
        target,
        category,
    })
}

fn severities([created, updated, deleted, other]: [&str; 4]) -> Option<[Severity; 4]> {
    let named = Severity::named;
    Some([named(created)?, named(updated)?, named(deleted)?, named(other)?])
}

/// Reports whether a type in capital letters matches one of the space-separated patterns: `any`,
/// `prefix:TEXT`, `suffix:TEXT`, or `word:TEXT`, which stands between dots, underscores or ends.
pub(super) fn matches(action_type: &str, patterns: &str) -> bool {
    patterns.split(' ').any(|pattern| match pattern.split_once(':') {
        Some(("prefix", text)) => action_type.starts_with(text),
        Some(("suffix", text)) => action_type.ends_with(text),
        Some(("word", text)) => has_word(action_type, text),
        _ => pattern == "any",
    })
}

fn has_word(action_type: &str, word: &str) -> bool {
    let is_end = |byte: Option<u8>| byte.is_none_or(|byte| matches!(byte, b'.' | b'_'));
    action_type.match_indices(word).any(|(at, _)| {
        let bytes = action_type.as_bytes();
        let before = at.checked_sub(1).and_then(|before| bytes.get(before).copied());
        is_end(before) && is_end(bytes.get(at + word.len()).copied())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_whole() {
        for (action_type, word, expected) in [
            ("USER.LOCKED", "LOCKED", true),
            ("DEVICE.BLOCKED", "LOCKED", false),
            ("USER.UNLOCKED", "LOCKED", false),
            ("PASSWORD.CHECK_FAILED", "CHECK_FAILED", true),
            ("PASSWORD.CHECK_FAILED", "CHECK", true),
            ("RESET_RESET.X", "RESET", true),
            ("PRESET_RESET", "RESET", true),
            ("PASSWORD.UNSET", "SET", false),
        ] {
            assert_eq!(has_word(action_type, word), expected, "{action_type} {word}");
        }
    }

    #[test]
    fn every_row_is_read() {
        assert_eq!(VERBS.len(), VERB_TABLE.lines().count() - 1);
        assert_eq!(KINDS.len(), KIND_TABLE.lines().count() - 1);
        assert_eq!(VERBS.last().map(|verb| verb.pattern), Some("any"));
        assert_eq!(KINDS.last().map(|kind| kind.pattern), Some("any"));
    }
}
