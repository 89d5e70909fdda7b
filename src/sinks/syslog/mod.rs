//! `syslog`: one message per event over UDP, TCP or TLS.
//!
//! Syslog confirms nothing: a message is delivered when the system has taken its bytes, and what the
//! receiver had not read when its connection broke is gone. Against that, the last messages are kept
//! for a while and sent again on the next connection ([`resend`]), which may double them.
//! RFC 5424 (format), 5425 (TLS), 5426 (UDP), 6587 (TCP), 3164 (old format).

mod connection;
mod message;
mod resend;

use std::sync::Arc;

use rustls::ClientConfig;
use tokio::time::Instant;

use super::{Deliver, Item, Notice, Reason, Report, Verdict};
use crate::config::{SyslogSink, Transport};
use crate::tls;
use connection::{Connection, Unwritten};
pub(super) use message::encode;
use resend::Unconfirmed;

/// A target of `type = "syslog"`.
#[derive(Debug)]
pub struct Syslog {
    settings: SyslogSink,
    tls: Option<Arc<ClientConfig>>,
    connection: Option<Connection>,
    unconfirmed: Unconfirmed,
    /// When the last connection was lost, until there is another.
    ended: Option<Instant>,
}

impl Syslog {
    pub(super) fn open(settings: &SyslogSink) -> Result<Syslog, Reason> {
        let tls = match settings.transport {
            Transport::Tls => {
                Some(Arc::new(tls::client_config(&settings.tls).map_err(Reason::new)?))
            }
            Transport::Tcp | Transport::Udp => None,
        };
        let unconfirmed = Unconfirmed::new(settings.resend);
        Ok(Syslog { settings: settings.clone(), tls, connection: None, unconfirmed, ended: None })
    }

    /// Reads the certificates again for the next connection; what is unconfirmed stays so.
    pub(super) async fn reopen(&mut self) -> Result<(), Reason> {
        let fresh = Syslog::open(&self.settings)?;
        if let Some(connection) = self.connection.take() {
            self.ended = connection.ended();
            if connection.close().await {
                self.unconfirmed.confirm();
            }
        }
        self.tls = fresh.tls;
        Ok(())
    }

    /// The open connection, or a new one on which what was unconfirmed is sent again. The number is
    /// how many messages that were.
    async fn connected(&mut self) -> Result<(Connection, u64), (Reason, u64)> {
        if let Some(connection) = self.connection.take() {
            match connection.ended() {
                None => return Ok((connection, 0)),
                Some(ended) => self.ended = Some(ended),
            }
        }
        let connected = connection::connect(&self.settings, self.tls.as_ref()).await;
        let mut connection = connected.map_err(|reason| (reason, 0))?;
        let again = self.unconfirmed.due(self.ended.unwrap_or_else(Instant::now));
        let timeout = self.settings.timeout;
        let written = connection.write(&again, timeout).await;
        written.map_err(|Unwritten { error, begun }| (error, begun as u64))?;
        let resent = again.len() as u64;
        self.unconfirmed.renew(Instant::now());
        self.ended = None;
        Ok((connection, resent))
    }

    fn retry(&self, reason: &Reason) -> Verdict {
        let message = format!("{}: {reason}", self.settings.address);
        Verdict::Retry { after: None, reason: Reason::new(message) }
    }
}

impl Deliver for Syslog {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let (mut connection, resent) = match self.connected().await {
            Ok(connected) => connected,
            Err((reason, begun)) => {
                return Report::all(items, self.retry(&reason)).with(Notice::Resent, begun);
            }
        };
        let messages: Vec<&[u8]> = items.iter().map(|item| item.payload.as_ref()).collect();
        let begun_at = Instant::now();
        match connection.write(&messages, self.settings.timeout).await {
            Ok(()) => {
                if connection.is_stream() {
                    self.unconfirmed.add(&messages, Instant::now());
                }
                self.connection = Some(connection);
                Report::all(items, Verdict::Delivered).with(Notice::Resent, resent)
            }
            Err(Unwritten { error, begun }) => {
                // A receiver that takes nothing any more was lost before we began to wait for it.
                self.ended = Some(connection.ended().unwrap_or(begun_at));
                // All of them come again; those that were begun may arrive twice.
                let report = Report::all(items, self.retry(&error));
                report.with(Notice::Resent, resent + begun as u64)
            }
        }
    }

    async fn probe(&mut self) -> Result<String, Reason> {
        let connected = connection::connect(&self.settings, self.tls.as_ref()).await;
        let connection = connected
            .map_err(|reason| Reason::new(format!("{}: {reason}", self.settings.address)))?;
        connection.close().await;
        Ok(match self.settings.transport {
            Transport::Udp => "its name resolves; UDP says no more".to_owned(),
            Transport::Tcp | Transport::Tls => "it accepts connections".to_owned(),
        })
    }

    async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }
}

#[cfg(test)]
mod tests;
