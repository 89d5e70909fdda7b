//! Bodies that PingOne does not send: empty, truncated, compressed without a header, with other data beside the events.

use std::io::{Read, Write};
use std::net::TcpStream;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::events::{batch, id, ids, minted, minted_with};
use crate::support::service::{Home, Service};
use crate::support::{block_on, wait_for};

const SINK: &str = "[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("compressed")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 1).expect("compressed")
}

fn post(service: &Service, encoding: Option<&str>, body: impl Into<reqwest::Body>) -> (u16, Value) {
    block_on(async {
        let mut request = Client::new().post(&service.url).body(body);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    })
}

fn finding(service: &Service, kind: &str) -> f64 {
    service.metric(&format!("davinci_siem_findings_total{{kind=\"{kind}\"}}"))
}

fn counts(accepted: u64, duplicates: u64, quarantined: u64) -> Value {
    let received = accepted + duplicates + quarantined;
    json!({"received": received, "accepted": accepted, "duplicates": duplicates, "quarantined": quarantined})
}

#[test]
fn an_empty_body_is_never_acknowledged() {
    for unparseable in ["quarantine", "reject"] {
        let home = Home::new(&format!("[sources.pingone]\non_unparseable = \"{unparseable}\"\n"));
        let service = home.start();
        let deflated = [0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01];
        let empty: [(Option<&str>, Vec<u8>); 16] = [
            (None, b"".to_vec()),
            (None, b" \r\n\t".to_vec()),
            (None, b"\xef\xbb\xbf".to_vec()),
            (None, b"\xef\xbb\xbf \n".to_vec()),
            (Some("gzip"), b"".to_vec()),
            (Some("deflate"), b"".to_vec()),
            (Some("zstd"), b"".to_vec()),
            (Some("gzip"), b"\n".to_vec()),
            (Some("gzip"), gzip(b"")),
            (Some("gzip"), gzip(b" \n")),
            (None, gzip(b"")),
            (Some("deflate"), deflated.to_vec()),
            (Some("zstd"), zstd(b"\xef\xbb\xbf")),
            (None, zstd(b"")),
            // Truncated before the first event.
            (None, b"[".to_vec()),
            (None, b" [ , ".to_vec()),
        ];
        for (index, (encoding, body)) in empty.into_iter().enumerate() {
            let shown = body.escape_ascii().to_string();
            let (status, answer) = post(&service, encoding, body);
            assert_eq!(status, 400, "{unparseable} {encoding:?} {shown}");
            let said = answer["error"].as_str().expect("a reason").to_owned();
            assert!(said.contains("empty"), "{said}");
            let counted =
                service.metric("davinci_siem_empty_bodies_total{source=\"pingone\"}") as usize;
            assert_eq!(counted, index + 1, "{shown}");
        }
        let mut client = TcpStream::connect(service.address()).expect("connected");
        let head = "POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\n\r\n");
        client.write_all(chunked.as_bytes()).expect("written");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(service.log().contains("the body is empty"));
        assert!(home.quarantine().is_empty(), "nothing is stored");
        // A list without events is not an empty body.
        assert_eq!(post(&service, None, "[]"), (200, counts(0, 0, 0)));
        assert_eq!(post(&service, None, gzip(b" [ ] ")), (200, counts(0, 0, 0)));
    }
}

#[test]
fn a_compressed_body_without_a_header_is_inflated() {
    let home = Home::new(&format!("[limits]\nbody = \"64 KiB\"\n{SINK}"));
    let service = home.start();
    let body = |name: &str| batch([name.to_owned()]);
    for (encoding, bytes) in [
        (None, gzip(body("gzip").as_bytes())),
        (Some("identity"), gzip(body("identity").as_bytes())),
        (None, zstd(body("zstd").as_bytes())),
    ] {
        assert_eq!(post(&service, encoding, bytes), (200, counts(1, 0, 0)));
    }
    assert_eq!(finding(&service, "undeclared_encoding"), 3.0);
    // The same limits hold, and a malformed element is stored unchanged.
    assert_eq!(post(&service, None, gzip(&vec![b' '; 65 * 1024])).0, 413);
    let broken = &gzip(body("broken").as_bytes())[..60];
    assert_eq!(post(&service, None, broken.to_vec()), (200, counts(0, 0, 1)));
    let entries = home.quarantine();
    assert_eq!(
        (&entries[0]["reason"], &entries[0]["origin"]),
        (&json!("encoding"), &json!("body"))
    );
    assert_eq!(finding(&service, "undeclared_encoding"), 3.0);
    service.wait_until_settled("out");
    assert_eq!(home.lines("out.ndjson").len(), 3);
}

#[test]
fn an_array_without_its_end_is_a_finding() {
    let home = Home::new("");
    let service = home.start();
    let whole = batch(ids(3));
    let cut = &whole[..whole.len() - 1];
    assert_eq!(post(&service, None, cut.to_owned()), (200, counts(3, 0, 0)));
    assert_eq!(finding(&service, "truncated_array"), 1.0);
    assert_eq!(post(&service, None, format!("{cut},\n")), (200, counts(0, 3, 0)));
    assert_eq!(finding(&service, "truncated_array"), 2.0);
    assert!(service.log().contains("truncated_array"));
    // The truncated element has a finding, and the whole array has none.
    assert_eq!(post(&service, None, format!("{cut},{{\"id\":")), (200, counts(0, 3, 1)));
    assert_eq!(post(&service, None, whole), (200, counts(0, 3, 0)));
    assert_eq!(finding(&service, "truncated_array"), 2.0);
    let drift = service.ask_admin("/api/drift").1;
    assert!(drift.contains("truncated_array"), "{drift}");
}

#[test]
fn events_beside_those_of_a_wrapper_are_stored_too() {
    let home = Home::new(SINK);
    let service = home.start();
    let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(minted);
    for (body, wanted, findings) in [
        (
            format!("{{\"event\":{a},\"time\":1,\"host\":\"h\",\"fields\":{{}}}}"),
            counts(1, 0, 0),
            0,
        ),
        (format!("{{\"event\":{a},\"more\":[{b},{c}]}}"), counts(2, 1, 0), 1),
        (format!("{{\"logs\":[{a}],\"common\":{d}}}"), counts(1, 1, 0), 1),
        (
            format!("{{\"_embedded\":{{\"activities\":[],\"others\":[{e}]}},\"size\":0}}"),
            counts(1, 0, 0),
            1,
        ),
        (format!("[{{\"event\":{a},\"note\":\"x\",\"odd\":7}}]"), counts(0, 1, 0), 2),
        (format!("{{\"event\":{a},\"deep\":{{\"in\":[{{\"it\":{b}}}]}}}}"), counts(0, 1, 1), 1),
    ] {
        let before = finding(&service, "wrapper_sibling");
        assert_eq!(post(&service, None, body.clone()), (200, wanted), "{body}");
        assert_eq!(finding(&service, "wrapper_sibling") - before, f64::from(findings), "{body}");
    }
    assert_eq!(home.quarantine()[0]["path"], "$.*.id");
    service.wait_until_settled("out");
    let mut delivered: Vec<String> = home.lines("out.ndjson").iter().map(|line| id(line)).collect();
    delivered.sort_unstable();
    assert_eq!(delivered, ["a", "b", "c", "d", "e"]);
}

#[test]
fn two_events_with_the_same_id_and_time_are_distinguished_from_a_repetition() {
    let home = Home::new(SINK);
    let service = home.start();
    let (one, other) = (minted_with("same", "one"), minted_with("same", "other"));
    assert_eq!(post(&service, None, format!("[{one},{one}]")), (200, counts(1, 1, 0)));
    assert_eq!(finding(&service, "conflicting_duplicate"), 0.0);
    let another = minted("another");
    let body = format!("[{another},{one},{other},{one}]");
    assert_eq!(post(&service, None, body), (200, counts(1, 3, 0)));
    assert_eq!(finding(&service, "conflicting_duplicate"), 1.0);
    wait_for("the log", || service.log().contains("conflicting_duplicate").then_some(()));
}

#[test]
fn other_spellings_of_a_time_are_the_same_instant() {
    let home = Home::new("");
    let service = home.start();
    let event = |time: &str| {
        let mut event: Value = serde_json::from_str(&minted("timed")).expect("JSON");
        event["recordedAt"] = time.into();
        event.to_string()
    };
    assert_eq!(post(&service, None, event("2024-02-15T16:07:03.123Z")).1, counts(1, 0, 0));
    for same in [
        "2024-02-15T16:07:03.123+0000",
        "2024-02-15T16:07:03.123+00",
        "2024-02-15T16:07:03,123Z",
        "2024-02-15T18:07:03,123+0200",
        "2024-02-15T21:37:03.123+0530",
        "2024-02-15T14:07:03.123-02",
    ] {
        assert_eq!(post(&service, None, event(same)).1, counts(0, 1, 0), "{same}");
    }
    for no_time in ["2024-02-15T16:07:03.123+0", "2024-02-15T16:07,5Z", "2024-02-15", "now"] {
        assert_eq!(post(&service, None, event(no_time)).1, counts(0, 0, 1), "{no_time}");
    }
}
