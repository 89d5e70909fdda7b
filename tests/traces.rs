//! Spans of the service, at a collector that decodes them, and with a collector that is down.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::certificates::Certificates;
use crate::support::events::{batch, documented, minted};
use crate::support::service::{Home, Service};
use crate::support::targets::spans::{Spans, attributes};
use crate::support::targets::{Fault, Target};
use crate::support::{block_on, wait_for};

const FILE: &str = "[sinks.file]\ntype = \"file\"\npath = \"out.ndjson\"\n";

fn home(collector: &Target<Spans>, more: &str) -> Home {
    Home::new(&format!("{FILE}[traces]\nendpoint = \"{}\"\n{more}", collector.url))
}

fn post(service: &Service, id: &str, body: &str) {
    let stranger = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    block_on(async {
        let request = Client::new().post(&service.url).header("x-request-id", id);
        let request = request.header("traceparent", stranger).body(body.to_owned());
        assert_eq!(request.send().await.expect("an answer").status(), 200);
    });
}

fn spans(service: &Service, result: &str) -> f64 {
    service.metric(&format!("davinci_siem_spans_total{{result=\"{result}\"}}"))
}

#[test]
fn a_request_and_a_delivery_are_a_span_each() {
    let collector = Target::start(Spans::default());
    let home = home(&collector, "");
    let service = home.start();
    let body = format!("[{},{},7]", minted("one"), minted("one"));
    post(&service, "abc", &body);
    service.wait_until_settled("file");
    wait_for("two spans", || (collector.state().stored.len() >= 2).then_some(()));
    let state = collector.state();
    let (receive, deliver) = (state.named("receive"), state.named("deliver"));
    assert_eq!((receive.len(), deliver.len(), state.stored.len()), (1, 1, 2), "one each");
    assert_eq!(
        Value::Object(attributes(&receive[0].attributes)),
        json!({
            "davinci_siem.source": "pingone",
            "davinci_siem.request_id": "abc",
            "davinci_siem.events.accepted": 1,
            "davinci_siem.events.duplicate": 1,
            "davinci_siem.events.quarantined": 1,
            "http.request.method": "POST",
            "http.request.body.size": body.len(),
            "http.response.status_code": 200,
        })
    );
    let stored = home.lines("out.ndjson");
    assert_eq!(
        Value::Object(attributes(&deliver[0].attributes)),
        json!({
            "davinci_siem.sink": "file",
            "davinci_siem.attempt": "first",
            "davinci_siem.events": 1,
            "davinci_siem.bytes": stored[0].len(),
            "davinci_siem.verdicts.delivered": 1,
        })
    );
    assert_eq!((receive[0].kind(), deliver[0].kind()), (SpanKind::Server, SpanKind::Client));
    for span in [receive[0], deliver[0]] {
        assert!(span.parent_span_id.is_empty(), "what a stranger says is no parent");
        assert!(
            span.start_time_unix_nano > 0 && span.end_time_unix_nano > span.start_time_unix_nano
        );
        assert!(span.events.is_empty(), "what is logged stays in the log");
        assert_eq!(span.status.as_ref().map(|status| status.code), Some(0));
    }
    let resource = &state.resources[0];
    assert_eq!(resource["service.name"], "davinci-siem");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    drop(state);
    wait_for("a count", || (spans(&service, "exported") == 2.0).then_some(()));
}

#[test]
fn spans_contain_errors_and_no_secrets() {
    let collector = Target::start(Spans::default());
    let config = "[sources.pingone]\npath = \"/webhooks/pingone\"\n\
         basic = [{ username = \"davinci\", password_env = \"PASSWORD\" }]\n\
         [sinks.away]\ntype = \"http\"\nurl = \"http://127.0.0.1:1/\"\nbearer_env = \"PASSWORD\"\n";
    let home = home(&collector, config).with_variables(&[("PASSWORD", "s3cr3t-w0rd")]);
    let service = home.start();
    block_on(async {
        let post = || Client::new().post(&service.url).body(documented());
        let stranger = post().basic_auth("davinci", Some("guess"));
        assert_eq!(stranger.send().await.expect("an answer").status(), 401);
        let known = post().basic_auth("davinci", Some("s3cr3t-w0rd"));
        assert_eq!(known.send().await.expect("an answer").status(), 200);
        let odd = Client::new().request("BREW".parse().expect("a method"), &service.url);
        assert_eq!(odd.send().await.expect("an answer").status(), 405);
    });
    let failed = wait_for("a failed delivery", || {
        let state = collector.state();
        let mut failed = state.named("deliver").into_iter().filter(|span| {
            attributes(&span.attributes).get("error.type").is_some_and(|kind| kind == "retry")
        });
        failed.next().cloned()
    });
    assert_eq!(failed.status.expect("a status").code, 2, "an error");
    let told = attributes(&failed.attributes);
    assert_eq!(
        (&told["davinci_siem.sink"], &told["davinci_siem.verdicts.retry"]),
        (&json!("away"), &json!(5))
    );
    let answered = |status: u16| {
        wait_for("an answer's span", || {
            let state = collector.state();
            let all = state.named("receive").into_iter().map(|span| attributes(&span.attributes));
            all.into_iter().find(|told| told["http.response.status_code"] == status)
        })
    };
    assert!(answered(401).get("http.request.body.size").is_none(), "it was not read");
    assert_eq!(answered(405)["http.request.method"], "_OTHER", "no word of a stranger's");
    assert_eq!(answered(200)["davinci_siem.events.accepted"], 5);
    let everything = format!("{:?}", collector.state().stored);
    for secret in ["s3cr3t-w0rd", "guess", "BREW", "0ef68dcd", "START_INTERACTION"] {
        assert!(!everything.contains(secret), "{secret} is in a span");
    }
}

#[test]
fn a_collector_that_is_away_holds_nothing_up_and_is_mentioned_once() {
    let mut collector = Target::start(Spans::default());
    let home = home(&collector, "");
    let service = home.start();
    let before = service.peak_memory();
    collector.stop();
    // More spans than the queue can hold.
    let requests = 3000;
    block_on(async {
        let client = Client::new();
        for number in 0..requests {
            let body = format!("[{}]", minted(&format!("event-{number}")));
            let answer = client.post(&service.url).body(body).send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
        }
    });
    service.wait_until_settled("file");
    assert_eq!(home.lines("out.ndjson").len(), requests, "delivered all the same");
    let dropped =
        wait_for("dropped spans", || Some(spans(&service, "dropped")).filter(|n| *n > 0.0));
    assert!(service.peak_memory() < before + (64 << 20), "bounded");
    collector.restart();
    service.wait_for_log("spans are exported again");
    wait_for("what had waited", || (spans(&service, "exported") >= 2048.0).then_some(()));
    assert!(dropped < 2.0 * requests as f64);
    let log = service.terminate().1;
    assert_eq!(log.matches("spans are not exported").count(), 1, "{log}");
}

#[test]
fn the_last_spans_are_sent_before_the_end() {
    let collector = Target::start(Spans::default());
    let home = home(&collector, "");
    let service = home.start();
    post(&service, "last", &batch(["one", "two"].map(minted)));
    service.wait_until_settled("file");
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    let state = collector.state();
    assert_eq!((state.named("receive").len(), state.named("deliver").len()), (1, 1));
}

#[test]
fn a_collector_that_hangs_does_not_hold_up_the_end() {
    let collector = Target::start(Spans::default());
    collector.fail((0..10).map(|_| Fault::Hang));
    let home = home(&collector, "");
    let service = home.start();
    post(&service, "last", &documented());
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    assert!(log.contains("the last spans were not exported"), "{log}");
}

#[test]
fn only_what_may_be_repeated_is() {
    let collector = Target::start(Spans::default());
    collector.fail([Fault::status(503), Fault::retry_after(429, "0"), Fault::status(400)]);
    let home = home(&collector, "");
    let service = home.start();
    post(&service, "one", "[7]");
    let dropped = || (spans(&service, "dropped") == 1.0).then_some(());
    wait_for("a dropped span", dropped);
    assert_eq!(
        (collector.requests(), collector.state().stored.len()),
        (3, 0),
        "400 is the end of it"
    );
    post(&service, "two", "[8]");
    wait_for("a span", || (spans(&service, "exported") == 1.0).then_some(()));
    let state = collector.state();
    assert_eq!(attributes(&state.stored[0].attributes)["davinci_siem.request_id"], "two");
}

#[test]
fn rejected_spans_are_counted_as_dropped() {
    let collector = Target::start(Spans { rejects: 1, ..Spans::default() });
    let home = home(&collector, "");
    let service = home.start();
    post(&service, "one", "[7]");
    wait_for("a dropped span", || (spans(&service, "dropped") == 1.0).then_some(()));
    assert_eq!(spans(&service, "exported"), 0.0);
    assert!(!service.terminate().1.contains("bob@example.com"), "its words are not repeated");
}

#[test]
fn a_ratio_of_0_makes_no_spans() {
    let collector = Target::start(Spans::default());
    let home = home(&collector, "ratio = 0\n");
    let service = home.start();
    post(&service, "one", &documented());
    service.wait_until_settled("file");
    assert_eq!(spans(&service, "dropped"), 0.0);
    assert!(service.terminate().0.success());
    assert_eq!(collector.requests(), 0);
}

#[test]
fn the_collector_is_reached_with_tls_and_a_token() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(directory.path(), "localhost");
    let collector = Target::start_with(Spans::default(), Some(certificates.acceptor(false)));
    let ca = certificates.ca.display();
    let config = format!(
        "compression = \"gzip\"\ntls = {{ ca = \"{ca}\" }}\nbearer_env = \"TOKEN\"\n\
         headers = [{{ name = \"X-Tenant\", value = \"identity\" }}]\n"
    );
    let home = home(&collector, &config).with_variables(&[("TOKEN", "t0k3n")]);
    let service = home.start();
    for number in 0..20 {
        post(&service, &format!("request-{number}"), "[7]");
    }
    let (status, log) = service.terminate();
    assert!(status.success() && !log.contains("t0k3n"), "{log}");
    let state = collector.state();
    assert_eq!(state.named("receive").len(), 20);
    let headers = &state.traffic.headers[0];
    assert_eq!(headers["authorization"], "Bearer t0k3n");
    assert_eq!(headers["x-tenant"], "identity");
}
