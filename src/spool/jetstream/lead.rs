//! Taking, keeping and giving up a sink's place, and moving its cursor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::Info;
use tokio::time::sleep;

use super::place::{self, Held, LEASE, Lead, Place};
use super::same::{self, Verdict, made_at};
use super::shared::SinkPlace;
use super::streams::Streams;
use super::{Order, Spool, parallel, watch};
use crate::spool::{self, CommitError, NewEntry, Registered, Start, Tally};

/// How long a stream that was just made may be without a leader.
const ELECTION: Duration = Duration::from_secs(20);

/// Tries to change a place that others change, too.
const TRIES: u32 = 10;

impl Spool {
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
            let new = Place { cursor, stream: created, ..Place::default() };
            let held = self.enter(sink, &new).await?;
            let (place, revision) = held.map_or((new, 0), |held| (held.place, held.revision));
            let own = self.shared.sink(sink);
            let place = match self.order {
                Order::Ordered => {
                    parallel::end(&self.streams, sink).await;
                    own.show(&place, revision, &self.holder);
                    place
                }
                Order::Parallel => {
                    let place = self.verified(sink, &own).await?;
                    parallel::begin(&self.streams, sink, place.cursor).await?;
                    place
                }
            };
            registered.push(Registered { cursor: place.cursor, is_paused: place.is_paused });
        }
        Ok(registered)
    }

    /// The place of a sink that receivers deliver to in parallel, begun again if it is of another stream: the
    /// consumer that knows what they have not settled goes with the stream.
    async fn verified(&self, sink: &str, own: &SinkPlace) -> Result<Place, CommitError> {
        loop {
            let held =
                place::read(&self.streams.places, sink).await.map_err(|error| store(&error))?;
            let held =
                held.ok_or_else(|| CommitError::Store(format!("no sink {sink} is known")))?;
            let looked = same::look(&self.streams.events, &held.place, 0, &own.absence).await;
            match looked.map_err(|error| store(&error))? {
                (Verdict::Same, _) => {
                    own.show(&held.place, held.revision, &self.holder);
                    return Ok(held.place);
                }
                (Verdict::Behind, _) => sleep(watch::LOOK).await,
                (Verdict::Other, info) => {
                    parallel::end(&self.streams, sink).await;
                    let place = anew(sink, held.place, &info);
                    // Another receiver may be faster; then its place is looked at.
                    place::update(&self.streams.places, sink, &place, held.revision).await?;
                }
            }
        }
    }

    /// Makes sure that a sink has a place. A bucket that was made a moment ago may have no leader yet.
    async fn enter(&self, sink: &str, new: &Place) -> Result<Option<Held>, CommitError> {
        let since = Instant::now();
        loop {
            // Another receiver may be faster.
            let entered = match place::create(&self.streams.places, sink, new).await {
                Ok(_) => {
                    place::read(&self.streams.places, sink).await.map_err(|error| store(&error))
                }
                Err(error) => Err(error),
            };
            match entered {
                Err(_) if since.elapsed() < ELECTION => sleep(watch::LOOK).await,
                entered => return entered,
            }
        }
    }

    /// See [`spool::Spool::lead`].
    ///
    /// # Cancel safety
    ///
    /// A place that was taken by a call that was dropped is found to be held by the next one.
    pub async fn lead(&self, sink: &Arc<str>) -> Result<u64, CommitError> {
        if self.order == Order::Parallel {
            return Ok(0);
        }
        let own = self.shared.sink(sink);
        // The place as it was seen first, and since when it has not moved.
        let mut seen: Option<(u64, Instant)> = None;
        loop {
            let began = Instant::now();
            let attempt = self.lead_once(sink, &own, &mut seen).await;
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
            sleep(watch::LOOK).await;
        }
    }

    /// Takes the sink, if it is free; `None` while another receiver has it. An error says why it cannot be known
    /// or taken.
    async fn lead_once(
        &self,
        sink: &Arc<str>,
        own: &SinkPlace,
        seen: &mut Option<(u64, Instant)>,
    ) -> Result<Option<u64>, String> {
        let held = place::read(&self.streams.places, sink).await;
        let held = held.map_err(|error| super::said(&error))?.ok_or(
            "its cursor is not in the bucket any more; restart the receivers, which make it anew",
        )?;
        own.show(&held.place, held.revision, &self.holder);
        let since = match *seen {
            Some((revision, since)) if revision == held.revision => since,
            _ => seen.insert((held.revision, Instant::now())).1,
        };
        let holder = held.place.holder.as_ref();
        let is_free = holder.is_none_or(|holder| *holder == self.holder);
        match is_free || since.elapsed() >= LEASE {
            true => self.take(sink, own, held).await,
            false => Ok(None),
        }
    }

    async fn take(
        &self,
        sink: &Arc<str>,
        own: &SinkPlace,
        held: Held,
    ) -> Result<Option<u64>, String> {
        let mut lead = own.lead.lock().await;
        let looked = same::look(&self.streams.events, &held.place, 0, &own.absence).await;
        let (verdict, info) = looked.map_err(|error| super::said(&error))?;
        if verdict == Verdict::Behind {
            return Err(
                "the stream's leader does not have what was read; waiting for it".to_owned()
            );
        }
        let last = info.state.last_sequence;
        let place = Place { holder: Some(self.holder.clone()), ..held.place };
        let place = if verdict == Verdict::Other { anew(sink, place, &info) } else { place };
        // It may have been known of a stream that was longer.
        self.shared.reset_head(last);
        let updated = place::update(&self.streams.places, sink, &place, held.revision).await;
        let Some(revision) = updated.map_err(|error| error.to_string())? else {
            // Another receiver was faster.
            return Ok(None);
        };
        if held.place.holder.as_ref().is_some_and(|holder| *holder != self.holder) {
            tracing::warn!(%sink, from = held.place.holder, "took over from a receiver that is gone");
        }
        let cursor = place.cursor;
        tracing::debug!(%sink, cursor, revision, first = info.state.first_sequence, last, "took the sink");
        own.forget();
        own.show(&place, revision, &self.holder);
        *lead = Some(Lead { place, revision });
        Ok(Some(cursor))
    }

    /// See [`spool::Spool::place`].
    pub fn place(&self, sink: &str) -> tokio::sync::watch::Receiver<spool::Place> {
        self.shared.sink(sink).seen()
    }

    /// See [`spool::Spool::resign`].
    pub async fn resign(&self, sink: &Arc<str>) {
        let own = self.shared.sink(sink);
        own.outstanding.give_back().await;
        let mut lead = own.lead.lock().await;
        if let Some(Lead { place, revision }) = lead.take() {
            let place = Place { holder: None, ..place };
            if let Err(error) = place::update(&self.streams.places, sink, &place, revision).await {
                tracing::warn!(%sink, %error, "could not give up the sink; another receiver takes it later");
            }
        }
    }

    /// See [`spool::Spool::pause`]. Every receiver learns of it within seconds.
    pub async fn pause(&self, sink: &Arc<str>, is_paused: bool) -> Result<(), CommitError> {
        let own = self.shared.sink(sink);
        let mut lead = own.lead.lock().await;
        for _ in 0..TRIES {
            let held =
                place::read(&self.streams.places, sink).await.map_err(|error| store(&error))?;
            let held =
                held.ok_or_else(|| CommitError::Store(format!("no sink {sink} is known")))?;
            let place = Place { is_paused, ..held.place };
            let updated = place::update(&self.streams.places, sink, &place, held.revision).await?;
            let Some(revision) = updated else { continue };
            own.show(&place, revision, &self.holder);
            if place.holder.as_ref() == Some(&self.holder) && lead.is_some() {
                *lead = Some(Lead { place, revision });
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
        let mut lead = own.lead.lock().await;
        let Some(held) = lead.as_ref() else { return Err(CommitError::Superseded) };
        if held.place.cursor >= position {
            // It was stored, and the answer was lost: the place was read again since.
            own.show(&held.place, held.revision, &self.holder);
            return Ok(());
        }
        self.bury(sink, Some(&held.place), dead_letters).await?;
        let at = own.given(position);
        let place = held.place.settled(position, at, tally);
        let changed = change(&self.streams, sink, &self.holder, &mut lead, place, |stored| {
            // An update whose answer was lost.
            let is_done = stored.cursor >= position;
            if is_done { stored.clone() } else { stored.settled(position, at, tally) }
        });
        changed.await?;
        if let Some(held) = lead.as_ref() {
            own.show(&held.place, held.revision, &self.holder);
        }
        Ok(())
    }
}

/// The place of a sink that begins again, with the oldest event that is there.
fn anew(sink: &str, place: Place, info: &Info) -> Place {
    let (first, last) = (info.state.first_sequence, info.state.last_sequence);
    let what = match place.stream == made_at(info) && place.cursor < first {
        true => {
            "what it had not settled was removed: for a day no receiver had the sink, or the stream was purged"
        }
        false => "the stream was made anew, or has lost its end",
    };
    tracing::error!(
        sink,
        cursor = place.cursor,
        first,
        last,
        "{what}: the sink begins with the oldest event that is there"
    );
    Place { cursor: first.saturating_sub(1), stream: made_at(info), at: 0, ..place }
}

/// Renews a place that is held.
pub(super) async fn renew(streams: &Streams, sink: &str, holder: &str, own: &SinkPlace) {
    let mut lead = own.lead.lock().await;
    let Some(held) = lead.as_ref() else { return };
    let place = held.place.clone();
    let looked = same::look(&streams.events, &place, own.read_up_to(), &own.absence).await;
    if matches!(looked, Ok((Verdict::Other, _))) {
        own.give_up(&mut lead, "nobody: the stream has changed");
        return;
    }
    match change(streams, sink, holder, &mut lead, place, Clone::clone).await {
        Ok(()) | Err(CommitError::Superseded) => {}
        Err(error) => tracing::debug!(sink, %error, "could not renew the sink's place"),
    }
    if let Some(held) = lead.as_ref() {
        own.show(&held.place, held.revision, holder);
    }
}

/// Stores `place` over the one that is held. If it was changed meanwhile and is still ours, what `again` makes
/// of it; if it is not, the lead is over.
async fn change(
    streams: &Streams,
    sink: &str,
    holder: &str,
    lead: &mut Option<Lead>,
    mut place: Place,
    again: impl Fn(&Place) -> Place,
) -> Result<(), CommitError> {
    let Some(held) = lead.as_ref() else { return Err(CommitError::Superseded) };
    let mut revision = held.revision;
    for _ in 0..TRIES {
        if let Some(revision) = place::update(&streams.places, sink, &place, revision).await? {
            *lead = Some(Lead { place, revision });
            return Ok(());
        }
        let stored = place::read(&streams.places, sink).await.map_err(|error| store(&error))?;
        match stored {
            Some(stored) if stored.place.holder.as_deref() == Some(holder) => {
                (place, revision) = (again(&stored.place), stored.revision);
            }
            stored => {
                tracing::debug!(sink, ?held, ?stored, "the sink's place is another's");
                *lead = None;
                return Err(CommitError::Superseded);
            }
        }
    }
    Err(CommitError::Store("the sink's place is being changed by others".to_owned()))
}

fn store(error: &dyn std::error::Error) -> CommitError {
    CommitError::Store(super::said(error))
}
