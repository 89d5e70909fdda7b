//! Output of commands: hints at typos, events with hostile texts, JSON for programs; and commands without access to
//! secrets that they do not need.

use std::collections::HashSet;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::events::{batch, ids, minted, minted_with};
use crate::support::service::Home;
use crate::support::targets::Target;
use crate::support::targets::webhook::Webhook;

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn value(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn a_filter_that_nothing_can_match_is_a_mistake() {
    let home = Home::with_two_sinks("");
    let service = home.start();
    service.post(&format!("[{},{{\"id\":\"bad\"}}]", minted("good")));
    let wrong = [
        (&["quarantine", "list", "--reason", "nonsense"][..], "missing_field"),
        (&["quarantine", "list", "--reason", "mising_field"], "did you mean missing_field?"),
        (&["quarantine", "list", "--sink", "tow"], "did you mean two? Known are one, two"),
        (&["quarantine", "export", "--source", "pingtwo"], "did you mean pingone?"),
        (&["quarantine", "purge", "--all", "--sink", "nosuch"], "Known are one, two"),
        (&["quarantine", "retry", "--all", "--reason", "syntacs"], "did you mean syntax?"),
        (&["tail", "--type", "TYPO"], "Known are admin, custom_analytics"),
        (&["tail", "--type", "START_INTERACTON"], "did you mean start_interaction?"),
        (&["tail", "--outcome", "succes"], "did you mean success?"),
        (&["tail", "--source", "nosuch"], "Known are pingone"),
        (&["replay", "--sink", "nosuch", "--from", "1h"], "Known are one, two"),
        (&["sink", "resume", "on"], "did you mean one?"),
    ];
    for (arguments, said) in wrong {
        let output = home.run_with(&service, arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {output:?}");
        assert!(err(&output).contains(said), "{arguments:?}: {output:?}");
    }
    let known = [
        &["quarantine", "list", "--reason", "missing_field"][..],
        &["quarantine", "list", "--reason", "encoding", "--sink", "two", "--source", "pingone"],
    ];
    for arguments in known {
        assert!(home.run_with(&service, arguments).status.success(), "{arguments:?}");
    }
    assert_eq!(home.quarantine().len(), 1, "nothing was purged or retried");
}

#[test]
fn the_quarantine_names_the_events_that_it_holds() {
    let home = Home::with_two_sinks("");
    let service = home.start();
    let bad = minted("bad-1").replace("recordedAt", "recorded");
    service.post(&format!("[{bad},{{\"id\":7}}]"));
    service.post("no JSON");
    let listed: Vec<Value> = home.quarantine();
    let named = |index: usize| (&listed[index]["event_id"], &listed[index]["event_type"]);
    let kind = json!("DAVINCI_INTERACTION.CUSTOM_ANALYTICS");
    assert_eq!(named(0), (&json!("bad-1"), &kind), "{listed:?}");
    assert_eq!(named(1), (&json!("7"), &Value::Null));
    assert_eq!(named(2), (&Value::Null, &Value::Null));
    let table = out(&home.run(&["quarantine", "list"]));
    let row = table.lines().nth(1).expect("a row");
    assert!(row.contains(" bad-1 ") && row.contains("DAVINCI_INTERACTION.CUSTOM"), "{table}");
}

#[test]
fn operator_commands_need_no_secret_of_a_sink() {
    let poison = HashSet::from(["event-0001".to_owned()]);
    let target = Target::start(Webhook { poison, ..Webhook::default() });
    let hook = format!(
        "[spool]\nretention = \"1h\"\n[sources.pingone]\n\
         basic = [{{ username = \"pingone\", password_env = \"PW\" }}]\n[sources.open]\npath = \"/open\"\n\
         [sinks.hook]\ntype = \"http\"\nurl = \"{}/events\"\nbearer_file = \"token\"\n",
        target.url
    );
    let mut home = Home::new(&hook).with_variables(&[("PW", "secret")]);
    std::fs::write(home.path("token"), "a-token-of-the-target").expect("written");
    let mut service = home.start();
    service.url = service.url.replace("/webhooks/pingone", "/open");
    service.post(&batch(ids(3)));
    service.wait_until_settled("hook");
    // An operator who may read neither file.
    home.variables.clear();
    std::fs::remove_file(home.path("token")).expect("removed");
    target.state().poison.clear();
    assert_eq!(home.run(&["check"]).status.code(), Some(64), "it is the whole that is checked");
    for arguments in [
        &["trace", "event-0001"][..],
        &["quarantine", "list", "--sink", "hook"],
        &["quarantine", "retry", "1"],
        &["quarantine", "purge", "--all", "--yes", "--sink", "hook"],
        &["replay", "--sink", "hook", "--from", "1h"],
        &["sink", "list"],
        &["status"],
        &["drift"],
    ] {
        let output = home.run_with(&service, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    service.wait_until_settled("hook");
    service.terminate();
    // Without a service, the command changes the spool itself, by the same rules, and needs no secret of a sink.
    let retried = home.run(&["quarantine", "retry", "--all"]);
    assert!(retried.status.success(), "{retried:?}");
}

#[test]
fn programs_read_json_also_of_what_is_wrong() {
    let home = Home::with_two_sinks("[spool]\nmax_size = \"2 GiB\"\n");
    let service = home.start();
    service.post(&batch(ids(5)));
    service.wait_until_settled("one");
    service.wait_until_settled("two");
    let stats = value(&home.run(&["spool", "stats", "--json"]));
    assert_eq!((&stats["max_size"], &stats["dedup_ids"]), (&json!(2_147_483_648_u64), &json!(5)));
    assert!(stats["quarantine_max_size"].as_u64().expect("a size") > 0, "{stats}");
    assert!(stats.get("full").is_none(), "only a running service knows: {stats}");
    let totals = &stats["dispositions"];
    assert_eq!(
        (&totals["pingone"]["accepted"], &totals["one"]["delivered"]),
        (&json!(5), &json!(5)),
        "{stats}"
    );
    let shown = value(&home.run_with(&service, &["status", "--json"]));
    assert_eq!(shown["status"]["spool"]["dispositions"], *totals);
    // A file has the name of the configuration's directory.
    let text = std::fs::read_to_string(home.path("test.toml")).expect("read");
    std::fs::write(home.path("test.toml"), text + "[sinks.x]\ntype = \"fil\"\n").expect("written");
    let mut checked = home.command(&["check", "--json"]);
    checked.env("DAVINCI_SIEM__LOG__LEVEL", "loud");
    let checked = checked.output().expect("ran");
    assert_eq!(checked.status.code(), Some(64), "{checked:?}");
    let problems = value(&checked)["problems"].clone();
    let problems = problems.as_array().expect("problems");
    let of = |key: &str| problems.iter().find(|problem| problem["key"] == key).expect("the key");
    let problem = of("sinks.x.type");
    assert_eq!(problem["file"], "test.toml");
    assert!(problem["line"].as_u64().expect("a line") > 5, "{problem}");
    assert!(problem["message"].as_str().expect("a message").contains("\"fil\""), "{problem}");
    assert_eq!(of("log.level")["variable"], "DAVINCI_SIEM__LOG__LEVEL", "{problems:?}");
}

#[test]
fn health_is_json_whether_it_is_ready_or_not() {
    let mut home = Home::with_two_sinks("");
    let service = home.start();
    let healthy = home.run_with(&service, &["health", "--json"]);
    assert_eq!((healthy.status.code(), &value(&healthy)["ready"]), (Some(0), &json!(true)));
    let address = service.admin.trim_start_matches("http://").to_owned();
    drop(service);
    home.variables.push(("DAVINCI_SIEM__ADMIN__ADDRESS".to_owned(), address.clone()));
    let away = home.run(&["health"]);
    assert_eq!(away.status.code(), Some(1));
    let said = err(&away);
    assert!(
        said.contains(&format!("cannot be reached: connection refused by {address}.")),
        "{said}"
    );
    assert!(!said.contains("os error") && !said.contains("client error"), "{said}");
}

/// A bidirectional override, an isolate, a mark, and an escape sequence that clears the screen.
const OBEYED: &str = "x\\u202egpj.exe\\u2066\\u200f\\u001b[2J\\u009b";

#[test]
fn characters_that_a_terminal_would_obey_are_written_out() {
    let home = Home::with_two_sinks("[spool]\nretention = \"1h\"\n");
    let service = home.start();
    let event = minted_with("seen", "flow").replace("\"seen\"", &format!("\"seen{OBEYED}\""));
    let obeyed: String = serde_json::from_str(&format!("\"{OBEYED}\"")).expect("a text");
    assert!(event.contains(OBEYED));
    // The refused event is in quarantine with its bytes unchanged, the special characters included.
    let refused = event.replace(OBEYED, &obeyed.replace('\u{1b}', "")).replace("recordedAt", "at");
    service.post(&format!("[{event},{refused}]"));
    service.wait_until_settled("one");
    let is_obeyed =
        |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{2069}').contains(&c);
    let id = format!("seen{obeyed}");
    for arguments in [
        &["quarantine", "list"][..],
        &["quarantine", "list", "--json"],
        &["trace", &id],
        &["trace", "--json", &id],
        &["status", "--json"],
    ] {
        let output = home.run_with(&service, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert!(!out(&output).contains(is_obeyed), "{arguments:?}: {:?}", out(&output));
    }
    let listed = &home.quarantine()[0]["event_id"];
    assert_eq!(listed, &json!(id.replace('\u{1b}', "")), "JSON means the same");
    for page in ["/console", "/console/quarantine/1"] {
        let page = service.ask_admin(page).1;
        assert!(!page.contains(is_obeyed), "{page:?}");
    }
}

#[test]
fn the_console_is_amber_while_a_target_refuses_events() {
    let poison = HashSet::from(["event-0001".to_owned(), "event-0002".to_owned()]);
    let target = Target::start(Webhook { poison, ..Webhook::default() });
    let hook = format!("[sinks.hook]\ntype = \"http\"\nurl = \"{}/events\"\n", target.url);
    let home = Home::new(&hook);
    let service = home.start();
    service.post(&batch(ids(1)));
    service.wait_until_settled("hook");
    let good = service.ask_admin("/console").1;
    assert!(good.contains("verdict good") && good.contains("Healthy"), "{good}");
    service.post(&batch(ids(4)));
    service.wait_until_settled("hook");
    let amber = service.ask_admin("/console").1;
    assert!(amber.contains("verdict warning") && !amber.contains("Healthy"), "{amber}");
    assert!(amber.contains("sink hook refuses events: 2 dead letters in quarantine"), "{amber}");
    assert!(amber.contains("<a href=\"#quarantine-title\">"), "{amber}");
    target.state().poison.clear();
    assert!(home.run_with(&service, &["quarantine", "retry", "--all"]).status.success());
    assert!(service.ask_admin("/console").1.contains("verdict good"));
}

#[test]
fn map_reads_files_of_any_number_of_events_and_names_the_lines_of_bad_ones() {
    let home = Home::new("");
    let event = |number: usize| {
        format!(
            "{{\"id\":\"e{number}\",\"recordedAt\":\"2026-01-01T00:00:00Z\",\"action\":{{\"type\":\"A\"}}}}"
        )
    };
    let mut lines: Vec<String> = (0..25_000).map(event).collect();
    std::fs::write(home.path("array.json"), format!("[{}]", lines.join(","))).expect("written");
    lines[20_999] = "{\"id\": \"cut".to_owned();
    lines[21_999] = "{\"id\":\"e\"}".to_owned();
    std::fs::write(home.path("lines.ndjson"), lines.join("\n")).expect("written");
    let mapped = home.run(&["map", "array.json"]);
    assert!(mapped.status.success(), "{}", err(&mapped));
    assert_eq!(out(&mapped).lines().count(), 25_000);
    let mapped = home.run(&["map", "lines.ndjson"]);
    assert_eq!(mapped.status.code(), Some(1));
    assert_eq!(out(&mapped).lines().count(), 24_998, "its neighbours are there");
    let said = err(&mapped);
    assert!(said.contains("lines.ndjson:21000: $: not well-formed JSON"), "{said}");
    assert!(said.contains("lines.ndjson:22000: $.recordedAt: "), "{said}");
    assert!(said.contains("2 would be quarantined"), "{said}");
    let mut piped = home.command(&["map"]);
    piped.stdin(std::fs::File::open(home.path("array.json")).expect("opened"));
    assert_eq!(out(&piped.output().expect("ran")).lines().count(), 25_000);
}

/// A download that broke off: the elements that are whole are converted.
#[test]
fn map_reports_an_array_that_does_not_end() {
    let home = Home::new("");
    let event =
        "{\"id\":\"e\",\"recordedAt\":\"2026-01-01T00:00:00Z\",\"action\":{\"type\":\"A\"}}";
    for (text, line, converted) in
        [("[".to_owned(), 1, 0), (format!("[{event},\n"), 1, 1), (format!("[]\n[{event}"), 2, 1)]
    {
        std::fs::write(home.path("cut.json"), &text).expect("written");
        let mapped = home.run(&["map", "cut.json"]);
        assert_eq!(mapped.status.code(), Some(1), "{text}");
        assert_eq!(out(&mapped).lines().count(), converted, "{text}");
        let said = err(&mapped);
        assert!(said.contains(&format!("cut.json:{line}: the array that begins here")), "{said}");
    }
}

#[test]
fn check_refuses_a_spool_directory_that_cannot_be_created() {
    for (directory, reason) in [
        ("/proc/x", "/proc is a file system of the kernel"),
        ("test.toml/spool", "is not a directory"),
    ] {
        let home = Home::new(&format!("[spool]\ndirectory = {directory:?}\n"));
        let checked = home.run(&["check"]);
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(checked.status.code(), Some(64), "{said}");
        assert!(
            said.contains("spool.directory: cannot be created") && said.contains(reason),
            "{said}"
        );
        assert!(home.try_start().is_err(), "as the service does");
    }
}
