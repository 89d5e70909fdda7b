//! One connection to a syslog receiver: opened, watched, written to, closed.

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

use crate::causes::{connection_failure, io_message};
use crate::config::{SyslogSink, Transport};
use crate::sinks::Reason;

/// Bytes handed to the socket at a time.
const WRITE: usize = 64 * 1024;

/// How long bytes may stay unacknowledged by the receiver's system: less than they are kept.
const VANISHED: Duration = Duration::from_secs(20);

/// How long a receiver may take to hear that we are going.
const FAREWELL: Duration = Duration::from_secs(2);

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

/// Why messages were not written, and how many of them were at least begun.
pub(super) struct Unwritten {
    pub(super) error: Reason,
    pub(super) begun: usize,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Watched").field("ended", &*self.ended.borrow()).finish_non_exhaustive()
    }
}

/// Connects, within the configured time.
pub(super) async fn connect(
    settings: &SyslogSink,
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

/// Without this, a peer that is cut off is noticed after a quarter of an hour, and all that was
/// written meanwhile is lost.
fn notice_a_vanished_peer(stream: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(stream);
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
                        match stream.writer.write(&bytes[written..end]).await? {
                            0 => return Err(std::io::ErrorKind::WriteZero.into()),
                            count => written += count,
                        }
                    }
                    stream.writer.flush().await?;
                }
            }
            Ok::<(), std::io::Error>(())
        };
        let error = match timeout(limit, writing).await {
            Ok(Ok(())) if self.ended().is_none() => return Ok(()),
            Ok(Ok(())) => Reason::new("the receiver closed the connection"),
            Ok(Err(error)) => Reason::new(format!("cannot write: {}", io_message(&error))),
            Err(_) => Reason::new(format!("it did not take all messages within {limit:?}")),
        };
        let mut rest = written;
        let begun = messages.iter().take_while(|message| {
            let is_begun = rest > 0;
            rest = rest.saturating_sub(message.len());
            is_begun
        });
        Err(Unwritten { error, begun: begun.count() })
    }

    /// Ends the stream, with TLS's `close_notify` (RFC 5425, 4.4), and waits until the receiver has
    /// ended it as well: what it says to a socket that is gone would reset the connection, and the
    /// receiver would throw away what it has not read. Tells whether it ended in order, after us.
    pub(super) async fn close(self) -> bool {
        let was_lost = self.ended().is_some();
        let Connection::Stream(mut stream) = self else { return true };
        let farewell = async {
            drop(stream.writer.shutdown().await);
            // An error means that the reader is gone, and so is the stream.
            let ended = stream.ended.wait_for(Option::is_some).await;
            ended.is_ok_and(|end| end.is_some_and(|end| end.is_orderly))
        };
        // A receiver that does not answer has had its time.
        timeout(FAREWELL, farewell).await.unwrap_or(false) && !was_lost
    }
}
