//! A connection to a syslog receiver: connects, detects its end, writes with a timeout, closes in order.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::{SyslogSinkConfig, Transport};
use crate::error_chain::{connection_failure, io_message};
use crate::sinks::Reason;

/// Bytes per write, and upper bound of the unsent bytes in the send buffer. A slow receiver empties a large buffer so
/// rarely that the sink would take it for a stalled one.
const WRITE_BYTES: usize = 16 * 1024;

/// Upper bound of the duration of one write, in multiples of its timeout, for a receiver that reads slowly.
const MAX_TIMEOUTS_PER_WRITE: u32 = 10;

/// Time within which the receiver's TCP must acknowledge bytes. Shorter than the default of `resend.age`.
const PEER_TIMEOUT: Duration = Duration::from_secs(20);

/// Time for the receiver to close the connection after the sink has.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

trait ByteStream: AsyncRead + AsyncWrite + Send + Sync {}
impl<S: AsyncRead + AsyncWrite + Send + Sync> ByteStream for S {}

/// An open connection.
#[derive(Debug)]
pub(super) enum SyslogConnection {
    Datagrams(UdpSocket),
    Stream(WatchedStream),
}

/// A stream whose end is detected at once by reading from it. A receiver sends nothing, and a write to a closed
/// connection would still succeed.
pub(super) struct WatchedStream {
    writer: WriteHalf<Box<dyn ByteStream + Unpin>>,
    ended: watch::Receiver<Option<StreamEnd>>,
    _reader: AbortOnDropHandle<()>,
}

/// End of a stream.
#[derive(Debug, Clone, Copy)]
struct StreamEnd {
    at: Instant,
    /// True if the receiver closed the stream after it had read all bytes; false after a reset.
    is_orderly: bool,
}

/// Result of a write.
pub(super) struct Written {
    /// Messages that the operating system has accepted as a whole.
    pub(super) whole: usize,
    /// Messages of which the operating system has accepted at least one byte.
    pub(super) started: usize,
    /// Error after which the connection cannot be used.
    pub(super) error: Option<Reason>,
}

/// End of a connection that the sink has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// The receiver closed it afterwards: it has read everything.
    InOrder,
    /// The receiver reset it, or had closed it before.
    Broken,
    /// The receiver did not close it in time.
    Silent,
}

impl std::fmt::Debug for WatchedStream {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("WatchedStream")
            .field("ended", &*self.ended.borrow())
            .finish_non_exhaustive()
    }
}

/// Connects within `connect_timeout`.
pub(super) async fn connect(
    settings: &SyslogSinkConfig,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<SyslogConnection, Reason> {
    let failed = |error: std::io::Error| Reason::new(connection_failure(&error, &settings.address));
    let connecting = async {
        if settings.transport == Transport::Udp {
            return Ok(SyslogConnection::Datagrams(bound_to(&settings.address).await?));
        }
        let stream = TcpStream::connect(&settings.address).await?;
        stream.set_nodelay(true)?;
        limit_loss(&stream)?;
        let Some(config) = tls else { return Ok(watched(Box::new(stream))) };
        let host = settings.address.rsplit_once(':').map_or("", |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        let name = name.map_err(std::io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
        Ok(watched(Box::new(stream)))
    };
    let late = |_| Reason::new(format!("no connection within {:?}", settings.connect_timeout));
    timeout(settings.connect_timeout, connecting).await.map_err(late)?.map_err(failed)
}

/// Bounds the unsent bytes, and the time after which a lost peer is detected. The system's default is about 15 minutes;
/// all bytes that are written meanwhile would be lost.
fn limit_loss(stream: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_notsent_lowat(WRITE_BYTES as u32)?;
    socket.set_tcp_user_timeout(Some(PEER_TIMEOUT))?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(PEER_TIMEOUT / 2)
            .with_interval(PEER_TIMEOUT / 8)
            .with_retries(4),
    )
}

async fn bound_to(address: &str) -> std::io::Result<UdpSocket> {
    let target = tokio::net::lookup_host(address).await?.next();
    let target = target.ok_or_else(|| std::io::Error::other("the name has no address"))?;
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(target).await?;
    Ok(socket)
}

fn watched(stream: Box<dyn ByteStream + Unpin>) -> SyslogConnection {
    let (reader, writer) = tokio::io::split(stream);
    let (end, ended) = watch::channel(None);
    let reading = AbortOnDropHandle::new(tokio::spawn(read_to_end(reader, end)));
    SyslogConnection::Stream(WatchedStream { writer, ended, _reader: reading })
}

async fn read_to_end(
    mut reader: ReadHalf<Box<dyn ByteStream + Unpin>>,
    end: watch::Sender<Option<StreamEnd>>,
) {
    let mut ignored = [0; 1024];
    let is_orderly = loop {
        match reader.read(&mut ignored).await {
            Ok(0) => break true,
            Ok(_) => {}
            // Many TLS receivers close without `close_notify`. Unread bytes would cause a reset instead.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break true,
            Err(_) => break false,
        }
    };
    end.send_replace(Some(StreamEnd { at: Instant::now(), is_orderly }));
}

impl SyslogConnection {
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, SyslogConnection::Stream(_))
    }

    /// Returns the time at which the receiver closed or reset the stream, if it has.
    pub(super) fn ended(&self) -> Option<Instant> {
        match self {
            SyslogConnection::Datagrams(_) => None,
            SyslogConnection::Stream(stream) => stream.ended.borrow().map(|end| end.at),
        }
    }

    /// Writes messages in order. The connection fails if the receiver accepts no byte for `limit`. After `limit`, a
    /// write that makes progress stops after a whole message; the next write sends the rest.
    pub(super) async fn write(&mut self, messages: &[&[u8]], limit: Duration) -> Written {
        let mut written = 0;
        let error = match self {
            SyslogConnection::Datagrams(socket) => {
                send_all(socket, messages, limit, &mut written).await
            }
            SyslogConnection::Stream(stream) => stream.write(messages, limit, &mut written).await,
        };
        let error = error
            .err()
            .or_else(|| self.ended().map(|_| Reason::new("the receiver closed the connection")));
        let (mut whole, mut started, mut rest) = (0, 0, written);
        for message in messages {
            started += usize::from(rest > 0);
            whole += usize::from(rest > 0 && rest >= message.len());
            rest = rest.saturating_sub(message.len());
        }
        Written { whole, started, error }
    }

    /// Closes the stream for writing, with TLS's `close_notify` (RFC 5425, 4.4), and waits up to `limit` until the
    /// receiver has closed it, too. Closing it for reading at once could reset the connection, and the receiver would
    /// lose the bytes that it has not read.
    pub(super) async fn close(self, limit: Duration) -> Closed {
        let was_lost = self.ended().is_some();
        let SyslogConnection::Stream(mut stream) = self else { return Closed::InOrder };
        let closing = async {
            drop(stream.writer.shutdown().await);
            // An error means that the reading task, and with it the stream, has ended.
            let ended = stream.ended.wait_for(Option::is_some).await;
            ended.is_ok_and(|end| end.is_some_and(|end| end.is_orderly))
        };
        match timeout(limit, closing).await {
            Ok(true) if !was_lost => Closed::InOrder,
            Ok(_) => Closed::Broken,
            Err(_) => Closed::Silent,
        }
    }
}

async fn send_all(
    socket: &UdpSocket,
    messages: &[&[u8]],
    limit: Duration,
    written: &mut usize,
) -> Result<(), Reason> {
    for message in messages {
        match timeout(limit, socket.send(message)).await {
            Ok(Ok(_)) => *written += message.len(),
            Ok(Err(error)) => {
                return Err(Reason::new(format!("cannot send: {}", io_message(&error))));
            }
            Err(_) => return Err(stalled(limit)),
        }
    }
    Ok(())
}

impl WatchedStream {
    async fn write(
        &mut self,
        messages: &[&[u8]],
        limit: Duration,
        written: &mut usize,
    ) -> Result<(), Reason> {
        let failed =
            |error: std::io::Error| Reason::new(format!("cannot write: {}", io_message(&error)));
        let bytes = messages.concat();
        let mut end = bytes.len();
        let began = Instant::now();
        while *written < end {
            let chunk = &bytes[*written..end.min(*written + WRITE_BYTES)];
            match timeout(limit, self.writer.write(chunk)).await {
                Ok(Ok(0)) => return Err(failed(ErrorKind::WriteZero.into())),
                Ok(Ok(count)) => *written += count,
                Ok(Err(error)) => return Err(failed(error)),
                Err(_) => return Err(stalled(limit)),
            }
            if began.elapsed() >= limit && end == bytes.len() {
                end = end_of_message(messages, *written);
            }
            if began.elapsed() >= limit.saturating_mul(MAX_TIMEOUTS_PER_WRITE) && *written < end {
                let late = format!(
                    "it did not take a message within {:?}",
                    limit * MAX_TIMEOUTS_PER_WRITE
                );
                return Err(Reason::late(late));
            }
        }
        match timeout(limit, self.writer.flush()).await {
            Ok(flushed) => flushed.map_err(failed),
            Err(_) => Err(stalled(limit)),
        }
    }
}

/// Returns the end of the message that contains byte number `written`, or ends with it.
fn end_of_message(messages: &[&[u8]], written: usize) -> usize {
    let mut end = 0;
    for message in messages {
        if end >= written {
            break;
        }
        end += message.len();
    }
    end
}

fn stalled(limit: Duration) -> Reason {
    Reason::late(format!("the receiver accepted no byte for {limit:?}"))
}
