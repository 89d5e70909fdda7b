//! Serves one connection from its first byte to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Version, header};
use axum::response::Response;
use futures_util::StreamExt;
use hyper::body::Body as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::authority::PresentedCertificate;
use super::connection_limiter::ConnectionPermit;
use super::linger::{LingeringStream, MAX_LINGER_TIME};
use super::unread::TrackedBody;
use super::{Listener, SharedListener, proxy_protocol};
use crate::shutdown::Shutdown;

/// Maximum time that a connection without a request stays open during shutdown.
const IDLE_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Other end of a connection. Every request has it as an extension.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Address of the client, from the PROXY protocol header if there is one.
    pub address: SocketAddr,
    /// Client certificate with the authority that verified it.
    pub(crate) shown: Option<Arc<PresentedCertificate>>,
    closing: Arc<CloseSignal>,
}

/// Request to close a connection after the current answer.
#[derive(Debug, Default)]
struct CloseSignal {
    is_wanted: AtomicBool,
    notify: Notify,
}

impl CloseSignal {
    /// Closes an HTTP/1 connection at once. Over HTTP/2, the client gets time to read the answer
    /// first: some clients (httpx) fail if GOAWAY arrives together with the answer.
    fn tell(self: Arc<Self>, is_http2: bool) {
        match self.is_wanted.load(Ordering::Relaxed) {
            true if is_http2 => drop(tokio::spawn(async move {
                sleep(IDLE_CLOSE_TIMEOUT).await;
                self.notify.notify_one();
            })),
            true => self.notify.notify_one(),
            false => {}
        }
    }
}

impl Peer {
    /// Creates a peer without a certificate.
    pub(crate) fn new(address: SocketAddr) -> Peer {
        Peer { address, shown: None, closing: Arc::default() }
    }

    /// Closes the connection after its requests in flight are answered.
    pub(crate) fn close(&self) {
        self.closing.is_wanted.store(true, Ordering::Relaxed);
    }
}

/// Reason for the end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The connection was closed in favour of a new one.
    GaveWay,
    /// The connection had no request for too long.
    Idle,
    /// The handshake failed or took too long.
    Handshake,
    /// The client violated HTTP or disconnected within a message.
    Broken,
    /// The client or the shutdown closed the connection.
    Well,
}

impl CloseReason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            CloseReason::GaveWay => "gave_way",
            CloseReason::Idle => "idle",
            CloseReason::Handshake => "handshake",
            CloseReason::Broken => "broken",
            CloseReason::Well => "well",
        }
    }
}

/// Serves a connection to its end. Returns the reason for the end.
pub(super) async fn serve(
    shared: &SharedListener,
    stream: TcpStream,
    address: SocketAddr,
    permit: ConnectionPermit,
    shutdown: Shutdown,
) -> CloseReason {
    let listener = &shared.listener;
    let permit = Arc::new(permit);
    let talking = async {
        // Small answers are sent at once.
        drop(stream.set_nodelay(true));
        let greeting = timeout(listener.timeouts.handshake, greet(listener, stream, address));
        let mut ending = shutdown.clone();
        let greeted = tokio::select! {
            greeted = greeting => greeted,
            () = ending.begun() => return CloseReason::Well,
        };
        match greeted {
            Ok(Ok((AcceptedStream::Plain(stream), peer))) => {
                talk(stream, shared, peer, &permit, shutdown).await
            }
            Ok(Ok((AcceptedStream::Tls(stream), peer))) => {
                talk(*stream, shared, peer, &permit, shutdown).await
            }
            Ok(Err(error)) => {
                tracing::debug!(peer = %address, %error, "a handshake failed");
                CloseReason::Handshake
            }
            Err(_) => CloseReason::Handshake,
        }
    };
    tokio::select! {
        ended = talking => ended,
        () = permit.is_needed() => CloseReason::GaveWay,
        () = permit.is_idle(listener.timeouts.header) => CloseReason::Idle,
    }
}

enum AcceptedStream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// Reads the PROXY protocol header and performs the TLS handshake.
async fn greet(
    listener: &Listener,
    mut stream: TcpStream,
    address: SocketAddr,
) -> std::io::Result<(AcceptedStream, Peer)> {
    let mut peer = Peer::new(address);
    if let Some(policy) = listener.policy.as_ref().filter(|_| listener.is_proxied) {
        if !policy.trusts_proxy(address.ip()) {
            return Err(std::io::Error::other("listen.trusted_proxies does not name this address"));
        }
        if let Some(source) = proxy_protocol::read(&mut stream).await? {
            peer.address = source;
        }
    }
    // Read after the header: a reload may have replaced the certificates meanwhile.
    let Some(tls) = listener.policy.as_ref().and_then(|policy| policy.tls()) else {
        return Ok((AcceptedStream::Plain(stream), peer));
    };
    let stream = tls.acceptor().accept(stream).await?;
    let chain = stream.get_ref().1.peer_certificates();
    peer.shown = match (chain, &tls.authority) {
        (Some(chain), Some(authority)) => {
            Some(Arc::new(PresentedCertificate::new(chain, authority)?))
        }
        _ => None,
    };
    Ok((AcceptedStream::Tls(Box::new(stream)), peer))
}

/// Serves HTTP until either side closes the connection.
async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    shared: &SharedListener,
    peer: Peer,
    permit: &Arc<ConnectionPermit>,
    mut shutdown: Shutdown,
) -> CloseReason {
    let closing = Arc::clone(&peer.closing);
    let lingers = Arc::new(AtomicBool::new(false));
    let stream = LingeringStream::new(stream, Arc::clone(&lingers));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let in_flight = RequestGuard::begin(permit);
        let is_http2 = request.version() == Version::HTTP_2;
        let (head, body) = request.into_parts();
        let (body, unread) = TrackedBody::new(body);
        let mut request = Request::from_parts(head, Body::new(body));
        request.extensions_mut().insert(peer.clone());
        let (router, lingers) = (shared.listener.router.clone(), Arc::clone(&lingers));
        let (drains, closing) = (shared.drains.clone(), Arc::clone(&peer.closing));
        async move {
            let answer = router.oneshot(request).await.unwrap_or_else(|never| match never {});
            let mut answer = until_sent(answer, in_flight);
            match unread.take() {
                Some(rest) if is_http2 => drains.begin(rest, move || closing.tell(true)),
                // The last answer on this connection.
                Some(_) => {
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(header::CONNECTION, close);
                    lingers.store(true, Ordering::Relaxed);
                    closing.tell(false);
                }
                None => closing.tell(is_http2),
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = shared.builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // Maximum time without a request, once the connection is closing.
    let mut timeout = None;
    loop {
        tokio::select! {
            ended = &mut connection => return match ended {
                Ok(()) => CloseReason::Well,
                Err(error) => {
                    tracing::debug!(peer = %peer.address, %error, "a connection ended early");
                    CloseReason::Broken
                }
            },
            // For example a connection with half a request.
            () = permit.is_idle(timeout.unwrap_or(IDLE_CLOSE_TIMEOUT)), if timeout.is_some() => {
                return CloseReason::Well;
            }
            () = shutdown.begun(), if timeout != Some(IDLE_CLOSE_TIMEOUT) => timeout = Some(IDLE_CLOSE_TIMEOUT),
            // The client may still have to read the answer that explains the closing.
            () = closing.notify.notified(), if timeout.is_none() => timeout = Some(MAX_LINGER_TIME),
        }
        connection.as_mut().graceful_shutdown();
    }
}

/// Keeps the request in flight while an answer of unknown length is sent. An answer of known length
/// is complete in memory, so a slow reader does not protect its connection from being closed in
/// favour of another.
fn until_sent(answer: Response, in_flight: RequestGuard) -> Response {
    if answer.body().size_hint().exact().is_some() {
        return answer;
    }
    answer.map(|body| {
        Body::from_stream(body.into_data_stream().inspect(move |_| {
            let _held = &in_flight;
        }))
    })
}

/// Counts a request as in flight until it is dropped.
struct RequestGuard(Arc<ConnectionPermit>);

impl RequestGuard {
    fn begin(permit: &Arc<ConnectionPermit>) -> RequestGuard {
        permit.begin();
        RequestGuard(Arc::clone(permit))
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}
