//! Reports for every answer, and mistakes in a configuration.

use serde_json::{Value, json};

use super::*;
use crate::aws::SigningError;
use crate::config;
use crate::sinks::tests::{answer, letters};

#[test]
fn each_record_has_its_own_result() {
    let ok = json!({ "SequenceNumber": "1", "ShardId": "s" });
    let throttled =
        json!({ "ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "canary" });
    let stored = json!({ "RecordId": "1" });
    let failed = json!({ "ErrorCode": "ServiceUnavailableException", "ErrorMessage": "canary" });
    let odd = json!({ "ErrorCode": "a canary!", "ErrorMessage": "canary" });
    for (body, expected) in [
        (json!({ "FailedRecordCount": 0, "Records": [ok, ok, ok] }), "DDD"),
        (json!({ "FailedRecordCount": 1, "Records": [ok, throttled, ok] }), "DRD"),
        (json!({ "FailedPutCount": 0, "RequestResponses": [stored, stored, stored] }), "DDD"),
        (json!({ "FailedPutCount": 2, "RequestResponses": [failed, stored, odd] }), "RDR"),
        (json!({ "FailedRecordCount": 3, "Records": [{}, {}, {}] }), "RRR"),
        (json!({ "FailedRecordCount": 0, "Records": [ok, { "SequenceNumber": "" }, ok] }), "DRD"),
        (
            json!({ "FailedPutCount": 1, "RequestResponses": [stored, { "RecordId": null }, stored] }),
            "DRD",
        ),
        (json!({ "FailedRecordCount": 0, "Records": [ok, ok] }), "FFF"),
        (json!({ "FailedRecordCount": 0 }), "FFF"),
    ] {
        let found = report(&answer(200, &body.to_string()), 3);
        assert_eq!(letters(&found), expected, "{body}");
        for verdict in found.verdicts {
            let reason = verdict.into_reason();
            assert!(
                !reason.message.contains("canary")
                    && reason.code.is_none_or(|code| code != "a canary!")
            );
        }
    }
    let torn = Answer { is_whole: false, ..answer(200, "{\"Rec") };
    assert_eq!(letters(&report(&torn, 2)), "RR");
    let endless = Answer { is_too_long: true, ..torn };
    assert_eq!(letters(&report(&endless, 2)), "FF", "no answer of AWS is so long");
    assert_eq!(letters(&report(&answer(200, "<html>"), 2)), "FF");
}

#[test]
fn an_error_of_a_request_has_its_verdict() {
    for (status, kind, letter, words) in [
        (400, "ResourceNotFoundException", 'F', "there is no such stream"),
        (400, "com.amazonaws.kinesis.v20131202#ResourceNotFoundException", 'F', "no such stream"),
        (400, "AccessDeniedException", 'F', "allow the action"),
        (400, "UnrecognizedClientException", 'F', "does not know the access key"),
        (400, "InvalidSignatureException", 'F', "clock"),
        (403, "InvalidSignatureException", 'F', "clock"),
        (400, "KMSDisabledException", 'F', "AWS KMS"),
        (400, "SomethingNew", 'F', "see the error code"),
        (400, "InvalidKMSResourceException", 'F', "AWS KMS"),
        (400, "ExpiredTokenException", 'F', "has expired"),
        (400, "RequestExpired", 'F', "clock"),
        (400, "Throttling", 'R', ""),
        (400, "ThrottledException", 'R', ""),
        (400, "RequestThrottled", 'R', ""),
        (400, "TooManyRequestsException", 'R', ""),
        (400, "RequestTimeout", 'R', ""),
        (400, "RequestTimeoutException", 'R', ""),
        (400, "ThrottlingException", 'R', ""),
        (400, "LimitExceededException", 'R', ""),
        (400, "ProvisionedThroughputExceededException", 'R', ""),
        (400, "ValidationException", 'S', ""),
        (400, "InvalidArgumentException", 'S', ""),
        (400, "SerializationException", 'S', ""),
        (400, "a canary!", 'F', "not one of AWS"),
        (413, "RequestEntityTooLarge", 'S', ""),
        (500, "InternalFailure", 'R', ""),
        (503, "ServiceUnavailable", 'R', ""),
        (404, "a canary!", 'F', "does not know this URL"),
    ] {
        let body = json!({ "__type": kind, "message": "canary" }).to_string();
        let found = report(&answer(status, &body), 1);
        assert_eq!(letters(&found), letter.to_string(), "{status} {kind}");
        let message = found.verdicts.into_iter().next().expect("one").into_reason().message;
        assert!(message.contains(words) && !message.contains("canary"), "{kind}: {message}");
    }
}

#[test]
fn a_stream_with_another_source_is_no_fault_of_an_event() {
    for (message, letter) in [
        ("This operation is not permitted on KinesisStreamAsSource delivery stream type.", "F"),
        ("canary: This operation is not permitted on KinesisStreamAsSource", "S"),
    ] {
        for key in ["message", "Message"] {
            let body = json!({ "__type": "InvalidArgumentException", key: message }).to_string();
            assert_eq!(letters(&report(&answer(400, &body), 1)), letter, "{message}");
        }
    }
    for page in ["<html>canary</html>", "", "Client sent an HTTP request to an HTTPS server."] {
        assert_eq!(letters(&report(&answer(400, page), 2)), "FF", "{page}");
        assert_eq!(letters(&report(&answer(413, page), 2)), "SS", "{page}");
    }
}

/// A failure with a waiting time never makes a dead letter.
#[test]
fn a_failure_of_aws_is_no_fault_of_an_event() {
    let silent = |status: u16, body: Value| Answer {
        retry_after: None,
        ..answer(status, &body.to_string())
    };
    let waits = |verdict: &Verdict| match verdict {
        Verdict::Retry { after, .. } => after.is_some(),
        _ => false,
    };
    for (code, is_of_aws) in [
        ("ProvisionedThroughputExceededException", true),
        ("ServiceUnavailableException", true),
        ("ThrottlingException", true),
        ("ExpiredTokenException", true),
        ("InvalidSignatureException", true),
        ("InternalFailure", false),
    ] {
        let found = report(&silent(200, json!({ "Records": [{ "ErrorCode": code }] })), 1);
        assert_eq!(waits(&found.verdicts[0]), is_of_aws, "{code}");
    }
    for (status, code, is_of_aws) in [
        (400, "ThrottlingException", true),
        (400, "ProvisionedThroughputExceededException", true),
        (503, "ServiceUnavailableException", true),
        (500, "InternalFailure", false),
    ] {
        let found = report(&silent(status, json!({ "__type": code })), 1);
        assert_eq!(waits(&found.verdicts[0]), is_of_aws, "{code}");
    }
    assert!(waits(&expired_role(&silent(400, json!({ "__type": "ExpiredTokenException" })))));
    let signing = |is_permanent| SigningError { message: "x".to_owned(), is_permanent };
    assert!(waits(&signing(false).into()) && !waits(&signing(true).into()));
}

#[test]
fn a_probe_needs_no_permission_to_describe() {
    for (status, kind, is_good) in [
        (200, "", true),
        (400, "AccessDeniedException", true),
        (400, "ResourceNotFoundException", false),
        (400, "UnrecognizedClientException", false),
        (503, "", false),
    ] {
        let body = json!({ "__type": kind }).to_string();
        assert_eq!(probed(&answer(status, &body)).is_ok(), is_good, "{status} {kind}");
    }
}

#[test]
fn a_body_is_json() {
    let item = |payload: Vec<u8>| Item { position: 1, payload: payload.into() };
    let items = [item(record(b"a", "")), item(record(b"b", ",\"PartitionKey\":\"k\""))];
    let read: Value = serde_json::from_slice(&body("StreamName", "s", &items)).expect("JSON");
    let expected = json!({
        "StreamName": "s", "Records": [{ "Data": "YQ==" }, { "Data": "Yg==", "PartitionKey": "k" }]
    });
    assert_eq!(read, expected);
}

#[test]
fn mistakes_are_explained() {
    let key = "access_key = { id = \"AKIAIOSFODNN7EXAMPLE\", secret_env = \"K\" }\n";
    for (keys, expected) in [
        ("stream = \"s\"\n".to_owned(), "region: is missing"),
        ("region = \"eu\"\nstream = \"s\"\n".to_owned(), "region: is not a region"),
        (
            "region = \"eu-central-1\"\nstream = \"arn:aws:kinesis\"\n".to_owned(),
            "not its ARN",
        ),
        (
            "region = \"eu-central-1\"\nstream = \"s\"\naccess_key = { id = \"wJalr/x\", secret_env = \"K\" }\n".to_owned(),
            "access_key.id: is not the id",
        ),
        (
            "region = \"eu-central-1\"\nstream = \"s\"\naccess_key = { id = \"AKIAIOSFODNN7EXAMPLE\" }\n".to_owned(),
            "write secret_file or secret_env",
        ),
        (
            "region = \"eu-central-1\"\nstream = \"s\"\naccess_key = { secret_env = \"K\" }\n".to_owned(),
            "access_key.id: is missing; write id, id_file or id_env",
        ),
        (
            "region = \"eu-central-1\"\nstream = \"s\"\naccess_key = { id = \"AKIAIOSFODNN7EXAMPLE\", id_env = \"K\", \
             secret_env = \"K\" }\n"
                .to_owned(),
            "access_key.id: and id_file or id_env are both given",
        ),
        ("region = \"us-iso-east-1\"\nstream = \"s\"\n".to_owned(), "endpoint: is missing"),
        ("region = \"eusc-de-east-1\"\nstream = \"s\"\n".to_owned(), "endpoint: is missing"),
        (
            format!("region = \"eu-central-1\"\nstream = \"s\"\n{key}compression = \"gzip\"\n"),
            "compression: ",
        ),
    ] {
        for kind in ["kinesis", "firehose"] {
            let text = format!("[sinks.s]\ntype = \"{kind}\"\n{keys}");
            let variables = [("K".into(), "secret".into())].into_iter();
            let found = config::parse(&text, None, variables).expect_err(&keys).to_string();
            assert!(found.contains(expected), "{keys}{found}");
        }
    }
    for (region, url) in [
        ("eu-central-1", "https://kinesis.eu-central-1.amazonaws.com/"),
        ("cn-north-1", "https://kinesis.cn-north-1.amazonaws.com.cn/"),
        ("us-gov-west-1", "https://kinesis.us-gov-west-1.amazonaws.com/"),
    ] {
        let text =
            format!("[sinks.s]\ntype = \"kinesis\"\nregion = \"{region}\"\nstream = \"s\"\n");
        let config = config::parse(&text, None, std::iter::empty()).expect("valid");
        let crate::sinks::TargetConfig::Kinesis(sink) = &config.sinks[0].target else {
            panic!("a sink")
        };
        assert_eq!(sink.client.url.as_str(), url);
    }
}
