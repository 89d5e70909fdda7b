//! Values at the limits of the targets.

use super::*;

fn document(format: Format, raw: &[u8]) -> Value {
    serde_json::from_str(&line(format, raw)).expect("JSON")
}

/// Returns the flow's fields of an event.
fn flow(event: &mut Value) -> &mut Value {
    &mut event["_embedded"]["flowInteractionEvent"]
}

#[test]
fn a_blank_type_is_an_unknown_operation() {
    for kind in ["\t", "DAVINCI_INTERACTION.", "DAVINCI_INTERACTION. "] {
        let raw = changed("events/actors.json", |event| event["action"]["type"] = kind.into());
        all_documents_are_valid(&raw);
    }
}

#[test]
fn empty_texts_are_no_values() {
    let raw = changed("events/actors.json", |event| {
        event["actors"]["user"]["name"] = "".into();
        event["result"] = serde_json::json!({ "status": "FAILED", "description": "" });
        let flow = flow(event);
        for name in ["companyId", "flowId", "flowName", "outcomeType", "outcomeStatus", "identity"]
        {
            flow[name] = " ".into();
        }
        flow["companyId"] = "".into();
        flow["success"] = false.into();
    });
    all_documents_are_valid(&raw);
    explanation::is_true_in_every_format(&raw);
    let ecs = document(Format::Ecs, &raw);
    assert_eq!(ecs["event"]["outcome"], "failure", "an empty status hides nothing");
    assert_eq!(ecs["cloud"]["account"]["id"], "9f835dca-fa37-489b-b835-6587ef71e5d8");
    assert_eq!(ecs["related"]["user"], serde_json::json!([ecs["user"]["id"]]));
    assert!(ecs["event"]["reason"].is_null(), "{ecs:#}");
    let cef = line(Format::Cef, &raw);
    assert!(!cef.contains("cs4") && !cef.contains("reason=") && !cef.contains("duser="), "{cef}");
}

#[test]
fn what_an_event_reports_counts_whatever_its_type() {
    let raw = changed("events/send_response.json", |event| {
        flow(event)["outcomeStatus"] = "fraud".into();
    });
    let ocsf = document(Format::Ocsf, &raw);
    assert_eq!((&ocsf["status"], &ocsf["severity"]), (&"Failure".into(), &"High".into()));
    let raw = changed("events/send_error_response.json", |event| {
        flow(event)["outcomeStatus"] = "success".into();
    });
    let ocsf = document(Format::Ocsf, &raw);
    assert_eq!((&ocsf["status"], &ocsf["status_code"]), (&"Failure".into(), &Value::Null));
}

#[test]
fn times_are_such_as_targets_take() {
    for (time, shown) in [
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999999Z"),
        ("2016-12-31T23:59:59.123456789+02:00", "2016-12-31T21:59:59.123456789Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ] {
        let raw = changed("events/pingone_user_updated.json", |event| {
            event["recordedAt"] = time.into();
        });
        assert_eq!(document(Format::Ecs, &raw)["@timestamp"], shown);
        all_documents_are_valid(&raw);
    }
    for time in ["9999-12-31T23:59:59-14:00", "0000-01-01T00:00:00+14:00"] {
        let raw = changed("events/send_response.json", |event| {
            flow(event)["tsEms"] = time.into();
            flow(event)["packetTimestamp"] = i64::MAX.into();
        });
        let ecs = document(Format::Ecs, &raw);
        assert_eq!(ecs["@timestamp"], "2023-03-22T04:28:55.512Z", "recordedAt is left");
        assert!(ecs["ping_one"]["davinci"]["packet"]["timestamp"].is_null(), "{ecs:#}");
        let raw = changed("events/send_response.json", |event| event["recordedAt"] = time.into());
        assert!(decode::event(&raw).is_err(), "{time}");
    }
}

#[test]
fn what_a_flattened_field_refuses_goes_along_as_the_original() {
    for name in ["with\u{0}zero".to_owned(), "long".repeat(10_000)] {
        let raw = changed("events/send_response.json", |event| event[&name] = 1.into());
        let ecs = document(Format::Ecs, &raw);
        assert!(ecs.pointer("/ping_one/davinci/extra").is_none());
        assert_eq!(ecs["event"]["original"].as_str().map(str::as_bytes), Some(raw.as_slice()));
    }
    let raw =
        changed("events/send_response.json", |event| event["x"] = "long".repeat(10_000).into());
    let ecs = document(Format::Ecs, &raw);
    assert!(ecs.pointer("/ping_one/davinci/extra").is_none());
    assert_eq!(ecs["event"]["original"].as_str().map(str::as_bytes), Some(raw.as_slice()));
}

#[test]
fn the_first_address_of_a_list_counts() {
    let raw = changed("events/actors.json", |event| {
        event["source"] = serde_json::json!({ "ipAddress": "192.0.2.7, 198.51.100.1" });
    });
    let ecs = document(Format::Ecs, &raw);
    assert_eq!(ecs["source"]["ip"], "192.0.2.7");
    assert_eq!(ecs["source"]["address"], "192.0.2.7, 198.51.100.1");
    assert_eq!(document(Format::Ocsf, &raw)["src_endpoint"]["ip"], "192.0.2.7");
    assert!(line(Format::Cef, &raw).contains(" src=192.0.2.7 "));
    assert!(line(Format::Leef, &raw).contains("\tsrc=192.0.2.7\t"));
}

#[test]
fn a_start_is_an_operation_of_its_own() {
    let raw = changed("events/start_interaction.json", |_| {});
    assert_eq!(document(Format::Ocsf, &raw)["api"]["operation"], "startInteraction");
}

#[test]
fn a_long_original_takes_no_fields_place() {
    let raw = changed("events/send_response.json", |event| event["_raw_data"] = "mine".into());
    let raw = String::from_utf8(raw).expect("UTF-8");
    let raw = raw.replacen('{', &format!("{{\"a\":1,\"a\":\"{}\",", "x".repeat(70_000)), 1);
    let ocsf = document(Format::Ocsf, raw.as_bytes());
    assert_eq!(ocsf["unmapped"]["_raw_data"], "mine");
    assert_eq!(ocsf["unmapped"]["__raw_data"].as_str(), Some(raw.as_str()));
}
