//! Leases of sinks: acquire, renew and release, and cursor commits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::Info;
use tokio::time::sleep;

use super::lease_store::{self, HeldLease, LEASE_STALE_AFTER, SinkLease, StoredLease};
use super::status::SinkLeaseState;
use super::stream_identity::{self, Continuity, made_at};
use super::streams::StreamHandles;
use super::{JetStreamSpool, Order, parallel, watch};
use crate::spool::{self, CommitError, NewEntry, Registered, Start, Tally};

/// Timeout for the first leader election of a new stream.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Attempts to update a lease that other processes update, too.
const MAX_TRIES: u32 = 10;

impl JetStreamSpool {
    /// See [`spool::Spool::register`]. A sink that no receiver has configured stops keeping events after a while.
    pub(crate) async fn register(
        &self,
        sinks: &[(Arc<str>, Start)],
    ) -> Result<Vec<Registered>, CommitError> {
        let state = self.streams.events.get_info().await.map_err(|error| store(&error))?;
        let (first, last) = (state.state.first_sequence, state.state.last_sequence);
        let created = made_at(&state);
        let mut registered = Vec::with_capacity(sinks.len());
        for (sink, start) in sinks {
            let cursor = match start {
                Start::Oldest => first.saturating_sub(1),
                Start::Now => last,
            };
            let new = SinkLease { cursor, stream: created, ..SinkLease::default() };
            let held = self.enter(sink, &new).await?;
            let (lease, revision) = held.map_or((new, 0), |held| (held.lease, held.revision));
            let own = self.shared.sink(sink);
            let lease = match self.order {
                Order::Ordered => {
                    parallel::end(&self.streams, sink).await;
                    own.show(&lease, revision, &self.holder);
                    lease
                }
                Order::Parallel => {
                    let lease = self.verified(sink, &own).await?;
                    parallel::begin(&self.streams, sink, lease.cursor).await?;
                    lease
                }
            };
            registered.push(Registered { cursor: lease.cursor, is_paused: lease.is_paused });
        }
        Ok(registered)
    }

    /// Returns the lease of a sink with parallel delivery. Restarts it if it belongs to another stream: the
    /// consumer with the uncommitted messages is deleted with the stream.
    async fn verified(&self, sink: &str, own: &SinkLeaseState) -> Result<SinkLease, CommitError> {
        loop {
            let held = lease_store::read(&self.streams.leases, sink)
                .await
                .map_err(|error| store(&error))?;
            let held =
                held.ok_or_else(|| CommitError::Store(format!("no sink {sink} is known")))?;
            let looked =
                stream_identity::look(&self.streams.events, &held.lease, 0, &own.absence).await;
            match looked.map_err(|error| store(&error))? {
                (Continuity::Same, _) => {
                    own.show(&held.lease, held.revision, &self.holder);
                    return Ok(held.lease);
                }
                (Continuity::Behind, _) => sleep(watch::POLL_INTERVAL).await,
                (Continuity::Other, info) => {
                    parallel::end(&self.streams, sink).await;
                    let lease = restarted(sink, held.lease, &info);
                    // Another receiver may be faster; then its lease is read.
                    lease_store::update(&self.streams.leases, sink, &lease, held.revision).await?;
                }
            }
        }
    }

    /// Creates the lease of a sink if there is none. A new bucket may have no leader yet.
    async fn enter(&self, sink: &str, new: &SinkLease) -> Result<Option<StoredLease>, CommitError> {
        let since = Instant::now();
        loop {
            // Another receiver may be faster.
            let entered = match lease_store::create(&self.streams.leases, sink, new).await {
                Ok(_) => lease_store::read(&self.streams.leases, sink)
                    .await
                    .map_err(|error| store(&error)),
                Err(error) => Err(error),
            };
            match entered {
                Err(_) if since.elapsed() < ELECTION_TIMEOUT => sleep(watch::POLL_INTERVAL).await,
                entered => return entered,
            }
        }
    }

    /// See [`spool::Spool::acquire_lease`].
    ///
    /// # Cancel safety
    ///
    /// If a dropped call has acquired the lease, the next call finds it held by this process.
    pub(crate) async fn acquire_lease(&self, sink: &Arc<str>) -> Result<u64, CommitError> {
        if self.order == Order::Parallel {
            return Ok(0);
        }
        let own = self.shared.sink(sink);
        // First observed revision of the lease, and since when it has not changed.
        let mut seen: Option<(u64, Instant)> = None;
        loop {
            let began = Instant::now();
            let attempt = self.try_acquire(sink, &own, &mut seen).await;
            // Without this message, a failing sink would look like one that waits for its lease.
            let trouble = attempt.as_ref().err().map(|error| {
                let error = self.shared.denials.explain(error.clone(), began);
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
            sleep(watch::POLL_INTERVAL).await;
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
        let held = lease_store::read(&self.streams.leases, sink).await;
        let held = held.map_err(|error| super::error_chain(&error))?.ok_or(
            "its cursor is not in the bucket any more; restart the receivers, which create it again",
        )?;
        own.show(&held.lease, held.revision, &self.holder);
        let since = match *seen {
            Some((revision, since)) if revision == held.revision => since,
            _ => seen.insert((held.revision, Instant::now())).1,
        };
        let holder = held.lease.holder.as_ref();
        let is_free = holder.is_none_or(|holder| *holder == self.holder);
        match is_free || since.elapsed() >= LEASE_STALE_AFTER {
            true => self.take(sink, own, held).await,
            false => Ok(None),
        }
    }

    async fn take(
        &self,
        sink: &Arc<str>,
        own: &SinkLeaseState,
        held: StoredLease,
    ) -> Result<Option<u64>, String> {
        let mut held_lease = own.held_lease.lock().await;
        let looked =
            stream_identity::look(&self.streams.events, &held.lease, 0, &own.absence).await;
        let (verdict, info) = looked.map_err(|error| super::error_chain(&error))?;
        if verdict == Continuity::Behind {
            return Err(
                "the stream's leader lacks messages that were read; waiting for it".to_owned()
            );
        }
        let last = info.state.last_sequence;
        let lease = SinkLease { holder: Some(self.holder.clone()), ..held.lease };
        let lease =
            if verdict == Continuity::Other { restarted(sink, lease, &info) } else { lease };
        // The known head may belong to a longer stream.
        self.shared.reset_head(last);
        let updated = lease_store::update(&self.streams.leases, sink, &lease, held.revision).await;
        let Some(revision) = updated.map_err(|error| error.to_string())? else {
            // Another receiver was faster.
            return Ok(None);
        };
        if held.lease.holder.as_ref().is_some_and(|holder| *holder != self.holder) {
            tracing::warn!(%sink, from = held.lease.holder, "took over the sink from a receiver that is gone");
        }
        let cursor = lease.cursor;
        tracing::debug!(%sink, cursor, revision, first = info.state.first_sequence, last, "took the sink");
        own.forget();
        own.show(&lease, revision, &self.holder);
        *held_lease = Some(HeldLease { lease, revision });
        Ok(Some(cursor))
    }

    /// See [`spool::Spool::sink_state`].
    pub(crate) fn sink_state(
        &self,
        sink: &str,
    ) -> tokio::sync::watch::Receiver<spool::SharedSinkState> {
        self.shared.sink(sink).seen()
    }

    /// See [`spool::Spool::release_lease`].
    pub(crate) async fn release_lease(&self, sink: &Arc<str>) {
        let own = self.shared.sink(sink);
        own.outstanding.give_back().await;
        let mut held_lease = own.held_lease.lock().await;
        if let Some(HeldLease { lease, revision }) = held_lease.take() {
            let lease = SinkLease { holder: None, ..lease };
            if let Err(error) =
                lease_store::update(&self.streams.leases, sink, &lease, revision).await
            {
                tracing::warn!(%sink, %error, "could not release the lease; another receiver takes over later");
            }
        }
    }

    /// See [`spool::Spool::pause`]. Every receiver learns of it within seconds.
    pub(crate) async fn pause(&self, sink: &Arc<str>, is_paused: bool) -> Result<(), CommitError> {
        let own = self.shared.sink(sink);
        let mut held_lease = own.held_lease.lock().await;
        for _ in 0..MAX_TRIES {
            let held = lease_store::read(&self.streams.leases, sink)
                .await
                .map_err(|error| store(&error))?;
            let held =
                held.ok_or_else(|| CommitError::Store(format!("no sink {sink} is known")))?;
            let lease = SinkLease { is_paused, ..held.lease };
            let updated =
                lease_store::update(&self.streams.leases, sink, &lease, held.revision).await?;
            let Some(revision) = updated else { continue };
            own.show(&lease, revision, &self.holder);
            if lease.holder.as_ref() == Some(&self.holder) && held_lease.is_some() {
                *held_lease = Some(HeldLease { lease, revision });
            }
            return Ok(());
        }
        Err(CommitError::Store(
            "the sink's lease is being changed by other receivers; try again".to_owned(),
        ))
    }

    /// See [`spool::Spool::commit`]. Dead letters are stored first: a failure may leave some that the cursor has not
    /// passed. A retry stores none of them twice.
    pub(crate) async fn commit(
        &self,
        sink: &Arc<str>,
        position: u64,
        tally: Tally,
        dead_letters: Vec<(String, NewEntry)>,
    ) -> Result<(), CommitError> {
        let began = Instant::now();
        let committed = self.settle(sink, position, tally, dead_letters).await;
        committed.map_err(|error| match error {
            CommitError::Store(error) => {
                CommitError::Store(self.shared.denials.explain(error, began))
            }
            error => error,
        })
    }

    async fn settle(
        &self,
        sink: &Arc<str>,
        position: u64,
        tally: Tally,
        dead_letters: Vec<(String, NewEntry)>,
    ) -> Result<(), CommitError> {
        let own = self.shared.sink(sink);
        if self.order == Order::Parallel {
            self.bury(sink, None, dead_letters).await?;
            return own.outstanding.acknowledge(position, &self.context.client()).await;
        }
        let mut held_lease = own.held_lease.lock().await;
        let Some(held) = held_lease.as_ref() else { return Err(CommitError::Superseded) };
        if held.lease.cursor >= position {
            // The commit succeeded and its answer was lost: the lease was read again since.
            own.show(&held.lease, held.revision, &self.holder);
            return Ok(());
        }
        self.bury(sink, Some(&held.lease), dead_letters).await?;
        let at = own.given(position);
        let lease = held.lease.settled(position, at, tally);
        let changed = change(&self.streams, sink, &self.holder, &mut held_lease, lease, |stored| {
            // The answer of the update was lost.
            let is_done = stored.cursor >= position;
            if is_done { stored.clone() } else { stored.settled(position, at, tally) }
        });
        changed.await?;
        if let Some(held) = held_lease.as_ref() {
            own.show(&held.lease, held.revision, &self.holder);
        }
        Ok(())
    }
}

/// Returns the lease restarted at the oldest stored event.
fn restarted(sink: &str, lease: SinkLease, info: &Info) -> SinkLease {
    let (first, last) = (info.state.first_sequence, info.state.last_sequence);
    let what = match lease.stream == made_at(info) && lease.cursor < first {
        true => {
            "events that it had not committed were removed: for a day no receiver had the sink, or the stream was purged"
        }
        false => "the stream was recreated, or has lost its end",
    };
    tracing::error!(
        sink,
        cursor = lease.cursor,
        first,
        last,
        "{what}: the sink starts with the oldest stored event"
    );
    SinkLease { cursor: first.saturating_sub(1), stream: made_at(info), at: 0, ..lease }
}

/// Renews a held lease.
pub(super) async fn renew(streams: &StreamHandles, sink: &str, holder: &str, own: &SinkLeaseState) {
    let mut held_lease = own.held_lease.lock().await;
    let Some(held) = held_lease.as_ref() else { return };
    let lease = held.lease.clone();
    let looked =
        stream_identity::look(&streams.events, &lease, own.read_up_to(), &own.absence).await;
    if matches!(looked, Ok((Continuity::Other, _))) {
        own.give_up(&mut held_lease, "nobody: the stream has changed");
        return;
    }
    match change(streams, sink, holder, &mut held_lease, lease, Clone::clone).await {
        Ok(()) | Err(CommitError::Superseded) => {}
        Err(error) => tracing::debug!(sink, %error, "could not renew the lease"),
    }
    if let Some(held) = held_lease.as_ref() {
        own.show(&held.lease, held.revision, holder);
    }
}

/// Updates the held lease to `lease`. After a concurrent change that left the holder, retries with the result of
/// `again`; if the holder has changed, the lease is lost.
async fn change(
    streams: &StreamHandles,
    sink: &str,
    holder: &str,
    held_lease: &mut Option<HeldLease>,
    mut lease: SinkLease,
    again: impl Fn(&SinkLease) -> SinkLease,
) -> Result<(), CommitError> {
    let Some(held) = held_lease.as_ref() else { return Err(CommitError::Superseded) };
    let mut revision = held.revision;
    for _ in 0..MAX_TRIES {
        if let Some(revision) = lease_store::update(&streams.leases, sink, &lease, revision).await?
        {
            *held_lease = Some(HeldLease { lease, revision });
            return Ok(());
        }
        let stored =
            lease_store::read(&streams.leases, sink).await.map_err(|error| store(&error))?;
        match stored {
            Some(stored) if stored.lease.holder.as_deref() == Some(holder) => {
                (lease, revision) = (again(&stored.lease), stored.revision);
            }
            stored => {
                tracing::debug!(sink, ?held, ?stored, "another receiver holds the lease");
                *held_lease = None;
                return Err(CommitError::Superseded);
            }
        }
    }
    Err(CommitError::Store("the sink's lease is being changed by other receivers".to_owned()))
}

fn store(error: &dyn std::error::Error) -> CommitError {
    CommitError::Store(super::error_chain(error))
}
