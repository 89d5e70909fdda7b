//! Log lines of a connection: its loss and its return, once each.

use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::{ClientError, Event, ServerError};

use super::error::without_files;

/// Flags of the messages logged since the connection was last up.
#[derive(Debug)]
pub(super) struct ConnectionLog {
    name: String,
    is_lost: AtomicBool,
    has_complained: AtomicBool,
    is_slow: AtomicBool,
}

impl ConnectionLog {
    pub(super) fn new(name: &str) -> ConnectionLog {
        ConnectionLog {
            name: name.to_owned(),
            is_lost: AtomicBool::new(false),
            has_complained: AtomicBool::new(false),
            is_slow: AtomicBool::new(false),
        }
    }

    pub(super) fn note(&self, event: &Event) {
        let connection = self.name.as_str();
        match event {
            Event::Connected => {
                self.has_complained.store(false, Ordering::Relaxed);
                self.is_slow.store(false, Ordering::Relaxed);
                if self.is_lost.swap(false, Ordering::Relaxed) {
                    tracing::info!(connection, "connected to NATS again");
                }
            }
            Event::Disconnected if !self.is_lost.swap(true, Ordering::Relaxed) => {
                tracing::warn!(connection, "lost the connection to NATS; connecting again");
            }
            Event::LameDuckMode => {
                tracing::info!(connection, "the NATS server is about to stop");
            }
            // Reported for each attempt to reconnect, and logged once.
            Event::ClientError(ClientError::Other(reason))
                if !self.has_complained.swap(true, Ordering::Relaxed) =>
            {
                let reason = without_files(reason);
                tracing::warn!(connection, reason, "cannot connect to NATS; trying again");
            }
            Event::SlowConsumer(_) | Event::ServerError(ServerError::SlowConsumer(_))
                if !self.is_slow.swap(true, Ordering::Relaxed) =>
            {
                tracing::warn!(connection, "messages come from NATS faster than they are read");
            }
            // The text may contain a subject, and with it a value of an event.
            Event::ServerError(_) => {
                tracing::debug!(connection, "the NATS server reports an error");
            }
            _ => {}
        }
    }
}
