//! One connection, from its first byte to its end.

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

use super::authority::Shown;
use super::connection_limiter::ConnectionPermit;
use super::linger::{Lingering, MAX_LINGER};
use super::unread::Watched;
use super::{Listener, Shared, proxy_protocol};
use crate::shutdown::Shutdown;

/// How long a connection without a request may stay when the service ends.
const LAST: Duration = Duration::from_secs(1);

/// Who is at the other end of a request's connection; every request carries it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where the connection comes from, by the PROXY protocol's header where there is one.
    pub address: SocketAddr,
    /// The certificate that it showed, and the authority that has checked it.
    pub(crate) shown: Option<Arc<Shown>>,
    closing: Arc<Closing>,
}

/// The wish to close a connection, which is told to it once the answer behind the wish is out.
#[derive(Debug, Default)]
struct Closing {
    is_wanted: AtomicBool,
    notify: Notify,
}

impl Closing {
    /// Tells the connection at once over HTTP/1. Over HTTP/2 the client gets time to read the answer first: some
    /// (httpx) fail if the frames that announce the end arrive together with it.
    fn tell(self: Arc<Self>, is_http2: bool) {
        match self.is_wanted.load(Ordering::Relaxed) {
            true if is_http2 => drop(tokio::spawn(async move {
                sleep(LAST).await;
                self.notify.notify_one();
            })),
            true => self.notify.notify_one(),
            false => {}
        }
    }
}

impl Peer {
    /// A peer without a certificate.
    pub fn new(address: SocketAddr) -> Peer {
        Peer { address, shown: None, closing: Arc::default() }
    }

    /// Closes the connection when the requests in flight on it are answered.
    pub fn close(&self) {
        self.closing.is_wanted.store(true, Ordering::Relaxed);
    }
}

/// Why a connection ended otherwise than by its client's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its permit was needed.
    GaveWay,
    /// It has waited too long for a request.
    Idle,
    /// Its handshake failed or took too long.
    Handshake,
    /// It broke HTTP, or broke off.
    Broken,
    /// As its client wished, or the service's end.
    Well,
}

impl Ended {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Ended::GaveWay => "gave_way",
            Ended::Idle => "idle",
            Ended::Handshake => "handshake",
            Ended::Broken => "broken",
            Ended::Well => "well",
        }
    }
}

/// Serves a connection to its end.
pub(super) async fn serve(
    shared: &Shared,
    stream: TcpStream,
    address: SocketAddr,
    permit: ConnectionPermit,
    shutdown: Shutdown,
) -> Ended {
    let listener = &shared.listener;
    let permit = Arc::new(permit);
    let talking = async {
        // Small answers must not wait for more to send.
        drop(stream.set_nodelay(true));
        let greeting = timeout(listener.timeouts.handshake, greet(listener, stream, address));
        let mut ending = shutdown.clone();
        let greeted = tokio::select! {
            greeted = greeting => greeted,
            () = ending.begun() => return Ended::Well,
        };
        match greeted {
            Ok(Ok((Greeted::Plain(stream), peer))) => {
                talk(stream, shared, peer, &permit, shutdown).await
            }
            Ok(Ok((Greeted::Tls(stream), peer))) => {
                talk(*stream, shared, peer, &permit, shutdown).await
            }
            Ok(Err(error)) => {
                tracing::debug!(peer = %address, %error, "a handshake failed");
                Ended::Handshake
            }
            Err(_) => Ended::Handshake,
        }
    };
    tokio::select! {
        ended = talking => ended,
        () = permit.is_needed() => Ended::GaveWay,
        () = permit.is_idle(listener.timeouts.header) => Ended::Idle,
    }
}

enum Greeted {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// What comes before HTTP: the proxy's header, and TLS.
async fn greet(
    listener: &Listener,
    mut stream: TcpStream,
    address: SocketAddr,
) -> std::io::Result<(Greeted, Peer)> {
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
        return Ok((Greeted::Plain(stream), peer));
    };
    let stream = tls.acceptor().accept(stream).await?;
    let chain = stream.get_ref().1.peer_certificates();
    peer.shown = match (chain, &tls.authority) {
        (Some(chain), Some(authority)) => Some(Arc::new(Shown::new(chain, authority)?)),
        _ => None,
    };
    Ok((Greeted::Tls(Box::new(stream)), peer))
}

/// HTTP, until one side has had enough.
async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    shared: &Shared,
    peer: Peer,
    permit: &Arc<ConnectionPermit>,
    mut shutdown: Shutdown,
) -> Ended {
    let closing = Arc::clone(&peer.closing);
    let lingers = Arc::new(AtomicBool::new(false));
    let stream = Lingering::new(stream, Arc::clone(&lingers));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let in_flight = InFlight::begin(permit);
        let is_http2 = request.version() == Version::HTTP_2;
        let (head, body) = request.into_parts();
        let (body, unread) = Watched::new(body);
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
    // How long the connection may stay without a request once it is closing.
    let mut timeout = None;
    loop {
        tokio::select! {
            ended = &mut connection => return match ended {
                Ok(()) => Ended::Well,
                Err(error) => {
                    tracing::debug!(peer = %peer.address, %error, "a connection ended early");
                    Ended::Broken
                }
            },
            // Such as one with half a request, which nobody waits for any more.
            () = permit.is_idle(timeout.unwrap_or(LAST)), if timeout.is_some() => {
                return Ended::Well;
            }
            () = shutdown.begun(), if timeout != Some(LAST) => timeout = Some(LAST),
            // Its client may still have to read the answer that says why.
            () = closing.notify.notified(), if timeout.is_none() => timeout = Some(MAX_LINGER),
        }
        connection.as_mut().graceful_shutdown();
    }
}

/// An answer whose length is not known is made while it is sent: until then its request is in flight. Any
/// other is ready, and whoever reads it slowly may have to give way.
fn until_sent(answer: Response, in_flight: InFlight) -> Response {
    if answer.body().size_hint().exact().is_some() {
        return answer;
    }
    answer.map(|body| {
        Body::from_stream(body.into_data_stream().inspect(move |_| {
            let _held = &in_flight;
        }))
    })
}

/// A request in flight, also one that is dropped before it is answered.
struct InFlight(Arc<ConnectionPermit>);

impl InFlight {
    fn begin(permit: &Arc<ConnectionPermit>) -> InFlight {
        permit.begin();
        InFlight(Arc::clone(permit))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.end();
    }
}
