//! Bodies, signatures, and the verdict of each status.

mod profiles;

use bytes::Bytes;
use std::time::Duration;

use super::*;
use crate::config;
use crate::sinks::TargetConfig;

fn items(texts: &[&str]) -> Vec<Item> {
    (1..)
        .zip(texts)
        .map(|(position, text)| Item { position, payload: Bytes::copy_from_slice(text.as_bytes()) })
        .collect()
}

#[test]
fn events_stand_in_a_body_as_configured() {
    let body = |shape, texts: &[&str]| {
        String::from_utf8(body::body(shape, Envelope::Plain, &items(texts))).expect("UTF-8")
    };
    let two = ["{\"a\":1}", "{\"b\":2}"];
    assert_eq!(body(BodyShape::Array, &two), "[{\"a\":1},{\"b\":2}]");
    assert_eq!(body(BodyShape::Ndjson, &two), "{\"a\":1}\n{\"b\":2}\n");
    assert_eq!(body(BodyShape::Lines, &two), "{\"a\":1}\n{\"b\":2}\n");
    assert_eq!(body(BodyShape::Single, &two[..1]), "{\"a\":1}");
}

#[test]
fn a_status_decides_about_the_whole_request() {
    for (status, expected) in [
        (200, "Delivered"),
        (202, "Delivered"),
        (204, "Delivered"),
        (301, "Fatal"),
        (400, "Split"),
        (401, "Fatal"),
        (403, "Fatal"),
        (404, "Fatal"),
        (405, "Fatal"),
        (408, "Retry"),
        (410, "Fatal"),
        (413, "Split"),
        (415, "Fatal"),
        (422, "Split"),
        (429, "Retry"),
        (500, "Retry"),
        (501, "Fatal"),
        (503, "Retry"),
    ] {
        let retry_after = Some(Duration::from_secs(2));
        let answer = Answer {
            status,
            retry_after,
            body: b"said".to_vec(),
            is_whole: true,
            ..Answer::default()
        };
        let verdict = verdict(&answer, &[], &profile::GENERIC);
        assert!(format!("{verdict:?}").starts_with(expected), "{status}: {verdict:?}");
        if let Verdict::Retry { after, .. } = &verdict {
            assert_eq!(*after, retry_after);
        }
        if verdict != Verdict::Delivered {
            let reason = verdict.into_reason();
            assert_eq!((reason.status, reason.answer.as_str()), (Some(status), "said"));
        }
    }
}

/// A 2xx that is not listed is no success, and blames no event.
#[test]
fn listed_statuses_alone_mean_success() {
    for (status, success, expected) in [
        (200, &[200, 202][..], "Delivered"),
        (202, &[200, 202], "Delivered"),
        (204, &[200, 202], "Fatal"),
        (260, &[200], "Fatal"),
        (204, &[], "Delivered"),
        (503, &[200], "Retry"),
        (400, &[200], "Split"),
    ] {
        let answer = crate::sinks::tests::answer(status, "");
        let verdict = verdict(&answer, success, &profile::GENERIC);
        assert!(format!("{verdict:?}").starts_with(expected), "{status} {success:?}: {verdict:?}");
    }
}

/// A page is no answer of the target, so that it acknowledges and blames no event.
#[test]
fn a_page_is_no_verdict_about_events() {
    let known = profile::PROFILES[0].1;
    for (status, content_type, body, of_any, of_a_profile) in [
        (200, "text/html", "<html>log in</html>", "Retry", "Retry"),
        (200, "", "<!DOCTYPE html>", "Retry", "Retry"),
        (400, "text/html", "<h1>Bad Request</h1>", "Retry", "Retry"),
        (422, "text/html", "<h1>no</h1>", "Retry", "Retry"),
        (200, "text/html", "ok", "Delivered", "Retry"),
        (200, "text/html", "", "Delivered", "Delivered"),
        (400, "text/html", "field x", "Split", "Retry"),
        // The limit is that of the proxy, and smaller requests fit into it.
        (413, "text/html", "<html>too large</html>", "Split", "Split"),
        (200, "application/xml", "<response>ok</response>", "Delivered", "Delivered"),
    ] {
        let content_type = Some(content_type.to_owned()).filter(|kind| !kind.is_empty());
        let answer = Answer { content_type, ..crate::sinks::tests::answer(status, body) };
        for (profile, expected) in [(&profile::GENERIC, of_any), (known, of_a_profile)] {
            let found = verdict(&answer, &[], profile);
            assert!(format!("{found:?}").starts_with(expected), "{status} {body}: {found:?}");
            let is_told = found.into_reason().message.contains("login page or a proxy");
            assert_eq!(is_told, expected == "Retry", "{status} {body}");
        }
    }
}

fn keys(secrets: &[&str]) -> Vec<Secret> {
    let names: Vec<String> = (0..secrets.len()).map(|index| format!("K{index}")).collect();
    let tables: Vec<String> =
        names.iter().map(|name| format!("{{ key_env = \"{name}\" }}")).collect();
    let text = format!(
        "[sinks.s]\ntype = \"http\"\nurl = \"http://x\"\nsigning_keys = [{}]",
        tables.join(", ")
    );
    let variables = names.iter().zip(secrets).map(|(name, secret)| (name.into(), secret.into()));
    let config = config::parse(&text, None, variables.collect::<Vec<_>>().into_iter());
    match &config.expect("valid").sinks[0].target {
        TargetConfig::Http(sink) => sink.signing_keys.clone(),
        other => panic!("{other:?}"),
    }
}

/// The example of the specification, and two signatures while a key is changed.
#[test]
fn signatures_are_those_of_standard_webhooks() {
    let (id, at) = ("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553);
    let body = br#"{"email":"test@example.com","username":"test_user"}"#;
    let key = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let expected = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
    let signed = signature::sign(&keys(&[key]), id, at, body).expect("signed");
    assert_eq!(signed, expected);
    let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let both = signature::sign(&keys(&[other, key]), id, at, body).expect("signed");
    let (first, second) = both.split_once(' ').expect("two");
    assert_eq!(second, expected);
    assert!(first.starts_with("v1,") && first != expected);
}

#[test]
fn an_id_is_the_items_own_and_holds_no_dot() {
    let item = |position, text: &'static str| Item { position, payload: text.into() };
    let id = signature::id_of(&[item(1, "one"), item(2, "two")]);
    assert_eq!(
        id,
        signature::id_of(&[item(1, "one"), item(2, "two")]),
        "a repetition has it again"
    );
    for other in [
        [item(1, "one"), item(2, "other")],
        [item(1, "onet"), item(2, "wo")],
        // The same bytes from another source, or a replay.
        [item(1, "one"), item(3, "two")],
    ] {
        assert_ne!(id, signature::id_of(&other));
    }
    assert!(!id.contains('.') && id.len() == 36, "{id}");
}
