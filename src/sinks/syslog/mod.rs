//! `syslog`: one message per event over UDP, TCP or TLS.
//!
//! Syslog confirms nothing: a message is delivered when the system has taken its bytes, and what the
//! receiver had not read when its connection broke is gone. Against that, the last messages are kept
//! for a while and sent again on the next connection ([`resend`]), which may double them. Messages
//! that were handed over before a connection failed are among those: they are delivered, and what
//! follows them does not wait for a receiver that takes a whole batch at once.
//! RFC 5424 (format), 5425 (TLS), 5426 (UDP), 6587 (TCP), 3164 (old format).

mod config;
mod connection;
mod encode;
mod resend;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::time::Instant;

use super::{
    BatchDefaults, Deliver, Item, Reason, Rendered, Report, SinkFinding, SinkType, Verdict,
};
use crate::format::Format;
use crate::settings::Section;
use crate::tls;
pub(crate) use config::{
    Framing, HeaderFormat, Oversize, ResendConfig, SyslogSinkConfig, Transport,
};
use connection::{Closed, Connection, FAREWELL, Written};
use resend::Unconfirmed;

/// Connections that a receiver has to break on one message alone before its neighbour is tried.
const BREAKS: u32 = 3;

impl SinkType for SyslogSinkConfig {
    const NAME: &'static str = "syslog";
    const BATCH: BatchDefaults = BatchDefaults { events: "500", bytes: "1 MiB" };
    const IS_ORDERED: bool = true;

    type Sink = Syslog;

    fn read(section: &mut Section<'_>, _: Format) -> Option<SyslogSinkConfig> {
        config::read(section)
    }

    fn refuses_lines(&self) -> Option<&'static str> {
        None
    }

    fn files(&self) -> Vec<PathBuf> {
        self.tls.files()
    }

    fn target(&self) -> String {
        self.address.clone()
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        encode::encode(self, rendered)
    }

    fn open(&self) -> Result<Syslog, Reason> {
        Syslog::open(self)
    }

    async fn reopen(&self, sink: &mut Syslog) -> Result<(), Reason> {
        sink.reopen().await
    }
}

/// A target of `type = "syslog"`.
#[derive(Debug)]
pub(crate) struct Syslog {
    settings: SyslogSinkConfig,
    tls: Option<Arc<ClientConfig>>,
    connection: Option<Connection>,
    unconfirmed: Unconfirmed,
    /// When the last connection was lost, until there is another.
    ended: Option<Instant>,
    /// Connections in a row that broke on the first unconfirmed message alone.
    breaks: u32,
    /// True if the receiver has left a connection open on which one message was sent and ended.
    is_silent: bool,
}

impl Syslog {
    pub(super) fn open(settings: &SyslogSinkConfig) -> Result<Syslog, Reason> {
        let tls = match settings.transport {
            Transport::Tls => Some(Arc::new(tls::client_config(&settings.tls)?)),
            Transport::Tcp | Transport::Udp => None,
        };
        let unconfirmed = Unconfirmed::new(settings.resend);
        let settings = settings.clone();
        Ok(Syslog {
            settings,
            tls,
            connection: None,
            unconfirmed,
            ended: None,
            breaks: 0,
            is_silent: false,
        })
    }

    /// Reads the certificates again for the next connection; what is unconfirmed stays so.
    pub(super) async fn reopen(&mut self) -> Result<(), Reason> {
        let fresh = Syslog::open(&self.settings)?;
        if let Some(connection) = self.connection.take() {
            self.ended = connection.ended();
            if connection.close(FAREWELL).await == Closed::InOrder {
                self.unconfirmed.confirm();
            }
        }
        self.tls = fresh.tls;
        Ok(())
    }

    /// The open connection, or a new one on which unconfirmed messages are sent again. The number is
    /// how many messages those were.
    async fn connected(&mut self) -> Result<(Connection, u64), (Reason, u64)> {
        if let Some(connection) = self.connection.take() {
            match connection.ended() {
                None => return Ok((connection, 0)),
                Some(ended) => self.ended = Some(ended),
            }
        }
        let mut resent = 0;
        loop {
            let connected = connection::connect(&self.settings, self.tls.as_ref()).await;
            let mut connection = connected.map_err(|reason| (reason, resent))?;
            let due = self.unconfirmed.due(self.ended.unwrap_or_else(Instant::now));
            let is_stuck = self.is_silent || (self.breaks >= BREAKS && due == 1);
            match self.unconfirmed.careful().filter(|_| !is_stuck) {
                Some(count) => {
                    let repeated = self.repeat_carefully(connection, count, &mut resent).await;
                    repeated.map_err(|reason| (reason, resent))?;
                }
                None => {
                    let repeated = self.repeat_all(&mut connection, due, &mut resent).await;
                    repeated.map_err(|reason| (reason, resent))?;
                    self.ended = None;
                    return Ok((connection, resent));
                }
            }
        }
    }

    /// Sends all unconfirmed messages again.
    async fn repeat_all(
        &mut self,
        connection: &mut Connection,
        count: usize,
        resent: &mut u64,
    ) -> Result<(), Reason> {
        let mut done = 0;
        while done < count {
            let again = self.unconfirmed.range(done, count - done);
            let Written { whole, started, error } =
                connection.write(&again, self.settings.timeout).await;
            *resent += started as u64;
            done += whole;
            self.unconfirmed.renew(done, Instant::now());
            error.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// Sends the first `count` unconfirmed messages again, and ends the connection to learn that they
    /// have been read. A message on which the receiver breaks each connection is given up when the
    /// receiver takes the next one: it was handed over, and more cannot be done.
    async fn repeat_carefully(
        &mut self,
        mut connection: Connection,
        count: usize,
        resent: &mut u64,
    ) -> Result<(), Reason> {
        let is_past_one = self.breaks >= BREAKS;
        let (first, count) = if is_past_one { (1, 1) } else { (0, count) };
        let again = self.unconfirmed.range(first, count);
        let Written { whole, started, error } =
            connection.write(&again, self.settings.timeout).await;
        *resent += started as u64;
        let closed = match &error {
            None => connection.close(FAREWELL).await,
            Some(reason) if reason.is_late => Closed::Silent,
            Some(_) => Closed::Broken,
        };
        let now = Instant::now();
        if closed == Closed::InOrder {
            if is_past_one {
                let message = "the receiver breaks every connection on one message and takes the \
                               next: that message is not sent again";
                tracing::warn!(address = self.settings.address, "{message}");
            }
            self.breaks = 0;
            self.unconfirmed.confirm_first(first + whole);
            return Ok(());
        }
        self.breaks = match closed {
            Closed::Broken if count == 1 && !is_past_one => self.breaks + 1,
            // Not about one message: the receiver takes the next one no better.
            _ => 0,
        };
        self.unconfirmed.renew(first + whole, now);
        self.is_silent = closed == Closed::Silent && error.is_none() && count == 1;
        let divisor = if closed == Closed::Silent { 16 } else { 2 };
        self.unconfirmed.go_smaller(count, divisor);
        self.ended = Some(now);
        Err(error.unwrap_or_else(|| {
            Reason::late("the receiver did not end the connection in order after reading it")
        }))
    }

    fn retry(&self, reason: &Reason) -> Verdict {
        let message = format!("{}: {reason}", self.settings.address);
        Verdict::Retry { after: None, reason: Reason { message, ..reason.clone() } }
    }
}

impl Deliver for Syslog {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let (mut connection, resent) = match self.connected().await {
            Ok(connected) => connected,
            Err((reason, begun)) => {
                return Report::all(items, self.retry(&reason)).with(SinkFinding::Resent, begun);
            }
        };
        let messages: Vec<&[u8]> = items.iter().map(|item| item.payload.as_ref()).collect();
        let began = Instant::now();
        let Written { whole, started, error } =
            connection.write(&messages, self.settings.timeout).await;
        let mut verdicts = vec![Verdict::NotTried; items.len()];
        let Some(error) = error else {
            if connection.is_stream() {
                self.unconfirmed.add(&messages[..whole], Instant::now());
            }
            self.connection = Some(connection);
            verdicts[..whole].fill(Verdict::Delivered);
            self.is_silent = false;
            return Report::from(verdicts).with(SinkFinding::Resent, resent);
        };
        // Only as many as can be sent again: it is known that the receiver may not have read them.
        let kept = match connection.is_stream() {
            true => whole.min(self.unconfirmed.capacity()),
            false => whole,
        };
        if connection.is_stream() {
            self.unconfirmed.add(&messages[..kept], Instant::now());
        }
        // A receiver that takes nothing any more was lost before we began to wait for it.
        self.ended = Some(connection.ended().unwrap_or(began));
        verdicts[..kept].fill(Verdict::Delivered);
        verdicts[kept..].fill(self.retry(&error));
        Report::from(verdicts).with(SinkFinding::Resent, resent + (started - kept) as u64)
    }

    async fn probe(&mut self) -> Result<String, Reason> {
        let connected = connection::connect(&self.settings, self.tls.as_ref()).await;
        let connection = connected
            .map_err(|reason| Reason::new(format!("{}: {reason}", self.settings.address)))?;
        connection.close(FAREWELL).await;
        Ok(match self.settings.transport {
            Transport::Udp => "its name resolves; UDP says no more".to_owned(),
            Transport::Tcp | Transport::Tls => "it accepts connections".to_owned(),
        })
    }

    async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close(FAREWELL).await;
        }
    }
}

#[cfg(test)]
mod tests;
