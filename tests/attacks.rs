//! Attacks that exhaust resources, at full size: memory stays below a bound, and an honest sender is served meanwhile.
//! Each test prints its measurements; `docs/security.md` has them.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{self, StreamExt};
use reqwest::Client;

use crate::support::honest::{Honest, Sent};
use crate::support::http2::{
    ACK, CONTINUATION, Connection, END_HEADERS, HEADERS, PING, PSEUDO, RST_STREAM, SETTINGS,
    fields, frame,
};
use crate::support::service::{Home, Service};
use crate::support::{PATIENCE, block_on, wait_for};

const MIB: u64 = 1 << 20;
const PASSWORD: &str = "correct-horse-battery";

fn home(listen: &str, limits: &str) -> Home {
    let config = format!(
        "[limits]\n{limits}\n[sources.pingone]\n\
         basic = [{{ username = \"pingone\", password_env = \"PASSWORD\" }}]\n"
    );
    Home::with_listen(listen, &config).with_variables(&[("PASSWORD", PASSWORD)])
}

fn honest(service: &Service) -> Honest {
    Honest::start(&service.url, PASSWORD, Client::new)
}

fn report(what: &str, service: &Service, bound: u64, sent: &Sent) {
    let peak = service.peak_memory() / MIB;
    println!(
        "{what}: peak {peak} MiB of {} MiB; honest batches {}, repeated {}",
        bound / MIB,
        sent.batches,
        sent.repeats
    );
    assert!(peak * MIB <= bound, "{what}: {peak} MiB");
}

fn connect(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(service.address()).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
}

#[test]
#[ignore = "opens 5,000 connections"]
fn five_thousand_connections_that_say_nothing() {
    // First the default limit of connections, then room for all of them.
    for (room, bound) in [(1024, 64 * MIB), (6000, 96 * MIB)] {
        let home = home("", &format!("connections = {room}\nheader_timeout = \"10m\""));
        let service = home.start();
        let honest = honest(&service);
        let idle: Vec<TcpStream> = (0..5000).map(|_| connect(&service)).collect();
        let open = || service.metric("davinci_siem_connections{listener=\"webhooks\"}");
        wait_for("all connections", || (open() >= f64::from(room.min(5000))).then_some(()));
        assert!(open() <= f64::from(room), "the bound holds");
        let sent = honest.finish();
        drop(idle);
        report(&format!("5,000 idle connections, {room} allowed"), &service, bound, &sent);
    }
}

#[test]
#[ignore = "takes half a minute of 1,000 connections"]
fn a_thousand_clients_that_send_a_byte_a_second() {
    let home = home("", "header_timeout = \"10s\"\nbody_timeout = \"10s\"");
    let service = home.start();
    let honest = honest(&service);
    let login = "Authorization: Basic cGluZ29uZTpjb3JyZWN0LWhvcnNlLWJhdHRlcnk=";
    let head = "POST /webhooks/pingone HTTP/1.1\r\nHost: x\r\n";
    let mut slow: Vec<(TcpStream, String, bool)> = (0..1000)
        .map(|n| {
            let (mut stream, has_login) = (connect(&service), n % 2 == 0);
            let begin = match has_login {
                true => format!("{head}{login}\r\nContent-Length: 500000\r\n\r\n["),
                false => head.to_owned(),
            };
            stream.write_all(begin.as_bytes()).expect("sent");
            (stream, String::new(), has_login)
        })
        .collect();
    let ends = || {
        let end = |reason: &str| {
            let labels = format!("listener=\"webhooks\",reason=\"{reason}\"");
            service.metric(&format!("davinci_siem_connection_ends_total{{{labels}}}"))
        };
        end("idle")
    };
    let mut next = Instant::now();
    wait_for("the end of all that dribble", || {
        next += Duration::from_secs(1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        for (stream, ..) in &mut slow {
            // Fails on connections that the service has closed.
            drop(stream.write(b"x"));
        }
        (ends() >= 500.0).then_some(())
    });
    let sent = honest.finish();
    for (stream, answer, has_login) in &mut slow {
        drop(stream.read_to_string(answer));
        assert!(!*has_login || answer.starts_with("HTTP/1.1 408") || answer.is_empty(), "{answer}");
    }
    let slow_bodies = slow.iter().filter(|(_, answer, _)| answer.starts_with("HTTP/1.1 408"));
    let told = slow_bodies.count();
    println!("answered 408: {told}");
    assert!(told > 250, "most of those with credentials are told why");
    report("1,000 clients of a byte a second", &service, 96 * MIB, &sent);
}

#[test]
#[ignore = "inflates 20 times 1 GiB"]
fn a_gibibyte_of_zeros_in_a_mebibyte_of_gzip() {
    let home = home("", "");
    let service = home.start();
    let honest = honest(&service);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..1024 {
        gzip.write_all(&zeros).expect("into memory");
    }
    let gzip = gzip.finish().expect("into memory");
    let zstd = zstd::encode_all(std::io::repeat(0).take(1 << 30), 3).expect("into memory");
    println!("1 GiB of zeros: {} bytes of gzip, {} of zstd", gzip.len(), zstd.len());
    block_on(async {
        let client = Client::new();
        let bombs = (0..20).map(|n| {
            let (name, bomb) = if n % 2 == 0 { ("gzip", &gzip) } else { ("zstd", &zstd) };
            let post = client.post(&service.url).basic_auth("pingone", Some(PASSWORD));
            let post = post.header("content-encoding", name).body(bomb.clone());
            async { post.send().await.expect("an answer").status().as_u16() }
        });
        let statuses: Vec<u16> = stream::iter(bombs).buffer_unordered(8).collect().await;
        assert!(statuses.iter().all(|status| [413, 503].contains(status)), "{statuses:?}");
        assert!(statuses.contains(&413));
    });
    let sent = honest.finish();
    // `limits.in_flight`, and the memory of the process itself.
    report("20 bombs of 1 GiB, 8 at a time", &service, (256 + 64) * MIB, &sent);
}

#[test]
#[ignore = "guesses 100,000 times"]
fn a_hundred_thousand_wrong_logins() {
    let home = home("", "");
    let service = home.start();
    let honest = honest(&service);
    let guess = |n: u16| {
        let url = service.url.clone();
        async move {
            // All addresses of 127.0.0.0/8 belong to this machine.
            let [high, low] = n.to_be_bytes();
            let from = IpAddr::V4(Ipv4Addr::new(127, 1, high, low));
            let client = Client::builder().local_address(from).build().expect("a client");
            let (mut unauthorized, mut throttled, mut broken) = (0, 0, 0);
            for _ in 0..100 {
                let post = client.post(&url).basic_auth("pingone", Some("wrong")).body("[]");
                match post.send().await.map(|answer| answer.status().as_u16()) {
                    Ok(401) => unauthorized += 1,
                    Ok(429) => throttled += 1,
                    Ok(other) => panic!("{other}"),
                    Err(_) => broken += 1,
                }
            }
            (unauthorized, throttled, broken)
        }
    };
    let before = service.log().lines().count();
    let guesses = stream::iter((0..1000).map(guess)).buffer_unordered(32);
    let (unauthorized, throttled, broken) = block_on(
        guesses.fold((0, 0, 0), async |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2)),
    );
    let sent = honest.finish();
    let log = service.log();
    let loud = log.lines().skip(before).filter(|line| !line.contains("\"DEBUG\"")).count();
    println!("401: {unauthorized}, 429: {throttled}, broken off: {broken}; lines of log: {loud}");
    assert_eq!(unauthorized + throttled + broken, 100_000);
    assert!(throttled > unauthorized, "most are told to wait");
    assert!(loud <= 600, "100 lines a minute");
    report("100,000 wrong logins from 1,000 addresses", &service, 64 * MIB, &sent);
}

/// Sends HTTP/2 frames until their number is reached, on one connection after the other. Returns the number of
/// connections that the listener has closed.
fn flood(service: &Service, count: u32, mut next: impl FnMut(u32) -> Vec<u8>) -> u32 {
    let (mut sent, mut ended) = (0, 0);
    while sent < count {
        let mut client = Connection::open(&service.address());
        // The attacker reads no answers.
        for n in 0..count - sent {
            sent += 1;
            if !client.send(&next(n)) {
                ended += 1;
                break;
            }
        }
    }
    ended
}

/// Name of a flood, its frames, and true if the listener closes the connection.
type Flood<'a> = (&'a str, &'a dyn Fn(u32) -> Vec<u8>, bool);

#[test]
#[ignore = "sends 100,000 frames of each kind"]
fn floods_of_http2_frames() {
    let post = [&[(":method", "POST")], &PSEUDO[1..]].concat();
    let opened = fields(&post);
    let long = fields(&[("x-long", &"a".repeat(16_000))]);
    let reset = |n| {
        let (stream, code) = (2 * n + 1, 8_u32.to_be_bytes());
        [frame(HEADERS, END_HEADERS, stream, &opened), frame(RST_STREAM, 0, stream, &code)].concat()
    };
    let endless = |n| match n {
        0 => frame(HEADERS, 0, 1, &fields(&PSEUDO)),
        _ => frame(CONTINUATION, 0, 1, &long),
    };
    let pings = |_| frame(PING, 0, 0, b"12345678");
    let answers = |_| frame(PING, ACK, 0, b"12345678");
    let settings = |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]);
    let kinds: [Flood<'_>; 5] = [
        ("rapid reset (CVE-2023-44487)", &reset, true),
        ("CONTINUATION without end (CVE-2024-27316)", &endless, true),
        ("PING (CVE-2019-9512)", &pings, false),
        ("acknowledgements nobody asked for", &answers, false),
        ("SETTINGS (CVE-2019-9515)", &settings, false),
    ];
    for (name, next, is_ended) in kinds {
        let home = home("", "");
        let service = home.start();
        let honest = honest(&service);
        let ended = flood(&service, 100_000, next);
        let sent = honest.finish();
        println!("{name}: the listener ended {ended} connections");
        assert!(ended > 0 || !is_ended, "{name}");
        let lines = service.log().lines().filter(|line| !line.contains("\"DEBUG\"")).count();
        assert!(lines < 50, "{name}: {lines} lines of log");
        report(name, &service, 64 * MIB, &sent);
    }
}
