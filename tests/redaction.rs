//! Redaction: canaries in every kind of input, and a search for them in all written and printed data. A run without
//! redaction proves that the search finds them.

use std::io::{Read, Write};
use std::path::Path;

use axum::http::HeaderMap;
use axum::response::Response;
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::Compression;
use flate2::write::GzEncoder;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::events::fixture_text;
use crate::support::service::{Home, Service};
use crate::support::targets::collector::Collector;
use crate::support::targets::elastic::Elastic;
use crate::support::targets::{Behaviour, Target, Traffic, answer};
use crate::support::{block_on, wait_for};

const KEY: &str = "000102030405060708090a0b0c0d0e0f";

const USER: &str = "canaryuser";
const MAIL: &str = "canary.mail@example.org";
const ADDRESS: &str = "198.51.100.77";

/// Canaries that no output may contain, in lower case and without escapes.
const CANARIES: [&str; 2] = ["canary", ADDRESS];

fn hmac(value: &str) -> String {
    let keyed = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).expect("a key").chain_update(value);
    keyed.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns an event with canaries in every field that a rule or the profile covers, large enough for compression.
fn event(id: &str) -> Value {
    let mut event: Value =
        serde_json::from_str(&fixture_text("events/custom_analytics.json")).expect("JSON");
    event["id"] = id.into();
    event["actors"] = json!({"user": {"id": "canary-id", "name": USER, "type": "USER"}});
    event["source"] = json!({"ipAddress": ADDRESS, "userAgent": "Canary/1.0"});
    event["result"]["description"] = format!("no mail to {MAIL}, or <{MAIL}>").into();
    event["tags"] = json!(["https://x/?mail=canary%2Bmail%40example.org&a=b"]);
    let flow = &mut event["_embedded"]["flowInteractionEvent"];
    flow["outcomeDescription"] = "canary words".into();
    flow["userAgent"] = "canary browser".into();
    flow["secret"] = json!({"of": ["canary", 1]});
    flow["nodeDescription"] = "words ".repeat(400).into();
    event
}

/// A target that answers 400 and repeats the request's body.
struct Parrot(Traffic);

impl Behaviour for Parrot {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.0
    }

    fn take(&mut self, _: &str, _: &str, _: &HeaderMap, body: &[u8]) -> Response {
        answer(400, format!("what is {}", String::from_utf8_lossy(body)))
    }
}

fn post(service: &Service, path: &str, encoding: &str, body: impl Into<Vec<u8>>) {
    let url = service.url.replace("/webhooks/pingone", path);
    let body = body.into();
    let status = block_on(async {
        let mut post = reqwest::Client::new().post(url).header("x-request-id", MAIL).body(body);
        if !encoding.is_empty() {
            post = post.header("content-encoding", encoding);
        }
        post.send().await.expect("an answer").status()
    });
    assert_eq!(status, 200);
}

fn gzip(text: &str) -> Vec<u8> {
    // Not compressed: an invalid body would then show its text.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(text.as_bytes()).expect("written");
    encoder.finish().expect("finished")
}

/// Returns bodies of every kind, valid and invalid.
fn post_everything(service: &Service) {
    const PATH: &str = "/webhooks/pingone";
    let one = |id: &str| event(id).to_string();
    let mut no_id = event("");
    no_id.as_object_mut().expect("an object").remove("id");
    let deep = format!("{}{no_id}{}", "[".repeat(120), "]".repeat(120));
    let mut odd = event("odd");
    odd["_embedded"]["flowInteractionEvent"][MAIL] = 1.into();
    odd["_embedded"]["flowInteractionEvent"][format!("{}{MAIL}", "x".repeat(70))] = 1.into();
    // Escapes hide the value from a plain search.
    let escaped = one("escaped").replace("canary", "\\u0063anary").replace('@', "\\u0040");
    let cut = &one("cut")[..700];
    for (path, encoding, body) in [
        (PATH, "", format!("[{},{}]", one("first"), one("second")).into_bytes()),
        (PATH, "", escaped.into_bytes()),
        (PATH, "", format!("[{{\"time\":1,\"event\":{}}}]", one("wrapped")).into_bytes()),
        (
            PATH,
            "",
            format!("{{\"_embedded\":{{\"activities\":[{}]}}}}", one("polled")).into_bytes(),
        ),
        (PATH, "", format!("[{{\"logs\":[{}]}}]", one("logged")).into_bytes()),
        (PATH, "gzip", gzip(&one("zipped"))),
        // Elements that are refused one by one.
        (
            PATH,
            "",
            format!("[{},{no_id},{{\"x\":{no_id}}},\"canary\",{deep}]", one("third")).into_bytes(),
        ),
        (PATH, "", format!("[{},{cut}]", one("fourth")).into_bytes()),
        (PATH, "", b"[{},{\"id\":\"canary\xff\"},{\"user\":{\"name\":\"canary\"}}]".to_vec()),
        // Bodies that are refused as a whole.
        (PATH, "", cut.as_bytes().to_vec()),
        (PATH, "", "canary".into()),
        (PATH, "gzip", gzip(&one("broken"))[..900].to_vec()),
        (PATH, MAIL, one("unknown encoding").into_bytes()),
        ("/strict", "", format!("[{odd}]").into_bytes()),
    ] {
        post(service, path, encoding, body);
    }
}

/// Returns all data that the process has written or printed, by its place. Stops the service.
fn everything(home: &Home, service: Service) -> Vec<(String, String)> {
    let mut written = Vec::new();
    let mut say = |place: &str, bytes: &[u8]| {
        written.push((place.to_owned(), String::from_utf8_lossy(bytes).into_owned()));
    };
    say("readiness", service.ask_admin("/readyz").1.as_bytes());
    say("metrics", service.ask_admin("/metrics").1.as_bytes());
    for arguments in [
        &["quarantine", "list", "--json"][..],
        &["quarantine", "list"],
        &["quarantine", "export"],
        &["sink", "list", "--json"],
        &["spool", "stats", "--json"],
        &["spool", "verify"],
        &["check"],
    ] {
        let output = home.run_with(&service, arguments);
        say(&arguments.join(" "), &[output.stdout.clone(), output.stderr].concat());
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Ok(entry) = serde_json::from_str::<Value>(line) else { continue };
            let bytes = entry["bytes_base64"].as_str().and_then(|text| STANDARD.decode(text).ok());
            say("exported bytes", &bytes.unwrap_or_default());
        }
    }
    for entry in home.quarantine() {
        let shown = home.run(&["quarantine", "show", &entry["id"].to_string()]);
        say("quarantine show", &[shown.stdout, shown.stderr].concat());
    }
    say("log", service.terminate().1.as_bytes());
    say("stdout", &std::fs::read(home.path("stdout")).expect("read"));
    say("file sink", &std::fs::read(home.path("out.ndjson")).expect("read"));
    for bytes in files(&home.path("data")) {
        say("spool", &bytes);
        for frame in frames(&bytes) {
            say("compressed in the spool", &frame);
        }
    }
    written
}

fn files(directory: &Path) -> Vec<Vec<u8>> {
    let paths =
        directory.read_dir().expect("a directory").map(|entry| entry.expect("an entry").path());
    let found: Vec<_> = paths.map(|path| std::fs::read(path).expect("a file")).collect();
    assert!(found.iter().map(Vec::len).sum::<usize>() > 10_000, "the spool has files");
    found
}

/// Returns all zstd frames, also those in free pages.
fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    memchr::memmem::find_iter(bytes, b"\x28\xb5\x2f\xfd")
        .map(|at| {
            let mut plain = Vec::new();
            let decoder = zstd::stream::read::Decoder::new(&bytes[at..]).expect("a decoder");
            // The magic number alone does not make a frame.
            drop(decoder.single_frame().read_to_end(&mut plain));
            plain
        })
        .collect()
}

/// Removes the escapes of JSON and URLs and changes the text to lower case.
fn plain(text: &str) -> String {
    let mut plain = text.to_lowercase();
    for letter in "canry.0123456789@".chars() {
        let code = u32::from(letter);
        plain = plain.replace(&format!("\\u{code:04x}"), &letter.to_string());
        plain = plain.replace(&format!("%{code:02x}"), &letter.to_string());
    }
    plain
}

fn places_with_canaries(written: &[(String, String)]) -> Vec<(String, String)> {
    let show = |text: &str, at: usize| {
        let from = text.floor_char_boundary(at.saturating_sub(200));
        text[from..text.ceil_char_boundary((at + 60).min(text.len()))].to_owned()
    };
    let found = |text: &str| {
        let text = plain(text);
        CANARIES.iter().find_map(|canary| text.find(canary).map(|at| show(&text, at)))
    };
    written.iter().filter_map(|(place, text)| Some((place.clone(), found(text)?))).collect()
}

/// Runs the whole scenario. Returns the lines of the file sink, and all written data.
fn scenario(redact: &str) -> (Vec<Value>, Vec<(String, String)>) {
    let target = Target::start(Parrot(Traffic::default()));
    let home = Home::new(&format!(
        "{redact}[sources.pingone]\n[sources.strict]\npath = \"/strict\"\nstrict = true\n\
         [sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n\
         [sinks.web]\ntype = \"http\"\nurl = \"{}\"\nretry = {{ min = \"1ms\", max = \"20ms\" }}\n",
        target.url
    ))
    .with_variables(&[("REDACTION_KEY", KEY)]);
    let service = home.start();
    post_everything(&service);
    let settle = |service: &Service| {
        wait_for("all to be settled", || {
            let lag =
                |sink| service.metric(&format!("davinci_siem_sink_lag_events{{sink=\"{sink}\"}}"));
            (lag("out") + lag("web") == 0.0).then_some(())
        });
    };
    settle(&service);
    let entries = home.quarantine();
    let first = |reason: &str| {
        let entry = entries.iter().find(|entry| entry["reason"] == reason);
        entry.unwrap_or_else(|| panic!("{reason} in {entries:#?}"))["id"].to_string()
    };
    // Retries by hand: an element, a whole body, an entry that is refused again, a dead letter.
    std::fs::write(home.path("fixed"), event("fixed").to_string()).expect("written");
    std::fs::write(home.path("body"), format!("[{}]", event("body"))).expect("written");
    std::fs::write(home.path("letter"), event("letter").to_string()).expect("written");
    std::fs::write(home.path("wrong"), format!("{{\"{MAIL}\":1}}")).expect("written");
    let mut output = Vec::new();
    for (reason, file) in [
        ("missing_field", "wrong"),
        ("missing_field", "fixed"),
        ("encoding", "body"),
        ("rejected", "letter"),
        ("finding", "wrong"),
    ] {
        let arguments = ["quarantine", "retry", &first(reason), "--replace", file];
        let done = home.run_with(&service, &arguments);
        assert_eq!(done.status.success(), file != "wrong", "{done:?}");
        let said = [done.stdout, done.stderr].concat();
        output.push(("retry".to_owned(), String::from_utf8_lossy(&said).into_owned()));
    }
    settle(&service);
    let mut written = everything(&home, service);
    written.extend(output);
    let lines = home.lines("out.ndjson");
    let lines = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (lines, written)
}

const REDACT: &str = "[redact]\npii = \"hash\"\ndrop = [\"**.secret\"]\nmask = [\"**.outcomeDescription\"]\n\
                      hash = [\"actors.user.id\"]\nkey_env = \"REDACTION_KEY\"\n";

/// Returns the ids of the events that reach a sink.
const IDS: [&str; 10] = [
    "first", "second", "escaped", "wrapped", "polled", "logged", "zipped", "third", "fourth",
    "fixed",
];

#[test]
fn no_canary_is_left_in_anything_that_the_process_writes() {
    let (lines, written) = scenario(REDACT);
    let found = places_with_canaries(&written);
    assert!(found.is_empty(), "{found:#?}");
    let ids: Vec<&str> = lines.iter().map(|line| line["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, [&IDS[..], &["body"]].concat());
    for line in &lines {
        let user = &line["actors"]["user"];
        assert_eq!(user["name"], hmac(USER), "the same in every event, and checkable by anybody");
        assert_eq!(user["id"], hmac("canary-id"));
        assert_eq!(
            line["source"],
            json!({"ipAddress": hmac(ADDRESS), "userAgent": hmac("Canary/1.0")})
        );
        let mail = hmac(MAIL);
        assert_eq!(line["result"]["description"], format!("no mail to {mail}, or <{mail}>"));
        let url = format!("https://x/?mail={}&a=b", hmac("canary+mail@example.org"));
        assert_eq!(line["tags"], json!([url]));
        let flow = &line["_embedded"]["flowInteractionEvent"];
        assert_eq!((&flow["outcomeDescription"], &flow["secret"]), (&json!("***"), &Value::Null));
        assert_eq!(flow["flowName"], "PingOne Sign On Augmented with Custom Analytics");
    }
    let details = |word: &str| {
        written.iter().any(|(place, text)| place == "quarantine list" && text.contains(word))
    };
    assert!(details("(redacted)") && details("missing_field") && details("encoding"));
}

#[test]
fn without_redaction_the_search_finds_canaries_everywhere() {
    let (lines, written) = scenario("");
    assert_eq!(lines.len(), IDS.len() + 1);
    let found = places_with_canaries(&written);
    for place in [
        "spool",
        "compressed in the spool",
        "file sink",
        "quarantine list",
        "quarantine list --json",
        "quarantine export",
        "exported bytes",
        "quarantine show",
    ] {
        assert!(found.iter().any(|(found, _)| found == place), "the search is blind for: {place}");
    }
}

#[test]
fn repetitions_of_what_was_refused_are_recognised() {
    for redact in [REDACT, "[redact]\npii = \"mask\"\n"] {
        let home = Home::new(redact).with_variables(&[("REDACTION_KEY", KEY)]);
        for _ in 0..2 {
            let service = home.start();
            post(&service, "/webhooks/pingone", "", "[{\"a\":\"a@b.co\"},\"canary\"]");
            post(&service, "/webhooks/pingone", "", "canary");
            post(&service, "/webhooks/pingone", "gzip", "canary, no gzip");
            assert_eq!(home.quarantine().len(), 4, "once each, also after a restart");
        }
    }
}

#[test]
fn a_retried_entry_keeps_its_hashes() {
    let config = |strict: bool| {
        format!(
            "{REDACT}[sources.pingone]\nstrict = {strict}\n[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n"
        )
    };
    let home = Home::new(&config(true)).with_variables(&[("REDACTION_KEY", KEY)]);
    let service = home.start();
    post(&service, "/webhooks/pingone", "", event("odd").to_string());
    assert!(service.terminate().0.success());
    let text = std::fs::read_to_string(home.path("test.toml")).expect("read");
    std::fs::write(home.path("test.toml"), text.replace("strict = true", "strict = false"))
        .expect("written");
    let retried = home.run(&["quarantine", "retry", "--all"]);
    assert_eq!(String::from_utf8_lossy(&retried.stdout), "1: 1 accepted\n");
    let service = home.start();
    let line = wait_for("the event", || home.lines("out.ndjson").pop());
    drop(service);
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["actors"]["user"]["name"], hmac(USER), "no hash of a hash");
}

#[test]
fn one_sink_is_redacted_and_the_others_get_what_the_spool_has() {
    let splunk = Target::start(Collector::new("good"));
    let elastic = Target::start(Elastic::new("ApiKey good"));
    let rules = "redact = { hash = [\"**.flowId\", \"**.companyId\"], mask = [\"**.connectorId\", \"**.identity\"], \
                 drop = [\"result\"], key_env = \"REDACTION_KEY\" }\n";
    let home = Home::new(&format!(
        "[sinks.full]\ntype = \"file\"\npath = \"full.ndjson\"\n\
         [sinks.few]\ntype = \"file\"\npath = \"few.ndjson\"\nformat = \"ecs\"\n{rules}\
         include = {{ connectors = [\"analyticsConnector\"] }}\n\
         [sinks.splunk]\ntype = \"splunk_hec\"\nendpoint = \"{}\"\ntoken_env = \"TOKEN\"\n{rules}\
         [sinks.elastic]\ntype = \"elasticsearch\"\nendpoint = \"{}\"\napi_key_env = \"TOKEN\"\n{rules}",
        splunk.url, elastic.url
    ))
    .with_variables(&[("REDACTION_KEY", KEY), ("TOKEN", "good")]);
    let service = home.start();
    let came = fixture_text("events/custom_analytics.json");
    post(&service, "/webhooks/pingone", "", came.clone());
    let few = wait_for("a line", || home.lines("few.ndjson").pop());
    let full = wait_for("a line", || home.lines("full.ndjson").pop());
    let value = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    assert_eq!(value(&full), value(&came), "the spool keeps the original");
    let original = value(&came)["_embedded"]["flowInteractionEvent"].clone();
    let secret = |name: &str| original[name].as_str().expect("text").to_owned();
    let (flow, company, connector) = (secret("flowId"), secret("companyId"), secret("connectorId"));
    wait_for("both targets", || {
        let has_both = splunk.state().stored.len() + elastic.state().stored.len() == 2;
        has_both.then_some(())
    });
    let envelope = splunk.state().stored[0].clone();
    assert_eq!(envelope["fields"]["flow_id"], hmac(&flow), "an indexed field");
    assert_eq!(envelope["source"], format!("davinci:{}", hmac(&company)));
    assert_eq!(envelope["fields"]["event_id"], value(&came)["id"]);
    let document = elastic.state().stored[0].1.clone();
    for text in [few, envelope.to_string(), document.to_string()] {
        for word in [&flow, &connector, "\"SUCCESS\""] {
            assert!(!text.contains(word), "{word} in {text}");
        }
        assert!(text.contains(&hmac(&flow)), "{text}");
    }
}
