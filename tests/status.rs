//! `status`: the running service on one screen; and the JSON output of the other commands.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::events::{batch, ids, minted};
use crate::support::service::{BINARY, Home};
use crate::support::wait_for;

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn value(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn a_healthy_service_is_shown_with_its_sinks_and_totals() {
    let home = Home::with_two_sinks("");
    let service = home.start();
    service.post(&format!("[{},7]", minted("good")));
    service.wait_until_settled("one");
    service.wait_until_settled("two");
    let shown = home.run_with(&service, &["status"]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let screen = text(&shown);
    let lines: Vec<String> =
        screen.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let has = |wanted: &str| assert!(lines.iter().any(|line| line == wanted), "{wanted}: {screen}");
    has(&format!("davinci-siem {}: ready", env!("CARGO_PKG_VERSION")));
    has("one 0 events running");
    has("two 0 events running");
    has("pingone accepted 1");
    has("pingone quarantined 1");
    has("two delivered 1");
    assert!(lines.iter().any(|line| line.starts_with("quarantine 1 entry, ")), "{screen}");
    assert!(
        lines.iter().any(|line| line.starts_with("spool ") && line.contains("GiB")),
        "{screen}"
    );
    assert!(lines.len() < 24, "one screen: {screen}");
    assert!(!screen.contains('\u{1b}'), "no colours beside a terminal: {screen}");
    let shown = value(&home.run_with(&service, &["status", "--json"]));
    assert_eq!(
        (&shown["readiness"]["ready"], &shown["status"]["spool"]["head"]),
        (&json!(true), &json!(1))
    );
}

#[test]
fn a_spool_that_cannot_be_read_hides_nothing_else() {
    let home = Home::with_two_sinks("");
    let service = home.start();
    service.post(&batch(ids(3)));
    service.wait_until_settled("one");
    let (there, away) = (home.path("data/spool.db"), home.path("data/away"));
    std::fs::rename(&there, &away).expect("moved");
    let (status, metrics) = service.ask_admin("/metrics");
    assert_eq!(status, 200);
    let has = |name: &str| metrics.lines().any(|line| line.starts_with(name));
    for name in [
        "davinci_siem_spool_failing 0",
        "davinci_siem_spool_full 0",
        "davinci_siem_blocked_seconds{",
        "davinci_siem_last_received_timestamp_seconds{",
        "davinci_siem_events_total{",
        "davinci_siem_sink_state{",
    ] {
        assert!(has(name), "{name} is missing: {metrics}");
    }
    assert!(!has("davinci_siem_spool_bytes") && !has("davinci_siem_sink_lag_events"), "{metrics}");
    let (status, page) = service.ask_admin("/console");
    assert!(status == 200 && page.contains("The spool cannot be read"), "{page}");
    let shown = home.run_with(&service, &["status"]);
    assert_eq!(shown.status.code(), Some(1), "{shown:?}");
    let screen = text(&shown);
    assert!(screen.contains(": ready") && screen.contains("the spool cannot be read"), "{screen}");
    let shown = value(&home.run_with(&service, &["status", "--json"]));
    assert_eq!(
        (&shown["status"]["spool"], &shown["status"]["sinks"][0]["lag"]),
        (&Value::Null, &Value::Null)
    );
    std::fs::rename(&away, &there).expect("back");
    // A sink may have failed on the missing file, too; its next commit succeeds.
    wait_for("exit code 0", || {
        (home.run_with(&service, &["status"]).status.code() == Some(0)).then_some(())
    });
}

#[test]
fn the_exit_code_reports_a_paused_sink_and_a_missing_service() {
    let home = Home::with_two_sinks("");
    let service = home.start();
    let paused = home.run_with(&service, &["sink", "pause", "two", "--json"]);
    assert_eq!(value(&paused)["state"], "paused");
    service.post(&batch(ids(3)));
    service.wait_until_settled("one");
    for arguments in [&["status"][..], &["status", "--json"]] {
        let shown = home.run_with(&service, arguments);
        assert_eq!(shown.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&shown.stderr), "davinci-siem: paused: two\n");
        assert!(text(&shown).contains("paused"), "{shown:?}");
    }
    let screen = text(&home.run_with(&service, &["status"]));
    let line = screen.lines().find(|line| line.starts_with("two ")).expect("the sink");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[..4], ["two", "3", "events", "paused:"], "{screen}");
    assert!(screen.contains("oldest    received 20"), "{screen}");
    let resumed = home.run_with(&service, &["sink", "resume", "two"]);
    assert!(resumed.status.success());
    service.wait_until_settled("two");
    assert!(home.run_with(&service, &["status"]).status.success());
    let admin = service.admin.clone();
    assert!(service.terminate().0.success());
    let gone = home
        .command(&["status"])
        .env("DAVINCI_SIEM__ADMIN__ADDRESS", admin.strip_prefix("http://").expect("a URL"))
        .output()
        .expect("ran");
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("Is it running"), "{gone:?}");
}

/// Returns the output of a command on a terminal, which `script` provides.
fn on_a_terminal(home: &Home, admin: &str, no_color: &str) -> String {
    let command = format!("{BINARY} status -c test.toml");
    let output = std::process::Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(home.directory.path())
        .env("DAVINCI_SIEM__ADMIN__ADDRESS", admin)
        .env("TERM", "xterm")
        .env("NO_COLOR", no_color)
        .output()
        .expect("script runs");
    assert!(output.status.success(), "{output:?}");
    text(&output)
}

#[test]
fn colours_are_for_terminals_whose_owners_want_them() {
    let home = Home::with_two_sinks("");
    let service = home.start();
    let admin = service.admin.strip_prefix("http://").expect("a URL");
    let colored = on_a_terminal(&home, admin, "");
    assert!(colored.contains("\u{1b}[32mready\u{1b}[0m"), "{colored:?}");
    let plain = on_a_terminal(&home, admin, "1");
    assert!(plain.contains(": ready") && !plain.contains('\u{1b}'), "{plain:?}");
}

#[test]
fn commands_that_change_state_can_report_as_json() {
    let home = Home::with_two_sinks("[spool]\nretention = \"1h\"\n");
    let service = home.start();
    service.post(&batch(ids(3)));
    service.post("[7,8]");
    service.wait_until_settled("one");
    let run = |arguments: &[&str]| home.run_with(&service, arguments);
    let replayed = run(&["replay", "--sink", "one", "--from", "1h", "--json"]);
    assert_eq!(value(&replayed), json!({"sink": "one", "replayed": 3}));
    std::fs::write(home.path("fixed"), minted("fixed")).expect("written");
    let retried = run(&["quarantine", "retry", "1", "--replace", "fixed", "--json"]);
    assert_eq!(value(&retried), json!({"id": 1, "released": 1, "duplicates": 0}));
    let refused = run(&["quarantine", "retry", "2", "--json"]);
    assert_eq!(refused.status.code(), Some(1));
    let refused = value(&refused);
    assert!(refused["error"].as_str().expect("words").contains("still refused"), "{refused}");
    assert_eq!(value(&run(&["quarantine", "purge", "2", "--json"])), json!({"removed": 1}));
}

#[test]
fn check_summarises_a_configuration_as_json() {
    let home = Home::with_two_sinks(
        "[sinks.hook]\ntype = \"http\"\nurl = \"http://127.0.0.1:1/in?token=canary\"\n\
         retry = { min = \"1ms\", max = \"1ms\" }\n",
    );
    let checked = home.run(&["check", "--json"]);
    assert!(checked.status.success(), "{checked:?}");
    let found = value(&checked);
    assert_eq!(found["file"], "test.toml");
    assert_eq!(
        found["sources"],
        json!([{"name": "pingone", "path": "/webhooks/pingone", "credentials": 0}])
    );
    let sink = |name: &str, target: &str| json!({"name": name, "target": target});
    let sinks = found["sinks"].as_array().expect("sinks");
    assert!(sinks.contains(&sink("one", "one.ndjson")), "{found}");
    assert!(sinks.contains(&sink("hook", "http://127.0.0.1:1/…")), "its origin only: {found}");
    assert!(found.get("probes").is_none());
    let asked = home.run(&["check", "--connect", "--json"]);
    assert_eq!(asked.status.code(), Some(1), "nobody listens on that port");
    let probes = value(&asked)["probes"].clone();
    let good = |name: &str| {
        let probes = probes.as_array().expect("probes");
        probes.iter().find(|probe| probe["sink"] == name).expect("the sink")["ok"].clone()
    };
    assert_eq!((good("one"), good("hook")), (json!(true), json!(false)));
}

#[test]
fn top_prints_one_snapshot_with_rates_if_no_terminal_reads_it() {
    let home = Home::with_two_sinks("");
    let service = home.start();
    service.post(&batch(ids(3)));
    let output = home.run_with(&service, &["top", "--interval", "200ms"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success() && !text.contains('\u{1b}'), "{text}");
    for words in ["SOURCE", "pingone", "receiving", "DELIVERED", "one", "running"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let output = home.run_with(&service, &["top", "--interval", "200ms", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&report["sinks"][1]["sink"], &report["sources"][0]["state"]),
        (&"two".into(), &"receiving".into())
    );
    assert_eq!(home.run(&["top", "--interval", "1ms"]).status.code(), Some(64));
}

#[test]
fn a_service_elsewhere_is_reached_by_its_url_and_a_password_file() {
    let home = Home::with_two_sinks("").with_variables(&[
        ("DAVINCI_SIEM__ADMIN__PASSWORD_ENV", "PASSWORD"),
        ("PASSWORD", "canary-password"),
    ]);
    let service = home.start();
    for (file, password) in [("right", "canary-password\n"), ("wrong", "canary-wrong")] {
        std::fs::write(home.path(file), password).expect("written");
    }
    let run = |command: &str, password: &[&str]| {
        let words: Vec<&str> = command.split(' ').collect();
        home.run(&[words.as_slice(), &["--admin-url", service.admin.as_str()], password].concat())
    };
    let right: &[&str] = &["--admin-password-file", "right"];
    for command in ["status", "sink list", "sink pause one", "sink resume one", "drift", "top"] {
        let output = run(command, right);
        assert!(output.status.success(), "{command}: {output:?}");
    }
    assert!(run("health", &[]).status.success(), "no password is needed");
    for (command, password, code, words) in [
        ("status", &[][..], 1, "log in as user admin"),
        ("status", &["--admin-password-file", "wrong"], 1, "log in as user admin"),
        (
            "status",
            &["--admin-password-file", "nowhere.txt"],
            64,
            "--admin-password-file nowhere.txt cannot be read",
        ),
        ("check", right, 64, "does not take --admin-url"),
    ] {
        let output = run(command, password);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words) && !said.contains("canary"), "{said}");
    }
    let misspelt = home.run(&["status", "--admin-url", "localhost:9090"]);
    assert_eq!(misspelt.status.code(), Some(64), "{misspelt:?}");
}
