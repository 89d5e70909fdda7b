//! Canaries in every key for a secret, targets that repeat the request, and a search through all data that the process
//! writes. Credentials that can never match are refused.

use std::collections::HashSet;

use axum::http::HeaderMap;
use axum::response::Response;

use crate::support::block_on;
use crate::support::canary::text;
use crate::support::events::{batch, ids};
use crate::support::service::{Home, Service};
use crate::support::targets::{Behaviour, Target, Traffic, answer};
use crate::support::wait_for;

/// A target that repeats the request's headers in its answer, like a debugging proxy.
#[derive(Default)]
struct Parrot {
    traffic: Traffic,
    status: u16,
}

impl Behaviour for Parrot {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, _: &str, _: &str, headers: &HeaderMap, _: &[u8]) -> Response {
        let headers: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default()))
            .collect();
        answer(self.status, format!("I was told: {}", headers.join("\n")))
    }
}

const SECRETS: [(&str, &str); 6] = [
    ("BEARER", "canary-bearer"),
    ("HEADER", "canary header"),
    ("PASSWORD", "canary-password"),
    ("TOKEN", "canary-token"),
    ("KEY", "canary-key"),
    ("SIGNING", "whsec_Y2FuYXJ5LXNpZ25pbmctY2FuYXJ5LXNpZ25pbmc="),
];

#[test]
fn no_secret_is_in_anything_that_the_process_writes() {
    for status in [400, 401, 503] {
        let target = Target::start(Parrot { status, ..Parrot::default() });
        let url = &target.url;
        let retry = "retry = { min = \"1ms\", max = \"20ms\" }\n";
        let home = Home::new(&format!(
            "[sinks.bearer]\ntype = \"http\"\nurl = \"{url}/a?key=canary-query\"\nbearer_env = \"BEARER\"\n\
             headers = [{{ name = \"X-Key\", value_env = \"HEADER\" }}]\n\
             signing_keys = [{{ key_env = \"SIGNING\" }}]\n{retry}\
             [sinks.basic]\ntype = \"http\"\nurl = \"{url}/b\"\n\
             basic = {{ username = \"me\", password_env = \"PASSWORD\" }}\n{retry}\
             [sinks.hec]\ntype = \"splunk_hec\"\nendpoint = \"{url}\"\ntoken_env = \"TOKEN\"\n{retry}\
             [sinks.elastic]\ntype = \"elasticsearch\"\nendpoint = \"{url}\"\napi_key_env = \"KEY\"\n{retry}"
        ));
        let home = home.with_variables(&SECRETS);
        let service = home.start();
        service.post(&batch(ids(3)));
        wait_for("every sink to have tried", || {
            let sinks = service.readiness()["sinks"].clone();
            let tried: HashSet<String> = sinks
                .as_array()
                .expect("sinks")
                .iter()
                .filter(|sink| sink["state"] != "running" || status == 400)
                .map(|sink| sink["sink"].to_string())
                .collect();
            let is_done = status != 400 || home.quarantine().len() >= 6;
            (tried.len() == 4 && is_done && target.requests() > 8).then_some(())
        });
        let mut written = vec![service.ask_admin("/readyz").1, service.ask_admin("/metrics").1];
        for arguments in [
            &["sink", "list", "--json"][..],
            &["quarantine", "list", "--json"],
            &["quarantine", "export"],
            &["quarantine", "show", "1"],
            &["spool", "stats", "--json"],
            &["check"],
            &["check", "--connect"],
        ] {
            let output = home.run_with(&service, arguments);
            written.push(String::from_utf8_lossy(&output.stdout).into_owned());
            written.push(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let answers = written.join("\n");
        assert!(status != 400 || answers.contains("I was told"), "answers are kept: {answers}");
        let (_, log) = service.terminate();
        written.push(log);
        written.push(home.lines("stdout").join("\n"));
        // The spool's files, too: they contain the dead letters.
        for name in ["spool.db", "spool.db-wal"] {
            let bytes = std::fs::read(home.path("data").join(name)).unwrap_or_default();
            written.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        for text in &written {
            let found =
                ["canary", "Y2FuYXJ5", "bWU6Y2FuYXJ5"].iter().find(|word| text.contains(*word));
            assert_eq!(
                found,
                None,
                "status {status}:\n{}",
                text.chars().take(4000).collect::<String>()
            );
        }
    }
}

const PASSWORD: &str = "q3Vx8LmZ0tR7yBnKw5Hd";

/// Each key for a secret that HTTP carries; its value comes from the file `secret` or from a variable.
const PLACES: [(&str, &str); 10] = [
    ("password", "[sources.a]\nbasic = [{ username = \"u\", @ }]\n"),
    ("value", "[sources.a]\nheaders = [{ name = \"x-key\", @ }]\n"),
    ("password", "[admin]\n@\n"),
    ("token", "[sinks.a]\ntype = \"splunk_hec\"\nendpoint = \"http://x\"\n@\n"),
    ("api_key", "[sinks.a]\ntype = \"elasticsearch\"\nendpoint = \"http://x\"\n@\n"),
    (
        "secret",
        "[sinks.a]\ntype = \"kinesis\"\nregion = \"eu-central-1\"\nstream = \"s\"\naccess_key = { id = \"AKIAIOSFODNN7EXAMPLE\", @ }\n",
    ),
    ("api_key", "[sinks.a]\ntype = \"datadog\"\n@\n"),
    ("secret", "[sinks.a]\ntype = \"sentinel\"\nendpoint = \"http://x\"\nclient_secret = { @ }\n"),
    ("bearer", "[sinks.a]\ntype = \"http\"\nurl = \"http://x\"\n@\n"),
    (
        "value",
        "[sinks.a]\ntype = \"http\"\nurl = \"http://x\"\nheaders = [{ name = \"x-key\", @ }]\n",
    ),
];

#[test]
fn a_credential_that_can_never_match_is_refused_with_its_reason() {
    for (content, reason) in [
        (format!("{PASSWORD} "), "begins or ends with a blank"),
        (format!("{PASSWORD}\t\n"), "begins or ends with a blank"),
        (format!(" {PASSWORD}"), "begins or ends with a blank"),
        (format!("{PASSWORD}\u{a0}"), "begins or ends with a blank"),
        (format!("{PASSWORD}\u{b}{PASSWORD}"), "cannot be seen"),
        (format!("{PASSWORD}\u{200b}"), "cannot be seen"),
        (format!("{PASSWORD}\r\n{PASSWORD}"), "several lines"),
        ("\u{feff}\r\n".to_owned(), "is empty"),
    ] {
        for (key, config) in PLACES {
            for origin in ["file = \"secret\"", "env = \"SECRET\""] {
                let home = Home::new("").with_variables(&[("SECRET", &content)]);
                let config = config.replace('@', &format!("{key}_{origin}"));
                std::fs::write(home.path("test.toml"), &config).expect("written");
                std::fs::write(home.path("secret"), &content).expect("written");
                for command in ["check", "serve"] {
                    let output = home.run(&[command]);
                    let said = text(&output);
                    assert_eq!(output.status.code(), Some(64), "{content:?} {config}: {said}");
                    assert!(said.contains(reason), "{content:?} {config}: {said}");
                    assert!(!said.contains("q3Vx8LmZ"), "{said}");
                }
            }
        }
    }
}

/// Returns the status of a post with this password and this value of a header.
fn statuses(service: &Service, password: &str) -> [u16; 2] {
    block_on(async {
        let post = || reqwest::Client::new().post(&service.url).body(batch(ids(1)));
        let by_password = post().basic_auth("u", Some(password)).send().await.expect("an answer");
        let by_header = post().header("x-key", password).send().await.expect("an answer");
        [by_password.status().as_u16(), by_header.status().as_u16()]
    })
}

#[test]
fn line_breaks_and_byte_order_marks_of_secrets_are_removed() {
    for content in ["@\n", "@\r\n", "@\n\n", "\u{feff}@", "\u{feff}@\r\n"] {
        let content = content.replace('@', PASSWORD);
        for origin in ["file = \"secret\"", "env = \"SECRET\""] {
            let home = Home::new(&format!(
                "[sources.a]\nbasic = [{{ username = \"u\", password_{origin} }}]\n\
                 headers = [{{ name = \"x-key\", value_{origin} }}]\n"
            ));
            let home = home.with_variables(&[("SECRET", &content)]);
            std::fs::write(home.path("secret"), &content).expect("written");
            let service = home.start();
            assert_eq!(statuses(&service, PASSWORD), [200, 200], "{content:?} {origin}");
            assert_eq!(statuses(&service, "another"), [401, 401], "{content:?} {origin}");
        }
    }
}

#[test]
fn a_reload_does_not_take_a_credential_that_can_never_match() {
    let home = Home::with_listen(
        "reload = \"1h\"",
        "[sources.a]\nbasic = [{ username = \"u\", password_file = \"secret\" }]\n\
         headers = [{ name = \"x-key\", value_file = \"secret\" }]\n",
    );
    std::fs::write(home.path("secret"), PASSWORD).expect("written");
    let service = home.start();
    std::fs::write(home.path("secret"), format!("{PASSWORD}-new \t")).expect("written");
    service.signal("HUP");
    service.wait_for_log("begins or ends with a blank");
    assert_eq!(statuses(&service, PASSWORD), [200, 200], "the credential of before goes on");
}
