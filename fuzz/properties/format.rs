//! Any event in each format: one line, readable by the format's own rules, with no field lost.

use std::collections::BTreeMap;

use super::lines::{decode_cef, decode_leef};
use super::tree::{self, Tree};
use crate::decode;
use crate::event::Event;
use crate::format::{Format, FormatConfig, OcsfVersion};
use crate::format::{Received, explain, render};

/// Maximum number of events of one body that are checked.
const EVENTS: usize = 4;

/// Time of receipt in both spellings.
const RECEIVED_AT: i64 = 1_700_000_000_123;
const RECEIVED_AT_TEXT: &str = "2023-11-14T22:13:20.123Z";

/// Maximum length of a field that Elasticsearch accepts, in bytes.
const LONGEST: usize = 32_766;

/// Maximum lengths of CEF keys below 1023, in characters.
const CEF_LIMITS: [(&str, usize); 3] = [("externalId", 40), ("act", 63), ("deviceExternalId", 255)];

/// An event in both readings: as the formats get it, and as JSON.
struct RenderedEvent<'a> {
    event: &'a Event<'a>,
    raw: &'a [u8],
    tree: Tree,
}

/// Checks that the original is on one line and has the same content, with or without its wrapper.
pub fn native(bytes: &[u8]) {
    each(bytes, |came| {
        let line = line(&FormatConfig::of(Format::Native), came);
        assert_eq!(tree::read(line.as_bytes()).as_ref(), Some(&came.tree));
        let wrapping = FormatConfig { wrap: true, ..FormatConfig::of(Format::Native) };
        let wrapped = tree::read(self::line(&wrapping, came).as_bytes()).expect("JSON");
        assert_eq!(wrapped.get("event"), Some(&came.tree));
        assert_eq!(wrapped.get("source").and_then(Tree::text), Some("a \"source\""));
        assert_eq!(wrapped.get("received_at").and_then(Tree::text), Some(RECEIVED_AT_TEXT));
    });
}

/// Checks that Elasticsearch accepts the document and that no field is lost.
pub fn ecs(bytes: &[u8]) {
    each(bytes, |came| {
        let formatting = FormatConfig::of(Format::Ecs);
        let document = document(&formatting, came);
        for field in ["@timestamp", "message"] {
            assert!(document.get(field).and_then(Tree::text).is_some(), "no {field}");
        }
        let outcome = document.at(&["event", "outcome"]).and_then(Tree::text);
        assert_eq!(outcome, Some(came.event.outcome().as_str()));
        let extra = document.at(&["ping_one", "davinci", "extra"]);
        let original = document.at(&["event", "original"]).and_then(Tree::text);
        nothing_is_lost(came, &said(&document), extra, original);
        let with = FormatConfig { original: true, ..formatting };
        let whole = self::document(&with, came);
        is_the_original(came, whole.at(&["event", "original"]).and_then(Tree::text));
        for (path, leaf) in document.leaves() {
            let path = path.join(".");
            let is_whole = ["event.original", "ping_one.davinci.extra", "ping_one.audit.resources"];
            let is_long = leaf.text().is_some_and(|text| text.len() > LONGEST);
            assert!(!is_long || is_whole.iter().any(|whole| path.starts_with(whole)), "{path}");
        }
    });
}

/// Checks that documents of both versions are complete.
pub fn ocsf(bytes: &[u8]) {
    each(bytes, |came| {
        for (version, ocsf_version) in OcsfVersion::ALL {
            let formatting = FormatConfig { ocsf_version, ..FormatConfig::of(Format::Ocsf) };
            let document = document(&formatting, came);
            let said_version = document.at(&["metadata", "version"]).and_then(Tree::text);
            assert_eq!(said_version, Some(version));
            let number = |name: &str| -> i64 {
                document.get(name).and_then(Tree::said).and_then(|n| n.parse().ok()).expect(name)
            };
            assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"));
            assert_eq!(number("time"), came.event.time().timestamp_millis());
            let unmapped = document.get("unmapped");
            // A long original is an unmapped field under a name that the event does not have.
            let longer = || {
                let Some(Tree::Object(fields)) = unmapped else { return None };
                let is_original = |name: &str| name.trim_start_matches('_') == "raw_data";
                fields
                    .iter()
                    .filter(|(name, _)| is_original(name))
                    .max_by_key(|(name, _)| name.len())
            };
            let original = document.get("raw_data").or_else(|| longer().map(|(_, value)| value));
            nothing_is_lost(came, &said(&document), unmapped, original.and_then(Tree::text));
        }
    });
}

/// Checks that ArcSight's rules can read the line.
pub fn cef(bytes: &[u8]) {
    each(bytes, |came| {
        let formatting = FormatConfig::of(Format::Cef);
        let line = line(&formatting, came);
        assert!(!line.contains(char::is_control), "{line:?}");
        let (head, pairs) = decode_cef(&line);
        assert_eq!((head.len(), head[0].as_str()), (7, "CEF:0"));
        assert!(head[6].parse::<u8>().is_ok_and(|severity| severity <= 10), "{head:?}");
        for (key, value) in &pairs {
            let longest =
                CEF_LIMITS.iter().find(|(own, _)| own == key).map(|(_, longest)| *longest);
            let is_free = key.starts_with("davinci");
            let longest = longest.unwrap_or(if key.starts_with("cs") { 4000 } else { 1023 });
            assert!(is_free || value.chars().count() <= longest, "{key} is too long");
            let labelled = key.strip_suffix("Label");
            assert!(labelled.is_none_or(|key| pairs.contains_key(key)), "{key} without its value");
        }
        assert_eq!(pairs.get("outcome").map(String::as_str), Some(came.event.outcome().as_str()));
        pairs_lose_nothing(came, &head, &pairs);
    });
}

/// Checks that QRadar's rules can read the line.
pub fn leef(bytes: &[u8]) {
    each(bytes, |came| {
        let line = line(&FormatConfig::of(Format::Leef), came);
        assert!(!line.contains(|c: char| c.is_control() && c != '\t'), "{line:?}");
        let (head, pairs) = decode_leef(&line);
        assert_eq!(head[0], "LEEF:2.0");
        assert!(!head[4].is_empty() && head[4].chars().count() <= 255, "{head:?}");
        assert_eq!(pairs.get("outcome").map(String::as_str), Some(came.event.outcome().as_str()));
        pairs_lose_nothing(came, &head, &pairs);
    });
}

/// Calls `check` with the first events of a body.
fn each(bytes: &[u8], mut check: impl FnMut(&RenderedEvent<'_>)) {
    let Ok(elements) = decode::body(bytes, false) else { return };
    let accepted =
        elements.iter().filter_map(|element| Some((element.raw, element.verdict.as_ref().ok()?)));
    for (raw, typed) in accepted.take(EVENTS) {
        let tree = tree::read(raw).expect("an event is JSON");
        check(&RenderedEvent { event: &typed.event, raw, tree });
    }
}

/// Renders a line, and checks that `explain` renders the same.
fn line(formatting: &FormatConfig, came: &RenderedEvent<'_>) -> String {
    let RenderedEvent { event, raw, .. } = came;
    let received = Received { event, raw, received_at: RECEIVED_AT, source: "a \"source\"" };
    let line = render(formatting, received);
    assert_eq!(explain(formatting, received).line, line);
    let text = String::from_utf8(line.bytes).expect("UTF-8");
    assert!(!text.contains(['\n', '\r', '\0']), "more than one line: {text:?}");
    text
}

fn document(formatting: &FormatConfig, came: &RenderedEvent<'_>) -> Tree {
    let line = line(formatting, came);
    let document = tree::read(line.as_bytes()).expect("JSON");
    assert!(!document.has_repetition(), "a name twice in {line}");
    document
}

/// Returns the texts of all leaves of a document.
fn said(document: &Tree) -> Vec<String> {
    document.leaves().iter().filter_map(|(_, leaf)| leaf.said().map(spelt)).collect()
}

fn pairs_lose_nothing(came: &RenderedEvent<'_>, head: &[String], pairs: &BTreeMap<String, String>) {
    let said: Vec<String> = head.iter().chain(pairs.values()).map(|text| spelt(text)).collect();
    let extra = pairs.get("davinciExtra").map(|text| tree::read(text.as_bytes()).expect("JSON"));
    let original = pairs.get("davinciOriginal").map(String::as_str);
    nothing_is_lost(came, &said, extra.as_ref(), original);
}

/// Checks that every leaf of the event is shown, or is in the extension at its original path. If
/// the tree is not lossless, the original event must be included.
fn nothing_is_lost(
    came: &RenderedEvent<'_>,
    said: &[String],
    extra: Option<&Tree>,
    original: Option<&str>,
) {
    if came.tree.has_repetition() || original.is_some() {
        return is_the_original(came, original);
    }
    for (path, leaf) in came.tree.leaves() {
        let kept = extra.and_then(|extra| extra.follow(&path));
        let is_there = leaf.said().is_some_and(|text| said.contains(&spelt(text)));
        let stays = kept == Some(leaf)
            || kept
                .and_then(Tree::said)
                .zip(leaf.said())
                .is_some_and(|(a, b)| spelt(a) == spelt(b));
        assert!(
            is_there || stays || is_a_word_for_something(&path, leaf),
            "{path:?} is lost: {leaf:?} of {:?}",
            String::from_utf8_lossy(came.raw)
        );
    }
}

/// Returns whether a format shows a leaf in its own words, an unknown version or the type of a user,
/// or leaves it out: an empty object or array, or a null in an array.
fn is_a_word_for_something(path: &[String], leaf: &Tree) -> bool {
    let (Some(first), Some(name)) = (path.first(), path.last()) else { return false };
    let is_person = matches!(first.as_str(), "actors" | "resources");
    let is_entry = name.parse::<usize>().is_ok();
    match leaf {
        Tree::List(_) | Tree::Object(_) => true,
        Tree::Text(text) if is_person && name == "type" && text == "USER" => true,
        Tree::Word(word) if is_entry && word == "null" => true,
        other => name == "flowVersionId" && other.said() == Some("-1"),
    }
}

fn is_the_original(came: &RenderedEvent<'_>, original: Option<&str>) {
    let original = original.and_then(|text| tree::read(text.as_bytes()));
    assert_eq!(original.as_ref(), Some(&came.tree), "the original does not go along");
}

/// Normalizes the exponent of a number.
fn spelt(text: &str) -> String {
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    if is_number { text.to_lowercase().replace('+', "") } else { text.to_owned() }
}
