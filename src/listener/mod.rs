//! Accepts connections and serves a router on them, over HTTP/1.1 and HTTP/2, until shutdown.
//!
//! What a stranger can make it hold is bounded: connections by [`limiter`], each by timeouts and by
//! the sizes below. A request's body is read by whoever answers it, and only after its credentials.

mod authority;
mod certificate;
mod connection;
mod connection_limiter;
mod linger;
mod proxy_protocol;
pub mod tls;
mod unread;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

pub use certificate::Certificate;
pub use connection::Peer;

use crate::metrics::SharedMetrics;
use crate::shutdown::Shutdown;
use connection_limiter::ConnectionLimiter;
use tls::LoadedTls;
use unread::Drains;

/// How long a failing `accept` is left alone: it fails when descriptors run out, and at once again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a connection that are read ahead, which a request's head has to fit into.
const MAX_BUFFER: usize = 64 * 1024;

/// Headers of one request; more are answered 431.
const MAX_HEADERS: usize = 100;

/// Bytes of one HTTP/2 request's headers, unpacked.
const MAX_HEADER_LIST: u32 = 32 * 1024;

/// How many requests one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 64;

/// HTTP/2 requests that a client has reset and that are not cleared away yet; more of them are an
/// attack (CVE-2023-44487), and the connection is closed.
const MAX_RESETS: usize = 20;

/// How often the same may go wrong on one HTTP/2 connection before it is closed (CVE-2025-8671).
const MAX_ERRORS: usize = 64;

/// How long a connection and its shutdown may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For TLS, and for the PROXY protocol's header before it.
    pub handshake: Duration,
    /// For a request's headers, and for the next request of an idle connection.
    pub header: Duration,
    /// For requests in flight when shutdown begins.
    pub grace: Duration,
}

/// TLS and trusted proxies in force for new connections. A reload may replace both at any time.
pub trait ConnectionPolicy: fmt::Debug + Send + Sync {
    /// Certificates and authorities of new connections; `None` if connections are plain TCP.
    fn tls(&self) -> Option<Arc<LoadedTls>>;

    /// Returns whether a connection from `address` may begin with a PROXY protocol header.
    fn trusts_proxy(&self, address: IpAddr) -> bool;
}

/// A router, and the limits under which it is served.
#[derive(Debug)]
pub struct Listener {
    /// Its name in metrics.
    pub name: &'static str,
    /// What answers.
    pub router: Router,
    /// TLS and trusted proxies of new connections. Without a policy, connections are plain TCP.
    pub policy: Option<Arc<dyn ConnectionPolicy>>,
    /// True if each connection begins with the PROXY protocol's header of a trusted proxy.
    pub is_proxied: bool,
    /// Connections that may be open.
    pub connections: usize,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Where connections are counted.
    pub metrics: SharedMetrics,
}

/// What all connections of a listener share.
struct Shared {
    listener: Listener,
    builder: Builder<TokioExecutor>,
    drains: Drains,
}

/// Serves until shutdown begins; then accepts nothing more, lets requests in flight be answered, and
/// returns when they are, or when the grace period is over.
pub async fn serve(listener: Listener, socket: TcpListener, mut shutdown: Shutdown) {
    let grace = listener.timeouts.grace;
    let limiter = ConnectionLimiter::new(listener.connections);
    let drains = Drains::new(listener.connections);
    let shared = Arc::new(Shared { listener, builder: builder(), drains });
    let listener = &shared.listener;
    let open = listener.metrics.connections.with_label_values(&[listener.name]);
    let ends = listener.metrics.connection_ends.clone();
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = shutdown.begun() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(permit) = limiter.take() else {
            ends.with_label_values(&[listener.name, "refused"]).inc();
            continue;
        };
        open.inc();
        let (shared, shutdown) = (Arc::clone(&shared), shutdown.clone());
        let (open, ends) = (open.clone(), ends.clone());
        connections.spawn(async move {
            let ended = connection::serve(&shared, stream, peer, permit, shutdown).await;
            open.dec();
            ends.with_label_values(&[shared.listener.name, ended.as_str()]).inc();
        });
    }
    drop(socket);
    connections.close();
    if timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!("closed connections that were still busy after the grace period");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // Slow headers and idle connections end with their place.
    builder.http1().max_buf_size(MAX_BUFFER).max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_ERRORS);
    builder
}
