//! One connection to a syslog receiver: opened, watched, written to, closed.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::{SyslogSink, Transport};
use crate::sinks::Reason;

/// Bytes handed to the socket at a time.
const WRITE: usize = 64 * 1024;

/// How long a receiver may take to hear that we are going.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync {}
impl<S: AsyncRead + AsyncWrite + Send + Sync> Stream for S {}

/// An open connection.
pub(super) enum Connection {
    Datagrams(UdpSocket),
    Stream(Pin<Box<dyn Stream>>),
}

/// Why messages were not written, and how many of them were at least begun.
pub(super) struct Unwritten {
    pub(super) error: Reason,
    pub(super) begun: usize,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(if self.is_stream() { "Stream" } else { "Datagrams" })
    }
}

/// Connects, within the configured time.
pub(super) async fn connect(
    settings: &SyslogSink,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Connection, Reason> {
    let failed = |error: std::io::Error| Reason::new(format!("cannot connect: {error}"));
    let connecting = async {
        if settings.transport == Transport::Udp {
            let target = resolve(&settings.address).await?;
            let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).await?;
            socket.connect(target).await?;
            return Ok(Connection::Datagrams(socket));
        }
        let stream = TcpStream::connect(&settings.address).await?;
        stream.set_nodelay(true)?;
        let Some(config) = tls else { return Ok(Connection::Stream(Box::pin(stream))) };
        let host = settings.address.rsplit_once(':').map_or("", |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        let name = name.map_err(std::io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
        Ok(Connection::Stream(Box::pin(stream)))
    };
    let late = |_| Reason::new(format!("no connection within {:?}", settings.connect_timeout));
    timeout(settings.connect_timeout, connecting).await.map_err(late)?.map_err(failed)
}

async fn resolve(address: &str) -> std::io::Result<std::net::SocketAddr> {
    let found = tokio::net::lookup_host(address).await?.next();
    found.ok_or_else(|| std::io::Error::other("the name has no address"))
}

impl Connection {
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Connection::Stream(_))
    }

    /// Whether the receiver has not hung up: a receiver never says anything else, and a write to one
    /// that has gone would still succeed.
    pub(super) fn is_alive(&mut self) -> bool {
        let Connection::Stream(stream) = self else { return true };
        let mut ignored = [0; 256];
        loop {
            match stream.read(&mut ignored).now_or_never() {
                None => return true,
                Some(Ok(0) | Err(_)) => return false,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Writes messages in order, within `limit`.
    pub(super) async fn write(
        &mut self,
        messages: &[&[u8]],
        limit: Duration,
    ) -> Result<(), Unwritten> {
        let mut written = 0;
        let writing = async {
            match self {
                Connection::Datagrams(socket) => {
                    for message in messages {
                        socket.send(message).await?;
                        written += message.len();
                    }
                }
                Connection::Stream(stream) => {
                    let bytes = messages.concat();
                    while written < bytes.len() {
                        let end = bytes.len().min(written + WRITE);
                        match stream.write(&bytes[written..end]).await? {
                            0 => return Err(std::io::ErrorKind::WriteZero.into()),
                            count => written += count,
                        }
                    }
                    stream.flush().await?;
                }
            }
            Ok::<(), std::io::Error>(())
        };
        let error = match timeout(limit, writing).await {
            // A receiver that has hung up meanwhile is noticed here, if its word has arrived.
            Ok(Ok(())) if self.is_alive() => return Ok(()),
            Ok(Ok(())) => Reason::new("the receiver closed the connection"),
            Ok(Err(error)) => Reason::new(format!("cannot write: {error}")),
            Err(_) => Reason::new(format!("it took no messages for {limit:?}")),
        };
        let mut rest = written;
        let begun = messages.iter().take_while(|message| {
            let is_begun = rest > 0;
            rest = rest.saturating_sub(message.len());
            is_begun
        });
        Err(Unwritten { error, begun: begun.count() })
    }

    /// Ends the stream, with TLS's `close_notify` (RFC 5425, 4.4).
    pub(super) async fn close(&mut self) {
        if let Connection::Stream(stream) = self {
            // Whether it arrives makes no difference to us.
            drop(timeout(FAREWELL, stream.shutdown()).await);
        }
    }
}
