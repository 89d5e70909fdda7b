//! The load: connections that send one batch after the other, as PingOne does, each event with an id
//! of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::request::Request;
use crate::tls;

/// Load of one measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Events per request.
    pub(crate) events: usize,
    pub(crate) connections: usize,
    pub(crate) until: Until,
    /// Requests per second of each connection; as many as it can if `None`.
    pub(crate) rate: Option<f64>,
    /// Number of distinct flows in the events.
    pub(crate) flows: usize,
    /// True if events have only the required fields.
    pub(crate) is_small: bool,
    pub(crate) transport: Transport,
    /// Path of the webhook.
    pub(crate) path: &'static str,
}

/// End of a load.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// Number of requests of each connection.
    Requests(u64),
    /// Seconds, after a warm-up of 200 ms.
    Seconds(u64),
}

/// Encoding of the bodies, and of the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Plain,
    Tls,
    /// `Content-Encoding: gzip`. The requests are compressed before the load starts.
    Gzip,
}

impl Plan {
    pub(crate) fn new(events: usize, connections: usize, until: Until) -> Plan {
        Plan {
            events,
            connections,
            until,
            rate: None,
            flows: 5,
            is_small: false,
            transport: Transport::Plain,
            path: "/webhooks/pingone",
        }
    }
}

/// Result of a load.
pub(crate) struct Load {
    pub(crate) requests: u64,
    /// Bytes of the bodies, before compression.
    pub(crate) payload: u64,
    pub(crate) wall: Duration,
    /// From the first byte sent to the last received, microseconds, in ascending order.
    pub(crate) latencies: Vec<u32>,
}

/// Sends the planned requests.
pub(crate) fn run(address: SocketAddr, plan: Plan) -> Load {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let prepared: Vec<Vec<Request>> = (0..plan.connections).map(|_| requests(plan)).collect();
    runtime.block_on(async {
        let begun = Instant::now();
        let warm = match plan.until {
            Until::Requests(_) => begun,
            Until::Seconds(_) => begun + Duration::from_millis(200),
        };
        let tasks: Vec<_> = prepared
            .into_iter()
            .map(|requests| tokio::spawn(connection(address, plan, requests, warm)))
            .collect();
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

/// Returns the requests of one connection: one whose ids are renewed each time, or, compressed, one for each time.
fn requests(plan: Plan) -> Vec<Request> {
    match (plan.transport, plan.until) {
        (Transport::Gzip, Until::Requests(count)) => {
            (0..count).map(|_| Request::new(plan).compressed()).collect()
        }
        (Transport::Gzip, Until::Seconds(_)) => {
            panic!("compressed loads have a number of requests")
        }
        _ => vec![Request::new(plan)],
    }
}

async fn connection(
    address: SocketAddr,
    plan: Plan,
    requests: Vec<Request>,
    warm: Instant,
) -> (Vec<u32>, u64) {
    let stream = TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("set");
    match plan.transport {
        Transport::Tls => talk(tls::connect(stream).await, plan, requests, warm).await,
        Transport::Plain | Transport::Gzip => talk(stream, plan, requests, warm).await,
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    plan: Plan,
    mut requests: Vec<Request>,
    warm: Instant,
) -> (Vec<u32>, u64) {
    let mut answer = vec![0; 4096];
    let (mut latencies, mut payload, mut sent) = (Vec::new(), 0, 0_usize);
    loop {
        let next = sent % requests.len();
        let request = &mut requests[next];
        request.renew();
        if let Some(rate) = plan.rate {
            let due = warm + Duration::from_secs_f64(sent as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
        }
        let begun = Instant::now();
        let is_over = match plan.until {
            Until::Requests(requests) => sent as u64 == requests,
            Until::Seconds(seconds) => begun >= warm + Duration::from_secs(seconds),
        };
        if is_over {
            return (latencies, payload);
        }
        stream.write_all(&request.bytes).await.expect("sent");
        stream.flush().await.expect("sent");
        read_answer(&mut stream, &mut answer).await;
        sent += 1;
        if begun >= warm {
            latencies.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
            payload += request.payload;
        }
    }
}

/// Reads one answer, which has to be a 200.
async fn read_answer(stream: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) {
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
