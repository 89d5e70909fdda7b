//! A failing disk under the spool: `support/failing_machine.c`, preloaded into the real binary.

use reqwest::Client;
use serde_json::Value;

use crate::support::events::{batch, documented};
use crate::support::service::{Home, Service};
use crate::support::{block_on, wait_for};

/// Returns a home whose service runs on the failing disk.
fn home() -> Home {
    let mut home = Home::new("[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n");
    home.preload("failing_machine.c");
    for (name, value) in
        [("FAIL_SYNC", home.path("fail-sync")), ("FAIL_WRITE", home.path("fail-write"))]
    {
        home.variables.push((name.to_owned(), value.display().to_string()));
    }
    home
}

async fn post(service: &Service, body: String) -> Option<(u16, Value)> {
    let response = Client::new().post(&service.url).body(body).send().await.ok()?;
    Some((response.status().as_u16(), response.json().await.ok()?))
}

#[test]
fn a_failed_sync_ends_the_process_and_a_restart_recovers() {
    let home = home();
    let mut service = home.start();
    block_on(async {
        assert_eq!(post(&service, documented()).await.expect("an answer").0, 200);
        std::fs::write(home.path("fail-sync"), "").expect("written");
        let answer = post(&service, batch(["unsynced".to_owned()])).await;
        assert!(
            answer.is_none_or(|(status, _)| status == 503),
            "what was not synced is not acknowledged"
        );
    });
    let (status, log) = service.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(
        log.contains("a sync of the spool in data failed") && log.contains("Check the disk"),
        "{log}"
    );

    std::fs::remove_file(home.path("fail-sync")).expect("removed");
    let service = home.start();
    block_on(async {
        let (status, answer) = post(&service, documented()).await.expect("an answer");
        assert_eq!(
            (status, &answer["duplicates"]),
            (200, &5.into()),
            "what was acknowledged is known"
        );
        // The refused batch may be on disk or not; its repetition decides.
        let (status, answer) =
            post(&service, batch(["unsynced".to_owned()])).await.expect("an answer");
        assert_eq!((status, &answer["received"]), (200, &1.into()));
    });
    let lines =
        wait_for("6 lines", || Some(home.lines("out.ndjson")).filter(|lines| lines.len() >= 6));
    assert_eq!(lines.iter().filter(|line| line.contains("unsynced")).count(), 1);
}

#[test]
fn a_full_disk_causes_503_until_there_is_room() {
    let home = home();
    let service = home.start();
    block_on(async {
        assert_eq!(post(&service, documented()).await.expect("an answer").0, 200);
        std::fs::write(home.path("fail-write"), "").expect("written");
        for _ in 0..3 {
            let (status, _) = post(&service, batch(["later".to_owned()])).await.expect("an answer");
            assert_eq!(status, 503);
        }
        let ready = || reqwest::get(format!("{}/readyz", service.admin));
        let response = ready().await.expect("an answer");
        assert_eq!(response.status(), 503);
        assert!(response.text().await.expect("text").contains("cannot store events"));
        std::fs::remove_file(home.path("fail-write")).expect("removed");
        let (status, answer) =
            post(&service, batch(["later".to_owned()])).await.expect("an answer");
        assert_eq!(
            (status, &answer["accepted"]),
            (200, &1.into()),
            "its id was forgotten when it failed"
        );
    });
    wait_for("6 lines", || (home.lines("out.ndjson").len() == 6).then_some(()));
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    assert!(home.run(&["spool", "verify"]).status.success());
}
