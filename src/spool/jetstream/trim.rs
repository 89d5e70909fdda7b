//! Trimming: removes events that every sink has committed and whose `retention` is over.
//!
//! Every receiver trims: removing the same events twice is harmless.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::stream::Info;
use chrono::DateTime;
use futures_util::{StreamExt, TryStreamExt};
use tokio::time::timeout;

use super::lease_store::{self, SinkLease, StoredLease};
use super::status::SinkLeaseState;
use super::streams::StreamHandles;
use super::{Order, REQUEST_TIMEOUT, most, ordered, stream_identity, unreadable};
use crate::spool::{Millis, ReadError};

/// Time after the last renewal of a sink's lease, for a sink that this receiver does not have, until its cursor
/// no longer keeps events.
const FORGOTTEN: i64 = 24 * 60 * 60 * 1000;

/// Share of a stream's maximum size above which retention ends for committed events.
const CROWDED: f64 = 0.7;

/// Maximum number of messages deleted in one pass, and of parallel deletions.
const DELETED: usize = 20_000;
const MESSAGES_PER_PULL: usize = 64;

/// Removes the events that are no longer needed.
pub(super) async fn trim(
    streams: &StreamHandles,
    order: Order,
    own: &[(Arc<str>, Arc<SinkLeaseState>)],
    retention: Duration,
    now: Millis,
) -> Result<(), ReadError> {
    let leases = lease_store::all(&streams.leases).await?;
    let is_own = |sink: &str| own.iter().any(|(name, _)| &**name == sink);
    let counted = counted(&leases, is_own);
    let Some(passed) = counted.iter().map(|lease| lease.cursor).min() else { return Ok(()) };
    let info = streams.events.get_info().await.map_err(unreadable)?;
    let first = info.state.first_sequence;
    // Cursors of another stream, or beyond its end, do not apply to this stream.
    if info.state.messages == 0
        || passed < first
        || !counted.iter().all(|lease| is_of(lease, &info))
    {
        return Ok(());
    }
    // Events kept for a replay make room for new ones.
    let is_crowded = info.state.bytes as f64 > CROWDED * most(&info) as f64;
    let kept = match retention {
        Duration::ZERO => None,
        _ if is_crowded => None,
        retention => first_since(streams, &info, retention, now).await?,
    };
    // The message at the cursor stays: it identifies the stream.
    let keep_from = kept.map_or(passed, |kept| kept.min(passed));
    if keep_from > first {
        let is_known = |lease: &&&SinkLease| lease.at != 0 && lease.cursor >= keep_from;
        for lease in counted.iter().filter(is_known) {
            if stream_identity::stored_at(&streams.events, lease.cursor).await? != Some(lease.at) {
                return Ok(());
            }
        }
    }
    match order {
        _ if keep_from <= first => Ok(()),
        Order::Ordered => {
            tracing::debug!(keep_from, passed, "trimming events that every sink has committed");
            streams.events.purge().sequence(keep_from).await.map(drop).map_err(unreadable)
        }
        Order::Parallel => delete(streams, first..keep_from).await,
    }
}

/// Deletes message by message. A purge would be faster, but nats-server 2.9 then forgets the unacknowledged messages
/// of a consumer: those of a lost receiver would not be redelivered.
async fn delete(streams: &StreamHandles, positions: Range<u64>) -> Result<(), ReadError> {
    let subject = format!("STREAM.MSG.DELETE.{}", streams.events.cached_info().config.name);
    let deletions = positions.take(DELETED).map(|position| {
        let payload = serde_json::json!({ "seq": position, "no_erase": true });
        let subject = subject.clone();
        // Another receiver may have deleted it.
        async move {
            let request = streams.context.request(subject, &payload);
            request.await.map(|_: serde_json::Value| ()).map_err(unreadable)
        }
    });
    futures_util::stream::iter(deletions).buffer_unordered(MESSAGES_PER_PULL).try_collect().await
}

/// Returns the leases that keep events from being trimmed.
fn counted(leases: &[(String, StoredLease)], is_own: impl Fn(&str) -> bool) -> Vec<&SinkLease> {
    let newest = leases.iter().map(|(_, held)| held.at).max().unwrap_or_default();
    let is_alive = |sink: &str, held: &StoredLease| is_own(sink) || newest - held.at < FORGOTTEN;
    let alive = leases.iter().filter(|(sink, held)| is_alive(sink, held));
    alive.map(|(_, held)| &held.lease).collect()
}

fn is_of(lease: &SinkLease, info: &Info) -> bool {
    lease.stream == stream_identity::made_at(info) && lease.cursor <= info.state.last_sequence
}

/// Returns the first event within `retention`; `None` if all committed events may be removed. The leader has to
/// confirm it, because a consumer's server may lag or skip messages.
async fn first_since(
    streams: &StreamHandles,
    info: &Info,
    retention: Duration,
    now: Millis,
) -> Result<Option<u64>, ReadError> {
    let since = now.saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
    let Some(start_time) = DateTime::from_timestamp_millis(since) else { return Ok(Some(0)) };
    let from = DeliverPolicy::ByStartTime { start_time };
    let consumer = ordered::consumer(&streams.events, from, true).await?;
    let messages = consumer.fetch().max_messages(1).messages();
    let mut messages = std::pin::pin!(messages.await.map_err(unreadable)?);
    // The same task renews leases: it must not wait without end.
    match timeout(REQUEST_TIMEOUT, messages.next()).await {
        Err(_) => Err(ReadError("the servers do not answer".into())),
        Ok(None) if info.state.last_timestamp < start_time => Ok(None),
        Ok(None) => Ok(Some(0)),
        Ok(Some(Ok(message))) => {
            let kept = message.info().map_err(ReadError)?.stream_sequence;
            let before =
                stream_identity::stored_at(&streams.events, kept.saturating_sub(1)).await?;
            let is_kept = before.is_some_and(|at| at / 1_000_000 >= since);
            Ok(Some(if is_kept { 0 } else { kept }))
        }
        Ok(Some(Err(error))) => Err(ReadError(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_holds_back_what_it_has_not_until_nobody_knows_it_any_more() {
        let lease = |sink: &str, cursor: u64, at: i64| {
            let lease = SinkLease { cursor, ..SinkLease::default() };
            (sink.to_owned(), StoredLease { lease, revision: 1, at })
        };
        let day = FORGOTTEN;
        for (leases, own, passed) in [
            (vec![], "a", None),
            (vec![lease("a", 7, 0)], "a", Some(7)),
            (vec![lease("a", 7, 0), lease("b", 5, 0)], "a", Some(5)),
            // Lease of another receiver, not renewed for long.
            (vec![lease("a", 7, day), lease("b", 5, 1)], "a", Some(5)),
            (vec![lease("a", 7, day), lease("b", 5, 0)], "a", Some(7)),
            // A sink of this receiver keeps events at any age.
            (vec![lease("a", 7, 0), lease("b", 9, day)], "a", Some(7)),
        ] {
            let counted = counted(&leases, |sink| sink == own);
            let least = counted.iter().map(|lease| lease.cursor).min();
            assert_eq!(least, passed, "{leases:?}");
        }
    }
}
