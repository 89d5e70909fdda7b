//! The load: connections that send one batch after the other, as PingOne does, each event with an id
//! of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Events per request.
    pub(crate) events: usize,
    pub(crate) connections: usize,
    /// How many requests each connection sends, or for how long.
    pub(crate) until: Until,
    /// Requests per second of each connection; as many as it can where there is none.
    pub(crate) rate: Option<f64>,
    /// How many flows the events are of.
    pub(crate) flows: usize,
    /// Whether events have nothing but what they must have.
    pub(crate) is_small: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Requests(u64),
    /// After a little warming up.
    Seconds(u64),
}

impl Plan {
    pub(crate) fn new(events: usize, connections: usize, until: Until) -> Plan {
        Plan { events, connections, until, rate: None, flows: 5, is_small: false }
    }
}

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
    fn new(plan: Plan) -> Request {
        let documented = include_str!("../../fixtures/documented_batch.json");
        let values: Vec<serde_json::Value> = serde_json::from_str(documented).expect("JSON");
        let mut body = String::from("[");
        let mut ids = Vec::new();
        for (index, value) in values.iter().cycle().take(plan.events).enumerate() {
            let mut value = value.clone();
            value["id"] = "00000000-0000-4000-8000-############".into();
            let flow = index % plan.flows;
            let payload = &mut value["_embedded"]["flowInteractionEvent"];
            payload["flowId"] = format!("{flow:032x}").into();
            payload["flowName"] = format!("Sign on {flow}").into();
            if plan.is_small {
                let recorded_at = value["recordedAt"].take();
                value = serde_json::json!({
                    "id": value["id"], "recordedAt": recorded_at, "action": {"type": "USER.UPDATED"}
                });
            }
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

/// Sends what is planned.
pub(crate) fn run(address: SocketAddr, plan: Plan) -> Load {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let begun = Instant::now();
        let warm = match plan.until {
            Until::Requests(_) => begun,
            Until::Seconds(_) => begun + Duration::from_millis(200),
        };
        let tasks: Vec<_> =
            (0..plan.connections).map(|_| tokio::spawn(connection(address, plan, warm))).collect();
        let mut load =
            Load { requests: 0, payload: 0, wall: Duration::ZERO, latencies: Vec::new() };
        for task in tasks {
            let (latencies, payload) = task.await.expect("a connection");
            load.requests += latencies.len() as u64;
            load.payload += payload;
            load.latencies.extend(latencies);
        }
        load.wall = match plan.until {
            Until::Requests(_) => begun.elapsed(),
            Until::Seconds(seconds) => Duration::from_secs(seconds),
        };
        load.latencies.sort_unstable();
        load
    })
}

async fn connection(address: SocketAddr, plan: Plan, warm: Instant) -> (Vec<u32>, u64) {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("set");
    let mut request = Request::new(plan);
    let mut answer = vec![0; 4096];
    let (mut latencies, mut payload, mut sent) = (Vec::new(), 0, 0_u32);
    loop {
        request.renew();
        if let Some(rate) = plan.rate {
            let due = warm + Duration::from_secs_f64(f64::from(sent) / rate);
            tokio::time::sleep_until(due.into()).await;
        }
        let begun = Instant::now();
        let is_over = match plan.until {
            Until::Requests(requests) => u64::from(sent) == requests,
            Until::Seconds(seconds) => begun >= warm + Duration::from_secs(seconds),
        };
        if is_over {
            return (latencies, payload);
        }
        stream.write_all(&request.bytes).await.expect("sent");
        read_answer(&mut stream, &mut answer).await;
        sent += 1;
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
