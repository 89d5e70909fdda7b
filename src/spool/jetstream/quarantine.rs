//! The quarantine's stream: lists, reads and removes entries; and reads events of a period, for a replay.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use chrono::DateTime;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{JetStreamSpool, REQUEST_TIMEOUT, error_chain, message, ordered, unreadable};
use crate::spool::{CommitError, Entry, EntrySummary, Millis, Query, Read, ReadError, StoredEvent};

/// Messages per batch of a scan.
const PAGE: u64 = 1000;

/// Maximum clock skew between servers and receivers.
const SKEW: Duration = Duration::from_mins(5);

impl JetStreamSpool {
    /// See [`crate::spool::Spool::quarantine`].
    pub(crate) async fn quarantine(&self, query: Query) -> Result<Vec<EntrySummary>, ReadError> {
        let info = self.streams.quarantine.get_info().await.map_err(unreadable)?;
        let (first, last) = (info.state.first_sequence, info.state.last_sequence);
        let after = u64::try_from(query.after).unwrap_or(0);
        let first = first.max(after + 1);
        if info.state.messages == 0 || first > last {
            return Ok(Vec::new());
        }
        let limit = query.limit as usize;
        if !query.newest_first {
            return self.summaries(first, last, &query, limit).await;
        }
        let (mut found, mut end) = (Vec::new(), last);
        while found.len() < limit && end >= first {
            let begin = first.max(end.saturating_sub(PAGE - 1));
            let mut page = self.summaries(begin, end, &query, usize::MAX).await?;
            page.reverse();
            found.extend(page);
            end = begin - 1;
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn summaries(
        &self,
        first: u64,
        last: u64,
        query: &Query,
        limit: usize,
    ) -> Result<Vec<EntrySummary>, ReadError> {
        let from = DeliverPolicy::ByStartSequence { start_sequence: first };
        let mut found = Vec::new();
        each(&self.streams.quarantine, from, true, last, |sequence, message| {
            let summary = message::summary(message.headers.as_ref(), sequence);
            found.extend(summary.filter(|summary| is_asked_for(query, summary)));
            found.len() < limit
        })
        .await?;
        Ok(found)
    }

    /// See [`crate::spool::Spool::entry`].
    pub(crate) async fn entry(&self, id: i64) -> Result<Option<Entry>, ReadError> {
        let Some(found) = self.raw(id).await? else { return Ok(None) };
        Ok(message::stored_entry(&found.headers, found.sequence, &found.payload))
    }

    /// Returns the message of an entry, if there is one.
    pub(super) async fn raw(&self, id: i64) -> Result<Option<StreamMessage>, ReadError> {
        let Ok(sequence) = u64::try_from(id) else { return Ok(None) };
        match self.streams.quarantine.get_raw_message(sequence).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// See [`crate::spool::Spool::remove`].
    pub(crate) async fn remove(
        &self,
        ids: Vec<i64>,
    ) -> Result<BTreeMap<Arc<str>, u64>, CommitError> {
        let failed = |error: &dyn std::error::Error| CommitError::Store(error_chain(error));
        let mut removed = BTreeMap::new();
        for id in ids {
            let Some(found) = self.raw(id).await.map_err(|error| failed(&error))? else { continue };
            let gone = self.streams.quarantine.delete_message(found.sequence).await;
            gone.map_err(|error| failed(&error))?;
            let summary = message::summary(Some(&found.headers), found.sequence);
            let source = summary.map(|summary| summary.source).unwrap_or_default();
            *removed.entry(Arc::from(source)).or_default() += 1;
        }
        let info = self.streams.quarantine.get_info().await.map_err(|error| failed(&error))?;
        self.shared.note_quarantine(info.state.bytes);
        Ok(removed)
    }

    /// See [`crate::spool::Spool::between`].
    pub(crate) async fn between(
        &self,
        positions: Range<u64>,
        time: Range<Millis>,
        max_bytes: usize,
    ) -> Result<(Vec<StoredEvent>, u64), ReadError> {
        let info = self.streams.events.get_info().await.map_err(unreadable)?;
        let trimmed = info.state.first_sequence.saturating_sub(1);
        let last = info.state.last_sequence.min(positions.end);
        if positions.start.max(trimmed) >= last {
            return Ok((Vec::new(), trimmed));
        }
        let skew = i64::try_from(SKEW.as_millis()).unwrap_or(i64::MAX);
        let from = match DateTime::from_timestamp_millis(time.start.saturating_sub(skew)) {
            Some(start_time) if positions.start <= trimmed => {
                DeliverPolicy::ByStartTime { start_time }
            }
            _ => DeliverPolicy::ByStartSequence { start_sequence: positions.start + 1 },
        };
        let (mut found, mut size) = (Vec::new(), 0);
        each(&self.streams.events, from, false, last, |position, message| {
            let headers = message.headers.as_ref();
            let read = message::read(&message.subject, headers, position, message.payload);
            match read {
                Read::Event(stored)
                    if stored.only_sink.is_none()
                        && position > positions.start
                        && time.contains(&stored.received_at) =>
                {
                    size += stored.bytes.len();
                    found.push(stored);
                }
                _ => {}
            }
            size < max_bytes
        })
        .await?;
        Ok((found, trimmed))
    }

    /// See [`crate::spool::inspect::Inspection::each_event`].
    pub(crate) async fn each_event(
        &self,
        mut visit: impl FnMut(StoredEvent),
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Vec<(u64, u64)>, ReadError> {
        let info = self.streams.events.get_info().await.map_err(unreadable)?;
        let (mut unread, mut passed) = (Vec::new(), 0);
        if info.state.messages > 0 {
            let last = info.state.last_sequence;
            each(&self.streams.events, DeliverPolicy::All, false, last, |position, message| {
                let headers = message.headers.as_ref();
                match message::read(&message.subject, headers, position, message.payload) {
                    Read::Event(stored) => visit(stored),
                    Read::Damaged(_) => unread.push((position, position)),
                }
                passed += 1;
                progress(passed, info.state.messages);
                true
            })
            .await?;
        }
        Ok(unread)
    }
}

/// Calls `visit` with each message of a stream up to `last`, until it returns false. Fails if messages are missing.
async fn each(
    stream: &Stream,
    from: DeliverPolicy,
    headers_only: bool,
    last: u64,
    mut visit: impl FnMut(u64, async_nats::Message) -> bool,
) -> Result<(), ReadError> {
    // A start by time has no known first position.
    let mut reached = match from {
        DeliverPolicy::All => Some(0),
        DeliverPolicy::ByStartSequence { start_sequence } => Some(start_sequence.saturating_sub(1)),
        _ => None,
    };
    let consumer = ordered::consumer(stream, from, headers_only).await?;
    let mut given = 0;
    loop {
        let page = consumer.fetch().max_messages(PAGE as usize);
        let messages = page.messages().await.map_err(unreadable)?;
        let mut messages = std::pin::pin!(messages);
        let before = given;
        loop {
            let next = timeout(REQUEST_TIMEOUT, messages.next()).await;
            let next = next.map_err(|_| ReadError("the servers do not answer".into()))?;
            let Some(next) = next else { break };
            let next = next.map_err(ReadError)?;
            let (position, number) = next
                .info()
                .map(|info| (info.stream_sequence, info.consumer_sequence))
                .map_err(ReadError)?;
            if number != given + 1 {
                return Err(ReadError("a message was lost on the way; try again".into()));
            }
            given = number;
            reached = Some(position);
            if position > last || !visit(position, next.split().0) || position == last {
                return Ok(());
            }
        }
        if given == before {
            // The end, if `last` is gone; or all messages of this server.
            return match reached {
                Some(reached)
                    if reached < last && !ordered::are_gone(stream, reached + 1, last).await? =>
                {
                    Err(ReadError("the server that is read from is behind; try again".into()))
                }
                _ => Ok(()),
            };
        }
    }
}

fn is_asked_for(query: &Query, summary: &EntrySummary) -> bool {
    let is = |asked: &Option<String>, has: Option<&str>| {
        asked.as_deref().is_none_or(|asked| Some(asked) == has)
    };
    is(&query.reason, Some(&summary.reason))
        && is(&query.source, Some(&summary.source))
        && is(&query.sink, summary.sink.as_deref())
}
