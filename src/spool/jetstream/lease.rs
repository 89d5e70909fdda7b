//! Leases of sinks: registers, acquires, renews and releases them, and commits cursors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::records::{self, Stored};
use super::sink_lease::{HeldLease, LEASE_STALE_AFTER, SinkLease};
use super::sinks::SinkLeaseState;
use super::status::LogStatus;
use super::streams::StreamHandles;
use super::watch::POLL_INTERVAL;
use super::{JetStreamSpool, REQUEST_TIMEOUT, checkpoint};
use crate::error_chain::error_chain;
use crate::spool::{
    CommitError, CommitRecord, NewEntry, PlannedRange, Registered, SharedSinkState, Start, Tally,
};

/// Time without progress after which a receiver that starts gives up: longer than a new stream takes to find a leader.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Attempts to update a lease that other processes update, too.
const MAX_TRIES: u32 = 10;

impl JetStreamSpool {
    /// See [`crate::spool::Spool::register`]. A sink that no receiver has configured stops keeping events after a
    /// day.
    pub(crate) async fn register(
        &self,
        sinks: &[(Arc<str>, Start)],
    ) -> Result<Vec<Registered>, CommitError> {
        self.wait_until_indexed().await?;
        let mut registered = Vec::with_capacity(sinks.len());
        for (sink, start) in sinks {
            let new = {
                let index = self.status.index();
                let oldest = index.last_mark(|_| false);
                let mark = if *start == Start::Oldest { oldest } else { index.head() };
                SinkLease::starting(mark, &index.epoch)
            };
            // Another receiver may be faster.
            records::update(&self.streams.leases, sink, &new, 0).await?;
            let stored = self.stored_lease(sink).await?;
            self.sinks.get(sink).show(&stored.value, stored.revision, &self.holder);
            let SinkLease { cursor, is_paused, .. } = stored.value;
            registered.push(Registered { cursor, is_paused });
        }
        Ok(registered)
    }

    /// Waits until the index has reached the end that the stream has now.
    async fn wait_until_indexed(&self) -> Result<(), CommitError> {
        let info = self.streams.events.get_info().await.map_err(|error| store(&error))?;
        let last = info.state.last_sequence;
        let mut indexed = self.status.indexed();
        let (mut logged, began) = (Instant::now(), Instant::now());
        loop {
            let (epoch, sequence) = indexed.borrow_and_update().clone();
            if !epoch.is_empty() && sequence >= last {
                return Ok(());
            }
            if logged.elapsed() >= REQUEST_TIMEOUT {
                logged = Instant::now();
                tracing::info!(sequence, last, "reading the stream's messages");
            }
            if timeout(START_TIMEOUT, indexed.changed()).await.is_err() {
                let error = "the stream's messages cannot be read: the servers do not answer";
                return Err(CommitError::Store(
                    self.status.denials.explain(error.to_owned(), began),
                ));
            }
        }
    }

    async fn stored_lease(&self, sink: &str) -> Result<Stored<SinkLease>, CommitError> {
        let stored = records::read(&self.streams.leases, sink).await;
        let stored = stored.map_err(|error| store(&error))?;
        stored
            .ok_or_else(|| CommitError::Store(format!("the bucket has no sink {sink}; try again")))
    }

    /// See [`crate::spool::Spool::acquire_lease`].
    ///
    /// # Cancel safety
    ///
    /// If a dropped call has acquired the lease, the next call finds it held by this process.
    pub(crate) async fn acquire_lease(&self, sink: &Arc<str>) -> Result<u64, CommitError> {
        let own = self.sinks.get(sink);
        // First observed revision of the lease, and since when it has not changed.
        let mut seen: Option<(u64, Instant)> = None;
        loop {
            let began = Instant::now();
            let attempt = self.try_acquire(sink, &own, &mut seen).await;
            // Without this message, a failing sink would look like one that waits for its lease.
            let trouble = attempt.as_ref().err().map(|error| {
                let error = self.status.denials.explain(error.clone(), began);
                format!("cannot take over the sink: {error}")
            });
            if own.show_trouble(trouble.clone())
                && let Some(error) = trouble
            {
                tracing::error!(%sink, error, "this receiver delivers nothing to the sink; trying again");
            }
            if let Ok(Some(cursor)) = attempt {
                return Ok(cursor);
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Acquires the lease if it is free; `None` while another receiver holds it. Returns an error if the lease cannot
    /// be read or written.
    async fn try_acquire(
        &self,
        sink: &Arc<str>,
        own: &SinkLeaseState,
        seen: &mut Option<(u64, Instant)>,
    ) -> Result<Option<u64>, String> {
        let stored = records::read(&self.streams.leases, sink).await.map_err(|error| {
            // The holder could not renew it either.
            *seen = None;
            error_chain(&error)
        })?;
        let Some(stored) = stored else {
            // An administrator has deleted the record, or the bucket.
            let lease = own.last().ok_or("its lease was never read")?;
            let created = records::update(&self.streams.leases, sink, &lease, 0).await;
            return created.map(|_| None).map_err(|error| error.to_string());
        };
        own.show(&stored.value, stored.revision, &self.holder);
        let since = match *seen {
            Some((revision, since)) if revision == stored.revision => since,
            _ => seen.insert((stored.revision, Instant::now())).1,
        };
        let holder = stored.value.holder.as_ref();
        let is_free = holder.is_none_or(|holder| *holder == self.holder);
        match is_free || since.elapsed() >= LEASE_STALE_AFTER {
            true => self.take(sink, own, stored).await,
            false => Ok(None),
        }
    }

    async fn take(
        &self,
        sink: &Arc<str>,
        own: &SinkLeaseState,
        stored: Stored<SinkLease>,
    ) -> Result<Option<u64>, String> {
        let mut held = own.held.lock().await;
        let (checkpoint, _) =
            self.status.checkpoint().ok_or("the checkpoint of the log was not read yet")?;
        if self.status.index().epoch != checkpoint.epoch {
            return Err("the stream has changed, and is being read again".to_owned());
        }
        let mut lease = stored.value;
        let former = lease.holder.replace(self.holder.clone());
        if lease.is_outdated(&checkpoint) {
            let now =
                records::read::<checkpoint::Checkpoint>(&self.streams.leases, checkpoint::KEY);
            let now = now.await.map_err(|error| error_chain(&error))?;
            if now.is_none_or(|now| now.value.epoch != checkpoint.epoch) {
                return Err("the stream has changed; waiting to read it again".to_owned());
            }
            tracing::error!(
                %sink,
                cursor = lease.cursor,
                first = checkpoint.trimmed.position + 1,
                "the sink starts with the oldest stored event: the stream has changed, or for a day no receiver had \
                 the sink, and events were removed"
            );
            lease = lease.restarted(&checkpoint);
        }
        let updated = records::update(&self.streams.leases, sink, &lease, stored.revision).await;
        let Some(revision) = updated.map_err(|error| error.to_string())? else {
            // Another receiver was faster.
            return Ok(None);
        };
        if let Some(former) = former.filter(|former| *former != self.holder) {
            tracing::warn!(%sink, from = former, "took over the sink from a receiver that is gone");
        }
        let cursor = lease.cursor;
        own.start_at(&lease);
        own.show(&lease, revision, &self.holder);
        *held = Some(HeldLease { lease, revision });
        Ok(Some(cursor))
    }

    /// See [`crate::spool::Spool::sink_state`].
    pub(crate) fn sink_state(&self, sink: &str) -> tokio::sync::watch::Receiver<SharedSinkState> {
        self.sinks.get(sink).seen()
    }

    /// See [`crate::spool::Spool::release_lease`].
    pub(crate) async fn release_lease(&self, sink: &Arc<str>) {
        let own = self.sinks.get(sink);
        let mut held = own.held.lock().await;
        let Some(HeldLease { lease, .. }) = &*held else { return };
        let (released, again) = (lease.released(), SinkLease::released);
        let released = change(&self.streams, sink, &self.holder, &mut held, released, again).await;
        if let Err(error) = released {
            tracing::warn!(%sink, %error, "could not release the lease; another receiver takes over later");
        }
        *held = None;
    }

    /// See [`crate::spool::Spool::pause`]. Every receiver learns of it within seconds.
    pub(crate) async fn pause(&self, sink: &Arc<str>, is_paused: bool) -> Result<(), CommitError> {
        let own = self.sinks.get(sink);
        let mut held = own.held.lock().await;
        for _ in 0..MAX_TRIES {
            let stored = self.stored_lease(sink).await?;
            let lease = stored.value.paused(is_paused);
            let updated =
                records::update(&self.streams.leases, sink, &lease, stored.revision).await?;
            let Some(revision) = updated else { continue };
            own.show(&lease, revision, &self.holder);
            if lease.holder.as_ref() == Some(&self.holder) && held.is_some() {
                *held = Some(HeldLease { lease, revision });
            }
            return Ok(());
        }
        Err(busy())
    }

    /// See [`crate::spool::Spool::plan`]. Only the holder of the lease can plan.
    pub(crate) async fn plan(
        &self,
        sink: &Arc<str>,
        range: PlannedRange,
    ) -> Result<(), CommitError> {
        let own = self.sinks.get(sink);
        let mut held = own.held.lock().await;
        let Some(HeldLease { lease, .. }) = held.as_ref() else {
            return Err(CommitError::Superseded);
        };
        let (planned, again) = (lease.planned(range), |lease: &SinkLease| lease.planned(range));
        let began = Instant::now();
        let changed = change(&self.streams, sink, &self.holder, &mut held, planned, again).await;
        changed.map_err(|error| self.explained(error, began))
    }

    /// Returns the last planned range in the lease of a sink that this process holds.
    pub(crate) async fn planned(&self, sink: &Arc<str>) -> Option<PlannedRange> {
        let own = self.sinks.get(sink);
        let held = own.held.lock().await;
        held.as_ref().and_then(|held| held.lease.plan)
    }

    /// Adds missing permissions to an error of a change that began at `began`.
    fn explained(&self, error: CommitError, began: Instant) -> CommitError {
        match error {
            CommitError::Store(error) => {
                CommitError::Store(self.status.denials.explain(error, began))
            }
            error => error,
        }
    }

    /// See [`crate::spool::Spool::commit`]. Dead letters are stored first: a failure may leave some that the cursor has
    /// not passed. A retry stores none of them twice. Of the record, only the totals are stored: a lease that lists each
    /// disposition would grow with the number of events.
    pub(crate) async fn commit(
        &self,
        sink: &Arc<str>,
        position: u64,
        record: CommitRecord,
        dead_letters: Vec<(String, NewEntry)>,
    ) -> Result<(), CommitError> {
        let began = Instant::now();
        let committed = self.settle(sink, position, record.tally, dead_letters).await;
        committed.map_err(|error| self.explained(error, began))
    }

    async fn settle(
        &self,
        sink: &Arc<str>,
        position: u64,
        tally: Tally,
        dead_letters: Vec<(String, NewEntry)>,
    ) -> Result<(), CommitError> {
        let own = self.sinks.get(sink);
        let mut held = own.held.lock().await;
        let Some(HeldLease { lease, revision }) = held.as_ref() else {
            return Err(CommitError::Superseded);
        };
        if lease.cursor >= position {
            // The commit succeeded and its answer was lost: the lease was read again since.
            own.show(lease, *revision, &self.holder);
            return Ok(());
        }
        self.bury(sink, lease, dead_letters).await?;
        let message = own.message_of(position);
        let settled = lease.settled(position, message, tally);
        let again = |stored: &SinkLease| match stored.cursor >= position {
            // The answer of the update was lost.
            true => stored.clone(),
            false => stored.settled(position, message, tally),
        };
        change(&self.streams, sink, &self.holder, &mut held, settled, again).await?;
        if let Some(HeldLease { lease, revision }) = held.as_ref() {
            own.note_committed(lease);
            own.show(lease, *revision, &self.holder);
        }
        Ok(())
    }
}

/// Renews a held lease, unless the stream has changed since it was acquired.
pub(super) async fn renew(
    streams: &StreamHandles,
    status: &LogStatus,
    sink: &str,
    holder: &str,
    own: &SinkLeaseState,
) {
    let mut held = own.held.lock().await;
    let Some(HeldLease { lease, .. }) = held.as_ref() else { return };
    let lease = lease.clone();
    if status.checkpoint().is_some_and(|(checkpoint, _)| checkpoint.epoch != lease.epoch) {
        own.give_up(&mut held, "nobody: the stream has changed");
        return;
    }
    match change(streams, sink, holder, &mut held, lease, Clone::clone).await {
        Ok(()) | Err(CommitError::Superseded) => {}
        Err(error) => tracing::debug!(sink, %error, "could not renew the lease"),
    }
    if let Some(HeldLease { lease, revision }) = held.as_ref() {
        own.show(lease, *revision, holder);
    }
}

/// Updates the held lease to `lease`. After a concurrent change that left the holder, retries with the result of
/// `again`; if the holder has changed, the lease is lost.
async fn change(
    streams: &StreamHandles,
    sink: &str,
    holder: &str,
    held: &mut Option<HeldLease>,
    mut lease: SinkLease,
    again: impl Fn(&SinkLease) -> SinkLease,
) -> Result<(), CommitError> {
    let Some(known) = held.as_ref() else { return Err(CommitError::Superseded) };
    let mut revision = known.revision;
    for _ in 0..MAX_TRIES {
        if let Some(revision) = records::update(&streams.leases, sink, &lease, revision).await? {
            *held = Some(HeldLease { lease, revision });
            return Ok(());
        }
        let stored = records::read::<SinkLease>(&streams.leases, sink).await;
        match stored.map_err(|error| store(&error))? {
            Some(stored) if stored.value.holder.as_deref() == Some(holder) => {
                (lease, revision) = (again(&stored.value), stored.revision);
            }
            // The bucket was recreated: no other process has the lease.
            None => revision = 0,
            Some(stored) => {
                tracing::debug!(sink, ?held, ?stored, "another receiver holds the lease");
                *held = None;
                return Err(CommitError::Superseded);
            }
        }
    }
    Err(busy())
}

fn busy() -> CommitError {
    CommitError::Store("the sink's lease is being changed by other receivers; try again".to_owned())
}

fn store(error: &dyn std::error::Error) -> CommitError {
    CommitError::Store(error_chain(error))
}
