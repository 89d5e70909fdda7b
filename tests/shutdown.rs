//! Shutdown on SIGTERM: no event is lost or delivered twice, and no client or target delays it.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Client;

use crate::support::oracle::Oracle;
use crate::support::service::Home;
use crate::support::{block_on, wait_for};

#[test]
fn sigterm_under_load_answers_what_is_in_flight_and_loses_and_doubles_nothing() {
    let home = Home::with_two_sinks("");
    let oracle = Arc::new(Oracle::default());
    for _ in 0..5 {
        let service = home.start();
        let ended = Arc::new(AtomicBool::new(false));
        let before = oracle.acknowledged();
        let (status, log) = block_on(async {
            let clients: Vec<_> = (0..4)
                .map(|client| {
                    let (oracle, ended, url) =
                        (Arc::clone(&oracle), Arc::clone(&ended), service.url.clone());
                    tokio::spawn(
                        async move { post_until_ended(client, &url, &oracle, &ended).await },
                    )
                })
                .collect();
            wait_for("load", || (oracle.acknowledged() > before + 500).then_some(()));
            let ending = tokio::task::spawn_blocking(move || service.terminate());
            let (status, log) = ending.await.expect("ended");
            ended.store(true, Ordering::Relaxed);
            for client in clients {
                client.await.expect("a client");
            }
            (status, log)
        });
        assert!(status.success(), "{log}");
        assert!(!log.contains("grace period"), "it ended by itself:\n{log}");
    }
    // All events are delivered: the sinks were flushed before the exit.
    for sink in ["one", "two"] {
        let doubled = oracle.judge(sink, &home.lines(&format!("{sink}.ndjson")));
        assert_eq!(doubled, 0, "{sink}");
    }
}

/// Posts until the service exits. A batch without an answer is not repeated, because it may be stored.
async fn post_until_ended(client: u64, url: &str, oracle: &Oracle, ended: &AtomicBool) {
    let http = Client::new();
    while !ended.load(Ordering::Relaxed) {
        let batch = oracle.mint(client, 20);
        let Ok(response) = http.post(url).body(batch.body.clone()).send().await else { continue };
        match response.status().as_u16() {
            200 => oracle.acknowledge(&batch, &response.json().await.expect("JSON")),
            status => assert_eq!(status, 503, "only ever 503 while ending"),
        }
    }
}

#[test]
fn idle_and_unfinished_connections_do_not_hold_it_up() {
    let home = Home::new("[limits]\nshutdown_grace = \"1s\"\n");
    let service = home.start();
    let idle = TcpStream::connect(service.address()).expect("connected");
    let mut unfinished = TcpStream::connect(service.address()).expect("connected");
    unfinished
        .write_all(b"POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n[")
        .expect("sent");
    block_on(async {
        assert_eq!(reqwest::get(&service.url).await.expect("an answer").status(), 200);
    });
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    drop((idle, unfinished));
}

#[test]
fn half_a_request_is_not_waited_for() {
    // Longer than the test may take.
    let home = Home::new("[limits]\nshutdown_grace = \"1h\"\nheader_timeout = \"1h\"\n");
    let service = home.start();
    let mut half = TcpStream::connect(service.address()).expect("connected");
    half.write_all(b"POST /webhooks/ping").expect("sent");
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    // A grace period far longer than the test may take, and a request that uses all of it.
    let home = Home::new("[limits]\nshutdown_grace = \"1h\"\nbody_timeout = \"1h\"\n");
    let mut service = home.start();
    let mut unfinished = TcpStream::connect(service.address()).expect("connected");
    unfinished
        .write_all(b"POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
        .expect("sent");
    // The 100 Continue means that the handler waits for the body.
    std::io::Read::read_exact(&mut unfinished, &mut [0; 12]).expect("100 Continue");
    service.signal_end();
    wait_for("the shutdown to begin", || service.log().contains("shutting down").then_some(()));
    service.signal_end();
    let (status, log) = service.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("second signal"), "{log}");
}

#[test]
fn while_it_ends_it_is_alive_and_not_ready() {
    let home = Home::new("[limits]\nshutdown_grace = \"1h\"\nbody_timeout = \"1h\"\n");
    let mut service = home.start();
    let mut open = TcpStream::connect(service.address()).expect("connected");
    open.write_all(b"POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").expect("sent");
    std::io::Read::read_exact(&mut open, &mut [0; 25]).expect("100 Continue");
    service.signal_end();
    wait_for("the shutdown to begin", || service.log().contains("shutting down").then_some(()));
    block_on(async {
        let get = |path: &str| reqwest::get(format!("{}{path}", service.admin));
        assert_eq!(get("/livez").await.expect("an answer").status(), 200);
        assert_eq!(get("/readyz").await.expect("an answer").status(), 503);
    });
    open.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    open.write_all(b"[]").expect("sent");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut open, &mut answer).expect("answered and closed");
    assert!(answer.starts_with("HTTP/1.1 200 "), "what was in flight is answered: {answer}");
    assert!(service.wait().0.success());
}
