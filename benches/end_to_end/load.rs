//! The load: connections that send one batch after the other, as PingOne does, each event with an id
//! of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a run did.
pub(crate) struct Load {
    pub(crate) requests: u64,
    /// Bytes of the bodies.
    pub(crate) payload: u64,
    pub(crate) wall: Duration,
    /// From the first byte sent to the last received, microseconds.
    pub(crate) latencies: Vec<u32>,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A request whose ids can be changed where they stand.
struct Request {
    bytes: Vec<u8>,
    /// Where the twelve digits of each id begin.
    ids: Vec<usize>,
    payload: u64,
}

impl Request {
    fn new(events: usize) -> Request {
        let documented = include_str!("../../fixtures/documented_batch.json");
        let values: Vec<serde_json::Value> = serde_json::from_str(documented).expect("JSON");
        let mut body = String::from("[");
        let mut ids = Vec::new();
        for (index, value) in values.iter().cycle().take(events).enumerate() {
            let mut value = value.clone();
            value["id"] = "00000000-0000-4000-8000-############".into();
            if index > 0 {
                body.push(',');
            }
            let text = value.to_string();
            ids.push(body.len() + text.find('#').expect("an id"));
            body.push_str(&text);
        }
        body.push(']');
        let head = format!(
            "POST /webhooks/pingone HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let ids = ids.into_iter().map(|at| at + head.len()).collect();
        let payload = body.len() as u64;
        Request { bytes: (head + &body).into_bytes(), ids, payload }
    }

    /// Ids that were never sent before.
    fn renew(&mut self) {
        let first = NEXT.fetch_add(self.ids.len() as u64, Ordering::Relaxed);
        for (at, number) in self.ids.iter().zip(first..) {
            let mut rest = number;
            for digit in self.bytes[*at..*at + 12].iter_mut().rev() {
                *digit = b"0123456789abcdef"[(rest & 15) as usize];
                rest >>= 4;
            }
        }
    }
}

/// Sends for some seconds, after a little warming up.
pub(crate) fn run(address: SocketAddr, events: usize, connections: usize, seconds: usize) -> Load {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let begun = Instant::now();
        let warm = begun + Duration::from_millis(200);
        let end = warm + Duration::from_secs(seconds as u64);
        let tasks: Vec<_> = (0..connections)
            .map(|_| tokio::spawn(connection(address, events, warm, end)))
            .collect();
        let mut load = Load { requests: 0, payload: 0, wall: end - warm, latencies: Vec::new() };
        for task in tasks {
            let (latencies, payload) = task.await.expect("a connection");
            load.requests += latencies.len() as u64;
            load.payload += payload;
            load.latencies.extend(latencies);
        }
        load
    })
}

async fn connection(
    address: SocketAddr,
    events: usize,
    warm: Instant,
    end: Instant,
) -> (Vec<u32>, u64) {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("set");
    let mut request = Request::new(events);
    let mut answer = vec![0; 4096];
    let (mut latencies, mut payload) = (Vec::new(), 0);
    loop {
        request.renew();
        let begun = Instant::now();
        if begun >= end {
            return (latencies, payload);
        }
        stream.write_all(&request.bytes).await.expect("sent");
        read_answer(&mut stream, &mut answer).await;
        if begun >= warm {
            latencies.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
            payload += request.payload;
        }
    }
}

/// Reads one answer, which has to be a 200.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.expect("an answer");
        assert!(read > 0, "the server closed the connection");
        filled += read;
        let text = std::str::from_utf8(&buffer[..filled]).expect("text");
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 200"), "{text}");
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
        });
        if body.len() >= length.expect("a length").expect("a number") {
            return;
        }
    }
}
