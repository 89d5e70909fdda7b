//! The profiles of `http` and `splunk_hec` against receivers that accept only what each product documents.

use serde_json::Value;

use crate::support::canary::{assert_silent, shown, text};
use crate::support::events::{batch, ids};
use crate::support::service::Home;
use crate::support::targets::contract::{Contract, Receiver};
use crate::support::targets::{Target, header};
use crate::support::wait_for;

const QUICK: &str = "retry = { min = \"1ms\", max = \"100ms\" }\n";

/// A profile: keys of its sink, where `@` is the origin of the receiver, and the receiver's documentation.
type Row = (&'static str, &'static str, Contract);

fn array(body: &str) -> Option<Vec<Value>> {
    serde_json::from_str(body).ok()
}

fn lines(body: &str) -> Option<Vec<Value>> {
    let lines = body.strip_suffix('\n')?.split('\n');
    lines.map(|line| serde_json::from_str(line).ok()).collect()
}

fn single(body: &str) -> Option<Vec<Value>> {
    let event: Value = serde_json::from_str(body).ok()?;
    event.is_object().then(|| vec![event])
}

fn new_relic(body: &str) -> Option<Vec<Value>> {
    let value: Value = serde_json::from_str(body).ok()?;
    let log = |log: &Value| {
        let is_time = log["timestamp"].as_u64().is_some_and(|time| time > 1_000_000_000_000);
        let has_ids = log["attributes"]["event_uid"].is_string();
        (is_time && has_ids).then(|| serde_json::from_str(log["message"].as_str()?).ok())?
    };
    value[0]["logs"].as_array()?.iter().map(log).collect()
}

fn cribl(body: &str) -> Option<Vec<Value>> {
    let raw = |event: Value| {
        let is_time = event["_time"].as_f64().is_some_and(|time| time < 10_000_000_000.0);
        is_time.then(|| serde_json::from_str(event["_raw"].as_str()?).ok())?
    };
    lines(body)?.into_iter().map(raw).collect()
}

/// Envelopes of the Splunk protocol, with or without a sourcetype.
fn envelopes(body: &str, has_sourcetype: bool) -> Option<Vec<Value>> {
    let event = |mut envelope: Value| {
        let is_complete = envelope["time"].is_string() && envelope["fields"].is_object();
        let is_good = is_complete && envelope["sourcetype"].is_string() == has_sourcetype;
        is_good.then(|| envelope["event"].take())
    };
    lines(body)?.into_iter().map(event).collect()
}

fn with_sourcetype(body: &str) -> Option<Vec<Value>> {
    envelopes(body, true)
}

fn without_sourcetype(body: &str) -> Option<Vec<Value>> {
    envelopes(body, false)
}

const SUMO_PATH: &str = "/receiver/v1/http/ZaVnC4dhaV3wqOcE7rTyUiOp";

const fn contract(
    path: &'static str,
    credential: (&'static str, &'static str),
    content_type: &'static str,
    encoding: &'static str,
    events: fn(&str) -> Option<Vec<Value>>,
    success: (u16, &'static str),
) -> Contract {
    Contract { path, credential, content_type, encoding, events, success }
}

const JSON: &str = "application/json";
const OK: (u16, &str) = (200, "{\"text\":\"Success\",\"code\":0}");

fn rows() -> Vec<Row> {
    let key = "url = \"@\"\napi_key_env = \"KEY\"";
    let hec = "endpoint = \"@\"\ntoken_env = \"KEY\"";
    let bearer = ("authorization", "Bearer s3cr3t-key");
    let raw = ("authorization", "s3cr3t-key");
    vec![
        ("xsiam", key, contract("/logs/v1/event", raw, JSON, "", lines, (200, "{}"))),
        (
            "sumo",
            "url_env = \"URL\"\nheaders = [{ name = \"X-Sumo-Category\", value = \"iam\" }]",
            contract(
                SUMO_PATH,
                ("x-sumo-category", "iam"),
                "text/plain; charset=utf-8",
                "gzip",
                lines,
                (200, ""),
            ),
        ),
        (
            "new_relic",
            key,
            contract("/log/v1", ("api-key", "s3cr3t-key"), JSON, "gzip", new_relic, (202, "{}")),
        ),
        (
            "exabeam",
            "url = \"@\"\nbearer_env = \"KEY\"",
            contract("/cloud-collectors/v1/logs/json", bearer, JSON, "gzip", array, (200, "")),
        ),
        (
            "panther",
            "url = \"@/http/1\"\napi_key_env = \"KEY\"\napi_key_header = \"X-Panther\"",
            contract("/http/1", ("x-panther", "s3cr3t-key"), JSON, "", array, (200, "")),
        ),
        (
            "securonix",
            "url = \"@/http-event-receiver/pingone/1\"\napi_key_env = \"KEY\"",
            contract(
                "/http-event-receiver/pingone/1",
                ("x-api-key", "s3cr3t-key"),
                JSON,
                "",
                single,
                (200, ""),
            ),
        ),
        ("qradar_http", key, contract("/", raw, JSON, "", single, (200, ""))),
        (
            "secops_webhook",
            "url = \"@/v1alpha/feeds/f:importPushLogs\"\napi_key_env = \"KEY\"\n\
             headers = [{ name = \"X-Webhook-Access-Key\", value_env = \"KEY\" }]",
            contract(
                "/v1alpha/feeds/f:importPushLogs",
                ("x-goog-api-key", "s3cr3t-key"),
                JSON,
                "",
                lines,
                (200, "{}"),
            ),
        ),
        (
            "cribl",
            key,
            contract("/cribl/_bulk", raw, "application/x-ndjson", "gzip", cribl, (200, "{}")),
        ),
        (
            "logscale",
            hec,
            contract("/api/v1/ingest/hec", bearer, JSON, "gzip", without_sourcetype, OK),
        ),
        (
            "crowdstrike_ngsiem",
            "endpoint = \"@/services/collector\"\ntoken_env = \"KEY\"",
            contract("/services/collector", bearer, JSON, "gzip", without_sourcetype, OK),
        ),
        (
            "cribl",
            hec,
            contract(
                "/services/collector/event",
                ("authorization", "Splunk s3cr3t-key"),
                JSON,
                "gzip",
                with_sourcetype,
                OK,
            ),
        ),
        (
            "cloudwatch",
            "endpoint = \"@/?logGroup=a&logStream=b\"\ntoken_env = \"KEY\"",
            contract(
                "/services/collector/event?logGroup=a&logStream=b",
                bearer,
                JSON,
                "gzip",
                with_sourcetype,
                (200, "{}"),
            ),
        ),
    ]
}

fn home(target: &Target<Receiver>, (profile, keys, _): &Row, more: &str) -> Home {
    let kind = if keys.contains("token_env") { "splunk_hec" } else { "http" };
    let keys = keys.replace('@', &target.url);
    let text =
        format!("[sinks.s]\ntype = \"{kind}\"\nprofile = \"{profile}\"\n{keys}\n{QUICK}{more}");
    let url = format!("{}{SUMO_PATH}", target.url);
    Home::new(&text).with_variables(&[("KEY", "s3cr3t-key"), ("URL", &url)])
}

/// Each profile delivers, also in smaller requests if the receiver wants that, and the credential is accepted.
#[test]
fn each_profile_sends_what_its_receiver_documents() {
    for row in rows() {
        let (profile, _, contract) = row;
        let target = Target::start(Receiver::new(contract, 20_000));
        let home = home(&target, &row, "");
        let checked = home.run(&["check", "--connect"]);
        assert!(checked.status.success(), "{profile}: {}", text(&checked));
        let service = home.start();
        service.post(&batch(ids(60)));
        service.wait_until_settled("s");
        let state = target.state();
        assert_eq!(state.ids(), ids(60), "{profile}: each once, in order");
        assert!(state.refused.is_empty(), "{profile}: {:?}", state.refused);
        let is_compressed = state
            .traffic
            .headers
            .iter()
            .any(|headers| header(headers, "content-encoding") == contract.encoding);
        assert!(is_compressed, "{profile}");
        assert!(home.quarantine().is_empty(), "{profile}");
    }
}

/// A refused event is found among the others; no dead letter has the credential that the receiver repeats.
#[test]
fn a_refused_event_becomes_a_dead_letter_without_the_credential() {
    for row in rows() {
        let (profile, _, contract) = row;
        let target = Target::start(Receiver::new(contract, 1_000_000));
        target.state().poison.insert("event-0007".to_owned());
        let home = home(&target, &row, "");
        let service = home.start();
        service.post(&batch(ids(20)));
        service.wait_until_settled("s");
        let mut expected = ids(20);
        expected.remove(7);
        assert_eq!(target.state().ids(), expected, "{profile}");
        let entries = home.quarantine();
        assert_eq!(entries.len(), 1, "{profile}");
        assert_eq!(entries[0]["target"]["status"], 400, "{profile}");
        let said = entries[0]["target"]["text"].as_str().expect("an answer");
        assert!(said.contains("POST "), "{profile}: it repeats the request: {said}");
        assert_silent(said, "s3cr3t-key", profile);
        assert_silent(said, "ZaVnC4dhaV3wqOcE7rTyUiOp", profile);
    }
}

/// Searches everything that the service shows for the URL of Sumo Logic: while it delivers, while it is paused, and
/// while nobody listens.
#[test]
fn a_secret_url_is_shown_nowhere() {
    let secret = "ZaVnC4dhaV3wqOcE7rTyUiOp";
    let row = rows().into_iter().find(|(profile, ..)| *profile == "sumo").expect("a row");
    let mut target = Target::start(Receiver::new(row.2, 1_000_000));
    target.state().poison.insert("event-0003".to_owned());
    let home = home(&target, &row, "");
    for arguments in [&["check"][..], &["check", "--json"], &["check", "--connect"]] {
        assert_silent(&text(&home.run(arguments)), secret, &format!("{arguments:?}"));
    }
    let service = home.start();
    service.post(&batch(ids(10)));
    service.wait_until_settled("s");
    assert_silent(&shown(&service), secret, "while it delivers");
    assert_eq!(home.quarantine().len(), 1);
    assert_silent(&text(&home.run_with(&service, &["status"])), secret, "status");
    for (name, state) in [("paused", Some(401)), ("retrying", None)] {
        match state {
            Some(status) => target.state().traffic.down = Some(status),
            None => target.stop(),
        }
        service.post(&batch([format!("while-{name}")]));
        wait_for(name, || (service.readiness()["sinks"][0]["state"] == name).then_some(()));
        assert_silent(&shown(&service), secret, name);
        assert_silent(&text(&home.run_with(&service, &["sink", "list"])), secret, name);
        if state.is_some() {
            target.state().traffic.down = None;
            service.wait_until_settled("s");
        }
    }
    let (_, log) = service.terminate();
    assert_silent(&log, secret, "the log");
    for entry in home.path("data").read_dir().expect("a spool") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert_silent(&String::from_utf8_lossy(&bytes), secret, &path.display().to_string());
    }
}

/// A URL in a file is read again when the sink is paused: a corrected address needs no restart.
#[test]
fn a_replaced_secret_url_is_used() {
    let row = rows().into_iter().find(|(profile, ..)| *profile == "sumo").expect("a row");
    let target = Target::start(Receiver::new(row.2, 1_000_000));
    let keys = row.1.replace("url_env = \"URL\"", "url_file = \"url\"");
    let text = format!(
        "[sinks.s]\ntype = \"http\"\nprofile = \"sumo\"\n{keys}\nretry = {{ min = \"1ms\", max = \"1h\" }}\n"
    );
    let home = Home::new(&text);
    std::fs::write(home.path("url"), format!("{}/receiver/v1/http/old", target.url))
        .expect("written");
    let service = home.start();
    service.post(&batch(ids(5)));
    wait_for("a pause", || (service.readiness()["sinks"][0]["state"] == "paused").then_some(()));
    std::fs::write(home.path("url"), format!("{}{SUMO_PATH}\n", target.url)).expect("written");
    service.wait_until_settled("s");
    assert_eq!(target.state().ids(), ids(5));
}
