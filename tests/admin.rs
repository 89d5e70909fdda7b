//! Health, metrics and operations on the admin listener.

use reqwest::Client;
use serde_json::{Value, json};

use crate::support::events::{documented, minted};
use crate::support::service::{Home, Service};
use crate::support::{block_on, wait_for};

async fn get(service: &Service, path: &str) -> (u16, String) {
    let response = reqwest::get(format!("{}{path}", service.admin)).await.expect("an answer");
    (response.status().as_u16(), response.text().await.expect("text"))
}

/// Returns the value of a sample.
fn sample(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn each_health_endpoint_has_its_own_answer() {
    let home = Home::new("");
    let service = home.start();
    block_on(async {
        assert_eq!(get(&service, "/livez").await, (200, "alive\n".to_owned()));
        let (status, body) = get(&service, "/readyz").await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (status, body),
            (200, json!({"ready": true, "sinks": [{"sink": "stdout", "state": "running"}]}))
        );
        assert_eq!(get(&service, "/other").await.0, 404);
    });
    let healthy = home.run_with(&service, &["health"]);
    assert!(healthy.status.success());
    drop(service);
    let unhealthy = home.run(&["health"]);
    assert_eq!(unhealthy.status.code(), Some(1), "{unhealthy:?}");
}

#[test]
fn every_disposition_is_counted_across_restarts() {
    let home = Home::new("[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n");
    let service = home.start();
    block_on(async {
        for body in [documented(), documented(), format!("[{},7]", minted("x"))] {
            let response =
                Client::new().post(&service.url).body(body).send().await.expect("an answer");
            assert_eq!(response.status(), 200);
        }
    });
    let metrics = |service: &Service| block_on(async { get(service, "/metrics").await.1 });
    let expected = [
        ("davinci_siem_events_total{result=\"accepted\",source=\"pingone\"}", 6.0),
        ("davinci_siem_events_total{result=\"duplicate\",source=\"pingone\"}", 5.0),
        ("davinci_siem_events_total{result=\"quarantined\",source=\"pingone\"}", 1.0),
        ("davinci_siem_sink_events_total{result=\"delivered\",sink=\"out\"}", 6.0),
        ("davinci_siem_quarantine_entries", 1.0),
        ("davinci_siem_dedup_ids", 7.0),
        ("davinci_siem_sink_lag_events{sink=\"out\"}", 0.0),
    ];
    let check = |service: &Service| {
        for (name, value) in expected {
            wait_for(name, || (sample(&metrics(service), name) == Some(value)).then_some(()));
        }
    };
    check(&service);
    let text = metrics(&service);
    assert_eq!(sample(&text, "davinci_siem_ack_seconds_count{source=\"pingone\"}"), Some(3.0));
    assert_eq!(
        sample(&text, "davinci_siem_requests_total{source=\"pingone\",status=\"200\"}"),
        Some(3.0)
    );
    assert_eq!(
        sample(&text, "davinci_siem_quarantined_total{reason=\"not_an_object\"}"),
        Some(1.0)
    );
    assert_eq!(sample(&text, "davinci_siem_sink_state{sink=\"out\",state=\"running\"}"), Some(1.0));
    assert!(sample(&text, "davinci_siem_spool_bytes").expect("a size") > 0.0);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a name");
        let base =
            name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count");
        assert!(text.contains(&format!("# HELP {base} ")), "{name} is explained");
    }
    service.kill();
    check(&home.start());
}

#[test]
fn operations_are_for_this_machine_and_not_for_browsers() {
    let home = Home::new("");
    let service = home.start();
    block_on(async {
        let client = Client::new();
        let status = |request: reqwest::RequestBuilder| async {
            request.send().await.expect("an answer").status().as_u16()
        };
        let url = format!("{}/api/status", service.admin);
        let answer: Value =
            client.get(&url).send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(answer["spool"]["head"], 0);
        for host in ["evil.example:9090", "127.0.0.1.evil.example", "localhost.evil.example"] {
            assert_eq!(status(client.get(&url).header("host", host)).await, 403, "{host}");
        }
        let purge = client
            .post(format!("{}/api/quarantine/purge", service.admin))
            .json(&json!({"ids": [1]}));
        assert_eq!(status(purge).await, 403, "without the header that no foreign page can send");
    });
}

#[test]
fn nothing_that_is_logged_holds_a_secret_or_an_event() {
    let home = Home::new(
        "[sources.pingone]\nbasic = [{ username = \"canary-user\", password_env = \"PW\" }]\nheaders = [{ name = \"X-Key\", value_env = \"KEY\" }]\n",
    );
    let home = home.with_variables(&[("PW", "canary-password"), ("KEY", "canary-key")]);
    let service = home.start();
    block_on(async {
        let client = Client::new();
        for body in [
            format!("[{},{{\"canary-member\":\"canary-value\"}}]", minted("canary-id")),
            "canary-garbage".to_owned(),
        ] {
            let good = client
                .post(&service.url)
                .basic_auth("canary-user", Some("canary-password"))
                .body(body);
            assert_eq!(good.send().await.expect("an answer").status(), 200);
        }
        let wrong = client
            .post(&service.url)
            .basic_auth("canary-user", Some("canary-guess"))
            .header("x-key", "canary-guess");
        assert_eq!(wrong.send().await.expect("an answer").status(), 401);
        let (_, metrics) = get(&service, "/metrics").await;
        assert!(!metrics.contains("canary"));
    });
    let (status, log) = service.terminate();
    assert!(status.success());
    assert!(log.contains("refused wrong or missing credentials"), "the log is the one we mean");
    assert!(!log.contains("canary"), "{log}");
}
