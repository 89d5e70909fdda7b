//! Accepts connections and serves a router on them, over HTTP/1.1 and HTTP/2, until shutdown.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tower::ServiceExt;

use super::webhook::Peer;
use crate::shutdown::Shutdown;

/// How long a failing `accept` is left alone: it fails when descriptors run out, and at once again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a connection that are read ahead, which a request's head has to fit into.
const MAX_BUFFER: usize = 64 * 1024;

/// How many requests one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 64;

/// How long a connection and its shutdown may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a request's headers, and for the next request of an idle connection.
    pub header: Duration,
    /// For requests in flight when shutdown begins.
    pub grace: Duration,
}

/// Serves until shutdown begins; then accepts nothing more, lets requests in flight be answered, and
/// returns when they are, or when the grace period is over.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    timeouts: Timeouts,
    mut shutdown: Shutdown,
) {
    let connections = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.header)
        .max_buf_size(MAX_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(timeouts.header)
        .keep_alive_timeout(timeouts.header);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.begun() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, patience) = (router.clone(), timeouts.header);
                connect(&builder, &connections, Connection { stream, peer, router, patience });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if timeout(timeouts.grace, connections.shutdown()).await.is_err() {
        tracing::warn!("closed connections that were still busy after the grace period");
    }
}

/// A connection, from its first byte to its end.
struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    /// How long the first request may take to begin.
    patience: Duration,
}

fn connect(
    builder: &Builder<TokioExecutor>,
    connections: &GracefulShutdown,
    connection: Connection,
) {
    let Connection { stream, peer, router, patience } = connection;
    // Small answers must not wait for more to send.
    drop(stream.set_nodelay(true));
    let first_request = Arc::new(Notify::new());
    let begun = Arc::clone(&first_request);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        begun.notify_one();
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let router = router.clone();
        async move {
            Ok::<_, Infallible>(
                router.oneshot(request).await.unwrap_or_else(|never| match never {}),
            )
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        tokio::pin!(connection);
        // hyper's own timer starts when it knows the protocol, and so never for a silent client.
        let ended = tokio::select! {
            ended = &mut connection => Some(ended),
            begun = timeout(patience, first_request.notified()) => match begun {
                Ok(()) => None,
                Err(_) => return tracing::debug!(%peer, "closed a connection without a request"),
            },
        };
        let ended = match ended {
            Some(ended) => ended,
            None => connection.await,
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    });
}
