//! The command line for a first-time user.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::events::{equal, fixture, fixture_text, minted};
use crate::support::service::{BINARY, Home, Service};
use crate::support::wait_for;

fn send(service: &Service, arguments: &[&str]) -> std::process::Output {
    Command::new(BINARY)
        .args(["send", "--url", &service.url])
        .args(arguments)
        .output()
        .expect("the binary runs")
}

fn summary(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_five_documented_events_come_out_once_and_equal() {
    let home = Home::new("");
    let service = home.start();
    let batch = fixture("documented_batch.json");
    let sent = send(&service, &[batch.to_str().expect("UTF-8")]);
    assert!(sent.status.success());
    let text = String::from_utf8(sent.stdout).expect("UTF-8");
    assert!(
        text.starts_with("5 events in 1 batch: 5 accepted, 0 duplicates, 0 quarantined"),
        "{text}"
    );
    let lines = wait_for("5 lines", || Some(home.lines("stdout")).filter(|lines| lines.len() >= 5));
    for (line, name) in lines.iter().zip([
        "custom_analytics",
        "start_interaction",
        "receive_request",
        "send_response",
        "send_error_response",
    ]) {
        assert!(equal(line, &fixture_text(&format!("events/{name}.json"))), "{name}");
    }
    let again = summary(&send(&service, &["--json", batch.to_str().expect("UTF-8")]));
    assert_eq!((&again["accepted"], &again["duplicates"]), (&0.into(), &5.into()));
    assert!(service.terminate().0.success());
    assert_eq!(home.lines("stdout").len(), 5, "the repetition printed nothing");
}

#[test]
fn every_fixture_is_delivered_with_equal_values() {
    let home =
        Home::new("[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\ntest_events = true\n");
    let service = home.start();
    let mut files: Vec<String> = Vec::new();
    for directory in ["events", "contradictions", "pingone"] {
        for entry in fixture(directory).read_dir().expect("a directory") {
            files.push(entry.expect("an entry").path().to_str().expect("UTF-8").to_owned());
        }
    }
    let mut arguments = vec!["--json", "--batch", "7"];
    arguments.extend(files.iter().map(String::as_str));
    let sent = summary(&send(&service, &arguments));
    assert_eq!((&sent["accepted"], &sent["quarantined"]), (&files.len().into(), &0.into()));
    let lines = wait_for("lines", || {
        Some(home.lines("out.ndjson")).filter(|lines| lines.len() == files.len())
    });
    for (line, file) in lines.iter().zip(&files) {
        assert!(equal(line, &std::fs::read_to_string(file).expect("read")), "{file}");
    }
}

#[test]
fn generated_events_are_accepted_without_findings() {
    let home = Home::new(
        "[sources.pingone]\nstrict = true\nbasic = [{ username = \"pingone\", password_env = \"PW\" }]\nheaders = [{ name = \"X-Key\", value_env = \"PW\" }]\n",
    );
    let home = home.with_variables(&[("PW", "secret")]);
    let service = home.start();
    std::fs::write(home.path("password"), "secret\n").expect("written");
    let password = home.path("password");
    let password = password.to_str().expect("UTF-8");
    let sent = summary(&send(
        &service,
        &[
            "--json",
            "--count",
            "2500",
            "--batch",
            "100",
            "--concurrency",
            "3",
            "--gzip",
            "--user",
            "pingone",
            "--password-file",
            password,
        ],
    ));
    assert_eq!(
        (&sent["accepted"], &sent["batches"], &sent["retries"]),
        (&2500.into(), &25.into(), &0.into())
    );
    let sent = summary(&send(
        &service,
        &["--json", "--count", "1", "--header", "X-Key", "--header-file", password],
    ));
    assert_eq!(sent["accepted"], 1);
    let refused = send(&service, &["--count", "1", "--give-up-after", "50ms"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("answered 401 Unauthorized"),
        "{refused:?}"
    );
}

#[test]
fn send_repeats_until_the_service_is_there() {
    let home = Home::new("");
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("bound")
        .local_addr()
        .expect("an address");
    let url = format!("http://{address}/webhooks/pingone");
    let mut sending = Command::new(BINARY)
        .args(["send", "--json", "--count", "3", "--url", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut said = std::io::BufReader::new(sending.stderr.take().expect("piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).expect("a line");
    assert!(line.contains("cannot be reached") && line.contains("retrying the batch"), "{line}");
    let mut home = home;
    home.variables.push(("DAVINCI_SIEM__LISTEN__ADDRESS".to_owned(), address.to_string()));
    let service = home.start();
    let sent = summary(&sending.wait_with_output().expect("ended"));
    assert_eq!(sent["accepted"], 3);
    assert!(sent["retries"].as_u64().expect("a number") >= 1);
    drop(service);
}

#[test]
fn a_body_is_sent_as_it_is_with_raw() {
    let home = Home::new("");
    let service = home.start();
    std::fs::write(home.path("junk"), "no events here").expect("written");
    let junk = home.path("junk");
    let junk = junk.to_str().expect("UTF-8");
    let refused = send(&service, &[junk]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--raw"), "{refused:?}");
    assert_eq!(summary(&send(&service, &["--json", "--raw", junk]))["quarantined"], 1);
}

#[test]
fn check_reports_four_mistakes_with_key_and_remedy() {
    let home = Home::new("");
    let mistakes = "[listen]\nadress = \"127.0.0.1:8080\"\n[limits]\nbody = \"much\"\n[spool]\nretention = 7\n[sinks.a]\ntype = \"splnk\"\n";
    std::fs::write(home.path("test.toml"), mistakes).expect("written");
    let checked = home.run(&["check"]);
    assert_eq!(checked.status.code(), Some(64));
    let text = String::from_utf8(checked.stderr).expect("UTF-8");
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "test.toml:2: listen.adress: is no key here; did you mean \"address\"?",
            "test.toml:4: limits.body: \"much\" is not a size such as \"32 MiB\"",
            "test.toml:6: spool.retention: must be a string, not 7",
            "test.toml:8: sinks.a.type: \"splnk\" is not one of \"stdout\", \"file\", \"http\", \"splunk_hec\", \"elasticsearch\", \"loki\", \"clickhouse\", \"postgres\", \"sentinel\", \"datadog\", \"otlp\", \"google_secops\", \"pubsub\", \"kinesis\", \"firehose\", \"syslog\", \"nats\", \"kafka\", \"object_store\"; did you mean \"splunk_hec\"?",
            "davinci-siem: 4 mistakes in the configuration",
        ]
    );
    let served = home.run(&["serve"]);
    assert_eq!(served.status.code(), Some(64), "serve refuses it as well");
}

#[test]
fn check_summarises_a_valid_configuration() {
    let home = Home::new("[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n");
    let checked = home.run(&["check"]);
    assert!(checked.status.success());
    let text = String::from_utf8(checked.stdout).expect("UTF-8");
    assert!(text.contains("no mistakes") && text.contains("sink out: out.ndjson"), "{text}");
}

#[test]
fn a_public_listener_without_credentials_needs_a_word() {
    let mut home = Home::new("");
    home.variables.push(("DAVINCI_SIEM__LISTEN__ADDRESS".to_owned(), "0.0.0.0:0".to_owned()));
    let checked = home.run(&["check"]);
    assert_eq!(checked.status.code(), Some(64));
    assert!(
        String::from_utf8_lossy(&checked.stderr).contains("listen.auth = \"none\""),
        "{checked:?}"
    );
    home.variables.push(("DAVINCI_SIEM__LISTEN__AUTH".to_owned(), "none".to_owned()));
    assert!(home.run(&["check"]).status.success());
}

#[test]
fn mistakes_on_the_command_line_and_at_start_have_plain_messages() {
    let home = Home::new("");
    let run = |arguments: &[&str]| {
        let output = home.run(arguments);
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    assert_eq!(run(&["sevre"]).0, Some(64));
    assert_eq!(run(&["send"]).0, Some(64), "neither files nor a count");
    let (code, text) = run(&["spool", "stats"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("there is no spool in data"), "{text}");
    let missing =
        Command::new(BINARY).args(["check", "-c", "/nowhere.toml"]).output().expect("ran");
    assert_eq!(missing.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere.toml: cannot be read"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("an address").to_string();
    // 192.0.2.0/24 is for documentation (RFC 5737): no machine has it.
    for (address, advice) in
        [(&*address, "Stop what uses the port"), ("192.0.2.1:9090", "does not have this address")]
    {
        let bound = home
            .command(&["serve"])
            .env("DAVINCI_SIEM__ADMIN__ADDRESS", address)
            .output()
            .expect("ran");
        assert_eq!(bound.status.code(), Some(1));
        let text = String::from_utf8_lossy(&bound.stderr);
        assert!(text.contains(&format!("admin.address = \"{address}\" cannot be bound")), "{text}");
        assert!(text.contains(advice), "{text}");
    }
    let shell = |limit: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit {limit} && exec \"$0\" serve"), BINARY]);
        shell.current_dir(home.directory.path()).env("DAVINCI_SIEM_CONFIG", "test.toml");
        shell.env("DAVINCI_SIEM__LISTEN__ADDRESS", &address);
        let output = shell.output().expect("ran");
        String::from_utf8(output.stderr).expect("text")
    };
    let few = shell("-n 500");
    assert!(few.contains("1088 connections"), "{few}");
    assert!(few.contains("need 1344 file descriptors, and this process may have 500"), "{few}");
    let soft = shell("-Sn 500");
    assert!(soft.contains("listen.address"), "the limit is raised, the address is taken: {soft}");
    std::fs::remove_dir_all(home.path("data")).expect("removed");
    std::fs::write(home.path("data"), "a file in the way").expect("written");
    let (code, text) = run(&["serve"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("the spool directory data cannot be used"), "{text}");
    assert!(text.contains("set spool.directory to a directory"), "{text}");
}

#[test]
fn help_names_every_command() {
    let help = Command::new(BINARY).arg("--help").output().expect("ran");
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).expect("UTF-8");
    for command in ["serve", "check", "send", "quarantine", "spool", "health"] {
        assert!(text.contains(command), "{text}");
    }
}

#[test]
fn map_shows_what_a_format_makes_of_any_body() {
    let home = Home::new("");
    let map = |arguments: &[&str]| {
        let output = Command::new(BINARY).arg("map").args(arguments).output();
        output.expect("the binary runs")
    };
    let batch = fixture("documented_batch.json");
    let batch = batch.to_str().expect("UTF-8");
    for (format, start) in [
        ("native", "{"),
        ("ecs", "{\"@timestamp\":"),
        ("ocsf", "{\"activity_id\":"),
        ("cef", "CEF:0|"),
        ("leef", "LEEF:2.0|"),
    ] {
        let mapped = map(&["--format", format, batch]);
        assert!(mapped.status.success(), "{mapped:?}");
        let text = String::from_utf8(mapped.stdout).expect("UTF-8");
        assert_eq!(text.lines().count(), 5);
        assert!(text.lines().all(|line| line.starts_with(start)), "{text}");
    }
    let mixed = home.path("mixed.json");
    std::fs::write(&mixed, format!("[{}, 7]", minted("good"))).expect("written");
    let mapped = map(&[mixed.to_str().expect("UTF-8")]);
    assert_eq!(mapped.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&mapped.stdout).lines().count(), 1, "the good one is shown");
    let said = String::from_utf8_lossy(&mapped.stderr).into_owned();
    assert!(
        said.contains("mixed.json:1: $[1]: ") && said.contains("1 would be quarantined"),
        "{said}"
    );
    assert_eq!(map(&["/nowhere"]).status.code(), Some(64));
    let newer = map(&["--format", "ocsf", "--ocsf-version", "1.8.0", batch]);
    assert!(String::from_utf8_lossy(&newer.stdout).contains(r#""version":"1.8.0""#));
    assert_eq!(map(&["--format", "ecs", "--ocsf-version", "1.8.0", batch]).status.code(), Some(64));
}

#[test]
fn map_shows_what_a_sink_makes_of_events() {
    let home = Home::new(
        "[redact]\npii = \"mask\"\n[sinks.a]\ntype = \"file\"\npath = \"a\"\nformat = \"cef\"\n\
         redact = { drop = [\"**.flowName\"] }\n",
    );
    let event = fixture("events/actors.json");
    let event = event.to_str().expect("UTF-8");
    let mapped = home.run(&["map", "--sink", "a", event]);
    assert!(mapped.status.success(), "{mapped:?}");
    let line = String::from_utf8(mapped.stdout).expect("UTF-8");
    assert!(line.starts_with("CEF:0|") && line.contains(" suser=*** "), "{line}");
    assert!(!line.contains("jdoe"), "{line}");
    let unknown = home.run(&["map", "--sink", "b", event]);
    assert_eq!(unknown.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("--sink b is unknown. Known are a"));
}

#[test]
fn map_explains_which_member_became_which_field() {
    let event = fixture("events/send_error_response.json");
    let explain = |format: &str| {
        let output = Command::new(BINARY)
            .args(["map", "--explain", "--format", format])
            .arg(&event)
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().map(words).collect::<Vec<_>>()
    };
    let ecs = explain("ecs");
    assert_eq!(
        ecs[0],
        "ccb8d1ec-61ed-4big-a0c4-a190ca677ad1 DAVINCI_INTERACTION.SEND_ERROR_RESPONSE"
    );
    for line in [
        "id -> event.id",
        "id -> ping_one.audit.id",
        "_embedded.flowInteractionEvent.interactionId -> transaction.id",
        "resources -> ping_one.audit.resources",
        "action.type => event.outcome",
        "tsEms => @timestamp",
    ] {
        assert!(ecs.iter().any(|found| found == line), "{line}: {ecs:#?}");
    }
    let cef = explain("cef");
    for line in ["_embedded.flowInteractionEvent.id -> cs3", "result.status -> davinciExtra"] {
        assert!(cef.iter().any(|found| found == line), "{line}: {cef:#?}");
    }
    assert!(explain("native").iter().any(|line| line == "result.status -> (as it is)"));
}

#[test]
fn map_explains_the_findings_of_an_event() {
    let home = Home::new("");
    let path = home.path("event.json");
    let event = minted("a").replace("DAVINCI_INTERACTION.CUSTOM_ANALYTICS", "USER.PAINTED");
    std::fs::write(&path, event).expect("written");
    let explained = home.run(&["map", "--explain", path.to_str().expect("UTF-8")]);
    let text = String::from_utf8(explained.stdout).expect("UTF-8");
    let lines: Vec<&str> = text.lines().take(2).collect();
    assert_eq!(lines, ["a USER.PAINTED", "  finding: unlisted_type at $.action.type"]);
}

#[test]
fn fields_prints_the_schema_that_is_in_the_documentation() {
    let run = |arguments: &[&str]| {
        Command::new(BINARY).args(arguments).output().expect("the binary runs")
    };
    let printed = run(&["fields", "--schema"]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fields/native.schema.json");
    let stored = std::fs::read_to_string(path).expect("the schema");
    assert_eq!(String::from_utf8_lossy(&printed.stdout), stored);
    assert_eq!(run(&["fields", "--schema", "--format", "ecs"]).status.code(), Some(64));
}

#[test]
fn a_command_whose_reader_has_seen_enough_ends_quietly() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let file = fixture("documented_batch.json");
    let map = ["map", "--format", "ecs", file.to_str().expect("UTF-8")];
    for arguments in [&map[..], &["man"], &["check"]] {
        let mut command = Command::new(BINARY);
        let stdout = writer.try_clone().expect("the pipe");
        let output = command.args(arguments).stdout(stdout).output().expect("the binary runs");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        assert!(output.status.success(), "{arguments:?}");
    }
}
