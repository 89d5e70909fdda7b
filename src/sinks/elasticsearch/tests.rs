//! Every status of a bulk answer, and the bytes of an event.

use super::answer::report;
use super::*;
use crate::config;
use crate::http_client::Answer;
use crate::sinks::tests::{answer, letters};
use crate::sinks::{TargetConfig, Verdict};

#[test]
fn each_document_is_judged_by_its_own_status() {
    let body = r#"{"errors":true,"items":[
        {"create":{"status":201}},
        {"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"r"}}},
        {"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"r"}}},
        {"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"canary"}}},
        {"create":{"status":404,"error":{"type":"index_not_found_exception","reason":"r"}}},
        {"create":{"status":503,"error":{"type":"unavailable_shards_exception","reason":"r"}}},
        {"create":{"status":500}},
        {"create":{"status":403,"error":{"type":"security_exception","reason":"r"}}},
        {"create":{"status":201,"failure_store":"used"}},
        {"create":{"status":200,"failure_store":"not_enabled"}},
        {"create":{"status":400,"error":{"type":"illegal_argument_exception",
                   "reason":"pipeline with id [x] does not exist"}}},
        {"create":{"status":400,"error":{"type":"illegal_argument_exception","reason":"r"}}}]}"#;
    let found = report(&answer(200, body), 12);
    assert_eq!(letters(&found), "DDRXFRRFDDFX");
    assert_eq!(found.findings, [(SinkFinding::FailureStore, 1)]);
    let Verdict::Rejected { reason } = &found.verdicts[3] else { panic!("{found:?}") };
    assert_eq!(reason.code.as_deref(), Some("document_parsing_exception"));
    assert_eq!((reason.status, reason.answer.as_str()), (Some(400), "canary"));
    assert!(!reason.message.contains("canary"), "it may repeat the document: {reason}");
}

#[test]
fn a_request_that_fails_as_a_whole_is_judged_by_its_status() {
    for (status, verdict) in [
        (400, 'F'),
        (401, 'F'),
        (403, 'F'),
        (404, 'F'),
        (405, 'F'),
        (408, 'R'),
        (413, 'S'),
        (429, 'R'),
        (500, 'R'),
        (502, 'R'),
        (503, 'R'),
        (504, 'R'),
        (301, 'F'),
    ] {
        for body in [r#"{"error":{"type":"x_exception"},"status":0}"#, "<html>error</html>", ""] {
            let found = report(&answer(status, body), 2);
            assert_eq!(letters(&found), verdict.to_string().repeat(2), "{status}");
        }
    }
}

#[test]
fn an_answer_that_does_not_fit_the_request_delivers_nothing() {
    for body in ["<html>welcome</html>", "{}", r#"{"items":[{"create":{"status":201}}]}"#] {
        assert_eq!(letters(&report(&answer(200, body), 2)), "FF", "{body}");
    }
    let torn = Answer { is_whole: false, ..answer(200, r#"{"items":[{"cre"#) };
    assert_eq!(letters(&report(&torn, 2)), "RR", "nobody knows: again");
    let long = Answer { is_too_long: true, ..torn };
    assert_eq!(letters(&report(&long, 2)), "SS", "of half it is shorter");
    assert_eq!(letters(&report(&long, 1)), "F", "of one document: the event is not to blame");
}

#[test]
fn a_cluster_that_accepts_no_document_pauses_the_sink() {
    let item = |kind: &str, reason: &str| {
        format!(r#"{{"create":{{"status":400,"error":{{"type":"{kind}","reason":"{reason}"}}}}}}"#)
    };
    let shards = "Validation Failed: 1: this action would add [2] shards, but this cluster currently \
                  has [1000]/[1000] maximum normal shards open;";
    for (kind, reason, verdict) in [
        ("index_closed_exception", "closed", 'F'),
        ("validation_exception", shards, 'F'),
        ("illegal_argument_exception", shards, 'F'),
        ("cluster_block_exception", "index blocked by: [FORBIDDEN/8/index write (api)];", 'F'),
        ("index_not_found_exception", "no such index [x]", 'F'),
        ("illegal_argument_exception", "pipeline with id [p] does not exist", 'F'),
        ("illegal_argument_exception", "no write index is defined for alias [x]", 'F'),
        ("illegal_argument_exception", "Limit of total fields [1000] has been exceeded", 'X'),
        ("mapper_parsing_exception", "failed to parse", 'X'),
        // The cause is unknown: the event is retried, and `deliver` finds the cause.
        ("some_new_exception", "x", 'R'),
        ("", "x", 'R'),
    ] {
        let alone = format!(r#"{{"items":[{}]}}"#, item(kind, reason));
        assert_eq!(letters(&report(&answer(200, &alone), 1)), verdict.to_string(), "{kind}");
        let taken = r#"{"create":{"status":201}}"#;
        let beside = format!(r#"{{"items":[{taken},{}]}}"#, item(kind, reason));
        let expected = format!("D{}", if verdict == 'R' { 'X' } else { verdict });
        assert_eq!(letters(&report(&answer(200, &beside), 2)), expected, "{kind}");
    }
}

fn line_of(raw: &[u8], line: &str) -> String {
    let event = crate::decode::event(raw).expect("an event").event;
    let payload = encode::encode(Rendered {
        line: line.as_bytes().to_vec(),
        event: &event,
        source: "pingone",
    });
    String::from_utf8(payload).expect("UTF-8")
}

#[test]
fn a_document_is_created_under_the_events_own_id_with_its_time() {
    let raw = include_bytes!("../../../fixtures/events/start_interaction.json");
    let event = crate::decode::event(raw).expect("an event").event;
    let (uid, time) =
        (event.uid("pingone"), event.time().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
    assert_eq!(uid.len(), 40);
    let head = format!("{{\"create\":{{\"_id\":\"{uid}\"}}}}\n");
    for (line, document) in [
        (r#"{"a":1}"#, format!(r#"{{"@timestamp":"{time}","a":1}}"#)),
        (r#"{ "a":1}"#, format!(r#"{{"@timestamp":"{time}", "a":1}}"#)),
        ("{}", format!(r#"{{"@timestamp":"{time}"}}"#)),
        // A format that has one keeps it.
        (r#"{"a":1,"@timestamp":"x"}"#, r#"{"a":1,"@timestamp":"x"}"#.to_owned()),
        // Deeper down it is another's.
        (
            r#"{"a":{"@timestamp":"x"}}"#,
            format!(r#"{{"@timestamp":"{time}","a":{{"@timestamp":"x"}}}}"#),
        ),
    ] {
        assert_eq!(line_of(raw, line), format!("{head}{document}"));
    }
}

#[test]
fn each_product_gets_its_own_request() {
    let url = |more: &str| {
        let text = format!(
            "[sinks.s]\ntype = \"elasticsearch\"\nendpoint = \"https://x/prefix/\"\n{more}"
        );
        let config = config::parse(&text, None, std::iter::empty()).expect("valid");
        let TargetConfig::Elasticsearch(settings) = &config.sinks[0].target else {
            panic!("a sink")
        };
        bulk_url(settings).to_string()
    };
    let filter = "filter_path=items.*.status%2Citems.*.error.type%2Citems.*.error.reason%2Citems.*.failure_store%2Cerror";
    let base = "https://x/prefix/logs-pingone.davinci-default/_bulk";
    assert_eq!(url(""), format!("{base}?{filter}&require_data_stream=true"));
    assert_eq!(url("flavor = \"opensearch\""), format!("{base}?{filter}"));
    let with_pipeline = url("flavor = \"opensearch\"\npipeline = \"a b\"");
    assert_eq!(with_pipeline, format!("{base}?{filter}&pipeline=a+b"));
}
