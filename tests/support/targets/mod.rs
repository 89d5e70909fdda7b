//! Targets in this process with the documented behaviour of real ones. They store events, and tests compare these with
//! the sent ones.

pub mod aws;
pub mod azure;
#[cfg(feature = "object_store")]
pub mod bucket;
pub mod clickhouse;
pub mod collector;
pub mod contract;
pub mod datadog;
pub mod elastic;
pub mod google;
#[cfg(feature = "otlp")]
pub mod logs;
pub mod loki;
pub mod pingone;
pub mod receiver;
#[cfg(feature = "otlp")]
pub mod spans;
pub mod webhook;

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Collected};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::support::wait_for;

/// A running target and its stored events.
pub struct Target<S> {
    pub url: String,
    state: Arc<Mutex<S>>,
    router: Router,
    runtime: Option<Runtime>,
}

/// A failure of one request, before the target processes it.
pub enum Fault {
    /// The target answers this and stores nothing.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The connection breaks within the answer's body; nothing is stored.
    Reset(u16),
    /// The target stores the events, and the connection breaks before the answer.
    StoreAndReset,
    /// The target never answers and stores nothing.
    Hang,
}

impl Fault {
    pub fn status(status: u16) -> Fault {
        Fault::Answer(status, Vec::new(), "<html><body>an error page</body></html>".to_owned())
    }

    pub fn retry_after(status: u16, wish: &str) -> Fault {
        Fault::Answer(status, vec![("retry-after", wish.to_owned())], String::new())
    }
}

/// Failures of the next requests, and the requests so far.
#[derive(Default)]
pub struct Traffic {
    pub faults: VecDeque<Fault>,
    pub requests: usize,
    /// Method of the request that the target processes.
    pub method: Method,
    /// Body of that request, as it was sent.
    pub raw: Bytes,
    /// Headers of each request.
    pub headers: Vec<HeaderMap>,
    /// Time of each request.
    pub times: Vec<Instant>,
    /// Status of the answer to every request, while it is set.
    pub down: Option<u16>,
    /// `Location` of that answer.
    pub location: Option<String>,
    /// Duration of each request.
    pub delay: Duration,
    /// Requests in progress, and their maximum.
    pub now: usize,
    pub at_once: usize,
}

/// Behaviour of a target, for an inflated body.
pub trait Behaviour: Send + 'static {
    fn traffic(&mut self) -> &mut Traffic;
    fn take(&mut self, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Response;
}

impl<S: Behaviour> Target<S> {
    /// Listens on a free port.
    pub fn start(state: S) -> Target<S> {
        Target::start_with(state, None)
    }

    /// Listens with TLS, under a name that the certificate holds.
    pub fn start_with(state: S, tls: Option<TlsAcceptor>) -> Target<S> {
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let router = Router::new().fallback(move |request: axum::extract::Request| {
            let state = Arc::clone(&shared);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
                let query = parts.uri.query().unwrap_or_default().to_owned();
                let request = (parts.method, parts.uri.path(), query.as_str());
                handle(&state, request, parts.headers, &body).await
            }
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut target = Target { url: String::new(), state, router, runtime: None };
        let port = target.listen(0, tls);
        target.url = format!("{scheme}://localhost:{port}");
        target
    }

    fn listen(&mut self, port: u16, tls: Option<TlsAcceptor>) -> u16 {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        // A stopped target may release its port a moment later.
        let listener =
            wait_for("a port", || runtime.block_on(TcpListener::bind(("127.0.0.1", port))).ok());
        let port = listener.local_addr().expect("an address").port();
        runtime.spawn(serve(listener, self.router.clone(), tls));
        self.runtime = Some(runtime);
        port
    }

    /// Breaks every connection and refuses new ones.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub fn is_running(&self) -> bool {
        self.runtime.is_some()
    }

    /// Listens on its old address again.
    pub fn restart(&mut self) {
        let port = self.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        self.listen(port, None);
    }

    pub fn state(&self) -> MutexGuard<'_, S> {
        self.state.lock().expect("a lock")
    }

    /// Lets the next requests fail.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().traffic().faults.extend(faults);
    }

    pub fn requests(&self) -> usize {
        self.state().traffic().requests
    }
}

impl<S> Drop for Target<S> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: TcpListener, router: Router, tls: Option<TlsAcceptor>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let service = TowerToHyperService::new(router.clone());
        let tls = tls.clone();
        tokio::spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // The test ignores clients that disconnect.
            match tls {
                None => drop(server.serve_connection(TokioIo::new(stream), service).await),
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        drop(server.serve_connection(TokioIo::new(stream), service).await);
                    }
                }
            }
        });
    }
}

async fn handle<S: Behaviour>(
    state: &Mutex<S>,
    (method, path, query): (Method, &str, &str),
    headers: HeaderMap,
    body: &Bytes,
) -> Response {
    let (fault, delay, down, location) = {
        let mut state = state.lock().expect("a lock");
        let traffic = state.traffic();
        traffic.requests += 1;
        traffic.headers.push(headers.clone());
        traffic.times.push(Instant::now());
        traffic.now += 1;
        traffic.at_once = traffic.at_once.max(traffic.now);
        let down = traffic.down;
        let fault = if down.is_some() { None } else { traffic.faults.pop_front() };
        (fault, traffic.delay, down, traffic.location.clone())
    };
    tokio::time::sleep(delay).await;
    state.lock().expect("a lock").traffic().now -= 1;
    let take = || {
        let plain = inflate(&headers, body);
        let mut state = state.lock().expect("a lock");
        state.traffic().method = method;
        state.traffic().raw = body.clone();
        state.take(path, query, &headers, &plain)
    };
    match fault {
        _ if down.is_some() => {
            let mut response = answer(down.unwrap_or(503), "down".to_owned());
            if let Some(location) = location {
                response.headers_mut().insert("location", location.parse().expect("a value"));
            }
            response
        }
        None => take(),
        Some(Fault::Answer(status, extra, text)) => {
            let mut response = answer(status, text);
            for (name, value) in extra {
                response.headers_mut().insert(name, value.parse().expect("a value"));
            }
            response
        }
        Some(Fault::Reset(status)) => torn(status),
        Some(Fault::StoreAndReset) => {
            drop(take());
            torn(200)
        }
        Some(Fault::Hang) => std::future::pending().await,
    }
}

/// An answer whose body ends too early.
fn torn(status: u16) -> Response {
    let parts = futures_util::stream::unfold(0, |part| async move {
        if part == 0 {
            return Some((Ok(Bytes::from_static(b"{\"te")), 1));
        }
        // Late enough that the header is sent.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Some((Err(std::io::Error::other("torn")), 1))
    });
    let mut response = Response::new(Body::from_stream(parts));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

pub fn answer(status: u16, text: String) -> Response {
    (StatusCode::from_u16(status).expect("a status"), text).into_response()
}

pub fn json(status: u16, value: &Value) -> Response {
    answer(status, value.to_string())
}

fn inflate(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    match headers.get("content-encoding").map(|value| value.as_bytes()) {
        None => body.to_vec(),
        Some(b"gzip") => {
            let mut plain = Vec::new();
            flate2::read::MultiGzDecoder::new(body).read_to_end(&mut plain).expect("gzip");
            plain
        }
        Some(b"zstd") => zstd::decode_all(body).expect("zstd"),
        other => panic!("unknown encoding {other:?}"),
    }
}

pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
