//! Whose turn it is: receivers that share a spool take turns in delivering to a sink.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Ended, Worker};
use crate::deliver::SinkState;
use crate::deliver::connection::SinkConnection;
use crate::shutdown::Shutdown;
use crate::spool::{CommitError, SharedSinkState};

impl Worker {
    /// Delivers until shutdown begins, and then what is spooled by then, for as long as the target
    /// takes it at the first attempt. Where receivers share the sink, only while it is this one's turn.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: what was sent and not committed is sent again.
    pub async fn run(mut self, mut shutdown: Shutdown) {
        while let Ok(cursor) = self.lead(&mut shutdown).await {
            self.begin_at(cursor);
            let ended = self.deliver(&mut shutdown).await;
            for connection in std::mem::take(&mut self.idle) {
                connection.close().await;
            }
            if ended == Ended::Stopped {
                break;
            }
            // What waits now waits for another.
            self.status.waits_since(None);
            tracing::warn!(sink = %self.name, "another receiver has taken over this sink");
        }
        self.spool.release_lease(&self.name).await;
    }

    /// Waits for this receiver's turn. Returns the cursor to go on from.
    async fn lead(&mut self, shutdown: &mut Shutdown) -> Result<u64, Ended> {
        let (spool, name) = (Arc::clone(&self.spool), Arc::clone(&self.name));
        let known = self.status.cursor();
        let mut leading = std::pin::pin!(spool.acquire_lease(&name, known));
        let mut backoff = self.backoff();
        loop {
            let leader = self.note_place();
            let trouble = self.place.as_ref().and_then(|place| place.borrow().trouble.clone());
            match (trouble, leader) {
                (Some(reason), _) => self.show_trouble(1, reason),
                (None, Some(leader)) => {
                    self.status.set(self.config.concurrency, SinkState::Standby { leader });
                }
                (None, None) => {}
            }
            tokio::select! {
                led = &mut leading => match led {
                    Ok(cursor) => return Ok(cursor),
                    Err(CommitError::Closed) => return Err(Ended::Stopped),
                    Err(error) => {
                        self.show_trouble(backoff.attempts() + 1, error.to_string());
                        self.pause(&mut backoff, shutdown).await?;
                        leading.set(spool.acquire_lease(&name, known));
                    }
                },
                () = moved(&mut self.place) => {}
                () = shutdown.begun() => return Err(Ended::Stopped),
            }
        }
    }

    /// Forgets what it knew of another turn.
    fn begin_at(&mut self, cursor: u64) {
        self.read = cursor;
        let shared = self.place.as_ref().map(|place| place.borrow().cursor);
        self.status.settled(shared.unwrap_or(cursor));
        (self.waiting, self.waiting_bytes, self.filling_since) = (VecDeque::new(), 0, None);
        (self.encoding, self.returned, self.ready) = (None, None, None);
        self.under_way = VecDeque::new();
        let connection = |number| {
            let (config, status) = (Arc::clone(&self.config), Arc::clone(&self.status));
            SinkConnection::new(number, config, status, Arc::clone(&self.metrics))
        };
        self.idle = (0..self.config.concurrency).map(connection).collect();
        self.status.begin();
    }

    /// Takes over what another receiver's operator wants of the sink. Returns who delivers to it instead.
    pub(super) fn note_place(&mut self) -> Option<String> {
        let place = self.place.as_mut()?.borrow_and_update().clone();
        self.status.follow(place.is_paused);
        self.status.settled(place.cursor);
        place.leader
    }
}

/// Waits until a place has changed; for ever where there is none.
pub(super) async fn moved(place: &mut Option<watch::Receiver<SharedSinkState>>) {
    let has_changed = match place {
        Some(place) => place.changed().await.is_ok(),
        None => false,
    };
    if !has_changed {
        std::future::pending::<()>().await;
    }
}
