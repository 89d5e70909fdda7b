//! Accepts connections and serves a router over HTTP/1.1 and HTTP/2 until shutdown.
//!
//! All resources that a client can take are bounded: connections by [`connection_limiter`], each
//! connection by timeouts and by the sizes below. A request's body is read only by its handler,
//! after the check of its credentials.

mod authority;
mod certificate;
mod config;
mod connection;
mod connection_limiter;
mod linger;
mod proxy_protocol;
pub(crate) mod tls;
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

pub(crate) use certificate::Certificate;
pub(crate) use config::{
    AlternativeName, ClientAuthority, ForwardedHeader, ListenConfig, ListenTlsConfig,
};
pub(crate) use connection::Peer;

use crate::metrics::SharedMetrics;
use crate::shutdown::Shutdown;
use connection_limiter::ConnectionLimiter;
use tls::LoadedTls;
use unread::DrainLimiter;

/// Pause after a failed `accept`. It fails when file descriptors run out, and would fail again at
/// once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Maximum read buffer of a connection, into which a request's head must fit.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// Maximum number of headers in a request. More are answered with 431.
const MAX_HEADERS: usize = 100;

/// Maximum size of one HTTP/2 request's headers, decompressed.
const MAX_HEADER_LIST_BYTES: u32 = 32 * 1024;

/// Maximum number of concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;

/// Maximum number of HTTP/2 streams that a client has reset and that are still pending. Above it
/// the connection is closed, because it is an attack (CVE-2023-44487).
const MAX_RESETS: usize = 20;

/// Maximum number of local stream errors on one HTTP/2 connection. Above it the connection is
/// closed (CVE-2025-8671).
const MAX_ERRORS: usize = 64;

/// Timeouts of a connection and of the shutdown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// TLS handshake, and the PROXY protocol header before it.
    pub handshake: Duration,
    /// Headers of a request, and the next request on an idle connection.
    pub header: Duration,
    /// Requests in flight at shutdown.
    pub grace: Duration,
}

/// TLS and trusted proxies in force for new connections. A reload may replace both at any time.
pub(crate) trait ConnectionPolicy: fmt::Debug + Send + Sync {
    /// Certificates and authorities of new connections; `None` if connections are plain TCP.
    fn tls(&self) -> Option<Arc<LoadedTls>>;

    /// Returns whether a connection from `address` may begin with a PROXY protocol header.
    fn trusts_proxy(&self, address: IpAddr) -> bool;
}

/// A router, and the limits under which it is served.
#[derive(Debug)]
pub(crate) struct Listener {
    pub name: &'static str,
    /// Router that answers requests.
    pub router: Router,
    /// TLS and trusted proxies of new connections. Without a policy, connections are plain TCP.
    pub policy: Option<Arc<dyn ConnectionPolicy>>,
    /// True if each connection starts with the PROXY protocol header of a trusted proxy.
    pub is_proxied: bool,
    /// Maximum number of open connections.
    pub connections: usize,
    /// Timeouts of each connection.
    pub timeouts: Timeouts,
    pub metrics: SharedMetrics,
}

/// State shared by all connections of a listener.
struct SharedListener {
    listener: Listener,
    builder: Builder<TokioExecutor>,
    drains: DrainLimiter,
}

/// Serves connections until shutdown. Then accepts no more, and returns when all requests in flight
/// are answered, or after the grace period.
pub(crate) async fn serve(listener: Listener, socket: TcpListener, mut shutdown: Shutdown) {
    let grace = listener.timeouts.grace;
    let limiter = ConnectionLimiter::new(listener.connections);
    let drains = DrainLimiter::new(listener.connections);
    let shared = Arc::new(SharedListener { listener, builder: builder(), drains });
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
    // Slow headers and idle connections are ended by `ConnectionPermit::is_idle`.
    builder.http1().max_buf_size(MAX_BUFFER_BYTES).max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_ERRORS);
    builder
}
