//! The quarantine's stream: lists, reads and removes entries.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::jetstream::message::StreamMessage;

use super::log::{self, LogReader, LogStep};
use super::{JetStreamSpool, entry, unreadable};
use crate::error_chain::error_chain;
use crate::spool::{CommitError, Entry, EntrySummary, Query, ReadError};

/// Entries per part of a listing that starts with the newest.
const PAGE: u64 = 1000;

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
        let mut log = LogReader::new(self.streams.quarantine.clone(), first).headers_only();
        let mut found = Vec::new();
        while found.len() < limit {
            match log.step().await? {
                LogStep::Message(message) if message.sequence <= last => {
                    let summary = entry::summary(message.headers.as_ref(), message.sequence);
                    found.extend(summary.filter(|summary| is_asked_for(query, summary)));
                    if message.sequence == last {
                        break;
                    }
                }
                LogStep::Gone { last: gone, .. } if gone < last => {}
                LogStep::Message(_) | LogStep::Gone { .. } | LogStep::End => break,
            }
        }
        Ok(found)
    }

    /// See [`crate::spool::Spool::entry`].
    pub(crate) async fn entry(&self, id: i64) -> Result<Option<Entry>, ReadError> {
        let Some(found) = self.raw(id).await? else { return Ok(None) };
        Ok(entry::stored(&found.headers, found.sequence, &found.payload))
    }

    /// Returns the message of an entry, if there is one.
    pub(super) async fn raw(&self, id: i64) -> Result<Option<StreamMessage>, ReadError> {
        let Ok(sequence) = u64::try_from(id) else { return Ok(None) };
        log::message(&self.streams.quarantine, sequence).await
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
            let summary = entry::summary(Some(&found.headers), found.sequence);
            let source = summary.map(|summary| summary.source).unwrap_or_default();
            *removed.entry(Arc::from(source)).or_default() += 1;
        }
        let info = self.streams.quarantine.get_info().await.map_err(|error| failed(&error))?;
        self.status.note_quarantine(info.state.bytes);
        Ok(removed)
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
