//! Clients that break a rule of RFC 9113 or RFC 7541, rule by rule, against the real listener. After each, an honest
//! request is served.

use std::io::Read;
use std::net::Shutdown;

use crate::support::events::{batch, ids};
use crate::support::http2::{
    ACK, CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING,
    PREFACE, PRIORITY, PSEUDO, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, code, fields,
    frame,
};
use crate::support::service::{Home, Service};

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;

/// Rules that the HTTP/2 library does not enforce; the service reads no trailers.
const LENIENT: [&str; 1] = ["8.1 a pseudo-header as trailer"];

/// Expected reaction.
#[derive(Debug)]
enum Wanted {
    /// GOAWAY with one of these codes, or with `PROTOCOL_ERROR`, which the library uses for most frames that it cannot
    /// parse.
    Connection(&'static [u32]),
    /// `RST_STREAM` or GOAWAY, with one of these codes or `PROTOCOL_ERROR`.
    Stream(&'static [u32]),
    /// An answer of 200, and no error.
    Served,
    /// An acknowledged PING, and no error.
    Alive,
}
use Wanted::{Alive, Served};

/// A rule: its section, the frames after the preface, the expected reaction.
type Rule = (&'static str, Vec<Vec<u8>>, Wanted);

const ONE: &[u32] = &[PROTOCOL];

fn connection(codes: &'static [u32]) -> Wanted {
    Wanted::Connection(codes)
}

fn stream(codes: &'static [u32]) -> Wanted {
    Wanted::Stream(codes)
}

/// Returns a complete request.
fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &fields(&PSEUDO))
}

/// Returns a request without its body.
fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &fields(&with(&[(":method", "POST")])))
}

/// Returns the pseudo-headers, with others instead or in addition.
fn with(others: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let kept = PSEUDO.into_iter().filter(|(name, _)| others.iter().all(|(other, _)| other != name));
    let (pseudo, plain): (Vec<_>, Vec<_>) =
        others.iter().copied().partition(|(name, _)| name.starts_with(':'));
    pseudo.into_iter().chain(kept).chain(plain).collect()
}

fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    PSEUDO.into_iter().filter(|(other, _)| *other != name).collect()
}

/// Returns a request with these fields.
fn request(given: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &fields(given))
}

/// Returns a request whose block of fields is followed by these bytes.
fn block(rest: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &[&fields(&PSEUDO), rest].concat())
}

fn ping() -> Vec<u8> {
    frame(PING, 0, 0, b"12345678")
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

fn frames() -> Vec<Rule> {
    let long = vec![0; 16_385];
    let open = || frame(HEADERS, END_STREAM, 1, &fields(&PSEUDO));
    let done = || frame(CONTINUATION, END_HEADERS, 1, &[]);
    let cancel = || frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    vec![
        ("3.4 settings are acknowledged, requests answered", vec![get(1)], Served),
        ("4.1 an unknown type is ignored", vec![frame(0x16, 0, 0, b"x"), get(1)], Served),
        ("4.1 an undefined flag is ignored", vec![frame(PING, 0x16, 0, b"12345678")], Alive),
        ("4.1 the reserved bit is ignored", vec![frame(PING, 0, 1 << 31, b"12345678")], Alive),
        ("4.2 DATA too long", vec![post(1), frame(DATA, 0, 1, &long)], stream(&[FRAME_SIZE])),
        ("4.2 HEADERS too long", vec![frame(HEADERS, 5, 1, &long)], connection(&[FRAME_SIZE])),
        ("4.3 a block that is none", vec![block(&[0x40])], connection(&[COMPRESSION])),
        (
            "4.3 PRIORITY within a block",
            vec![open(), frame(PRIORITY, 0, 1, &[0; 5]), done()],
            connection(ONE),
        ),
        ("4.3 HEADERS within a block", vec![open(), get(3)], connection(ONE)),
        ("5.1 idle: DATA", vec![frame(DATA, END_STREAM, 1, b"x")], connection(ONE)),
        ("5.1 idle: RST_STREAM", vec![cancel()], connection(ONE)),
        ("5.1 idle: WINDOW_UPDATE", vec![window(1, 100)], connection(ONE)),
        ("5.1 idle: CONTINUATION", vec![done()], connection(ONE)),
        ("5.1 half closed: DATA", vec![get(1), frame(DATA, 1, 1, b"x")], stream(&[STREAM_CLOSED])),
        ("5.1 half closed: HEADERS", vec![get(1), get(1)], stream(&[STREAM_CLOSED, PROTOCOL])),
        (
            "5.1 half closed: CONTINUATION",
            vec![get(1), done()],
            connection(&[PROTOCOL, STREAM_CLOSED]),
        ),
        (
            "5.1 closed: CONTINUATION",
            vec![post(1), cancel(), done()],
            connection(&[PROTOCOL, STREAM_CLOSED]),
        ),
        ("5.1.1 an even number", vec![get(2)], connection(ONE)),
        ("5.1.1 a smaller number", vec![get(5), get(3)], connection(&[PROTOCOL, STREAM_CLOSED])),
        (
            "5.1.2 more streams than allowed",
            (0..65).map(|n| post(2 * n + 1)).collect(),
            stream(&[REFUSED, PROTOCOL]),
        ),
        (
            "5.5 an unknown frame within a block",
            vec![open(), frame(0x16, 0, 0, b"x"), done()],
            connection(ONE),
        ),
        ("6.1 DATA on the connection", vec![frame(DATA, 0, 0, b"x")], connection(ONE)),
        (
            "6.1 DATA padded beyond its end",
            vec![post(1), frame(DATA, PADDED | 1, 1, b"\x06test")],
            connection(ONE),
        ),
        (
            "6.2 HEADERS on the connection",
            vec![frame(HEADERS, 5, 0, &fields(&PSEUDO))],
            connection(ONE),
        ),
        (
            "6.2 HEADERS padded beyond their end",
            vec![frame(HEADERS, 5 | PADDED, 1, b"\xff\x00")],
            connection(ONE),
        ),
        ("6.3 PRIORITY on the connection", vec![frame(PRIORITY, 0, 0, &[0; 5])], connection(ONE)),
        (
            "6.3 PRIORITY of four bytes",
            vec![post(1), frame(PRIORITY, 0, 1, &[0; 4])],
            stream(&[FRAME_SIZE]),
        ),
        (
            "6.4 RST_STREAM on the connection",
            vec![frame(RST_STREAM, 0, 0, &[0; 4])],
            connection(ONE),
        ),
        (
            "6.4 RST_STREAM of three bytes",
            vec![post(1), frame(RST_STREAM, 0, 1, &[0; 3])],
            connection(&[FRAME_SIZE]),
        ),
        (
            "6.5 an acknowledgement with settings",
            vec![frame(SETTINGS, ACK, 0, b"x")],
            connection(&[FRAME_SIZE]),
        ),
        ("6.5 SETTINGS on a stream", vec![frame(SETTINGS, 0, 1, &[])], connection(ONE)),
        (
            "6.5 SETTINGS of three bytes",
            vec![frame(SETTINGS, 0, 0, &[0; 3])],
            connection(&[FRAME_SIZE]),
        ),
        ("6.5.2 ENABLE_PUSH of 2", vec![setting(2, 2)], connection(ONE)),
        (
            "6.5.2 INITIAL_WINDOW_SIZE too large",
            vec![setting(4, 1 << 31)],
            connection(&[FLOW_CONTROL]),
        ),
        ("6.5.2 MAX_FRAME_SIZE too small", vec![setting(5, 16_383)], connection(ONE)),
        ("6.5.2 MAX_FRAME_SIZE too large", vec![setting(5, 1 << 24)], connection(ONE)),
        ("6.5.2 an unknown setting is ignored", vec![setting(0xff, 1), ping()], Alive),
        (
            "6.6 PUSH_PROMISE of a client",
            vec![
                get(1),
                frame(PUSH_PROMISE, 4, 1, &[&[0, 0, 0, 2], &fields(&PSEUDO)[..]].concat()),
            ],
            connection(ONE),
        ),
        ("6.7 PING is acknowledged", vec![ping()], Alive),
        (
            "6.7 an unasked acknowledgement is ignored",
            vec![frame(PING, ACK, 0, b"invalid!"), ping()],
            Alive,
        ),
        ("6.7 PING on a stream", vec![frame(PING, 0, 1, b"12345678")], connection(ONE)),
        ("6.7 PING of six bytes", vec![frame(PING, 0, 0, b"123456")], connection(&[FRAME_SIZE])),
        ("6.8 GOAWAY on a stream", vec![frame(GOAWAY, 0, 1, &[0; 8])], connection(ONE)),
        ("6.9 WINDOW_UPDATE by nothing", vec![window(0, 0)], connection(ONE)),
        ("6.9 WINDOW_UPDATE of a stream by nothing", vec![post(1), window(1, 0)], stream(ONE)),
        (
            "6.9 WINDOW_UPDATE of three bytes",
            vec![frame(WINDOW_UPDATE, 0, 0, &[0; 3])],
            connection(&[FRAME_SIZE]),
        ),
        (
            "6.9.1 a window too large",
            vec![window(0, 0x7fff_ffff), window(0, 0x7fff_ffff)],
            connection(&[FLOW_CONTROL]),
        ),
        (
            "6.9.1 a stream's window too large",
            vec![post(1), window(1, 0x7fff_ffff), window(1, 0x7fff_ffff)],
            stream(&[FLOW_CONTROL]),
        ),
        (
            "6.10 a block in three frames",
            vec![open(), frame(CONTINUATION, 0, 1, &fields(&[("x-a", "b")])), done()],
            Served,
        ),
        (
            "6.10 CONTINUATION on the connection",
            vec![open(), frame(CONTINUATION, 4, 0, &[])],
            connection(ONE),
        ),
        (
            "6.10 CONTINUATION after the end",
            vec![get(1), done()],
            connection(&[PROTOCOL, STREAM_CLOSED]),
        ),
        (
            "6.10 DATA within a block",
            vec![open(), frame(DATA, 1, 1, b"x"), done()],
            connection(ONE),
        ),
    ]
}

fn messages() -> Vec<Rule> {
    let trailers = |flags, given: &[(&str, &str)]| frame(HEADERS, flags, 1, &fields(given));
    let sized = || {
        frame(
            HEADERS,
            END_HEADERS,
            1,
            &fields(&with(&[(":method", "POST"), ("content-length", "2")])),
        )
    };
    vec![
        ("8.1 trailers that end nothing", vec![post(1), trailers(4, &[("x-a", "b")])], stream(ONE)),
        (
            "8.1 a pseudo-header as trailer",
            vec![post(1), trailers(5, &[(":method", "POST")])],
            stream(ONE),
        ),
        (
            "8.1.1 content-length is not the body's",
            vec![sized(), frame(DATA, 1, 1, b"[")],
            stream(ONE),
        ),
        (
            "8.1.1 nor that of two pieces",
            vec![sized(), frame(DATA, 0, 1, b"[]"), frame(DATA, 1, 1, b" ")],
            stream(ONE),
        ),
        ("8.2 a name in capitals", vec![request(&with(&[("X-A", "b")]))], stream(ONE)),
        ("8.2.2 connection", vec![request(&with(&[("connection", "close")]))], stream(ONE)),
        ("8.2.2 te other than trailers", vec![request(&with(&[("te", "gzip")]))], stream(ONE)),
        ("8.3 an unknown pseudo-header", vec![request(&with(&[(":test", "x")]))], stream(ONE)),
        ("8.3 an answer's pseudo-header", vec![request(&with(&[(":status", "200")]))], stream(ONE)),
        (
            "8.3 a pseudo-header behind others",
            vec![request(&[&[("x-a", "b")], &PSEUDO[..]].concat())],
            stream(ONE),
        ),
        ("8.3.1 an empty :path", vec![request(&with(&[(":path", "")]))], stream(ONE)),
        ("8.3.1 no :method", vec![request(&without(":method"))], stream(ONE)),
        ("8.3.1 no :scheme", vec![request(&without(":scheme"))], stream(ONE)),
        ("8.3.1 no :path", vec![request(&without(":path"))], stream(ONE)),
        ("8.3.1 :method twice", vec![request(&[&PSEUDO[..1], &PSEUDO[..]].concat())], stream(ONE)),
        ("8.3.1 :scheme twice", vec![request(&[&PSEUDO[1..2], &PSEUDO[..]].concat())], stream(ONE)),
        ("8.3.1 :path twice", vec![request(&[&PSEUDO[2..3], &PSEUDO[..]].concat())], stream(ONE)),
        (
            "RFC 7541, 2.3.3 an index beyond the tables",
            vec![block(&[0xc6])],
            connection(&[COMPRESSION]),
        ),
        (
            "RFC 7541, 4.2 a table's size at the end",
            vec![block(&[0x20])],
            connection(&[COMPRESSION]),
        ),
        (
            "RFC 7541, 5.2 padding of a byte",
            vec![block(b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff")],
            connection(&[COMPRESSION]),
        ),
        (
            "RFC 7541, 5.2 padding by zeros",
            vec![block(b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90")],
            connection(&[COMPRESSION]),
        ),
        (
            "RFC 7541, 5.2 the end of string within",
            vec![block(b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\xff\xff\xff\xff\xf0")],
            connection(&[COMPRESSION]),
        ),
        ("RFC 7541, 6.1 index 0", vec![block(&[0x80])], connection(&[COMPRESSION])),
        (
            "RFC 7541, 6.3 a table larger than allowed",
            vec![frame(HEADERS, 5, 1, &[&[0x3f, 0xff, 0x3f], &fields(&PSEUDO)[..]].concat())],
            connection(&[COMPRESSION]),
        ),
    ]
}

/// Reads answers until the expected reaction. Returns true if its code is the one that the RFC names, and false if it is
/// `PROTOCOL_ERROR` instead. Any other reaction is an error.
fn outcome(service: &Service, sent: &[Vec<u8>], wanted: &Wanted) -> Result<bool, String> {
    let mut client = Connection::open(&service.address());
    for frame in sent {
        client.send(frame);
    }
    let mut seen = Vec::new();
    while let Some(frame) = client.read() {
        let error = code(&frame).filter(|code| *code != 0);
        seen.push((frame.kind, frame.stream, error));
        let by = match wanted {
            Wanted::Connection(codes) if frame.kind == GOAWAY => Some(codes),
            Wanted::Stream(codes) => Some(codes),
            Alive if frame.kind == PING && frame.flags & ACK != 0 => return Ok(true),
            // The static table's entry for `:status: 200` (RFC 7541, appendix A).
            Served if frame.kind == HEADERS && frame.payload[0] == 0x88 => return Ok(true),
            _ => None,
        };
        match (by, error) {
            (Some(codes), Some(code)) if codes.contains(&code) => return Ok(true),
            (Some(_), Some(PROTOCOL)) => return Ok(false),
            (_, Some(_)) => break,
            (_, None) => {}
        }
    }
    Err(format!("{seen:?}"))
}

#[test]
fn broken_http2_is_answered_as_the_rfcs_say() {
    let home = Home::new("");
    let service = home.start();
    let (mut broken, mut lenient, mut general) = (Vec::new(), Vec::new(), 0);
    let rules: Vec<Rule> = frames().into_iter().chain(messages()).collect();
    for (name, sent, wanted) in &rules {
        match outcome(&service, sent, wanted) {
            Ok(is_exact) => general += usize::from(!is_exact),
            Err(_) if LENIENT.contains(name) => lenient.push(*name),
            Err(seen) => broken.push(format!("{name}: wanted {wanted:?}, got {seen}")),
        }
        service.post(&batch(ids(1)));
    }
    println!(
        "{} rules of HTTP/2: {} broken, {} waived, {general} answered by PROTOCOL_ERROR instead of a narrower code",
        rules.len(),
        broken.len(),
        lenient.len()
    );
    assert_eq!(lenient, LENIENT, "what the library lets pass, and nothing else");
    assert!(broken.is_empty(), "(type, stream, code) {broken:#?}");
}

#[test]
fn a_connection_without_the_preface_is_not_http2() {
    let home = Home::new("");
    let service = home.start();
    for almost in [&PREFACE[..20], b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"INVALID PREFACE\r\n\r\n"]
    {
        let mut client = Connection::silent(&service.address());
        client.send(almost);
        client.0.shutdown(Shutdown::Write).expect("shut");
        let mut answer = Vec::new();
        client.0.read_to_end(&mut answer).expect("closed");
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400 "), "{text}");
        service.post(&batch(ids(1)));
    }
}
