//! Attacks that exhaust resources, at small size: the bounds hold, and honest senders are served.

use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::{Client, StatusCode, header};

use crate::support::events::{batch, ids};
use crate::support::http2::{
    Connection, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PSEUDO, fields, frame,
};
use crate::support::service::Home;
use crate::support::{PATIENCE, block_on, wait_for};

#[test]
fn idle_connections_are_closed_for_new_ones() {
    let home = Home::new("[limits]\nconnections = 8\nheader_timeout = \"1h\"\n");
    let service = home.start();
    let open = || service.metric("davinci_siem_connections{listener=\"webhooks\"}");
    let mut silent: Vec<TcpStream> = Vec::new();
    for _ in 0..40 {
        let stream = TcpStream::connect(service.address()).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        silent.push(stream);
        if silent.len().is_multiple_of(10) {
            service.post(&batch(ids(1)));
        }
    }
    wait_for("the bound", || (open() <= 8.0).then_some(()));
    let mut rest = Vec::new();
    assert_eq!(silent[0].read_to_end(&mut rest).expect("closed"), 0, "the first has given way");
    let gave_way = "davinci_siem_connection_ends_total{listener=\"webhooks\",reason=\"gave_way\"}";
    wait_for("everyone beyond the bound", || (service.metric(gave_way) >= 32.0).then_some(()));
    service.post(&batch(ids(1)));
}

#[test]
fn heads_are_bounded_by_bytes_and_by_number() {
    let home = Home::new("");
    let service = home.start();
    let status = |head: &str| {
        let mut stream = TcpStream::connect(service.address()).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        // The service may answer and close the connection before everything is sent.
        drop(stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()));
        let mut answer = [0; 12];
        // The connection may be closed so early that the answer is lost.
        stream
            .read_exact(&mut answer)
            .ok()
            .map(|()| String::from_utf8_lossy(&answer[9..]).into_owned())
    };
    let begin = "GET /webhooks/pingone HTTP/1.1\r\nHost: x\r\n";
    let long = |length: usize| format!("{begin}X-Long: {}\r\n", "a".repeat(length));
    let many = |count: usize| format!("{begin}{}", "X-A: b\r\n".repeat(count));
    assert_eq!(status(&long(60_000)).as_deref(), Some("200"));
    assert_eq!(status(&many(90)).as_deref(), Some("200"));
    for head in [long(64 * 1024), long(10 << 20), many(100), many(100_000)] {
        let status = status(&head);
        assert!(status.is_none() || status.as_deref() == Some("431"), "{status:?}");
    }
    assert_eq!(status(&many(100)).as_deref(), Some("431"));
    // HTTP/2: the same header again and again, by an index of one byte (an "HPACK bomb").
    let mut client = Connection::open(&service.address());
    let field = [&[0x40, 6][..], b"x-long", &[0x7f, 0x81, 0x1e], &[b'a'; 3968]].concat();
    let block = [fields(&PSEUDO), field, vec![0xbe; 10_000]].concat();
    client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block));
    let frames: Vec<Frame> = std::iter::from_fn(|| client.read()).collect();
    assert!(frames.iter().any(|frame| frame.kind == GOAWAY), "{frames:?}");
    assert!(service.peak_memory() < 64 << 20, "not 40 MB of headers");
    service.post(&batch(ids(1)));
}

#[test]
fn wrong_logins_must_wait_and_right_ones_need_not() {
    let home = Home::new(
        "[limits]\nfailed_logins = 5\n[sources.p]\n\
         basic = [{ username = \"pingone\", password_env = \"PASSWORD\" }]\n",
    )
    .with_variables(&[("PASSWORD", "right")]);
    let service = home.start();
    block_on(async {
        let client = Client::new();
        let post = |password: &'static str| {
            let post = client.post(&service.url).basic_auth("pingone", Some(password));
            async { post.body("[]").send().await.expect("an answer") }
        };
        let mut seen = Vec::new();
        // A new minute may begin once in between.
        for _ in 0..30 {
            let answer = post("wrong").await;
            if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                assert_eq!(answer.headers()[header::RETRY_AFTER], "60");
            }
            seen.push(answer.status().as_u16());
            assert_eq!(post("right").await.status(), 200, "whatever came before");
        }
        assert_eq!(seen[..5].iter().filter(|status| **status == 401).count(), 5);
        let refused = seen.iter().filter(|status| **status == 429).count();
        assert!((15..=25).contains(&refused), "{seen:?}");
    });
    let lines = service.log().matches("wrong").count();
    assert!((1..=4).contains(&lines), "two lines a minute, not one for each: {lines}");
}

#[test]
fn a_stranger_reaches_neither_the_disk_nor_the_log() {
    let home = Home::new(
        "[limits]\nfailed_logins = 5\n[sources.p]\n\
         headers = [{ name = \"X-Key\", value_env = \"KEY\" }]\n",
    )
    .with_variables(&[("KEY", "right")]);
    let service = home.start();
    let before = service.log().lines().count();
    block_on(async {
        let client = Client::new();
        for _ in 0..50 {
            let junk = client.post(&service.url).body("junk that nobody can parse");
            let status = junk.send().await.expect("an answer").status().as_u16();
            assert!(status == 401 || status == 429, "{status}");
            assert_eq!(client.get(&service.url).send().await.expect("an answer").status(), 200);
        }
    });
    assert!(home.quarantine().is_empty(), "nothing was kept");
    let lines: Vec<String> = service.log().lines().skip(before).map(str::to_owned).collect();
    let loud = lines.iter().filter(|line| !line.contains("\"DEBUG\"")).count();
    assert!((1..=6).contains(&loud), "{lines:#?}");
}

#[test]
fn a_wrong_path_is_counted_and_logged_once() {
    let home = Home::new("");
    let service = home.start();
    let elsewhere = service.url.replace("/webhooks/pingone", "/webhook/s3cret-path");
    block_on(async {
        for _ in 0..5 {
            let post = Client::new().post(&elsewhere).body("[]");
            assert_eq!(post.send().await.expect("an answer").status(), 404);
        }
    });
    let counted = service.metric("davinci_siem_requests_total{source=\"none\",status=\"404\"}");
    assert_eq!(counted, 5.0);
    let log = service.log();
    // A new minute may begin once in between.
    let lines = log.matches("none of the sources'").count();
    assert!((1..=2).contains(&lines) && !log.contains("s3cret"), "{log}");
}
