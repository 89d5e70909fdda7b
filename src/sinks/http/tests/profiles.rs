//! Profiles: what each of them sends, the keys that win over it, and its mistakes.

use std::ffi::OsString;

use super::super::config::{HmacConfig, HmacEncoding};
use super::*;
use crate::settings::Problems;
use crate::sinks::Rendered;

const SECRET_URL: &str = "https://collectors.example.com/receiver/v1/http/ZaVnC4dhaV3wqOcE==";

fn parse(keys: &str) -> Result<config::Config, Problems> {
    let text = format!("[sinks.s]\ntype = \"http\"\n{keys}\n");
    let variables = [("SECRET", "s3cr3t"), ("URL", SECRET_URL)];
    let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    config::parse(&text, None, variables.into_iter())
}

fn settings(keys: &str) -> HttpSinkConfig {
    match &parse(keys).expect(keys).sinks[0].target {
        TargetConfig::Http(sink) => sink.clone(),
        other => panic!("{other:?}"),
    }
}

/// Each profile as its receiver documents it: URL, content type, compression, batch, statuses, header of the key.
#[test]
fn a_profile_decides_about_the_request() {
    let key = "api_key_env = \"SECRET\"";
    for (profile, keys, expected) in [
        ("xsiam", key, "/logs/v1/event application/json None 2000 4000000 [200] authorization"),
        ("new_relic", key, "/log/v1 application/json Gzip 1000 900000 [202] api-key"),
        (
            "exabeam",
            "bearer_env = \"SECRET\"",
            "/cloud-collectors/v1/logs/json application/json Gzip 2000 4000000 []",
        ),
        ("panther", key, "/ application/json None 1000 900000 [] authorization"),
        ("securonix", key, "/ application/json None 100 1048576 [] x-api-key"),
        ("qradar_http", "format = \"leef\"", "/ text/plain; charset=utf-8 None 100 1048576 []"),
        ("secops_webhook", key, "/ application/json None 1000 3000000 [200] x-goog-api-key"),
        ("cribl", key, "/cribl/_bulk application/x-ndjson Gzip 1000 1048576 [] authorization"),
    ] {
        let keys = format!("profile = \"{profile}\"\nurl = \"https://x\"\n{keys}");
        let config = parse(&keys).expect(profile);
        let TargetConfig::Http(sink) = &config.sinks[0].target else { panic!("a sink") };
        let header = sink.headers.first().map(|header| header.name().as_str()).unwrap_or_default();
        let found = format!(
            "{} {} {:?} {} {} {:?} {header}",
            sink.client.url.path(),
            sink.content_type,
            sink.client.compression,
            config.sinks[0].batch.events,
            config.sinks[0].batch.bytes,
            sink.success,
        );
        assert_eq!(found.trim(), expected, "{profile}");
    }
    let sumo = settings("profile = \"sumo\"\nurl_env = \"URL\"");
    assert_eq!(sumo.client.url.as_str(), SECRET_URL);
    assert_eq!((sumo.body, sumo.success.as_slice()), (BodyShape::Lines, &[200][..]));
}

#[test]
fn a_key_wins_over_the_profile() {
    let keys = "profile = \"xsiam\"\nurl = \"https://x/own/path\"\napi_key_env = \"SECRET\"\n\
                api_key_header = \"X-Own\"\nbody = \"array\"\ncontent_type = \"text/json\"\n\
                compression = \"gzip\"\nsuccess = [200, 204]\nbatch = { events = 7 }";
    let config = parse(keys).expect("valid");
    let TargetConfig::Http(sink) = &config.sinks[0].target else { panic!("a sink") };
    assert_eq!(sink.client.url.path(), "/own/path");
    assert_eq!(sink.headers[0].name(), "x-own");
    assert_eq!((sink.body, sink.content_type.as_str()), (BodyShape::Array, "text/json"));
    assert_eq!(format!("{:?}", sink.client.compression), "Gzip");
    assert_eq!(sink.success, [200, 204]);
    assert_eq!((config.sinks[0].batch.events, config.sinks[0].batch.bytes), (7, 4_000_000));
}

#[test]
fn mistakes_are_reported_without_the_secret() {
    for (keys, said) in [
        ("profile = \"sumologic\"", "did you mean \"sumo\"?"),
        ("profile = \"sumo\"", "url: is missing; write url_file or url_env"),
        ("profile = \"sumo\"\nurl = \"https://x/canary\"", "is a secret of this target"),
        ("url = \"https://x\"\nurl_env = \"URL\"", "url: and url_env are both given"),
        ("url_env = \"SECRET\"", "url_env: is not a URL"),
        ("profile = \"xsiam\"\nurl = \"https://x\"", "api_key: is missing; this target needs it"),
        ("profile = \"exabeam\"\nurl = \"https://x\"", "bearer: is missing; this target needs it"),
        (
            "url = \"https://x\"\napi_key_env = \"SECRET\"\nbearer_env = \"SECRET\"",
            "api_key: and bearer or basic set the same header",
        ),
        ("url = \"https://x\"\napi_key_header = \"Host\"", "is set by the sink itself"),
        (
            "profile = \"cribl\"\nurl = \"https://x\"\nbody = \"array\"",
            "body: must be \"ndjson\" for this profile",
        ),
        ("url = \"https://x\"\nsuccess = [200, 404]", "success: must be a list of whole numbers"),
        ("url = \"https://x\"\nsuccess = [\"200\"]", "success: must be a list of whole numbers"),
        (
            "url = \"https://x\"\ncompression = \"gzip\"\nhmac = { header = \"X-S\", key_env = \"SECRET\" }",
            "hmac: and compression do not go together",
        ),
        ("url = \"https://x\"\nhmac = { header = \"X-S\" }", "hmac.key_file: is missing"),
        ("url = \"https://x\"\napi_key_header = \"X-Key\"", "api_key_header: has no key"),
        (
            "url = \"https://x\"\napi_key_env = \"SECRET\"\napi_key_header = \"X-Key\"\n\
             headers = [{ name = \"x-key\", value = \"a\" }]",
            "api_key_header: names a header that headers has, too",
        ),
        (
            "url = \"https://x\"\nhmac = { header = \"X-Key\", key_env = \"SECRET\" }\n\
             headers = [{ name = \"x-key\", value = \"a\" }]",
            "hmac.header: names a header that headers or api_key has",
        ),
        (
            "url = \"https://x\"\nhmac = { header = \"X-Key\", key_env = \"SECRET\" }\n\
             api_key_env = \"SECRET\"\napi_key_header = \"x-key\"",
            "hmac.header: names a header that headers or api_key has",
        ),
    ] {
        let found = parse(keys).expect_err(keys).to_string();
        assert!(found.contains(said), "{keys}: {found}");
        for secret in ["s3cr3t", "ZaVnC4dh", "canary"] {
            assert!(!found.contains(secret), "{found}");
        }
    }
}

#[test]
fn a_secret_url_is_not_shown() {
    let sink = settings("profile = \"sumo\"\nurl_env = \"URL\"");
    assert_eq!(sink.target(), "https://collectors.example.com/…");
    let shown = format!("{sink:?} {:?}", sink.client);
    assert!(!shown.contains("ZaVnC4dh") && shown.contains("collectors.example.com"), "{shown}");
}

/// The envelope of each receiver, around a line that is no JSON, too.
#[test]
fn an_envelope_has_the_time_the_ids_and_the_line() {
    let raw = include_bytes!("../../../../fixtures/events/custom_analytics.json");
    let event = crate::decode::event(raw).expect("an event").event;
    let encode = |envelope, line: &str| {
        let line = line.as_bytes().to_vec();
        let payload = body::encode(envelope, Rendered { line, event: &event, source: "pingone" });
        serde_json::from_slice::<serde_json::Value>(&payload).expect("JSON")
    };
    for line in ["{\"id\":\"c452\"}", "CEF:0|Ping Identity|\"x\"|"] {
        let log = encode(Envelope::NewRelic, line);
        assert_eq!(log["timestamp"].to_string(), "1708013223947", "milliseconds");
        assert_eq!(log["message"], line);
        assert_eq!(log["attributes"]["event_id"], "c452dcdf-a535-43f6-8cc3-a09ccb440e91");
        let cribl = encode(Envelope::Cribl, line);
        assert_eq!(cribl["_time"].to_string(), "1708013223.947", "seconds");
        assert_eq!(cribl["_raw"], line);
        assert_eq!(cribl["source"], "davinci:9f835dca-fa37-489b-b835-6587ef71e5d8");
        assert_eq!(cribl["event_uid"], log["attributes"]["event_uid"]);
    }
    let whole = body::body(BodyShape::Array, Envelope::NewRelic, &items(&["{}", "{}"]));
    let whole: serde_json::Value = serde_json::from_slice(&whole).expect("JSON");
    assert_eq!(whole[0]["common"]["attributes"]["logtype"], "pingone:davinci");
    assert_eq!(whole[0]["logs"].as_array().expect("logs").len(), 2);
}

/// Test case 2 of RFC 4231.
#[test]
fn the_signature_of_a_body_is_an_hmac() {
    let digits = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let base64 = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";
    for (prefix, encoding, expected) in [
        ("", HmacEncoding::Hex, digits.to_owned()),
        ("sha256=", HmacEncoding::Hex, format!("sha256={digits}")),
        ("", HmacEncoding::Base64, base64.to_owned()),
    ] {
        let key = Secret::from_variable("K", Some("Jefe"), crate::secret::Form::Line);
        let key = key.expect("a key");
        let header = http::HeaderName::from_static("x-signature");
        let settings = HmacConfig { header, key: key.clone(), prefix: prefix.to_owned(), encoding };
        let value = signature::hmac(&settings, &key, b"what do ya want for nothing?");
        assert_eq!(value.expect("a value"), expected.as_str());
    }
}
