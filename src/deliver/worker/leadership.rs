//! Lease of a sink: of the receivers that share a spool, one delivers to a sink at a time. Here begins and ends what
//! a sink delivers with the same settings.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Worker, WorkerExit, redaction_of};
use crate::deliver::SinkState;
use crate::deliver::connection::SinkConnection;
use crate::shutdown::{self, Shutdown};
use crate::spool::{CommitError, SharedSinkState};

impl Worker {
    /// Delivers until shutdown is requested, and then the events spooled by then, for as long as the target
    /// takes them at the first attempt. If receivers share the spool, delivers only while it holds the lease.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: events that were sent and not committed are sent again.
    pub(crate) async fn run(mut self, mut shutdown: Shutdown) {
        while let Ok(cursor) = self.wait_for_lease(&mut shutdown).await {
            self.take_config();
            self.begin_at(cursor);
            let ended = self.deliver_until_changed(&shutdown).await;
            for connection in std::mem::take(&mut self.idle) {
                connection.close().await;
            }
            if ended == WorkerExit::Stopped {
                if self.has_new_config() && !shutdown.has_begun() {
                    tracing::info!(sink = %self.name, "delivers with the settings of the reload");
                    continue;
                }
                break;
            }
            // The new holder delivers the remaining events.
            self.status.set_waiting_since(None);
            tracing::warn!(sink = %self.name, "another receiver has taken over this sink");
        }
        self.spool.release_lease(&self.name).await;
    }

    /// Delivers with the present settings. New ones end it as shutdown does, except that no further batch begins.
    async fn deliver_until_changed(&mut self, shutdown: &Shutdown) -> WorkerExit {
        let (end, mut ended) = shutdown::channel();
        let (mut configs, mut requested) = (self.configs.clone(), shutdown.clone());
        let ending = async {
            tokio::select! {
                () = requested.begun() => {}
                // An error means that the service ends.
                _ = configs.changed() => {}
            }
            end.begin();
            std::future::pending().await
        };
        let delivering = async {
            match self.config.target.objects().is_some() {
                true => Box::pin(self.deliver_ranges(&mut ended)).await,
                false => self.deliver(&mut ended).await,
            }
        };
        tokio::select! {
            exit = delivering => exit,
            exit = ending => exit,
        }
    }

    /// Returns true if a reload has changed the settings.
    pub(super) fn has_new_config(&self) -> bool {
        self.configs.has_changed().unwrap_or(false)
    }

    fn take_config(&mut self) {
        let config = Arc::clone(&self.configs.borrow_and_update());
        if !Arc::ptr_eq(&config, &self.config) {
            self.redaction = redaction_of(&config);
            self.status.set_target(config.target.kind(), config.target.target());
            self.config = config;
        }
    }

    /// Forgets all events that were read and not handed to a connection. They are read again.
    pub(super) fn forget_unsent(&mut self) {
        (self.waiting, self.waiting_bytes, self.filling_since) = (VecDeque::new(), 0, None);
        (self.encoding, self.returned, self.ready) = (None, None, None);
    }

    /// Waits until this receiver holds the lease. Returns the cursor to start from.
    async fn wait_for_lease(&mut self, shutdown: &mut Shutdown) -> Result<u64, WorkerExit> {
        let (spool, name) = (Arc::clone(&self.spool), Arc::clone(&self.name));
        let known = self.status.cursor();
        let mut acquisition = std::pin::pin!(spool.acquire_lease(&name, known));
        let mut backoff = self.backoff();
        loop {
            let holder = self.follow_shared_state();
            let failure = self.shared.as_ref().and_then(|shared| shared.borrow().trouble.clone());
            match (failure, holder) {
                (Some(reason), _) => self.show_failure(1, reason),
                (None, Some(holder)) => {
                    self.status.set(self.config.concurrency, SinkState::Standby { leader: holder });
                }
                (None, None) => {}
            }
            tokio::select! {
                acquired = &mut acquisition => match acquired {
                    Ok(cursor) => return Ok(cursor),
                    Err(CommitError::Closed) => return Err(WorkerExit::Stopped),
                    Err(error) => {
                        self.show_failure(backoff.attempts() + 1, error.to_string());
                        self.pause(&mut backoff, shutdown).await?;
                        acquisition.set(spool.acquire_lease(&name, known));
                    }
                },
                () = shared_state_changed(&mut self.shared) => {}
                () = shutdown.begun() => return Err(WorkerExit::Stopped),
            }
        }
    }

    /// Resets all state to a new lease that starts at `cursor`.
    fn begin_at(&mut self, cursor: u64) {
        self.read = cursor;
        let shared_cursor = self.shared.as_ref().map(|shared| shared.borrow().cursor);
        self.status.set_cursor(shared_cursor.unwrap_or(cursor));
        self.forget_unsent();
        self.in_flight = VecDeque::new();
        let connection = |number| {
            let (config, status) = (Arc::clone(&self.config), Arc::clone(&self.status));
            SinkConnection::new(number, config, status, Arc::clone(&self.metrics))
        };
        self.idle = (0..self.config.concurrency).map(connection).collect();
        self.status.begin(self.config.concurrency);
    }

    /// Applies the shared pause flag and cursor. Returns the lease holder, if another process holds the lease.
    pub(super) fn follow_shared_state(&mut self) -> Option<String> {
        let shared = self.shared.as_mut()?.borrow_and_update().clone();
        self.status.follow(shared.is_paused);
        self.status.set_cursor(shared.cursor);
        shared.leader
    }
}

/// Waits until the shared state changes; forever if the spool is not shared.
pub(super) async fn shared_state_changed(shared: &mut Option<watch::Receiver<SharedSinkState>>) {
    let has_changed = match shared {
        Some(shared) => shared.changed().await.is_ok(),
        None => false,
    };
    if !has_changed {
        std::future::pending::<()>().await;
    }
}
