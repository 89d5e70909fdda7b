//! `syslog`: one message per event over UDP, TCP or TLS.
//!
//! Syslog has no acknowledgements. A message counts as delivered once the operating system has accepted its bytes, and
//! a broken connection loses the bytes that the receiver has not read. To make up for that, the sink remembers the last
//! messages and sends them again on the next connection ([`resend`]); the receiver may get them twice. The messages of
//! a batch that were written before its connection failed count as delivered, too: a receiver that never accepts a
//! whole batch still makes progress.
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
use connection::{CLOSE_TIMEOUT, Closed, SyslogConnection, Written};
use resend::Unconfirmed;

/// Connections that break on one message, sent alone, before the sink tries the message after it.
const MAX_BREAKS: u32 = 3;

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
    connection: Option<SyslogConnection>,
    unconfirmed: Unconfirmed,
    /// Time at which the last connection was lost; `None` once there is another.
    ended: Option<Instant>,
    /// Successive connections that broke on the first unconfirmed message, sent alone.
    breaks: u32,
    /// True if the receiver did not close a connection that the sink had closed after one message.
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

    /// Reads the certificates again, for the next connection. Unconfirmed messages stay unconfirmed, unless the
    /// receiver closes the old connection in order.
    pub(super) async fn reopen(&mut self) -> Result<(), Reason> {
        let fresh = Syslog::open(&self.settings)?;
        if let Some(connection) = self.connection.take() {
            self.ended = connection.ended();
            if connection.close(CLOSE_TIMEOUT).await == Closed::InOrder {
                self.unconfirmed.confirm();
            }
        }
        self.tls = fresh.tls;
        Ok(())
    }

    /// Returns the open connection, or a new one on which the unconfirmed messages are sent again; with the number of
    /// messages that were sent again.
    async fn connected(&mut self) -> Result<(SyslogConnection, u64), (Reason, u64)> {
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
            let is_stuck = self.is_silent || (self.breaks >= MAX_BREAKS && due == 1);
            match self.unconfirmed.group_size().filter(|_| !is_stuck) {
                Some(count) => {
                    let repeated = self.repeat_group(connection, count, &mut resent).await;
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

    /// Sends the first `count` unconfirmed messages again.
    async fn repeat_all(
        &mut self,
        connection: &mut SyslogConnection,
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

    /// Sends the first `count` unconfirmed messages again and closes the connection: a receiver that closes it in order
    /// has read them. If every connection breaks on one message and the receiver reads the next one, that message is not
    /// sent again.
    async fn repeat_group(
        &mut self,
        mut connection: SyslogConnection,
        count: usize,
        resent: &mut u64,
    ) -> Result<(), Reason> {
        let is_past_one = self.breaks >= MAX_BREAKS;
        let (first, count) = if is_past_one { (1, 1) } else { (0, count) };
        let again = self.unconfirmed.range(first, count);
        let Written { whole, started, error } =
            connection.write(&again, self.settings.timeout).await;
        *resent += started as u64;
        let closed = match &error {
            None => connection.close(CLOSE_TIMEOUT).await,
            Some(reason) if reason.is_late => Closed::Silent,
            Some(_) => Closed::Broken,
        };
        let now = Instant::now();
        if closed == Closed::InOrder {
            if is_past_one {
                let message = "the receiver breaks every connection on one message and reads the \
                               next: that message is not sent again";
                tracing::warn!(address = self.settings.address, "{message}");
            }
            self.breaks = 0;
            self.unconfirmed.confirm_first(first + whole);
            return Ok(());
        }
        self.breaks = match closed {
            Closed::Broken if count == 1 && !is_past_one => self.breaks + 1,
            // The message after it breaks the connection as well, so the first one is not the cause.
            _ => 0,
        };
        self.unconfirmed.renew(first + whole, now);
        self.is_silent = closed == Closed::Silent && error.is_none() && count == 1;
        let divisor = if closed == Closed::Silent { 16 } else { 2 };
        self.unconfirmed.shrink_group(count, divisor);
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
            Err((reason, started)) => {
                return Report::all(items, self.retry(&reason)).with(SinkFinding::Resent, started);
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
        // The receiver may not have read any of them, so only those that can be sent again count as delivered.
        let kept = match connection.is_stream() {
            true => whole.min(self.unconfirmed.capacity()),
            false => whole,
        };
        if connection.is_stream() {
            self.unconfirmed.add(&messages[..kept], Instant::now());
        }
        // A stalled connection counts as lost since the write began.
        self.ended = Some(connection.ended().unwrap_or(began));
        verdicts[..kept].fill(Verdict::Delivered);
        verdicts[kept..].fill(self.retry(&error));
        Report::from(verdicts).with(SinkFinding::Resent, resent + (started - kept) as u64)
    }

    async fn probe(&mut self) -> Result<String, Reason> {
        let connected = connection::connect(&self.settings, self.tls.as_ref()).await;
        let connection = connected
            .map_err(|reason| Reason::new(format!("{}: {reason}", self.settings.address)))?;
        connection.close(CLOSE_TIMEOUT).await;
        Ok(match self.settings.transport {
            Transport::Udp => "its name resolves; UDP reports nothing else".to_owned(),
            Transport::Tcp | Transport::Tls => "it accepts connections".to_owned(),
        })
    }

    async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close(CLOSE_TIMEOUT).await;
        }
    }
}

#[cfg(test)]
mod tests;
