//! Removing what every sink has passed and `retention` has outlasted.
//!
//! Every receiver does it: to remove the same twice changes nothing.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::stream::Info;
use chrono::DateTime;
use futures_util::{StreamExt, TryStreamExt};
use tokio::time::timeout;

use super::place::{self, Held, Place};
use super::shared::SinkPlace;
use super::streams::Streams;
use super::{Order, PATIENCE, most, ordered, same, unreadable};
use crate::spool::{Millis, ReadError};

/// How long a sink that this receiver does not have still holds events back after its last sign of life.
/// Signs of life are places that are renewed.
const FORGOTTEN: i64 = 24 * 60 * 60 * 1000;

/// Above this share of its bytes, a stream keeps nothing that every sink has.
const CROWDED: f64 = 0.7;

/// Messages deleted at one time at most, and how many of these at once.
const DELETED: usize = 20_000;
const AT_ONCE: usize = 64;

/// Removes what can go.
pub(super) async fn trim(
    streams: &Streams,
    order: Order,
    own: &[(Arc<str>, Arc<SinkPlace>)],
    retention: Duration,
    now: Millis,
) -> Result<(), ReadError> {
    let places = place::all(&streams.places).await?;
    let is_own = |sink: &str| own.iter().any(|(name, _)| &**name == sink);
    let counted = counted(&places, is_own);
    let Some(passed) = counted.iter().map(|place| place.cursor).min() else { return Ok(()) };
    let info = streams.events.get_info().await.map_err(unreadable)?;
    let first = info.state.first_sequence;
    // Cursors of another stream, or past its end, say nothing of what is there.
    if info.state.messages == 0
        || passed < first
        || !counted.iter().all(|place| is_of(place, &info))
    {
        return Ok(());
    }
    // What is kept for a replay makes room for what is new.
    let is_crowded = info.state.bytes as f64 > CROWDED * most(&info) as f64;
    let kept = match retention {
        Duration::ZERO => None,
        _ if is_crowded => None,
        retention => first_since(streams, &info, retention, now).await?,
    };
    // The message at the cursor stays, to be known again.
    let keep_from = kept.map_or(passed, |kept| kept.min(passed));
    if keep_from > first {
        let is_known = |place: &&&Place| place.at != 0 && place.cursor >= keep_from;
        for place in counted.iter().filter(is_known) {
            if same::stored_at(&streams.events, place.cursor).await? != Some(place.at) {
                return Ok(());
            }
        }
    }
    match order {
        _ if keep_from <= first => Ok(()),
        Order::Ordered => {
            tracing::debug!(keep_from, passed, "removing what every sink has");
            streams.events.purge().sequence(keep_from).await.map(drop).map_err(unreadable)
        }
        Order::Parallel => delete(streams, first..keep_from).await,
    }
}

/// Deletes message by message. A purge would be quicker, and has nats-server 2.9 forget which messages of a
/// consumer wait for their acknowledgement: what a receiver that is gone had held would not come again.
async fn delete(streams: &Streams, positions: Range<u64>) -> Result<(), ReadError> {
    let subject = format!("STREAM.MSG.DELETE.{}", streams.events.cached_info().config.name);
    let deletions = positions.take(DELETED).map(|position| {
        let payload = serde_json::json!({ "seq": position, "no_erase": true });
        let subject = subject.clone();
        // What another receiver has deleted is gone all the same.
        async move {
            let request = streams.context.request(subject, &payload);
            request.await.map(|_: serde_json::Value| ()).map_err(unreadable)
        }
    });
    futures_util::stream::iter(deletions).buffer_unordered(AT_ONCE).try_collect().await
}

/// The places that hold events back.
fn counted(places: &[(String, Held)], is_own: impl Fn(&str) -> bool) -> Vec<&Place> {
    let newest = places.iter().map(|(_, held)| held.at).max().unwrap_or_default();
    let is_alive = |sink: &str, held: &Held| is_own(sink) || newest - held.at < FORGOTTEN;
    let alive = places.iter().filter(|(sink, held)| is_alive(sink, held));
    alive.map(|(_, held)| &held.place).collect()
}

fn is_of(place: &Place, info: &Info) -> bool {
    place.stream == same::made_at(info) && place.cursor <= info.state.last_sequence
}

/// The first event that `retention` still keeps; none where it keeps none, and then all may go that have been
/// passed. A consumer's server may be behind, or pass over what it has: the leader has to confirm it.
async fn first_since(
    streams: &Streams,
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
    // Whoever trims also renews what is held: it must not wait for ever.
    match timeout(PATIENCE, messages.next()).await {
        Err(_) => Err(ReadError("the servers do not answer".into())),
        Ok(None) if info.state.last_timestamp < start_time => Ok(None),
        Ok(None) => Ok(Some(0)),
        Ok(Some(Ok(message))) => {
            let kept = message.info().map_err(ReadError)?.stream_sequence;
            let before = same::stored_at(&streams.events, kept.saturating_sub(1)).await?;
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
        let place = |sink: &str, cursor: u64, at: i64| {
            let place = Place { cursor, ..Place::default() };
            (sink.to_owned(), Held { place, revision: 1, at })
        };
        let day = FORGOTTEN;
        for (places, own, passed) in [
            (vec![], "a", None),
            (vec![place("a", 7, 0)], "a", Some(7)),
            (vec![place("a", 7, 0), place("b", 5, 0)], "a", Some(5)),
            // Another receiver's, which has given no sign of life for long.
            (vec![place("a", 7, day), place("b", 5, 1)], "a", Some(5)),
            (vec![place("a", 7, day), place("b", 5, 0)], "a", Some(7)),
            // One's own holds back whatever its age.
            (vec![place("a", 7, 0), place("b", 9, day)], "a", Some(7)),
        ] {
            let counted = counted(&places, |sink| sink == own);
            let least = counted.iter().map(|place| place.cursor).min();
            assert_eq!(least, passed, "{places:?}");
        }
    }
}
