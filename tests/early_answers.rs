//! Answers before the body is read reach the client, over HTTP/1.1 and HTTP/2.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::support::http2::{
    ACK, Connection, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    code, fields, frame,
};
use crate::support::service::{Home, Service};

const CONFIG: &str = "[limits]\nbody = \"64 KiB\"\nfailed_logins = 1000\n\
    [sources.pingone]\nheaders = [{ name = \"X-Key\", value_env = \"KEY\" }]\n\
    [sources.far]\npath = \"/far\"\nallow_from = [\"192.0.2.0/24\"]\n";

/// Method, path, key, announced length, and the status of the answer, which does not depend on the body.
const EARLY: [(&str, &str, &str, &str, &str); 7] = [
    ("POST", "/webhooks/pingone", "wrong", "1000000", "401"),
    ("POST", "/far", "k", "1000000", "403"),
    ("POST", "/nowhere", "k", "1000000", "404"),
    ("PUT", "/webhooks/pingone", "k", "1000000", "405"),
    ("POST", "/webhooks/pingone", "k", "1000000", "413"),
    ("HEAD", "/webhooks/pingone", "k", "1000000", "200"),
    ("GET", "/webhooks/pingone", "k", "1000000", "200"),
];

fn start() -> (Home, Service) {
    let home = Home::new(CONFIG).with_variables(&[("KEY", "k")]);
    let service = home.start();
    (home, service)
}

/// Returns the header block of a request on a stream, with a body to follow.
fn head(stream: u32, (method, path, key, length, _): (&str, &str, &str, &str, &str)) -> Vec<u8> {
    let block = fields(&[
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("x-key", key),
        ("content-length", length),
    ]);
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// Reads until the answer on a stream is complete.
fn read_answer(client: &mut Connection, stream: u32) {
    loop {
        let frame = client.read().expect("an answer");
        assert_ne!((frame.kind, frame.stream), (RST_STREAM, stream), "reset: {frame:?}");
        let is_data = matches!(frame.kind, HEADERS | DATA);
        if frame.stream == stream && is_data && frame.flags & END_STREAM != 0 {
            return;
        }
    }
}

#[test]
fn over_http2_a_stream_is_not_reset_while_its_body_arrives() {
    let (_home, service) = start();
    for early in EARLY {
        let mut client = Connection::open(&service.address());
        client.send(&head(1, early));
        read_answer(&mut client, 1);
        // More than the initial window of a stream, which is refilled only if the service reads the body.
        let mut window = 65_535_usize;
        let mut left = 1_000_000_usize;
        while left > 0 {
            if window < 16_384 {
                let frame = client.read().expect("a window update");
                assert_ne!(frame.kind, RST_STREAM, "{early:?}: {frame:?}");
                window += usize::from(frame.kind == crate::support::http2::WINDOW_UPDATE)
                    * usize::from(frame.stream == 1)
                    * update(&frame.payload);
                continue;
            }
            let length = left.min(10_000);
            (left, window) = (left - length, window - length);
            let flags = if left == 0 { END_STREAM } else { 0 };
            assert!(client.send(&frame(DATA, flags, 1, &vec![b' '; length])), "{early:?}: closed");
        }
        // The connection stays open, and no other frame for the stream has arrived.
        client.send(&frame(PING, 0, 0, &[7; 8]));
        loop {
            let frame = client.read().expect("an acknowledged ping");
            assert!(!matches!(frame.kind, RST_STREAM | GOAWAY), "{early:?}: {frame:?}");
            if frame.kind == PING && frame.flags & ACK != 0 && frame.payload == [7; 8] {
                break;
            }
        }
    }
}

fn update(payload: &[u8]) -> usize {
    payload.try_into().map_or(0, |bytes| u32::from_be_bytes(bytes) as usize)
}

#[test]
fn over_http2_a_body_that_never_ends_is_reset_without_an_error() {
    let (_home, service) = start();
    let mut client = Connection::open(&service.address());
    client.0.set_read_timeout(Some(crate::support::PATIENCE)).expect("set");
    client.send(&head(1, EARLY[0]));
    read_answer(&mut client, 1);
    loop {
        let frame = client.read().expect("a reset");
        if frame.kind == RST_STREAM && frame.stream == 1 {
            assert_eq!(code(&frame), Some(0), "NO_ERROR: the answer was complete");
            break;
        }
    }
    // The stream is closed, and the connection is not.
    client.send(&frame(SETTINGS, ACK, 0, &[]));
    let get = ("GET", "/webhooks/pingone", "k", "0", "200");
    let mut request = head(3, get);
    request[4] |= END_STREAM;
    client.send(&request);
    read_answer(&mut client, 3);
}

#[test]
fn over_http1_a_client_that_reads_last_gets_its_answer() {
    let (_home, service) = start();
    for (method, path, key, length, status) in EARLY {
        let mut client = TcpStream::connect(service.address()).expect("connected");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nX-Key: {key}\r\nContent-Length: {length}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).expect("written");
        let body = vec![b' '; length.parse().expect("a number")];
        client.write_all(&body).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        client.shutdown(Shutdown::Write).expect("shut");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
        assert!(answer.contains("connection: close"), "{method} {path}: {answer}");
    }
}
