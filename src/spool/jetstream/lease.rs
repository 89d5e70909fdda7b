//! Taking, keeping and giving up a sink's place, and moving its cursor.

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

/// How long a stream that was just made may be without a leader.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Tries to change a place that others change, too.
const MAX_TRIES: u32 = 10;

impl JetStreamSpool {
    /// See [`spool::Spool::register`]. A sink that no receiver has any more holds nothing back after a while.
    pub async fn register(
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

    /// The place of a sink that receivers deliver to in parallel, begun again if it is of another stream: the
    /// consumer that knows what they have not settled goes with the stream.
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
                    // Another receiver may be faster; then its place is looked at.
                    lease_store::update(&self.streams.leases, sink, &lease, held.revision).await?;
                }
            }
        }
    }

    /// Makes sure that a sink has a place. A bucket that was made a moment ago may have no leader yet.
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
    /// A place that was taken by a call that was dropped is found to be held by the next one.
    pub async fn acquire_lease(&self, sink: &Arc<str>) -> Result<u64, CommitError> {
        if self.order == Order::Parallel {
            return Ok(0);
        }
        let own = self.shared.sink(sink);
        // The place as it was seen first, and since when it has not moved.
        let mut seen: Option<(u64, Instant)> = None;
        loop {
            let began = Instant::now();
            let attempt = self.try_acquire(sink, &own, &mut seen).await;
            // A standstill that nobody sees would look like a sink that waits for its turn.
            let trouble = attempt.as_ref().err().map(|error| {
                let error = self.shared.denials.explain(error.clone(), began);
                format!("cannot take over the sink: {error}")
            });
            if own.show_trouble(trouble.clone())
                && let Some(error) = trouble
            {
                tracing::error!(%sink, error, "nothing is delivered to the sink by this receiver; trying again");
            }
            if let Ok(Some(cursor)) = attempt {
                return Ok(cursor);
            }
            sleep(watch::POLL_INTERVAL).await;
        }
    }

    /// Takes the sink, if it is free; `None` while another receiver has it. An error says why it cannot be known
    /// or taken.
    async fn try_acquire(
        &self,
        sink: &Arc<str>,
        own: &SinkLeaseState,
        seen: &mut Option<(u64, Instant)>,
    ) -> Result<Option<u64>, String> {
        let held = lease_store::read(&self.streams.leases, sink).await;
        let held = held.map_err(|error| super::error_chain(&error))?.ok_or(
            "its cursor is not in the bucket any more; restart the receivers, which make it anew",
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
                "the stream's leader does not have what was read; waiting for it".to_owned()
            );
        }
        let last = info.state.last_sequence;
        let lease = SinkLease { holder: Some(self.holder.clone()), ..held.lease };
        let lease =
            if verdict == Continuity::Other { restarted(sink, lease, &info) } else { lease };
        // It may have been known of a stream that was longer.
        self.shared.reset_head(last);
        let updated = lease_store::update(&self.streams.leases, sink, &lease, held.revision).await;
        let Some(revision) = updated.map_err(|error| error.to_string())? else {
            // Another receiver was faster.
            return Ok(None);
        };
        if held.lease.holder.as_ref().is_some_and(|holder| *holder != self.holder) {
            tracing::warn!(%sink, from = held.lease.holder, "took over from a receiver that is gone");
        }
        let cursor = lease.cursor;
        tracing::debug!(%sink, cursor, revision, first = info.state.first_sequence, last, "took the sink");
        own.forget();
        own.show(&lease, revision, &self.holder);
        *held_lease = Some(HeldLease { lease, revision });
        Ok(Some(cursor))
    }

    /// See [`spool::Spool::sink_state`].
    pub fn sink_state(&self, sink: &str) -> tokio::sync::watch::Receiver<spool::SharedSinkState> {
        self.shared.sink(sink).seen()
    }

    /// See [`spool::Spool::release_lease`].
    pub async fn release_lease(&self, sink: &Arc<str>) {
        let own = self.shared.sink(sink);
        own.outstanding.give_back().await;
        let mut held_lease = own.held_lease.lock().await;
        if let Some(HeldLease { lease, revision }) = held_lease.take() {
            let lease = SinkLease { holder: None, ..lease };
            if let Err(error) =
                lease_store::update(&self.streams.leases, sink, &lease, revision).await
            {
                tracing::warn!(%sink, %error, "could not give up the sink; another receiver takes it later");
            }
        }
    }

    /// See [`spool::Spool::pause`]. Every receiver learns of it within seconds.
    pub async fn pause(&self, sink: &Arc<str>, is_paused: bool) -> Result<(), CommitError> {
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
        Err(CommitError::Store("the sink's place is being changed by others; try again".to_owned()))
    }

    /// See [`spool::Spool::commit`]. Dead letters are stored first, so that a failure may leave some that
    /// the cursor has not passed; they are stored once all the same.
    pub async fn commit(
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
            // It was stored, and the answer was lost: the place was read again since.
            own.show(&held.lease, held.revision, &self.holder);
            return Ok(());
        }
        self.bury(sink, Some(&held.lease), dead_letters).await?;
        let at = own.given(position);
        let lease = held.lease.settled(position, at, tally);
        let changed = change(&self.streams, sink, &self.holder, &mut held_lease, lease, |stored| {
            // An update whose answer was lost.
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

/// The place of a sink that begins again, with the oldest event that is there.
fn restarted(sink: &str, lease: SinkLease, info: &Info) -> SinkLease {
    let (first, last) = (info.state.first_sequence, info.state.last_sequence);
    let what = match lease.stream == made_at(info) && lease.cursor < first {
        true => {
            "what it had not settled was removed: for a day no receiver had the sink, or the stream was purged"
        }
        false => "the stream was made anew, or has lost its end",
    };
    tracing::error!(
        sink,
        cursor = lease.cursor,
        first,
        last,
        "{what}: the sink begins with the oldest event that is there"
    );
    SinkLease { cursor: first.saturating_sub(1), stream: made_at(info), at: 0, ..lease }
}

/// Renews a place that is held.
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
        Err(error) => tracing::debug!(sink, %error, "could not renew the sink's place"),
    }
    if let Some(held) = held_lease.as_ref() {
        own.show(&held.lease, held.revision, holder);
    }
}

/// Stores `lease` over the one that is held. If it was changed meanwhile and is still ours, what `again` makes
/// of it; if it is not, the lead is over.
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
                tracing::debug!(sink, ?held, ?stored, "the sink's place is another's");
                *held_lease = None;
                return Err(CommitError::Superseded);
            }
        }
    }
    Err(CommitError::Store("the sink's place is being changed by others".to_owned()))
}

fn store(error: &dyn std::error::Error) -> CommitError {
    CommitError::Store(super::error_chain(error))
}
