//! Any event with rules made from its own fields, and with the built-in profile.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::addresses::{is_network_list, list_of, parts};
use super::tree::{self, Tree};
use crate::config;
use crate::decode;
use crate::redact::Redaction;
use crate::redact::{FieldPath, REQUIRED, RedactAction, RedactConfig};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const ACTIONS: [RedactAction; 3] = [RedactAction::Drop, RedactAction::Mask, RedactAction::Hash];

/// Paths of the profile, through arrays or not.
const PROFILE: [&str; 8] = [
    "**.user.name",
    "**.ip",
    "**.ipAddress",
    "**.remoteIp",
    "**.username",
    "**.userAgent",
    "**.name.given",
    "**.name.family",
];

/// Paths of the profile for IP addresses.
const ADDRESSES: [&str; 3] = ["**.ip", "**.ipAddress", "**.remoteIp"];

/// Checks that matched values are gone and nothing else has changed, that the profile leaves no
/// address, that the event keeps its identity, and that other bytes can be redacted as well.
pub fn redact(bytes: &[u8]) {
    // The bytes choose the rule, so that a mutation tries another one.
    let choice =
        bytes.iter().fold(7_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    if let Ok(elements) = decode::body(bytes, false) {
        let events = elements.iter().filter(|element| element.verdict.is_ok());
        for event in events.take(2) {
            let tree = tree::read(event.raw).expect("an event is JSON");
            does_what_a_rule_says(event.raw, &tree, choice);
            leaves_no_person(event.raw, &tree);
            leaves_no_host(event.raw);
        }
    }
    makes_something_of_fragments(bytes);
}

fn does_what_a_rule_says(raw: &[u8], tree: &Tree, choice: usize) {
    let mut paths = Vec::new();
    each_field(tree, &mut Vec::new(), &mut |names, _| paths.push(names.to_vec()));
    let Some(names) = paths.get(choice % paths.len().max(1)) else { return };
    let path = match choice / 7 % 3 {
        0 => names.join("."),
        1 => format!("**.{}", names.last().expect("a name")),
        _ => [&["*".to_owned()], &names[1..]].concat().join("."),
    };
    let action = ACTIONS[choice / 3 % 3];
    let Ok(parsed) = path.parse::<FieldPath>() else { return };
    if REQUIRED.iter().any(|required| parsed.matches(required)) {
        return;
    }
    let mut rules = rules(action);
    rules.pii = None;
    match action {
        RedactAction::Drop => rules.drop.push(parsed),
        RedactAction::Mask => rules.mask.push(parsed),
        RedactAction::Hash | RedactAction::Truncate => rules.hash.push(parsed),
    }
    let redaction = Redaction::new(&rules);
    let found = redaction.event(raw);
    is_the_same_event(raw, &found);
    let redacted = tree::read(&found).expect("still JSON");
    let mut rule = RuleSpec { path, action, values: Vec::new(), sought: Vec::new() };
    rule.collect(tree);
    rule.compare(tree, &redacted, &mut Vec::new(), false);
    if action != RedactAction::Hash {
        assert_eq!(redaction.event(&found), found, "once is enough");
    }
    assert_eq!(redaction.again().event(&found), found, "what is redacted stays so");
}

/// A rule as text, with its action.
struct RuleSpec {
    path: String,
    action: RedactAction,
    /// Texts in the matched fields.
    values: Vec<String>,
    /// Texts that the rule matches by their own path: none may be left in any text.
    sought: Vec<String>,
}

impl RuleSpec {
    fn collect(&mut self, tree: &Tree) {
        let mut sought = Vec::new();
        let mut values = Vec::new();
        each_field(tree, &mut Vec::new(), &mut |names, value| {
            if means(&self.path, names) {
                texts_of(value, &mut sought);
                let leaves = value.leaves().into_iter();
                values.extend(leaves.filter_map(|(_, leaf)| leaf.text().map(str::to_owned)));
            }
        });
        sought.retain(|text| is_sought(text));
        (self.values, self.sought) = (values, sought);
    }

    /// Checks a text outside of the matched fields: only matched values in it were replaced.
    fn compare_text(&self, came: &str, found: &str, names: &[String]) {
        let (mut came, mut found) = (came, found);
        let is_searched = !is_identity(names) && !is_word(names);
        let holds = self.sought.iter().any(|value| is_searched && holds_whole(found, value));
        assert!(!holds, "{found:?} at {names:?} holds a value of {}", self.path);
        while !(came.is_empty() && found.is_empty()) {
            let replaced = self.values.iter().filter(|value| !value.is_empty()).find_map(|value| {
                let hash = hash(value);
                let stand_in = ["***", hash.as_str()].into_iter();
                let rest = came.strip_prefix(value.as_str())?;
                stand_in.filter_map(|text| Some((rest, found.strip_prefix(text)?))).next()
            });
            (came, found) = replaced.unwrap_or_else(|| {
                let (mut one, mut two) = (came.chars(), found.chars());
                assert_eq!(one.next(), two.next(), "{} does not mean {names:?}", self.path);
                (one.as_str(), two.as_str())
            });
        }
    }

    /// Compares original and redacted tree. `is_meant` is true if an enclosing value is matched.
    fn compare(&self, came: &Tree, found: &Tree, names: &mut Vec<String>, is_meant: bool) {
        match (came, found) {
            (Tree::Object(came), Tree::Object(found)) => {
                let mut found = found.iter();
                for (name, value) in came {
                    names.push(name.clone());
                    let is_meant = is_meant || means(&self.path, names);
                    if !is_meant || self.action != RedactAction::Drop {
                        let (own, left) = found.next().expect("a field that stays");
                        assert_eq!(own, name);
                        self.compare(value, left, names, is_meant);
                    }
                    names.pop();
                }
                assert!(found.next().is_none(), "{} should be gone", self.path);
            }
            (Tree::List(came), Tree::List(found)) => {
                assert_eq!(came.len(), found.len());
                for (came, found) in came.iter().zip(found) {
                    self.compare(came, found, names, is_meant);
                }
            }
            (Tree::Text(text) | Tree::Word(text), found)
                if is_meant && *came != Tree::Word("null".to_owned()) =>
            {
                // Values are masked if hashes would lengthen the text too much.
                let is_hash =
                    self.action == RedactAction::Hash && found.text() == Some(&hash_each(text));
                assert!(is_hash || found.text() == Some("***"), "{found:?} is left of {text}");
            }
            (Tree::Text(came), Tree::Text(found)) => self.compare_text(came, found, names),
            (came, found) => assert_eq!(came, found, "{} does not mean it", self.path),
        }
    }
}

/// Collects a text, or the texts in an array.
fn texts_of(tree: &Tree, texts: &mut Vec<String>) {
    match tree {
        Tree::Text(text) => texts.push(text.clone()),
        Tree::List(items) => items.iter().for_each(|item| texts_of(item, texts)),
        Tree::Word(_) | Tree::Object(_) => {}
    }
}

/// Returns whether a value is searched for in other texts. A word of letters and digits is enough
/// for these properties.
fn is_sought(text: &str) -> bool {
    (3..=512).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Returns whether a text contains a value that no letter or digit precedes or follows.
fn holds_whole(text: &str, value: &str) -> bool {
    text.match_indices(value).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + value.len()..]);
        !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
    })
}

/// Returns whether the last name is one whose values are PingOne's own words.
fn is_word(names: &[String]) -> bool {
    let name = names.last().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
    ["type", "status", "level", "result"].iter().any(|word| name.ends_with(word))
}

fn is_identity(names: &[String]) -> bool {
    REQUIRED.iter().any(|required| names == *required)
}

/// Returns whether a rule matches the field at the path `names`.
fn means(path: &str, names: &[String]) -> bool {
    let (is_anywhere, path) = path.strip_prefix("**.").map_or((false, path), |rest| (true, rest));
    let steps: Vec<&str> = path.split('.').collect();
    let fits = if is_anywhere { names.len() >= steps.len() } else { names.len() == steps.len() };
    let is = |(step, name): (&&str, &String)| *step == "*" || name.eq_ignore_ascii_case(step);
    fits && steps.iter().rev().zip(names.iter().rev()).all(is)
}

/// Checks the profile with each of its actions.
fn leaves_no_person(raw: &[u8], came: &Tree) {
    for action in ACTIONS {
        let redaction = Redaction::new(&rules(action));
        let found = redaction.event(raw);
        is_the_same_event(raw, &found);
        let mut values = Vec::new();
        each_field(came, &mut Vec::new(), &mut |names, value| {
            if PROFILE.iter().any(|path| means(path, names)) {
                texts_of(value, &mut values);
            }
        });
        values.retain(|value| is_sought(value));
        let tree = tree::read(&found).expect("still JSON");
        each_field(&tree, &mut Vec::new(), &mut |names, value| {
            holds_no_address(names.last().expect("a name"));
            if PROFILE.iter().any(|path| means(path, names)) {
                is_redacted(value, action);
            }
        });
        each_text(&tree, &mut Vec::new(), false, &mut |names, in_list, text| {
            let is_required = !in_list && REQUIRED.iter().any(|required| names == *required);
            if !is_required {
                holds_no_address(text);
            }
            if !is_required && !is_word(names) {
                let left = values.iter().find(|value| holds_whole(text, value));
                assert_eq!(left, None, "{text:?} at {names:?} holds it");
            }
        });
        if action != RedactAction::Hash {
            assert_eq!(redaction.event(&found), found, "once is enough");
        }
    }
}

/// Checks that of IP addresses in the profile's fields, only the network is left.
fn leaves_no_host(raw: &[u8]) {
    let rules =
        RedactConfig { addresses: Some(RedactAction::Truncate), ..rules(RedactAction::Mask) };
    let redaction = Redaction::new(&rules);
    let found = redaction.event(raw);
    is_the_same_event(raw, &found);
    let tree = tree::read(&found).expect("still JSON");
    each_field(&tree, &mut Vec::new(), &mut |names, value| {
        if ADDRESSES.iter().any(|path| means(path, names)) {
            for (_, leaf) in value.leaves() {
                let is_gone = match leaf {
                    Tree::Text(text) => text == "***" || is_network_list(text),
                    Tree::Word(word) => word == "null",
                    Tree::List(_) | Tree::Object(_) => true,
                };
                assert!(is_gone, "{leaf:?} at {names:?} names a host");
            }
        }
    });
    assert_eq!(redaction.event(&found), found, "once is enough");
}

fn is_redacted(value: &Tree, action: RedactAction) {
    assert_ne!(action, RedactAction::Drop, "{value:?} should be gone");
    for (_, leaf) in value.leaves() {
        let is_hash =
            |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        // A list of addresses becomes a list of hashes.
        let are_hashes = |text: &str| parts(text).all(is_hash);
        let is_gone = match leaf {
            Tree::Text(text) => text == "***" || (action == RedactAction::Hash && are_hashes(text)),
            Tree::Word(word) => word == "null",
            Tree::List(_) | Tree::Object(_) => true,
        };
        assert!(is_gone, "{leaf:?} is left");
    }
}

fn makes_something_of_fragments(bytes: &[u8]) {
    for action in ACTIONS {
        let redaction = Redaction::new(&rules(action));
        let found = redaction.fragment(bytes);
        assert!(found.len() <= 5 * bytes.len() + 16 * 1024, "it grew to {} bytes", found.len());
        // In hidden bytes, only the shape of an address is left.
        let shown = Some(&found).filter(|found| ***found != *redaction.hide(bytes));
        if let Some(tree) = shown.and_then(|found| tree::read(found)) {
            let check = |_: &[String], _: bool, text: &str| holds_no_address(text);
            each_text(&tree, &mut Vec::new(), false, &mut { check });
        }
        let is_json = tree::read(bytes).is_some();
        assert!(!is_json || tree::read(&found).is_some(), "no longer JSON");
        drop(redaction.event(bytes));
        holds_no_address(&redaction.text(&String::from_utf8_lossy(bytes)));
    }
    let hidden = Redaction::new(&rules(RedactAction::Mask)).hide(bytes);
    assert!(hidden.iter().all(|byte| *byte == b'x' || !byte.is_ascii_alphanumeric()));
}

/// Checks for a simple address: two words of letters and digits with an at sign between them,
/// followed by a dot and letters. Words of only `x` are masked ones.
fn holds_no_address(text: &str) {
    let is_word = |c: char| c.is_ascii_alphanumeric();
    for (at, _) in text.match_indices('@') {
        let is_named = text[..at].ends_with(is_word);
        let label = text[at + 1..].split(|c| !is_word(c)).next().unwrap_or_default();
        let rest = text[at + 1 + label.len()..].strip_prefix('.').unwrap_or_default();
        let ends = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let name = text[..at].rsplit(|c| !is_word(c)).next().unwrap_or_default();
        let is_masked = name.bytes().chain(label.bytes()).all(|byte| byte == b'x');
        let is_address = is_named && !label.is_empty() && ends >= 2 && !is_masked;
        assert!(!is_address, "an address is left: {text:?}");
    }
}

fn is_the_same_event(raw: &[u8], redacted: &[u8]) {
    let came = decode::event(raw).expect("an event").event;
    let left = decode::event(redacted).expect("still an event").event;
    let (one, two) = (came.envelope(), left.envelope());
    assert_eq!((&one.id, &one.recorded_at_text), (&two.id, &two.recorded_at_text));
    assert_eq!((&one.action.kind, one.recorded_at), (&two.action.kind, two.recorded_at));
    assert_eq!(came.interaction_id(), left.interaction_id());
}

/// Calls `tell` with every field and the names on its path. Arrays have no names.
fn each_field(tree: &Tree, names: &mut Vec<String>, tell: &mut impl FnMut(&[String], &Tree)) {
    match tree {
        Tree::Object(fields) => {
            for (name, value) in fields {
                names.push(name.clone());
                tell(names, value);
                each_field(value, names, tell);
                names.pop();
            }
        }
        Tree::List(items) => items.iter().for_each(|item| each_field(item, names, tell)),
        Tree::Text(_) | Tree::Word(_) => {}
    }
}

/// Calls `tell` with every text, and whether an array is on its path.
fn each_text(
    tree: &Tree,
    names: &mut Vec<String>,
    in_list: bool,
    tell: &mut impl FnMut(&[String], bool, &str),
) {
    match tree {
        Tree::Text(text) => tell(names, in_list, text),
        Tree::Word(_) => {}
        Tree::List(items) => items.iter().for_each(|item| each_text(item, names, true, tell)),
        Tree::Object(fields) => {
            for (name, value) in fields {
                names.push(name.clone());
                each_text(value, names, in_list, tell);
                names.pop();
            }
        }
    }
}

/// Returns the profile with an action, and a key.
fn rules(action: RedactAction) -> RedactConfig {
    let word = match action {
        RedactAction::Drop => "drop",
        RedactAction::Mask => "mask",
        RedactAction::Hash | RedactAction::Truncate => "hash",
    };
    let text = format!("[redact]\npii = \"{word}\"\nkey_env = \"KEY\"\n");
    let variables = [("KEY".into(), KEY.into())].into_iter();
    config::parse(&text, None, variables).expect("valid").redact.expect("a table")
}

/// Returns the hash of a text, or of each address in a list of addresses.
fn hash_each(text: &str) -> String {
    list_of(text, hash).unwrap_or_else(|| hash(text))
}

fn hash(text: &str) -> String {
    let mut hash = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).expect("any length");
    hash.update(text.as_bytes());
    hash.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
