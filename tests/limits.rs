//! Bounds of the time and memory that a sender can make the service spend.

use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::Client;

use crate::support::events::{batch, minted_with};
use crate::support::service::Home;
use crate::support::{PATIENCE, block_on, wait_for};

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
}

#[track_caller]
fn read_to_end(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered and closed");
    answer
}

#[test]
fn a_request_that_never_finishes_is_ended() {
    let home = Home::new("[limits]\nheader_timeout = \"1s\"\nbody_timeout = \"1s\"\n");
    let service = home.start();
    let mut headers = connect(&service.address());
    headers.write_all(b"POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\n").expect("sent");
    let mut body = connect(&service.address());
    body.write_all(b"POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n[")
        .expect("sent");
    let silent = connect(&service.address());
    // "P" may be the first byte of HTTP/2's preface or of a POST.
    let mut undecided = connect(&service.address());
    undecided.write_all(b"P").expect("sent");
    assert!(read_to_end(body).starts_with("HTTP/1.1 408 "), "slow body");
    let answer = read_to_end(headers);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "slow headers: {answer}");
    assert_eq!(read_to_end(silent), "", "nothing at all");
    assert_eq!(read_to_end(undecided), "", "one byte");
    block_on(async {
        let status =
            Client::new().post(&service.url).body("[]").send().await.expect("an answer").status();
        assert_eq!(status, 200, "others are served");
    });
}

#[test]
fn an_answer_before_the_body_is_read_reaches_a_client_that_writes_first() {
    let secret = "[sources.p]\nbasic = [{ username = \"pingone\", password_env = \"PASSWORD\" }]\n";
    let home = Home::new(secret).with_variables(&[("PASSWORD", "a password, as is")]);
    let service = home.start();
    for size in [100_000, 8_000_000] {
        let mut stream = connect(&service.address());
        let head = "POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\nContent-Length: ";
        stream.write_all(format!("{head}{size}\r\n\r\n").as_bytes()).expect("sent");
        stream.write_all(&vec![b' '; size]).expect("everything is taken");
        let answer = read_to_end(stream);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
}

#[test]
fn bytes_in_flight_are_bounded_over_all_requests() {
    let home =
        Home::new("[limits]\nbody = \"64 KiB\"\nin_flight = \"128 KiB\"\nbody_timeout = \"30s\"\n");
    let service = home.start();
    // Three bodies of 60 KB that stop just before their end: two fit, the third does not.
    let open: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut stream = connect(&service.address());
            stream
                .write_all(
                    b"POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\nContent-Length: 60002\r\n\r\n[",
                )
                .expect("sent");
            stream.write_all(&[b' '; 60_000]).expect("sent");
            stream
        })
        .collect();
    // The third one is answered without waiting for its end.
    let is_answered = |stream: &TcpStream| {
        stream.set_nonblocking(true).expect("set");
        let answered = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).expect("set");
        answered
    };
    wait_for("a refusal", || open.iter().any(is_answered).then_some(()));
    let (refused, waiting): (Vec<_>, Vec<_>) = open.into_iter().partition(is_answered);
    // Two fit. If all three are read at the same time, two of them may find no room.
    assert!((1..=2).contains(&waiting.len()), "{} wait", waiting.len());
    for stream in refused {
        let answer = read_to_end(stream);
        assert!(
            answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1"),
            "{answer}"
        );
    }
    for mut stream in waiting {
        stream.write_all(b"]").expect("sent");
        let mut status = [0; 12];
        stream.read_exact(&mut status).expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
    }
    block_on(async {
        for _ in 0..20 {
            let status = Client::new()
                .post(&service.url)
                .body(format!("[{}]", " ".repeat(60_000)))
                .send()
                .await
                .expect("an answer")
                .status();
            assert_eq!(status, 200, "what was held is given back");
        }
    });
}

#[test]
fn events_of_any_odd_size_come_out_equal() {
    let home = Home::new("[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n");
    let service = home.start();
    let large = minted_with("large", &"x".repeat(10_000_000));
    block_on(async {
        let send = |body: String| Client::new().post(&service.url).body(body).send();
        assert_eq!(send(format!("[{large}]")).await.expect("an answer").status(), 200);
        let many = batch((0..2000).map(|number| format!("many-{number}")));
        assert_eq!(send(many).await.expect("an answer").status(), 200);
    });
    let lines = wait_for("2001 lines", || {
        Some(home.lines("out.ndjson")).filter(|lines| lines.len() == 2001)
    });
    assert_eq!(lines[0], large);
}
