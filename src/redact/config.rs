//! `[redact]` and `[sinks.NAME.redact]`: fields that are removed, masked, hashed or truncated.

use super::path::FieldPath;
use crate::secret::{Form, Secret};
use crate::settings::Section;

/// Fields that every event needs: they identify the event and its type. No rule may change them.
pub const REQUIRED: [&[&str]; 7] = [
    &["id"],
    &["recordedAt"],
    &["action"],
    &["action", "type"],
    &["_embedded"],
    &["_embedded", "flowInteractionEvent"],
    &["_embedded", "flowInteractionEvent", "interactionId"],
];

/// Minimum length of a key, in bytes.
const MIN_KEY_BYTES: usize = 16;

const PATH: &str = "a path such as \"actors.user.name\": field names from the event's root, joined by \
                    dots. * stands for any one name, **. at the beginning for any depth; lists need \
                    no brackets";

/// Rules for the fields of an event.
#[derive(Debug, Clone)]
pub struct RedactConfig {
    /// Action of the built-in profile; off if there is none.
    pub pii: Option<RedactAction>,
    /// Action of the profile for IP addresses, if it differs from `pii`.
    pub addresses: Option<RedactAction>,
    /// Fields that are removed.
    pub drop: Vec<FieldPath>,
    /// Fields whose values are replaced by `***`.
    pub mask: Vec<FieldPath>,
    /// Fields whose values are replaced by their keyed hash.
    pub hash: Vec<FieldPath>,
    /// Fields that the profile does not change.
    pub keep: Vec<FieldPath>,
    /// Key of the hashes.
    pub key: Option<Secret>,
}

/// Action on a value, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RedactAction {
    /// Replaces an IP address by its network. Only for addresses that the profile finds.
    Truncate,
    /// Replaces the value by its keyed hash.
    Hash,
    /// Replaces the value by `***`.
    Mask,
    /// Removes the field.
    Drop,
}

impl RedactConfig {
    /// Reads the table `redact`, if there is one.
    pub(crate) fn read(section: &mut Section<'_>) -> Option<Option<RedactConfig>> {
        section.optional_table("redact", "Personal data to remove from events.", read_table)
    }
}

fn read_table(section: &mut Section<'_>) -> Option<RedactConfig> {
    if section.is_empty() {
        let advice = "and all other keys are missing; write pii = \"mask\", or which fields to drop, \
                      mask or hash";
        section.report("pii", advice);
    }
    let is_keyed = ["key", "key_file", "key_env"].iter().any(|key| section.is_given(key));
    let actions =
        [("drop", RedactAction::Drop), ("mask", RedactAction::Mask), ("hash", RedactAction::Hash)];
    let doc = "Action of the built-in profile: names, addresses and user agents of people, and e-mail \
               addresses in any text. Default: off.";
    let pii = section.choice("pii", &actions, doc).optional();
    let [dropping, masking, hashing] = actions;
    let choices = [dropping, masking, hashing, ("truncate", RedactAction::Truncate)];
    let doc = "Action of the profile for IP addresses: \"truncate\" keeps the network, /24 of IPv4 and \
               /48 of IPv6. Default: as pii.";
    let addresses = section.choice("addresses", &choices, doc).optional();
    let drop = section.list("drop", PATH, "Fields that are removed.").or_empty();
    let mask = section.list("mask", PATH, "Fields whose values become \"***\".").or_empty();
    let doc = "Fields whose values become their HMAC-SHA-256.";
    let hash = section.list("hash", PATH, doc).or_empty();
    let keep = section.list("keep", PATH, "Fields that the profile does not change.").or_empty();
    let key = section.optional_secret("key", Form::Text, "Key of the hashes, at least 16 bytes.");
    let redact = RedactConfig {
        pii: pii?,
        addresses: addresses?,
        drop: drop?,
        mask: mask?,
        hash: hash?,
        keep: keep?,
        key: key?,
    };
    let hashes = [redact.pii, redact.addresses].contains(&Some(RedactAction::Hash))
        || !redact.hash.is_empty();
    if hashes && !is_keyed {
        let advice = "is missing, and a hash needs a key: write key_file or key_env (openssl rand -hex 32 makes a key)";
        section.report("key_file", advice);
    }
    // The message does not show the length of the key, which is a secret.
    if redact.key.as_ref().is_some_and(|key| key.expose().len() < MIN_KEY_BYTES) {
        section.report("key", format!(
            "is too short: a key has at least {MIN_KEY_BYTES} bytes (openssl rand -hex 32 makes one)"
        ));
    }
    if redact.pii.is_none() && !redact.keep.is_empty() {
        let advice =
            "exempts from the profile, which is off; write pii = \"mask\", or leave it out";
        section.report("keep", advice);
    }
    if redact.pii.is_none() && redact.addresses.is_some() {
        let advice = "changes the profile, which is off; write pii = \"mask\", or leave it out";
        section.report("addresses", advice);
    }
    check_rules(&redact, section);
    Some(redact)
}

/// Reports rules that are well written and contradict each other, or change a required field.
fn check_rules(redact: &RedactConfig, section: &mut Section<'_>) {
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
                    "\"{path}\" would take {}, which every event needs; name the fields below or \
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
