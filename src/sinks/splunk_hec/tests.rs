//! Every code of the collector, and the bytes of an event.

use super::answer::report;
use super::*;
use crate::config;
use crate::sinks::TargetConfig;
use crate::sinks::tests::{answer, letters};

fn reply(status: u16, body: &str) -> Reply {
    Reply::read(answer(status, body))
}

#[test]
fn every_code_has_its_verdict() {
    for (status, code, verdict) in [
        (200, 0, 'D'),
        (403, 1, 'F'),
        (401, 2, 'F'),
        (401, 3, 'F'),
        (403, 4, 'F'),
        (400, 5, 'S'),
        (500, 8, 'R'),
        (503, 9, 'R'),
        (400, 10, 'F'),
        (400, 11, 'F'),
        (400, 14, 'F'),
        (400, 16, 'F'),
        (200, 17, 'F'),
        (200, 500, 'F'),
        (201, 0, 'F'),
        (503, 18, 'R'),
        (503, 19, 'R'),
        (503, 20, 'R'),
        (400, 21, 'F'),
        (400, 22, 'F'),
        (503, 23, 'R'),
        (200, 24, 'D'),
        (200, 25, 'D'),
        (429, 26, 'R'),
        (429, 27, 'R'),
        (400, 28, 'F'),
        // Only with status 400 is the number of indexed events valid.
        (302, 6, 'F'),
        (302, 7, 'F'),
        (500, 7, 'R'),
        (503, 13, 'R'),
        // Not Splunk's, or of a later version: the status decides.
        (400, 99, 'S'),
        (429, 99, 'R'),
        (500, 99, 'R'),
        (403, 99, 'F'),
        (404, 404, 'F'),
    ] {
        let body = format!(r#"{{"text":"x","code":{code}}}"#);
        let found = report(&reply(status, &body), 3);
        assert_eq!(letters(&found), verdict.to_string().repeat(3), "{status}/{code}");
        let slows = found.findings == [(SinkFinding::SlowDown, 3)];
        assert_eq!(slows, code == 24 || code == 25, "{status}/{code}: {:?}", found.findings);
    }
}

#[test]
fn an_answer_without_a_code_is_judged_by_its_status() {
    for (status, verdict) in [
        (413, "SS"),
        (415, "FF"),
        (404, "FF"),
        (405, "FF"),
        (503, "RR"),
        (302, "FF"),
        (408, "RR"),
        (400, "RR"),
        (422, "RR"),
    ] {
        let found = report(&reply(status, "<html>no</html>"), 2);
        assert_eq!(letters(&found), verdict, "{status}");
    }
    // A page of a proxy is no delivery, whatever its status.
    assert_eq!(letters(&report(&reply(200, "<html>welcome</html>"), 2)), "FF");
    let mut torn = reply(200, "{\"text\":\"Suc");
    torn.answer.is_whole = false;
    assert_eq!(letters(&report(&torn, 2)), "RR", "nobody knows: again");
    torn.answer.is_too_long = true;
    assert_eq!(
        letters(&report(&torn, 2)),
        "FF",
        "no collector answers so, and no event is to blame"
    );
}

#[test]
fn a_collector_that_is_busy_in_the_middle_gets_the_rest_again() {
    for (number, expected) in [("2", "DDRRR"), ("0", "RRRRR"), ("4", "DDDDR"), ("5", "RRRRR")] {
        let body = format!(r#"{{"text":"x","code":9,"invalid-event-number":{number}}}"#);
        assert_eq!(letters(&report(&reply(503, &body), 5)), expected, "{number}");
    }
}

#[test]
fn the_number_of_the_bad_event_decides_about_its_neighbours() {
    for code in [6, 12, 13, 15] {
        for (number, count, expected) in [
            (Some(2), 5, "DDX--"),
            (Some(4), 5, "DDDDX"),
            // The text for a body that is too large: the first event is not the cause.
            (Some(0), 5, "SSSSS"),
            (Some(0), 1, "S"),
            (None, 5, "SSSSS"),
            (Some(9), 5, "SSSSS"),
        ] {
            let number = number.map_or(String::new(), |n| format!(",\"invalid-event-number\":{n}"));
            let body = format!("{{\"text\":\"x\",\"code\":{code}{number}}}");
            let found = report(&reply(400, &body), count);
            assert_eq!(letters(&found), expected, "code {code}{number}");
        }
    }
    // A wrong index is reported one too late.
    for (number, count, expected) in [
        (0, 5, "FFFFF"),
        (1, 5, "FFFFF"),
        (2, 5, "DFFFF"),
        (5, 5, "DDDDF"),
        (6, 5, "FFFFF"),
        (1, 1, "F"),
    ] {
        let body = format!("{{\"text\":\"x\",\"code\":7,\"invalid-event-number\":{number}}}");
        let found = report(&reply(400, &body), count);
        assert_eq!(letters(&found), expected, "code 7 at {number}");
    }
}

#[test]
fn a_reason_contains_our_text_and_the_answer_separately() {
    let found = report(&reply(403, r#"{"text":"canary","code":4}"#), 1);
    let [Verdict::Fatal { reason }] = found.verdicts.as_slice() else { panic!("{found:?}") };
    assert!(reason.message.contains("HTTP 403, code 4, invalid token"), "{reason}");
    assert!(!reason.message.contains("canary") && reason.answer.contains("canary"));
    assert_eq!((reason.status, reason.code.as_deref()), (Some(403), Some("4")));
}

#[test]
fn an_event_is_wrapped_with_its_time_in_seconds() {
    let raw = include_bytes!("../../../fixtures/events/custom_analytics.json");
    let compact: serde_json::Value = serde_json::from_slice(raw).expect("JSON");
    let event = crate::decode::event(raw).expect("an event").event;
    let line = compact.to_string().into_bytes();
    let text = "[sinks.s]\ntype = \"splunk_hec\"\nendpoint = \"https://x\"\ntoken_env = \"T\"\n\
                index = \"i\"\n";
    let variables = [("T".into(), "t".into())].into_iter();
    let config = config::parse(text, None, variables).expect("valid");
    let TargetConfig::SplunkHec(settings) = &config.sinks[0].target else { panic!("a sink") };
    let payload = encode::encode(settings, Rendered { line, event: &event, source: "pingone" });
    let mut sent: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!(sent["event"].take(), compact);
    insta::assert_json_snapshot!(sent);
    // No other members than the collector knows.
    let known = ["time", "host", "source", "sourcetype", "index", "fields", "event"];
    assert!(sent.as_object().expect("an object").keys().all(|key| known.contains(&key.as_str())));
    assert!(sent["fields"].as_object().expect("flat").values().all(serde_json::Value::is_string));
}

fn parse(keys: &str) -> Result<config::Config, crate::settings::Problems> {
    let text = format!("[sinks.s]\ntype = \"splunk_hec\"\ntoken_env = \"T\"\n{keys}\n");
    config::parse(&text, None, [("T".into(), "t".into())].into_iter())
}

#[test]
fn a_profile_decides_about_path_token_and_sourcetype() {
    for (profile, endpoint, expected) in [
        ("splunk", "https://x", "/services/collector/event Splunk pingone:davinci 1000 1048576"),
        ("logscale", "https://x", "/api/v1/ingest/hec Bearer - 2000 4194304"),
        (
            "crowdstrike_ngsiem",
            "https://x/a/services/collector",
            "/a/services/collector Bearer - 2000 4194304",
        ),
        // The URL is complete: posted as it is.
        ("crowdstrike_ngsiem", "https://x/a/", "/a/ Bearer - 2000 4194304"),
        (
            "cribl",
            "https://x/in",
            "/in/services/collector/event Splunk pingone:davinci 1000 1048576",
        ),
        (
            "cloudwatch",
            "https://x/?logGroup=a&logStream=b",
            "/services/collector/event?logGroup=a&logStream=b Bearer pingone:davinci 1000 900000",
        ),
    ] {
        let keys = format!("profile = \"{profile}\"\nendpoint = \"{endpoint}\"");
        let config = parse(&keys).expect(profile);
        let TargetConfig::SplunkHec(sink) = &config.sinks[0].target else { panic!("a sink") };
        let url = below(&sink.client.url, &sink.path);
        let path = url.as_str().strip_prefix("https://x").expect("a path");
        let batch = &config.sinks[0].batch;
        let sourcetype = sink.sourcetype.as_deref().unwrap_or("-");
        let found = format!("{path} {} {sourcetype} {} {}", sink.scheme, batch.events, batch.bytes);
        assert_eq!(found, expected, "{profile}");
    }
    let keys = "profile = \"logscale\"\nendpoint = \"https://x\"\npath = \"/services/collector\"\n\
                authorization = \"Splunk\"\nsourcetype = \"json\"";
    let config = parse(keys).expect("valid");
    let TargetConfig::SplunkHec(sink) = &config.sinks[0].target else { panic!("a sink") };
    let found = (sink.path.as_str(), sink.scheme, sink.sourcetype.as_deref());
    assert_eq!(found, ("/services/collector", "Splunk", Some("json")), "a key wins");
}

#[test]
fn mistakes_of_a_profile_are_reported() {
    for (keys, said) in [
        ("profile = \"humio\"\nendpoint = \"https://x\"", "profile: "),
        ("profile = \"crowdstrike_ngsiem\"\nendpoint = \"https://x\"", "has no path; copy"),
        ("profile = \"cloudwatch\"\nendpoint = \"https://x\"", "has no logGroup"),
        ("profile = \"cloudwatch\"\nendpoint = \"https://x/?logGroup=a\"", "has no logStream"),
        (
            "profile = \"logscale\"\nendpoint = \"https://x/api/v1/ingest/hec\"",
            "has /api/v1/ingest/hec, which the sink adds itself",
        ),
        (
            "profile = \"cribl\"\nendpoint = \"https://x\"\nacknowledgement = {}",
            "acknowledgement: is only for profile = \"splunk\"",
        ),
        ("endpoint = \"https://x\"\npath = \"collector\"", "path: is not a path such as"),
    ] {
        let found = parse(keys).expect_err(keys).to_string();
        assert!(found.contains(said), "{keys}: {found}");
    }
}

/// Collectors that are not Splunk: their status decides, and never the number of an event.
#[test]
fn another_collector_is_judged_by_its_status() {
    for (status, body, expected) in [
        (200, r#"{"text":"Success","code":0}"#, 'D'),
        (200, "{}", 'D'),
        (200, "", 'D'),
        (204, "", 'F'),
        (202, "{}", 'F'),
        (200, "[0,null,null,null]", 'F'),
        (200, "<html>welcome</html>", 'R'),
        (200, "welcome", 'F'),
        (200, r#"{"text":"Incorrect index","code":7}"#, 'F'),
        (400, r#"{"text":"x","code":6,"invalid-event-number":2}"#, 'S'),
        // Not of the collector: a proxy, or a listener for TLS.
        (400, "<html>no</html>", 'R'),
        (400, "The plain HTTP request was sent to HTTPS port", 'R'),
        (400, "", 'R'),
        (409, "[]", 'R'),
        (400, r#"{"text":"no data"}"#, 'S'),
        (413, "<html>no</html>", 'S'),
        // AWS has its errors of the account in a 400, too.
        (400, r#"{"__type":"ThrottlingException"}"#, 'R'),
        (400, r#"{"__type":"com.amazonaws.logs#ServiceUnavailableException"}"#, 'R'),
        (400, r#"{"code":"ThrottlingException","message":"x"}"#, 'R'),
        (400, r#"{"__type":"com.amazonaws.logs#ResourceNotFoundException"}"#, 'F'),
        (400, r#"{"__type":"AccessDeniedException"}"#, 'F'),
        (400, r#"{"__type":"UnrecognizedClientException"}"#, 'F'),
        (400, r#"{"code":"ExpiredTokenException"}"#, 'F'),
        (403, r#"{"__type":"ThrottlingException"}"#, 'R'),
        (400, r#"{"__type":"InvalidParameterException"}"#, 'S'),
        (200, r#"{"__type":"InternalFailure"}"#, 'F'),
        (413, "", 'S'),
        (422, "{}", 'S'),
        (401, r#"{"code":3}"#, 'F'),
        (403, "", 'F'),
        (404, "", 'F'),
        (302, "", 'F'),
        (408, "", 'R'),
        (429, "{}", 'R'),
        (500, r#"{"code":8}"#, 'R'),
        (503, r#"{"code":9,"invalid-event-number":2}"#, 'R'),
    ] {
        let verdict = answer::verdict_by_status(&reply(status, body), false);
        assert_eq!(letters(&Report::from(vec![verdict])), expected.to_string(), "{status} {body}");
    }
    let mut torn = reply(200, "{\"text\":\"Suc");
    torn.answer.is_whole = false;
    assert_eq!(letters(&Report::from(vec![answer::verdict_by_status(&torn, false)])), "R");
    for (body, expected) in [("{}", "D"), ("", "F"), ("[]", "F")] {
        let verdict = answer::verdict_by_status(&reply(200, body), true);
        assert_eq!(
            letters(&Report::from(vec![verdict])),
            expected,
            "{body:?} where a body is documented"
        );
    }
}

/// An empty request shows only by an answer of the collector that it knows the token.
#[test]
fn the_probe_of_another_collector_wants_an_answer_of_the_collector() {
    for (status, body, is_good) in [
        (200, "{}", true),
        (400, r#"{"text":"no data"}"#, true),
        (400, "<html>no</html>", false),
        (400, "", false),
        (400, r#"{"__type":"ThrottlingException"}"#, false),
        (400, r#"{"__type":"ResourceNotFoundException"}"#, false),
        (401, "{}", false),
    ] {
        let found = answer::probed_by_status(&reply(status, body), false);
        assert_eq!(found.is_ok(), is_good, "{status} {body}: {found:?}");
    }
}
