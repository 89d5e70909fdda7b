//! One connection to a syslog receiver: opened, watched, written to, closed.

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

/// Bytes handed to the socket at a time, and bytes that the system keeps unsent at most: with a large
/// send buffer, a slow receiver would look like one that takes nothing for most of the time.
const WRITE: usize = 16 * 1024;

/// One write takes this many times its time limit at most, however slowly the receiver reads.
const MAX_TURNS: u32 = 10;

/// Time that bytes may stay unacknowledged by the receiver's system, shorter than they are kept.
const VANISHED: Duration = Duration::from_secs(20);

/// How long a receiver may take to hear that we are going.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

trait Stream: AsyncRead + AsyncWrite + Send + Sync {}
impl<S: AsyncRead + AsyncWrite + Send + Sync> Stream for S {}

/// An open connection.
#[derive(Debug)]
pub(super) enum Connection {
    Datagrams(UdpSocket),
    Stream(Watched),
}

/// A stream whose end is noticed when it comes: a receiver never says anything else, and a write to
/// one that has gone would still succeed.
pub(super) struct Watched {
    writer: WriteHalf<Box<dyn Stream + Unpin>>,
    ended: watch::Receiver<Option<End>>,
    _reader: AbortOnDropHandle<()>,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy)]
struct End {
    at: Instant,
    /// In order: the receiver has read what there was before it said so.
    is_orderly: bool,
}

/// How far a write came.
pub(super) struct Written {
    /// Messages that were handed over to the last byte.
    pub(super) whole: usize,
    /// Messages of which at least one byte was handed over.
    pub(super) started: usize,
    /// Reason why the connection cannot be used any more, if that is so.
    pub(super) error: Option<Reason>,
}

/// How a connection ended that we closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// The receiver ended it as well, after us: it has read everything.
    InOrder,
    /// The receiver reset it, or had ended it before.
    Broken,
    /// The receiver did not end it in time.
    Silent,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Watched").field("ended", &*self.ended.borrow()).finish_non_exhaustive()
    }
}

/// Connects, within the configured time.
pub(super) async fn connect(
    settings: &SyslogSinkConfig,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Connection, Reason> {
    let failed = |error: std::io::Error| Reason::new(connection_failure(&error, &settings.address));
    let connecting = async {
        if settings.transport == Transport::Udp {
            return Ok(Connection::Datagrams(bound_to(&settings.address).await?));
        }
        let stream = TcpStream::connect(&settings.address).await?;
        stream.set_nodelay(true)?;
        notice_a_vanished_peer(&stream)?;
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

/// Bounds what is written and unsent, and the time after which a peer that is cut off is noticed: that
/// would be a quarter of an hour, and all that was written meanwhile would be lost.
fn notice_a_vanished_peer(stream: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_notsent_lowat(WRITE as u32)?;
    socket.set_tcp_user_timeout(Some(VANISHED))?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(VANISHED / 2).with_interval(VANISHED / 8).with_retries(4),
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

fn watched(stream: Box<dyn Stream + Unpin>) -> Connection {
    let (reader, writer) = tokio::io::split(stream);
    let (end, ended) = watch::channel(None);
    let reading = AbortOnDropHandle::new(tokio::spawn(read_to_end(reader, end)));
    Connection::Stream(Watched { writer, ended, _reader: reading })
}

async fn read_to_end(
    mut reader: ReadHalf<Box<dyn Stream + Unpin>>,
    end: watch::Sender<Option<End>>,
) {
    let mut ignored = [0; 1024];
    let is_orderly = loop {
        match reader.read(&mut ignored).await {
            Ok(0) => break true,
            Ok(_) => {}
            // Many TLS receivers end without `close_notify`. With bytes unread it would be a reset.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break true,
            Err(_) => break false,
        }
    };
    end.send_replace(Some(End { at: Instant::now(), is_orderly }));
}

impl Connection {
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Connection::Stream(_))
    }

    /// When the receiver hung up, if it has.
    pub(super) fn ended(&self) -> Option<Instant> {
        match self {
            Connection::Datagrams(_) => None,
            Connection::Stream(stream) => stream.ended.borrow().map(|end| end.at),
        }
    }

    /// Writes messages in order. The connection fails when no byte is taken for `limit`. When `limit` is
    /// over and the receiver has taken some, the write ends after a whole message, and the rest is for
    /// the next one.
    pub(super) async fn write(&mut self, messages: &[&[u8]], limit: Duration) -> Written {
        let mut written = 0;
        let error = match self {
            Connection::Datagrams(socket) => send_all(socket, messages, limit, &mut written).await,
            Connection::Stream(stream) => stream.write(messages, limit, &mut written).await,
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

    /// Ends the stream, with TLS's `close_notify` (RFC 5425, 4.4), and waits until the receiver has
    /// ended it as well: what it says to a socket that is gone would reset the connection, and the
    /// receiver would throw away what it has not read.
    pub(super) async fn close(self, limit: Duration) -> Closed {
        let was_lost = self.ended().is_some();
        let Connection::Stream(mut stream) = self else { return Closed::InOrder };
        let farewell = async {
            drop(stream.writer.shutdown().await);
            // An error means that the reader is gone, and so is the stream.
            let ended = stream.ended.wait_for(Option::is_some).await;
            ended.is_ok_and(|end| end.is_some_and(|end| end.is_orderly))
        };
        // A receiver that does not answer has had its time.
        match timeout(limit, farewell).await {
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

impl Watched {
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
            let chunk = &bytes[*written..end.min(*written + WRITE)];
            match timeout(limit, self.writer.write(chunk)).await {
                Ok(Ok(0)) => return Err(failed(ErrorKind::WriteZero.into())),
                Ok(Ok(count)) => *written += count,
                Ok(Err(error)) => return Err(failed(error)),
                Err(_) => return Err(stalled(limit)),
            }
            if began.elapsed() >= limit && end == bytes.len() {
                end = end_of_message(messages, *written);
            }
            if began.elapsed() >= limit.saturating_mul(MAX_TURNS) && *written < end {
                let late = format!("it did not take a message within {:?}", limit * MAX_TURNS);
                return Err(Reason::late(late));
            }
        }
        match timeout(limit, self.writer.flush()).await {
            Ok(flushed) => flushed.map_err(failed),
            Err(_) => Err(stalled(limit)),
        }
    }
}

/// The end of the message that byte number `written` ends or is in.
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
    Reason::late(format!("the receiver took no byte for {limit:?}"))
}
