//! Types that are not listed: what the words of the name say.
//!
//! Texts of `kinds.tsv` for ECS and OCSF are alternatives, separated by spaces: `VERB=VALUE` for one verb,
//! or for all verbs with that `event.type`; at the end the value of all others. Within a value the word
//! `verb` stands for what `verbs.tsv` says of the verb.

use std::borrow::Cow;

use super::words::{ALARMS, FAILURES, KINDS, KindRow, SUCCESSES, VERBS, VerbRow, matches};
use super::{ActionType, OcsfActivity};
use crate::event::{Outcome, Severity};

/// Bytes of a name that are looked at.
const MAX_NAME_BYTES: usize = 128;

/// OCSF's Other activity.
const OTHER: u8 = 99;

pub(super) fn derive(action_type: &str) -> ActionType {
    let end = action_type.floor_char_boundary(MAX_NAME_BYTES);
    let name = action_type[..end].to_ascii_uppercase();
    let (verb, kind) = (verb(&name), kind(&name));
    let outcome = stated_outcome(&name);
    let usual = if matches(&name, ALARMS) { Severity::High } else { severity(kind, verb) };
    let severity_on_failure = usual.max(Severity::Medium);
    let fails = outcome == Some(Outcome::Failure);
    let [ocsf_1_3, ocsf_1_8] = [0, 1].map(|version| ocsf(kind, verb, version));
    ActionType {
        kind: kind.name,
        verb: verb.name,
        outcome,
        severity: if fails { severity_on_failure } else { usual },
        severity_on_failure,
        target: kind.target,
        resource_types: "",
        ecs_category: alternative(kind.ecs_category, verb).split(',').collect(),
        ecs_type: ecs_type(kind, verb),
        ocsf_1_3,
        ocsf_1_8,
        ocsf_fallback: match ocsf_1_8.class {
            3005 | 3006 => OcsfActivity { class: 3004, activity: verb.entity_management },
            0 => ocsf_1_8,
            _ => OcsfActivity { class: 6003, activity: verb.api_activity },
        },
        category: kind.category,
        title: Cow::Owned(title(&action_type[..end])),
        is_listed: false,
    }
}

/// Returns the outcome that the words of an unlisted type state.
pub(super) fn outcome(action_type: &str) -> Option<Outcome> {
    let end = action_type.floor_char_boundary(MAX_NAME_BYTES);
    stated_outcome(&action_type[..end].to_ascii_uppercase())
}

fn stated_outcome(name: &str) -> Option<Outcome> {
    if matches(name, FAILURES) {
        return Some(Outcome::Failure);
    }
    matches(name, SUCCESSES).then_some(Outcome::Success)
}

fn verb(name: &str) -> &'static VerbRow {
    first(&VERBS, name, |verb| verb.pattern)
}

fn kind(name: &str) -> &'static KindRow {
    first(&KINDS, name, |kind| kind.pattern)
}

/// The first row that matches; the last one matches always.
fn first<T>(rows: &'static [T], name: &str, pattern: impl Fn(&T) -> &'static str) -> &'static T {
    let last = rows.len() - 1;
    rows.iter().find(|row| matches(name, pattern(row))).unwrap_or(&rows[last])
}

fn severity(kind: &KindRow, verb: &VerbRow) -> Severity {
    let [created, updated, deleted, other] = kind.severities;
    match verb.name {
        "created" => created,
        "updated" => updated,
        "deleted" => deleted,
        _ => other,
    }
}

/// Chooses among alternatives by the verb's name, then by its `event.type`.
fn alternative(alternatives: &'static str, verb: &VerbRow) -> &'static str {
    let parts = || alternatives.split(' ').map(|part| part.split_once('=').unwrap_or(("", part)));
    let of = |wanted: &str| parts().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    of(verb.name).or_else(|| of(verb.ecs_type)).or_else(|| of("")).unwrap_or_default()
}

fn ecs_type(kind: &KindRow, verb: &VerbRow) -> Vec<&'static str> {
    let types = alternative(kind.ecs_type, verb).split(',');
    types.map(|name| if name == "verb" { verb.ecs_type } else { name }).collect()
}

fn ocsf(kind: &KindRow, verb: &VerbRow, version: usize) -> OcsfActivity {
    let text = alternative(kind.ocsf[version], verb);
    let class = text.split_once('/').and_then(|(class, _)| class.parse().ok()).unwrap_or(6003);
    OcsfActivity::read(text).unwrap_or_else(|| {
        let activity = match class {
            3001 => verb.account_change[version],
            3004 => verb.entity_management,
            6003 => verb.api_activity,
            _ => OTHER,
        };
        OcsfActivity { class, activity }
    })
}

/// `VOICE_PHRASE.DELETED` as `Voice Phrase Deleted`. Characters that CEF and LEEF separate by become
/// spaces.
fn title(name: &str) -> String {
    let is_separator =
        |c: char| matches!(c, '.' | '_' | '|' | '=' | '\\') || c.is_whitespace() || c.is_control();
    let words = name.split(is_separator).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(capitalized).collect();
    if words.is_empty() { "PingOne Event".to_owned() } else { words.join(" ") }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters.map(|letter| letter.to_ascii_lowercase())).collect()
}
