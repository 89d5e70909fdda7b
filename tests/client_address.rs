//! The client's address of a request that passes proxies.

use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::{Client, StatusCode};

use crate::support::service::{Home, Service};
use crate::support::{PATIENCE, block_on};

const ALLOW: &str = "[sources.p]\nallow_from = [\"203.0.113.0/24\"]\n";

fn status(service: &Service, header: &str, value: &str) -> StatusCode {
    block_on(async {
        let post = Client::new().post(&service.url).header(header, value).body("[]");
        post.send().await.expect("an answer").status()
    })
}

#[test]
fn a_trusted_proxy_forwards_the_clients_address() {
    let listen = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";
    let home = Home::with_listen(listen, ALLOW);
    let service = home.start();
    let xff = |value| status(&service, "X-Forwarded-For", value);
    assert_eq!(xff("203.0.113.9"), StatusCode::OK);
    assert_eq!(xff("203.0.113.9, 10.1.2.3"), StatusCode::OK);
    assert_eq!(xff("203.0.113.9, 198.51.100.1"), StatusCode::FORBIDDEN, "the first is made up");
    assert_eq!(xff("junk"), StatusCode::FORBIDDEN);
    assert_eq!(status(&service, "Forwarded", "for=203.0.113.9"), StatusCode::FORBIDDEN);
    let listen = format!("{listen}\nforwarded_header = \"forwarded\"");
    let home = Home::with_listen(&listen, ALLOW);
    let service = home.start();
    let forwarded = |value| status(&service, "Forwarded", value);
    assert_eq!(forwarded("for=\"203.0.113.9:4711\";proto=https"), StatusCode::OK);
    assert_eq!(forwarded("for=203.0.113.9, for=198.51.100.1"), StatusCode::FORBIDDEN);
    assert_eq!(status(&service, "X-Forwarded-For", "203.0.113.9"), StatusCode::FORBIDDEN);
}

#[test]
fn anyone_elses_word_counts_for_nothing() {
    let home = Home::with_listen("trusted_proxies = [\"10.0.0.0/8\"]", ALLOW);
    let service = home.start();
    assert_eq!(status(&service, "X-Forwarded-For", "203.0.113.9"), StatusCode::FORBIDDEN);
}

/// Sends bytes and a request, and returns the answer; empty if the connection was closed.
fn raw(service: &Service, prefix: &[u8]) -> String {
    let mut stream = TcpStream::connect(service.address()).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let request = "POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]";
    // The service may close the connection before all bytes are written.
    drop(stream.write_all(&[prefix, request.as_bytes()].concat()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Returns a header of version 2 for TCP over IPv4.
fn proxy_header(source: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend_from_slice(&source);
    header.extend_from_slice(&[192, 0, 2, 1, 0xa0, 0x28, 0x01, 0xbb]);
    header
}

#[test]
fn the_proxy_protocol_applies_to_the_whole_connection() {
    let listen = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let home = Home::with_listen(listen, ALLOW);
    let service = home.start();
    assert!(raw(&service, &proxy_header([203, 0, 113, 9])).starts_with("HTTP/1.1 200 "));
    assert!(raw(&service, &proxy_header([198, 51, 100, 1])).starts_with("HTTP/1.1 403 "));
    assert_eq!(raw(&service, b""), "", "no header, no answer");
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    assert!(raw(&service, local).starts_with("HTTP/1.1 403 "), "the proxy's own address");
    let listen = "proxy_protocol = true\ntrusted_proxies = [\"10.0.0.0/8\"]";
    let home = Home::with_listen(listen, ALLOW);
    let service = home.start();
    assert_eq!(raw(&service, &proxy_header([203, 0, 113, 9])), "", "not from a trusted proxy");
}
