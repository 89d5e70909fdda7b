//! Every row of the answer table, over a socket.

use std::io::{Read, Write};
use std::net::TcpStream;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::events::{batch, documented, fixture_text, minted};
use crate::support::service::{Home, Service};
use crate::support::{block_on, wait_for};

const FILE_SINK: &str = "[sinks.archive]\ntype = \"file\"\npath = \"out.ndjson\"\n";

fn home(config: &str) -> Home {
    Home::new(&format!("{FILE_SINK}{config}"))
}

async fn post(service: &Service, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
    answer(Client::new().post(&service.url).body(body)).await
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status();
    (status, response.json().await.unwrap_or(Value::Null))
}

fn counts(received: u64, accepted: u64, duplicates: u64, quarantined: u64) -> (StatusCode, Value) {
    let body = json!({
        "received": received, "accepted": accepted, "duplicates": duplicates, "quarantined": quarantined,
    });
    (StatusCode::OK, body)
}

/// Sends bytes unchanged and returns all bytes that arrive until the connection is closed.
fn raw(service: &Service, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(service.address()).expect("connected");
    stream.write_all(request).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered and closed");
    answer
}

#[test]
fn the_answer_of_a_200_has_exactly_these_bytes() {
    let home = home("");
    let service = home.start();
    block_on(async {
        let response =
            Client::new().post(&service.url).body(documented()).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        let text = response.text().await.expect("a body");
        assert_eq!(text, r#"{"received":5,"accepted":5,"duplicates":0,"quarantined":0}"#);
        assert_eq!(post(&service, documented()).await, counts(5, 0, 5, 0), "a repetition");
        let twice = format!("[{},{}]", minted("x"), minted("x"));
        assert_eq!(post(&service, twice).await, counts(2, 1, 1, 0), "twice in one batch");
        assert_eq!(post(&service, "[]").await, counts(0, 0, 0, 0), "an empty batch");
    });
    let lines =
        wait_for("6 lines", || Some(home.lines("out.ndjson")).filter(|lines| lines.len() >= 6));
    assert_eq!(lines.len(), 6, "duplicates are not delivered");
}

#[test]
fn a_bad_event_is_quarantined_and_the_answer_is_200() {
    let home = home("");
    let service = home.start();
    block_on(async {
        let body = format!("[{},{{\"id\":7}},{}]", minted("a"), minted("b"));
        assert_eq!(post(&service, body).await, counts(3, 2, 0, 1));
    });
}

#[test]
fn a_body_that_cannot_be_parsed_is_quarantined_or_rejected_as_configured() {
    let kept = home("");
    let service = kept.start();
    block_on(async {
        for body in ["<html>", "[{\"id\":"] {
            assert_eq!(post(&service, body).await, counts(1, 0, 0, 1), "{body:?}");
        }
        let broken =
            Client::new().post(&service.url).header("content-encoding", "gzip").body("not gzip");
        assert_eq!(answer(broken).await, counts(1, 0, 0, 1));
        let unknown = Client::new().post(&service.url).header("content-encoding", "br").body("x");
        assert_eq!(answer(unknown).await, counts(1, 0, 0, 1));
    });
    let rejecting = home("[sources.pingone]\non_unparseable = \"reject\"\n");
    let service = rejecting.start();
    block_on(async {
        let (status, body) = post(&service, "<html>").await;
        assert_eq!((status.as_u16(), body), (400, json!({"error": "the body cannot be parsed"})));
        assert_eq!(post(&service, "[7]").await, counts(1, 0, 0, 1), "parsed, so it is an element");
    });
    let stats: Value =
        serde_json::from_slice(&rejecting.run(&["spool", "stats", "--json"]).stdout).expect("JSON");
    assert_eq!(stats["quarantined"], 1, "what was rejected is not kept");
}

#[test]
fn probes_are_answered_and_leave_no_trace() {
    let home = home("[sources.pingone]\nheaders = [{ name = \"X-Key\", value_env = \"KEY\" }]\n");
    let home = home.with_variables(&[("KEY", "k")]);
    let service = home.start();
    block_on(async {
        for method in [Method::HEAD, Method::GET] {
            let response = Client::new()
                .request(method.clone(), &service.url)
                .send()
                .await
                .expect("an answer");
            assert_eq!(response.status(), 200, "{method}");
        }
    });
    let stats: Value =
        serde_json::from_slice(&home.run(&["spool", "stats", "--json"]).stdout).expect("JSON");
    assert_eq!((&stats["head"], &stats["quarantined"]), (&json!(0), &json!(0)));
}

#[test]
fn the_connection_test_is_accepted_and_delivered_nowhere_by_default() {
    let home = Home::new(&format!(
        "{FILE_SINK}[sinks.all]\ntype = \"file\"\npath = \"all.ndjson\"\ntest_events = true\n"
    ));
    let service = home.start();
    block_on(async {
        let test = format!("[{}]", fixture_text("events/event_delivery_test.json"));
        assert_eq!(post(&service, test).await, counts(1, 1, 0, 0));
        assert_eq!(post(&service, format!("[{}]", minted("after"))).await, counts(1, 1, 0, 0));
    });
    let lines = |name: &str, count| {
        wait_for(name, || Some(home.lines(name)).filter(|lines| lines.len() >= count))
    };
    assert!(lines("all.ndjson", 2)[0].contains("EVENT_DELIVERY_TEST"));
    assert!(lines("out.ndjson", 1)[0].contains("after"));
    assert!(service.log().contains("connection test arrived"));
    let (_, metrics) = service.ask_admin("/metrics");
    assert!(metrics.contains("davinci_siem_delivery_tests_total{source=\"pingone\"} 1"));
    // Counted with the cursor, which moves after the file is written and synced.
    let filtered = "davinci_siem_sink_events_total{result=\"filtered\",sink=\"archive\"}";
    wait_for("a filtered event", || (service.metric(filtered) == 1.0).then_some(()));
}

#[test]
fn wrong_credentials_are_refused_before_the_body_is_read() {
    let home = home(
        "[sources.pingone]\nbasic = [{ username = \"pingone\", password_env = \"A\" }, { username = \"pingone\", password_env = \"B\" }]\nheaders = [{ name = \"X-Key\", value_env = \"C\" }]\n",
    );
    let home = home.with_variables(&[("A", "pass:word"), ("B", "next"), ("C", "key")]);
    let service = home.start();
    block_on(async {
        let client = Client::new();
        let with = |user: &str, password: &str| {
            client.post(&service.url).basic_auth(user, Some(password)).body("[]")
        };
        for password in ["pass:word", "next"] {
            assert_eq!(answer(with("pingone", password)).await, counts(0, 0, 0, 0), "{password}");
        }
        assert_eq!(
            answer(client.post(&service.url).header("x-key", "key").body("[]")).await,
            counts(0, 0, 0, 0)
        );
        for (user, password) in
            [("pingone", "wrong"), ("other", "next"), ("pingone", "pass"), ("", "")]
        {
            assert_eq!(answer(with(user, password)).await.0, 401, "{user} {password}");
        }
        assert_eq!(post(&service, "[]").await.0, 401);
        let response = client.post(&service.url).body("[]").send().await.expect("an answer");
        assert_eq!(response.headers()["www-authenticate"], "Basic realm=\"davinci-siem\"");
        assert_eq!(
            response.json::<Value>().await.expect("JSON"),
            json!({"error": "credentials are missing or wrong"})
        );
    });
    // The request announces a length and never sends the body: the answer must not wait for it.
    let answer = raw(
        &service,
        b"POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
    );
    assert!(
        answer.starts_with("HTTP/1.1 401 ") && answer.contains("connection: close"),
        "{answer}"
    );
    let expecting = b"POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    let answer = raw(&service, expecting);
    assert!(answer.starts_with("HTTP/1.1 401 "), "no 100 Continue for a stranger: {answer}");
}

#[test]
fn an_address_outside_allow_from_is_forbidden() {
    let home = home(
        "[sources.pingone]\nallow_from = [\"192.0.2.0/24\"]\n[sources.near]\npath = \"/near\"\nallow_from = [\"192.0.2.0/24\", \"127.0.0.0/8\"]\n",
    );
    let service = home.start();
    block_on(async {
        assert_eq!(post(&service, documented()).await.0, 403);
        let near = service.url.replace("/webhooks/pingone", "/near");
        assert_eq!(answer(Client::new().post(near).body("[]")).await, counts(0, 0, 0, 0));
    });
}

#[test]
fn a_body_over_the_limit_is_refused_compressed_or_inflated() {
    let home = home("[limits]\nbody = \"64 KiB\"\n");
    let service = home.start();
    let fits = format!("[{}]", " ".repeat(64 * 1024 - 2));
    let over = format!("[{}]", " ".repeat(64 * 1024 - 1));
    block_on(async {
        assert_eq!(post(&service, fits).await, counts(0, 0, 0, 0), "exactly the limit");
        let chunked = reqwest::Body::from(over.clone());
        assert_eq!(post(&service, chunked).await.0, 413);
        let bomb = gzip(over.as_bytes());
        assert!(bomb.len() < 1000);
        let request =
            Client::new().post(&service.url).header("content-encoding", "gzip").body(bomb);
        assert_eq!(answer(request).await.0, 413);
    });
    // The announced length is sufficient; a chunked body is cut off where it passes the limit.
    let answer = raw(
        &service,
        b"POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n",
    );
    assert!(
        answer.starts_with("HTTP/1.1 413 ") && answer.contains("connection: close"),
        "{answer}"
    );
    let mut request = b"POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n".to_vec();
    request.extend_from_slice(&vec![b' '; 0x10001]);
    let answer = raw(&service, &request);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(service.log().contains("larger than limits.body"), "it is said loudly");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("compressed")
}

#[test]
fn every_encoding_and_framing_is_accepted() {
    let home = home("");
    let service = home.start();
    let deflate = |raw: bool, bytes: &[u8]| {
        if raw {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).expect("compressed");
            encoder.finish().expect("compressed")
        } else {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).expect("compressed");
            encoder.finish().expect("compressed")
        }
    };
    let body = |id: &str| batch([id.to_owned()]).into_bytes();
    let half = body("members");
    let members: Vec<u8> = [gzip(&half[..100]), gzip(&half[100..])].concat();
    block_on(async {
        for (encoding, bytes) in [
            ("gzip", gzip(&body("gzip"))),
            ("GZIP", gzip(&body("upper"))),
            ("gzip", members),
            ("deflate", deflate(false, &body("zlib"))),
            ("deflate", deflate(true, &body("deflate"))),
            ("zstd", zstd::encode_all(&body("zstd")[..], 3).expect("compressed")),
            ("identity", body("identity")),
            ("deflate, gzip", gzip(&deflate(false, &body("both")))),
        ] {
            let request =
                Client::new().post(&service.url).header("content-encoding", encoding).body(bytes);
            assert_eq!(answer(request).await, counts(1, 1, 0, 0), "{encoding}");
        }
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "nonsense"] {
            let request = Client::new()
                .post(&service.url)
                .header("content-type", content_type)
                .body(body(content_type));
            assert_eq!(answer(request).await, counts(1, 1, 0, 0), "{content_type}");
        }
        let http2 = Client::builder().http2_prior_knowledge().build().expect("a client");
        let response =
            http2.post(&service.url).body(body("http2")).send().await.expect("an answer");
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        assert_eq!(response.json::<Value>().await.expect("JSON"), counts(1, 1, 0, 0).1);
    });
    let event = minted("chunked");
    let request = format!(
        "POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n{:x}\r\n{event}\r\n1\r\n]\r\n0\r\n\r\n",
        event.len()
    );
    let answer = raw(&service, request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"accepted\":1"), "{answer}");
}

#[test]
fn other_paths_and_methods_are_never_a_200() {
    let home = home("");
    let service = home.start();
    let base = service.url.replace("/webhooks/pingone", "");
    block_on(async {
        for path in [
            "/",
            "/webhooks",
            "/webhooks/pingone/",
            "/webhooks/pingone/x",
            "/metrics",
            "/WEBHOOKS/PINGONE",
        ] {
            for method in [Method::POST, Method::GET, Method::HEAD] {
                let request = Client::new()
                    .request(method.clone(), format!("{base}{path}"))
                    .body(documented());
                assert_eq!(answer(request).await.0, 404, "{method} {path}");
            }
        }
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let response = Client::new()
                .request(method.clone(), &service.url)
                .send()
                .await
                .expect("an answer");
            assert_eq!(response.status(), 405, "{method}");
            assert_eq!(response.headers()["allow"], "POST, GET, HEAD");
        }
        let with_query = Client::new().post(format!("{}?a=b", service.url)).body("[]");
        assert_eq!(answer(with_query).await, counts(0, 0, 0, 0), "a query changes nothing");
    });
}

#[test]
fn the_answers_are_the_same_over_http2() {
    let home = home(
        "[limits]\nbody = \"64 KiB\"\n\
         [sources.pingone]\nheaders = [{ name = \"X-Key\", value_env = \"KEY\" }]\n\
         [sources.far]\npath = \"/far\"\nallow_from = [\"192.0.2.0/24\"]\n",
    );
    let home = home.with_variables(&[("KEY", "k")]);
    let service = home.start();
    let base = service.url.replace("/webhooks/pingone", "");
    block_on(async {
        let client = Client::builder().http2_prior_knowledge().build().expect("a client");
        let post = |path: &str| client.post(format!("{base}{path}")).header("x-key", "k");
        let webhook = "/webhooks/pingone";
        for (request, status) in [
            (post(webhook).body(documented()), 200),
            (post(webhook).body("<html>"), 200),
            (client.head(&service.url), 200),
            (client.post(&service.url).body(documented()), 401),
            (client.post(&service.url).header("x-key", "wrong").body(" ".repeat(60_000)), 401),
            (post("/far").body(documented()), 403),
            (post("/").body(documented()), 404),
            (client.put(&service.url).body(documented()), 405),
            (post(webhook).body(" ".repeat(64 * 1024 + 1)), 413),
            (post(webhook).header("content-encoding", "gzip").body(gzip(&[b' '; 100_000])), 413),
            (post(webhook).body(documented()), 200),
        ] {
            let response = request.send().await.expect("an answer");
            assert_eq!(response.version(), reqwest::Version::HTTP_2);
            assert_eq!(response.status(), status, "{}", response.url());
            assert!(!response.headers().contains_key("connection"), "no such header in HTTP/2");
        }
    });
}

#[test]
fn a_request_id_is_kept_or_made() {
    let home = home("");
    let service = home.start();
    block_on(async {
        let request = || Client::new().post(&service.url).body("[7]");
        let own = request().header("x-request-id", "my-id").send().await.expect("an answer");
        assert_eq!(own.headers()["x-request-id"], "my-id");
        let made = request().send().await.expect("an answer");
        assert_eq!(made.headers()["x-request-id"].len(), 36);
    });
    let listed = home.run(&["quarantine", "list", "--json"]).stdout;
    assert!(
        String::from_utf8_lossy(&listed).contains("\"request_id\":\"my-id\""),
        "kept with the entry"
    );
}
