//! Meaning of PingOne's events in each format, by the field sets that detections read.

mod values;

use serde_json::json;

use super::*;

/// An event in every format.
struct RenderedFixture {
    ecs: Value,
    ocsf: Value,
    cef_head: Vec<String>,
    cef: BTreeMap<String, String>,
    leef_head: Vec<String>,
    leef: BTreeMap<String, String>,
}

fn rendered(raw: &[u8]) -> RenderedFixture {
    let document =
        |format| serde_json::from_str(&line(format, raw)).expect("the format emits JSON");
    let (cef_head, cef) = decode_cef(&line(Format::Cef, raw));
    let (leef_head, leef) = decode_leef(&line(Format::Leef, raw));
    let (ecs, ocsf) = (document(Format::Ecs), document(Format::Ocsf));
    RenderedFixture { ecs, ocsf, cef_head, cef, leef_head, leef }
}

/// Renders a fixture of `fixtures/pingone`.
fn fixture(name: &str) -> RenderedFixture {
    rendered(&changed(&format!("pingone/{name}.json"), |_| {}))
}

/// Renders an event of a type without actors, with one user as its resource.
fn typed(kind: &str) -> RenderedFixture {
    let event = json!({
        "id": "1", "recordedAt": "2026-01-01T00:00:00Z", "action": { "type": kind },
        "resources": [{ "type": "USER", "id": "u-1", "name": "jane" }],
        "result": { "status": "SUCCESS" },
    });
    rendered(event.to_string().as_bytes())
}

/// Renders a custom-analytics event with an outcome.
fn reported(kind: &str, status: &str) -> RenderedFixture {
    rendered(&changed("pingone/41_custom_analytics_login_denied.json", |event| {
        let flow = &mut event["_embedded"]["flowInteractionEvent"];
        flow["outcomeType"] = kind.into();
        flow["outcomeStatus"] = status.into();
    }))
}

impl RenderedFixture {
    fn class(&self) -> (i64, i64) {
        let number = |name: &str| self.ocsf[name].as_i64().expect("a number");
        (number("class_uid"), number("activity_id"))
    }

    fn ecs_kind(&self) -> (Value, Value) {
        (self.ecs["event"]["category"].clone(), self.ecs["event"]["type"].clone())
    }
}

/// Rows 1 and 21: failures.
#[test]
fn a_failure_word_beats_the_result_and_flows_have_many_words() {
    for kind in [
        "PASSWORD.CHECK_FAILED",
        "USER.ACCESS_DENIED",
        "OTP.CHECK_INVALID",
        "PROVISIONING_SYNC.FAILURE",
        "STAGED_CHANGE.FAILED",
        "NOTIFICATION.REJECTED",
        "OAUTH_CONSENT.DECLINED",
    ] {
        let event = typed(kind);
        assert_eq!(event.ecs["event"]["outcome"], "failure", "{kind}");
        assert_eq!(event.ocsf["status_id"], 2, "{kind}");
        assert_eq!(event.cef["outcome"], "failure", "{kind}");
        assert_eq!(event.leef["outcome"], "failure", "{kind}");
        assert!(event.leef["cat"].ends_with("-failure"), "{kind}");
        // A user who declines consent is no incident.
        let severity = if kind == "OAUTH_CONSENT.DECLINED" { "3" } else { "5" };
        assert_eq!(event.cef_head[6], severity, "{kind}");
    }
    for status in ["fail", "blocked", "timeout", "Declined", "denied"] {
        let event = reported("login", status);
        assert_eq!(event.ecs["event"]["outcome"], "failure", "{status}");
    }
    for (kind, class, category, types) in [
        ("User Login", (3002, 1), "authentication", "start"),
        ("login", (3002, 1), "authentication", "start"),
        ("logout", (3002, 2), "authentication", "end"),
        ("user-logout", (3002, 2), "authentication", "end"),
        ("passwordReset", (6003, 99), "iam", "info"),
    ] {
        let event = reported(kind, "success");
        assert_eq!(event.class(), class, "{kind}");
        assert_eq!(event.ecs_kind(), (json!([category]), json!([types])), "{kind}");
        assert_eq!(event.cef.contains_key("duser"), class.0 == 3002, "{kind}");
    }
}

/// Rows 2, 5, 6, 14, 16 and 17: category, type, class and activity.
#[test]
fn each_family_has_its_category_and_class() {
    let authentication = json!(["authentication"]);
    let session = json!(["authentication", "session"]);
    let iam = json!(["iam"]);
    let configuration = json!(["configuration", "iam"]);
    let access = json!(["api", "iam"]);
    for (kind, category, types, class) in [
        ("PASSWORD.CHECK_SUCCEEDED", &authentication, json!(["info"]), (3002, 1)),
        ("OTP.CHECK_INVALID", &authentication, json!(["info"]), (3002, 1)),
        ("AUTHENTICATION.CREATED", &authentication, json!(["info"]), (3002, 1)),
        ("USER.KERBEROS_FAILED", &authentication, json!(["info"]), (3002, 1)),
        ("DEVICE_PAYLOAD.CHECK_INVALID", &authentication, json!(["info"]), (3002, 1)),
        ("ASSERTION.CHECK_FAILED", &authentication, json!(["info"]), (3002, 1)),
        ("USER.SLO_SUCCESS", &session, json!(["end"]), (3002, 2)),
        ("SESSION.CREATED", &session, json!(["start"]), (3002, 1)),
        ("SESSION.DELETED", &session, json!(["end"]), (3002, 2)),
        ("FLOW.DELETED", &authentication, json!(["start"]), (3002, 1)),
        ("FLOW.UPDATED", &authentication, json!(["info"]), (3002, 99)),
        ("USER.CREATED", &iam, json!(["creation", "user"]), (3001, 1)),
        ("USER.ENABLED", &iam, json!(["change", "user"]), (3001, 2)),
        ("PASSWORD.SET", &iam, json!(["change", "user"]), (3001, 3)),
        ("PASSWORD.RESET", &iam, json!(["change", "user"]), (3001, 4)),
        ("USER.DISABLED", &iam, json!(["change", "user"]), (3001, 5)),
        ("USER.DELETED", &iam, json!(["deletion", "user"]), (3001, 6)),
        ("USER.LOCKED", &iam, json!(["change", "user"]), (3001, 9)),
        ("DEVICE.ACTIVATED", &iam, json!(["change", "user"]), (3001, 10)),
        ("DEVICE.BLOCKED", &iam, json!(["change", "user"]), (3001, 11)),
        ("DEVICE.NICKNAME_UPDATED", &iam, json!(["change", "user"]), (3001, 99)),
        ("USER.MOVED", &iam, json!(["change", "user"]), (3001, 99)),
        ("SECRET.READ", &configuration, json!(["access", "admin"]), (3004, 2)),
        ("APPLICATION.UPDATED", &configuration, json!(["admin", "change"]), (3004, 3)),
        ("POLICY.UPDATED", &configuration, json!(["admin", "change"]), (3004, 3)),
        ("KEY.CREATED", &configuration, json!(["admin", "creation"]), (3004, 1)),
        ("GATEWAY.CREATED", &configuration, json!(["admin", "creation"]), (3004, 1)),
        ("SUBSCRIPTION.DELETED", &configuration, json!(["admin", "deletion"]), (3004, 4)),
        ("USER.ACCESS_ALLOWED", &access, json!(["allowed", "user"]), (3002, 99)),
        ("USER.ACCESS_DENIED", &access, json!(["denied", "user"]), (3002, 99)),
    ] {
        let event = typed(kind);
        assert_eq!(event.ecs_kind(), (category.clone(), types), "{kind}");
        assert_eq!(event.class(), class, "{kind}");
    }
    let failed = json!({
        "id": "1", "recordedAt": "2026-01-01T00:00:00Z", "action": { "type": "FLOW.UPDATED" },
        "actors": { "user": { "id": "u" } }, "result": { "status": "FAILED" },
    });
    let failed = rendered(failed.to_string().as_bytes());
    assert_eq!(failed.class(), (3002, 1), "a sign-on that failed");
    assert_eq!(failed.ecs_kind(), (authentication, json!(["start"])));
}

/// Rows 3, 18, 19 and 26: what Elastic's integration names, and no noise in the extension.
#[test]
fn elastic_names_hold_resources_actors_and_correlation() {
    let event = fixture("13_user_created");
    let audit = &event.ecs["ping_one"]["audit"];
    assert_eq!(audit["resources"][0]["population"]["id"], "99999999-aaaa-4bbb-8ccc-000000000009");
    assert!(audit["resources"][0]["href"].is_string());
    assert_eq!(audit["actors"]["user"]["population"]["id"], "99999999-aaaa-4bbb-8ccc-000000000009");
    assert!(audit["actors"]["user"]["href"].is_string());
    assert!(audit["actors"]["client"]["href"].is_string());
    assert!(audit["internal_correlation"]["transaction_id"].is_string());
    assert!(audit["internal_correlation"]["session_id"].is_string());
    assert_eq!(audit["source"]["ip_address"], "203.0.113.7");
    assert!(audit["source"]["user_agent"].is_string());
    assert_eq!(event.ecs["url"]["domain"], "api.pingone.eu");
    assert!(event.ecs["ping_one"]["davinci"].get("extra").is_none(), "{:#}", event.ecs);
    let related: Vec<&str> = event.ecs["related"]["user"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for user in ["admin@example.com", "jane.doe@customer.example", "PingOne Admin Console"] {
        assert!(related.contains(&user), "{related:?}");
    }
    assert_eq!(related.len(), 6, "a name and an id each: {related:?}");
    let created = changed("pingone/13_user_created.json", |event| {
        event["createdAt"] = "2026-11-20T10:15:00Z".into();
        event["_embedded"] = json!({ "thing": { "a": [1], "b": {} }, "c": [] });
    });
    let created = rendered(&created).ecs;
    assert_eq!(created["ping_one"]["audit"]["created_at"], "2026-11-20T10:15:00Z");
    assert_eq!(created["ping_one"]["audit"]["embedded"], json!({ "thing": { "a": [1] } }));
}

/// Row 4: the affected user.
#[test]
fn the_affected_user_is_in_every_format() {
    let event = fixture("13_user_created");
    let (id, name) = ("22222222-aaaa-4bbb-8ccc-000000000002", "jane.doe@customer.example");
    assert_eq!(event.ecs["user"]["target"], json!({ "id": id, "name": name }));
    assert_eq!(event.ecs["user"]["name"], "admin@example.com");
    assert_eq!(
        (&event.ocsf["user"]["uid"], &event.ocsf["user"]["name"]),
        (&json!(id), &json!(name))
    );
    assert_eq!(event.ocsf["actor"]["user"]["name"], "admin@example.com");
    let observed = event.ocsf["observables"].as_array().expect("a list");
    assert!(observed.iter().any(|found| found["value"] == name), "{observed:?}");
    assert_eq!((event.cef["duser"].as_str(), event.cef["duid"].as_str()), (name, id));
    assert_eq!(
        (event.leef["targetUser"].as_str(), event.leef["targetUserId"].as_str()),
        (name, id)
    );
    let alone = typed("PASSWORD.CHECK_FAILED");
    assert_eq!(alone.ecs["user"]["id"], "u-1", "nobody else signs on");
    assert_eq!(alone.ocsf["user"]["uid"], "u-1");
}

/// Rows 7 and 8: severity.
#[test]
fn risk_and_type_set_the_severity() {
    let event = fixture("32_risk_evaluation_created");
    assert_eq!(event.class(), (2004, 1));
    assert_eq!(event.ocsf["severity_id"], 4);
    assert_eq!((&event.ocsf["risk_score"], &event.ocsf["risk_level_id"]), (&json!(87), &json!(3)));
    let evidence = &event.ocsf["evidences"][0];
    assert_eq!(evidence["src_endpoint"]["ip"], "198.51.100.66");
    assert_eq!(evidence["user"]["name"], "jane.doe@customer.example");
    assert_eq!(event.ecs["event"]["risk_score"], 87.0);
    assert_eq!(event.ecs["event"]["kind"], "alert");
    assert_eq!(event.ecs["log"]["level"], "error");
    assert_eq!(event.ecs["event"]["severity"], 8);
    assert_eq!(event.ecs["source"]["ip"], "198.51.100.66");
    assert_eq!(event.ecs["user"]["target"]["name"], "jane.doe@customer.example");
    assert_eq!(event.cef_head[6], "8");
    assert_eq!(event.cef["src"], "198.51.100.66");
    assert_eq!(event.leef["sev"], "8");
    assert_eq!(event.leef["src"], "198.51.100.66");
    assert_eq!(fixture("33_risk_evaluation_updated").cef_head[6], "5", "MEDIUM");
    for (kind, severity) in [
        ("DEVICE.FRAUD_REPORTED", "8"),
        ("ROLE_ASSIGNMENT.CREATED", "8"),
        ("SUBSCRIPTION.DELETED", "8"),
        ("USER.LOCKED", "5"),
        ("SECRET.READ", "5"),
        ("DAVINCI.FLOW.CUSTOM_JAVASCRIPT.ADDED", "5"),
        ("APPLICATION.UPDATED", "3"),
        ("USER.ACCESS_ALLOWED", "1"),
    ] {
        assert_eq!(typed(kind).cef_head[6], severity, "{kind}");
    }
}

/// Rows 9, 10, 11 and 12: endpoints, application, session and flow.
#[test]
fn endpoints_application_session_and_flow_have_fields() {
    assert_eq!(reported("login", "success").ocsf.get("is_mfa"), None);
    assert_eq!(reported("mfa push", "success").ocsf["is_mfa"], true);
    let mut raw = changed("pingone/43_send_error_response.json", |_| {});
    assert_eq!(rendered(&raw).ocsf["src_endpoint"], json!({ "ip": "203.0.113.7" }));
    raw = changed("pingone/43_send_error_response.json", |event| {
        event.as_object_mut().expect("an object").remove("source");
    });
    let endpoint = json!({ "name": "PingOne DaVinci", "svc_name": "httpConnector" });
    assert_eq!(rendered(&raw).ocsf["src_endpoint"], endpoint);
    let event = fixture("05_flow_deleted");
    assert_eq!(event.ocsf["src_endpoint"], json!({ "ip": "203.0.113.7" }));
    assert_eq!(event.ocsf["dst_endpoint"]["svc_name"], "Customer Portal");
    assert_eq!(event.ocsf["actor"]["app_name"], "Customer Portal");
    assert_eq!(event.ocsf["actor"]["app_uid"], "44444444-aaaa-4bbb-8ccc-000000000004");
    let session = event.ocsf["session"]["uid"].as_str().expect("a session");
    assert_eq!(event.ocsf["actor"]["session"]["uid"], session);
    for pairs in [&event.cef, &event.leef] {
        for value in ["Customer Portal", "44444444-aaaa-4bbb-8ccc-000000000004", session] {
            assert!(pairs.values().any(|found| found == value), "{value}: {pairs:?}");
        }
    }
    let flow = fixture("35_davinci_flow_debug_logging_enabled");
    assert_eq!(flow.ecs["ping_one"]["davinci"]["flow"]["name"], "Sign On");
    assert_eq!(flow.cef["cs2"], "8f43a71f85b5250109e7cf4b705b1446");
    assert_eq!(flow.cef["destinationServiceName"], "Sign On");
    assert_eq!(flow.leef["flowId"], "8f43a71f85b5250109e7cf4b705b1446");
    assert_eq!(flow.leef["policy"], "Sign On");
}
