//! `[redact]` and `[sinks.NAME.redact]`: what is taken out of events, and how.

mod path;

pub use path::MemberPath;

use super::section::Section;
use crate::secret::{Form, Secret};

/// Members that every event needs: they tell one event from another and say what it is. No rule may
/// take one of them.
pub const REQUIRED: [&[&str]; 7] = [
    &["id"],
    &["recordedAt"],
    &["action"],
    &["action", "type"],
    &["_embedded"],
    &["_embedded", "flowInteractionEvent"],
    &["_embedded", "flowInteractionEvent", "interactionId"],
];

/// Bytes that a key has at least.
const KEY_BYTES: usize = 16;

const PATH: &str = "a path such as \"actors.user.name\": member names from the event's root, joined by \
                    dots. * stands for any one name, **. at the beginning for any depth; lists need \
                    no brackets";

/// What is taken out of events.
#[derive(Debug, Clone)]
pub struct Redact {
    /// What happens to what the built-in profile finds; off if there is none.
    pub pii: Option<Action>,
    /// Members that are removed.
    pub drop: Vec<MemberPath>,
    /// Members whose values are replaced by `***`.
    pub mask: Vec<MemberPath>,
    /// Members whose values are replaced by their keyed hash.
    pub hash: Vec<MemberPath>,
    /// Members that the profile leaves alone.
    pub keep: Vec<MemberPath>,
    /// What hashes are keyed with.
    pub key: Option<Secret>,
}

/// What happens to a value, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is replaced by its keyed hash.
    Hash,
    /// It is replaced by `***`.
    Mask,
    /// It is removed.
    Drop,
}

/// Reads the table, if it is there.
pub(super) fn read(section: &mut Section<'_>) -> Option<Redact> {
    section.table_if_given("redact").map(read_table)
}

fn read_table(mut section: Section<'_>) -> Redact {
    let is_empty = section.is_empty();
    let actions = [("drop", Action::Drop), ("mask", Action::Mask), ("hash", Action::Hash)];
    let is_keyed = ["key", "key_file", "key_env"].iter().any(|key| !section.is_missing(key));
    let redact = Redact {
        pii: section.choice("pii", &actions),
        drop: section.list("drop", PATH),
        mask: section.list("mask", PATH),
        hash: section.list("hash", PATH),
        keep: section.list("keep", PATH),
        key: section.secret_if_given("key", Form::Text),
    };
    if is_empty {
        section.report("pii", "and all other keys are missing; write pii = \"mask\", or which members to drop, mask or hash".to_owned());
    }
    let hashes = redact.pii == Some(Action::Hash) || !redact.hash.is_empty();
    if hashes && !is_keyed {
        let advice = "is missing, and a hash needs a key: write key_file or key_env (openssl rand -hex 32 makes a key)";
        section.report("key_file", advice.to_owned());
    }
    // How long it is, is not said: it is a secret.
    if redact.key.as_ref().is_some_and(|key| key.expose().len() < KEY_BYTES) {
        let advice = format!(
            "is too short: a key has at least {KEY_BYTES} bytes (openssl rand -hex 32 makes one)"
        );
        section.report("key", advice);
    }
    if redact.pii.is_none() && !redact.keep.is_empty() {
        let advice =
            "exempts from the profile, which is off; write pii = \"mask\", or leave it out";
        section.report("keep", advice.to_owned());
    }
    check_rules(&redact, &section);
    section.finish();
    redact
}

/// What is wrong with rules that are well spelt.
fn check_rules(redact: &Redact, section: &Section<'_>) {
    let rules = [("drop", &redact.drop), ("mask", &redact.mask), ("hash", &redact.hash)];
    for (index, (key, paths)) in rules.iter().enumerate() {
        for path in *paths {
            let taken: Vec<String> = REQUIRED
                .iter()
                .filter(|required| path.matches(required))
                .map(|required| required.join("."))
                .collect();
            if !taken.is_empty() {
                section.report(key, format!(
                    "\"{path}\" would take {}, which every event needs; name the members below or \
                     beside it one by one",
                    taken.join(", ")
                ));
            }
            for (other, paths) in &rules[..index] {
                if paths.contains(path) {
                    let advice = format!("\"{path}\" is in {other} too; leave it in one of them");
                    section.report(key, advice);
                }
            }
        }
    }
}
