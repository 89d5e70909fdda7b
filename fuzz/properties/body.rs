//! Arbitrary bytes as the body of a webhook request.

use bytes::Bytes;

use super::tree::{self, Tree};
use crate::decode::{self, Element, MAX_ELEMENTS, MAX_REFUSED, Refusal, RefusalReason, TypedEvent};
use crate::event::FindingKind;
use crate::receive;

/// Maximum number of findings kept for one event.
const MAX_FINDINGS: usize = 32;

/// Checks that every element has one fate, that no byte is lost, and that an accepted event reads
/// the same from its stored bytes.
pub fn body(bytes: &[u8]) {
    let lenient = decode::body(bytes, false);
    let strict = decode::body(bytes, true);
    let received = Bytes::copy_from_slice(bytes);
    let batch = receive::fuzzing::batch(&received, bytes.len());
    // Bodies arrive in pieces of any size. Pieces below the minimum are gathered, so that only large bodies differ.
    for piece in [1, 20_000, bytes.len() / 3] {
        let in_pieces = receive::fuzzing::batch(&received, piece);
        assert_eq!(in_pieces.as_ref().err(), batch.as_ref().err());
        assert_eq!(
            in_pieces.ok().map(|batch| batch.events),
            batch.as_ref().ok().map(|batch| batch.events.clone())
        );
    }
    match lenient {
        Ok(elements) => {
            let batch = batch.expect("what was split is a batch");
            is_stored_whole(&elements, &batch);
            places_are_in_order(bytes, &elements);
            nothing_is_left_out(bytes, &elements);
            elements.iter().for_each(is_judged_by_its_bytes);
            is_split_as_json_is(bytes, &elements);
            same_but_for_findings(&elements, strict);
        }
        Err(refusal) => {
            is_explained(&refusal);
            assert_eq!(refusal.path.get(..1), Some("$"));
            assert_eq!(batch.err().as_ref(), Some(&refusal));
            assert_eq!(strict.err().map(|refusal| refusal.reason), Some(refusal.reason));
            let whole = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            let is_whole = is_json(whole);
            assert!(!is_whole || refusal.reason == RefusalReason::TooManyElements, "{refusal:?}");
        }
    }
}

/// Checks that each element is an event for the spool or an entry for the quarantine, with its
/// original bytes.
fn is_stored_whole(elements: &[Element<'_>], batch: &crate::spool::Batch) {
    let (mut events, mut entries) = (batch.events.iter(), batch.quarantine.iter());
    for element in elements {
        match &element.verdict {
            Ok(_) => assert_eq!(events.next().expect("an event").bytes, element.raw),
            Err(refusal) => {
                let entry = entries.next().expect("an entry");
                assert_eq!(entry.bytes, element.raw);
                assert_eq!((entry.index, &entry.path), (element.index as u64, &refusal.path));
                assert_eq!(entry.reason, refusal.reason.as_str());
            }
        }
    }
    assert!(events.next().is_none() && entries.next().is_none(), "more fates than elements");
}

fn places_are_in_order(bytes: &[u8], elements: &[Element<'_>]) {
    assert!(elements.len() <= MAX_ELEMENTS);
    let refused = elements.iter().filter(|element| element.verdict.is_err()).count();
    assert!(refused <= MAX_REFUSED);
    let mut end = 0;
    for (index, element) in elements.iter().enumerate() {
        assert_eq!(element.index, index);
        let range = range(bytes, element);
        assert!(range.start >= end && !range.is_empty(), "{range:?} after {end}");
        end = range.end;
    }
    assert!(end <= bytes.len());
}

fn range(bytes: &[u8], element: &Element<'_>) -> std::ops::Range<usize> {
    let start = element.raw.as_ptr().addr() - bytes.as_ptr().addr();
    start..start + element.raw.len()
}

/// Checks that bytes outside of elements are structure: whitespace, commas, brackets, and wrappers.
fn nothing_is_left_out(bytes: &[u8], elements: &[Element<'_>]) {
    let mut rest =
        bytes.strip_prefix(b"\xef\xbb\xbf").map_or(bytes.to_vec(), |body| [b"   ", body].concat());
    for element in elements {
        rest[range(bytes, element)].fill(b' ');
    }
    let is_structure = |byte: &u8| b" \t\r\n[],".contains(byte);
    if !rest.iter().all(is_structure) {
        // A wrapper was opened. It is well-formed and begins with a brace.
        let first = rest.iter().position(|byte| !is_structure(byte));
        let first = first.expect("something");
        assert_eq!(rest[first], b'{', "lost {:?}", String::from_utf8_lossy(&rest[first..]));
    }
}

/// Checks that an element's fate depends on its bytes alone.
fn is_judged_by_its_bytes(element: &Element<'_>) {
    let again = decode::event(element.raw);
    match &element.verdict {
        Ok(typed) => {
            assert_eq!(again.as_ref(), Ok(typed), "typed again");
            let tree = tree::read(element.raw).expect("an event is JSON");
            says_what_was_typed(&tree, typed);
        }
        Err(refusal) => {
            is_explained(refusal);
            let place = element.path.to_string();
            assert!(refusal.path.starts_with(&place), "{} is not below {place}", refusal.path);
            // Nesting is checked before anything else.
            if refusal.reason == RefusalReason::TooDeep {
                return;
            }
            assert_eq!(again.err().map(|again| again.reason), Some(refusal.reason));
            let is_broken =
                matches!(refusal.reason, RefusalReason::Syntax | RefusalReason::InvalidUtf8);
            let text = String::from_utf8_lossy(element.raw);
            assert!(is_broken != is_json(element.raw), "{refusal:?} of {text:?}");
        }
    }
}

fn says_what_was_typed(tree: &Tree, typed: &TypedEvent<'_>) {
    let envelope = typed.event.envelope();
    let text = |names: &[&str]| tree.at(names).and_then(Tree::text);
    assert_eq!(text(&["id"]), Some(&*envelope.id));
    assert_eq!(text(&["recordedAt"]), Some(&*envelope.recorded_at_text));
    assert_eq!(text(&["action", "type"]), Some(&*envelope.action.kind));
    if let Some(id) = typed.event.interaction_id() {
        assert_eq!(text(&["_embedded", "flowInteractionEvent", "interactionId"]), Some(id));
    }
    assert_eq!(typed.event.uid("pingone").len(), 40);
    assert!(typed.findings.len() <= MAX_FINDINGS);
    for finding in &typed.findings {
        assert!(finding.path.starts_with("$.") && finding.path.chars().count() < 300);
    }
}

fn is_explained(refusal: &Refusal) {
    assert!(!refusal.detail.is_empty() && refusal.detail.len() < 300, "{refusal:?}");
    assert!(!refusal.detail.contains(char::is_control), "{refusal:?}");
    assert!(refusal.path.chars().count() < 300, "{refusal:?}");
}

/// Checks that a body of one JSON value without possible wrappers has the elements that JSON
/// defines.
fn is_split_as_json_is(bytes: &[u8], elements: &[Element<'_>]) {
    let body = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Some(tree) = tree::read(body) else { return };
    let may_wrap =
        |value: &Tree| ["logs", "event", "_embedded"].iter().any(|name| value.get(name).is_some());
    let expected = match &tree {
        Tree::List(items) if !items.iter().any(may_wrap) => items.iter().collect(),
        Tree::List(_) => return,
        one if may_wrap(one) => return,
        one => vec![one],
    };
    let found: Vec<_> = elements.iter().map(|element| tree::read(element.raw)).collect();
    let expected: Vec<_> = expected.into_iter().map(|value| Some(value.clone())).collect();
    assert_eq!(found, expected);
}

/// Checks that `strict` refuses events with findings and changes nothing else.
fn same_but_for_findings(lenient: &[Element<'_>], strict: Result<Vec<Element<'_>>, Refusal>) {
    let strict = match strict {
        Ok(strict) => strict,
        Err(refusal) => return assert_eq!(refusal.reason, RefusalReason::TooManyElements),
    };
    assert_eq!(strict.len(), lenient.len());
    let deviates = |typed: &TypedEvent<'_>| {
        typed.findings.iter().any(|finding| finding.kind != FindingKind::UnlistedType)
    };
    for (strict, lenient) in strict.iter().zip(lenient) {
        assert_eq!((strict.raw, strict.path), (lenient.raw, lenient.path));
        match (&strict.verdict, &lenient.verdict) {
            (Err(refusal), Ok(typed)) => {
                assert_eq!(refusal.reason, RefusalReason::Finding);
                assert!(deviates(typed));
            }
            (strict, lenient) => {
                assert_eq!(strict, lenient);
                assert!(!strict.as_ref().is_ok_and(deviates));
            }
        }
    }
}

/// Returns whether bytes are JSON for serde's skipping parser, which does not check the characters
/// of strings.
fn is_json(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes);
    text.is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}
