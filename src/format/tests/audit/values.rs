//! Names, memberships, errors, addresses, times and empty values.

use super::*;

/// Rows 13 and 20: names, products and categories.
#[test]
fn each_family_has_its_product_name_and_category() {
    for (kind, product, dataset, title, category) in [
        ("USER.LOCKED", "PingOne", "ping_one.audit", "User Locked", "account"),
        ("GROUP.DELETED", "PingOne", "ping_one.audit", "Group Deleted", "group"),
        (
            "DAVINCI.FLOW.UPDATED",
            "PingOne DaVinci",
            "pingone.davinci",
            "DaVinci Flow Updated",
            "davinci-flow",
        ),
    ] {
        let event = typed(kind);
        assert_eq!((&*event.cef_head[2], &*event.cef_head[5]), (product, title), "{kind}");
        assert_eq!(event.leef_head[2], product, "{kind}");
        assert_eq!(event.ecs["event"]["dataset"], dataset, "{kind}");
        assert_eq!(event.ocsf["metadata"]["product"]["name"], product, "{kind}");
        assert_eq!((&*event.leef["cat"], &*event.cef["cat"]), (category, category), "{kind}");
    }
    assert_eq!(typed("PASSWORD.CHECK_FAILED").leef["cat"], "authentication-failure");
}

/// Row 20: names that the configuration gives.
#[test]
fn the_configuration_names_the_products() {
    let raw = changed("pingone/14_user_locked.json", |_| {});
    let flow = changed("pingone/44_start_interaction_user_agent.json", |_| {});
    for (_, format) in Format::ALL {
        let mut formatting = FormatConfig::of(format);
        formatting.products.pingone.name = "Identity".to_owned();
        formatting.products.pingone.dataset = "identity.audit".to_owned();
        let text = line_with(&formatting, &raw);
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        match format {
            Format::Native => assert_eq!(text, line(format, &raw)),
            Format::Ecs => {
                assert_eq!(document["observer"]["product"], "Identity");
                assert_eq!(document["event"]["dataset"], "identity.audit");
            }
            Format::Ocsf => assert_eq!(document["metadata"]["product"]["name"], "Identity"),
            Format::Cef => assert_eq!(decode_cef(&text).0[2], "Identity"),
            Format::Leef => assert_eq!(decode_leef(&text).0[2], "Identity"),
        }
        assert_eq!(line_with(&formatting, &flow), line(format, &flow), "the other product");
    }
}

/// Row 4: affected users of classes that are not about users.
#[test]
fn a_user_who_is_an_entity_is_an_observable() {
    let event = fixture("31_user_credential_revoked");
    assert_eq!(event.class(), (3004, 4));
    let observed = event.ocsf["observables"].as_array().expect("a list");
    let name = json!({
        "name": "entity.name", "type_id": 4, "type": "User Name", "value": "jane.doe@customer.example",
    });
    assert!(observed.contains(&name), "{observed:?}");
    let other = fixture("22_secret_updated").ocsf["observables"].to_string();
    assert!(!other.contains("entity.name"), "{other}");
}

/// Row 15: memberships and roles.
#[test]
fn memberships_and_roles_name_user_group_and_role() {
    let by_link = fixture("37_member_of_group_created_link");
    let by_resource = fixture("18_member_of_group_deleted");
    for (event, activity) in [(&by_link, 3), (&by_resource, 4)] {
        assert_eq!(event.ecs_kind(), (json!(["iam"]), json!(["change", "user"])));
        let target = &event.ecs["user"]["target"];
        assert_eq!(target["id"], "22222222-aaaa-4bbb-8ccc-000000000002");
        assert_eq!(target["group"]["name"], "Admins");
        assert_eq!(event.class(), (3006, activity));
        assert_eq!(event.ocsf["group"]["name"], "Admins");
        assert_eq!(event.ocsf["user"]["uid"], "22222222-aaaa-4bbb-8ccc-000000000002");
    }
    assert_eq!(by_resource.ocsf["group"]["type"], "GROUP");
    assert_eq!(by_link.ocsf["group"].get("type"), None, "a membership is no type of a group");
    let role = fixture("38_role_assignment_created");
    assert_eq!(role.ecs_kind(), (json!(["iam"]), json!(["admin", "change", "user"])));
    let id = json!(["6dbb4bc7-0a35-4e5c-9f0b-2f1f0e6a7d10"]);
    assert_eq!(role.ecs["user"]["target"]["roles"], id);
    assert_eq!((role.class(), &role.ocsf["privileges"]), ((3005, 1), &id));
}

/// Rows 22 and 23: errors, and the user agent of the flow.
#[test]
fn an_error_has_a_message_and_the_flows_user_agent_is_mapped() {
    let event = fixture("43_send_error_response");
    assert_eq!(event.ecs["error"]["type"], "SEND_ERROR_RESPONSE");
    assert!(event.ecs["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!(event.ecs["event"]["reason"], event.ecs["error"]["message"]);
    let described = rendered(&changed("pingone/43_send_error_response.json", |event| {
        event["result"]["description"] = "connection refused".into();
    }));
    assert_eq!(described.ecs["error"]["message"], "connection refused");
    assert_eq!(described.ecs["event"]["reason"], "connection refused");
    let agent = "Mozilla/5.0 inner";
    let event = rendered(&changed("pingone/44_start_interaction_user_agent.json", |event| {
        event.as_object_mut().expect("an object").remove("source");
    }));
    assert_eq!(event.ecs["user_agent"]["original"], agent);
    assert_eq!(event.ocsf["http_request"]["user_agent"], agent);
    assert_eq!(event.cef["requestClientApplication"], agent);
    assert_eq!(event.leef["userAgent"], agent);
}

/// Row 24: spellings of addresses.
#[test]
fn an_address_is_read_in_every_format_and_spelling() {
    for (text, ip, port) in [
        ("::ffff:203.0.113.9", "203.0.113.9", None),
        ("192.0.2.1:51234", "192.0.2.1", Some(51234)),
        ("\"192.0.2.1\"", "192.0.2.1", None),
        ("unknown, 192.0.2.1", "192.0.2.1", None),
        ("[2001:db8::1]:443", "2001:db8::1", Some(443)),
    ] {
        let event = rendered(&changed("pingone/13_user_created.json", |event| {
            event["source"]["ipAddress"] = text.into();
        }));
        assert_eq!(event.ecs["source"]["ip"], ip, "{text}");
        assert_eq!(event.ecs["source"]["address"], text);
        assert_eq!(event.ocsf["src_endpoint"]["ip"], ip, "{text}");
        let key = if ip.contains(':') { "c6a2" } else { "src" };
        assert_eq!((&*event.cef[key], &*event.leef["src"]), (ip, ip), "{text}");
        assert_eq!(event.ecs["source"].get("port").and_then(Value::as_u64), port, "{text}");
        assert_eq!(event.ocsf["src_endpoint"].get("port").and_then(Value::as_u64), port, "{text}");
        let of = |pairs: &BTreeMap<String, String>, key| {
            pairs.get(key).and_then(|port| port.parse().ok())
        };
        assert_eq!((of(&event.cef, "spt"), of(&event.leef, "srcPort")), (port, port), "{text}");
    }
}

/// Row 25: times.
#[test]
fn a_numeric_time_is_read_and_an_implausible_one_is_not() {
    let time = |value: Value| {
        rendered(&changed("pingone/44_start_interaction_user_agent.json", |event| {
            event["_embedded"]["flowInteractionEvent"]["tsEms"] = value;
        }))
        .ocsf["time"]
            .as_i64()
            .expect("a number")
    };
    let recorded_at = time(Value::Null);
    for (value, expected) in [
        (json!(1_795_000_000_123_i64), 1_795_000_000_123),
        (json!("1795000000123"), 1_795_000_000_123),
        (json!("0001-01-01T00:00:00Z"), recorded_at),
        (json!("1969-12-31T23:59:59Z"), recorded_at),
        (json!("9999-01-01T00:00:00Z"), recorded_at),
        (json!(i64::MAX), recorded_at),
    ] {
        assert_eq!(time(value.clone()), expected, "{value}");
    }
}

/// Row 26: empty values.
#[test]
fn the_extension_has_no_empty_values() {
    for (_, raw) in fixtures() {
        let event = rendered(&raw);
        let extra = |pairs: &BTreeMap<String, String>| {
            pairs.get("davinciExtra").map(|text| serde_json::from_str(text).expect("JSON"))
        };
        let documents = [
            event.ecs.pointer("/ping_one/davinci/extra").cloned(),
            event.ocsf.get("unmapped").cloned(),
            extra(&event.cef),
            extra(&event.leef),
        ];
        for extension in documents.into_iter().flatten() {
            let mut found = BTreeMap::new();
            leaves(&extension, "", &mut found);
            let is_empty = |leaf: &Value| leaf.is_object() || leaf.is_array();
            assert!(!found.values().any(is_empty), "{extension}");
        }
    }
}

/// Row 26: lines for receivers with a limit of 2 kB.
#[test]
fn the_extension_can_be_left_out() {
    for (_, raw) in fixtures() {
        for format in [Format::Cef, Format::Leef] {
            let without = FormatConfig { extension: false, ..FormatConfig::of(format) };
            let (whole, short) = (line(format, &raw), line_with(&without, &raw));
            assert!(!short.contains("davinciExtra="), "{short}");
            assert!(short.len() < 2048, "{} bytes: {short}", short.len());
            let keys = whole.split("davinciOriginal=").next().expect("the keys");
            let keys = keys.split("davinciExtra=").next().expect("the keys");
            assert_eq!(keys.trim_end(), short);
        }
    }
}
