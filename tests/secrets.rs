//! Canaries in every place for a secret, targets that repeat what they are told, and a search through
//! everything that the process wrote.

use std::collections::HashSet;

use axum::http::HeaderMap;
use axum::response::Response;

use crate::support::events::{batch, ids};
use crate::support::service::Home;
use crate::support::targets::{Behaviour, Target, Traffic, answer};
use crate::support::wait_for;

/// Repeats the request's headers in its answer, as debugging proxies do.
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
            let is_done = status != 400 || home.quarantine().len() >= 9;
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
        // The spool's own file, too: dead letters are on disk.
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
