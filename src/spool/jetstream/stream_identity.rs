//! Identity of the stream: detects that a cursor belongs to another or truncated stream.
//!
//! A stream that was recreated, or that has lost its end, assigns positions again: the message at the cursor is
//! another one, or there is none. A missing message is no proof at first: consumers are served by any replica, and
//! the leader, which is asked here, may lag behind it.

use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Info, LastRawMessageErrorKind, Stream};

use super::lease_store::SinkLease;
use super::unreadable;
use crate::spool::ReadError;

/// Time that the leader may lack a message that was read, without progress, before the message counts as lost.
const LAG_TIMEOUT: Duration = Duration::from_secs(10);

/// Time that the leader may lack it in all.
const MAX_LAG: Duration = Duration::from_mins(5);

/// Maximum clock skew between servers, in nanoseconds.
const MAX_CLOCK_SKEW_NANOS: i64 = 60_000_000_000;

/// Relation of the stream to the one that a cursor was committed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continuity {
    /// The same stream, as far as can be told.
    Same,
    /// Another stream, or one that has lost messages that were read.
    Other,
    /// The leader lacks messages that were read. It may receive them later.
    Behind,
}

/// Lag of the leader: since when it lacks the message at a cursor.
#[derive(Debug, Default)]
pub(super) struct LeaderLag(Option<LagStart>);

#[derive(Debug, Clone, Copy)]
struct LagStart {
    /// Start of the lag.
    began: Instant,
    /// Time of the leader's last progress.
    since: Instant,
    /// Last position of the leader at that time.
    last: u64,
    /// Time of the last request.
    asked: Instant,
}

/// Compares a lease with the stream's leader. `read` is the last position that was read.
pub(super) async fn look(
    stream: &Stream,
    lease: &SinkLease,
    read: u64,
    absence: &std::sync::Mutex<LeaderLag>,
) -> Result<(Continuity, Info), ReadError> {
    let info = stream.get_info().await.map_err(unreadable)?;
    let found = match lease.at {
        0 => None,
        _ => stored_at(stream, lease.cursor).await?,
    };
    let mut absence = absence.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok((absence.assess(lease, read, &info, found, Instant::now()), info))
}

/// Returns the storage time of the message at a position, in nanoseconds since the Unix epoch; `None` if the
/// leader has no message there.
pub(super) async fn stored_at(stream: &Stream, position: u64) -> Result<Option<i64>, ReadError> {
    match stream.get_raw_message(position).await {
        Ok(found) => Ok(Some(found.time.timestamp_nanos_opt().unwrap_or_default())),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}

/// Returns the creation time of the stream, in nanoseconds since the Unix epoch.
pub(super) fn made_at(info: &Info) -> i64 {
    info.created.timestamp_nanos_opt().unwrap_or_default()
}

impl LeaderLag {
    /// `found` is the storage time of the message at the cursor.
    fn assess(
        &mut self,
        lease: &SinkLease,
        read: u64,
        info: &Info,
        found: Option<i64>,
        now: Instant,
    ) -> Continuity {
        let (first, last) = (info.state.first_sequence, info.state.last_sequence);
        let read = read.max(lease.cursor);
        let newest = info.state.last_timestamp.timestamp_nanos_opt().unwrap_or_default();
        match found {
            _ if lease.stream != made_at(info) => return Continuity::Other,
            Some(at) if at != lease.at => return Continuity::Other,
            // The message was removed: a lagging leader has not reached its position.
            None if lease.at != 0 && lease.cursor < first => return Continuity::Other,
            // A newer message was stored since, by a leader that lacks this one.
            None if lease.at != 0
                && lease.cursor > last
                && newest - lease.at > MAX_CLOCK_SKEW_NANOS =>
            {
                return Continuity::Other;
            }
            None if lease.at != 0 || read > last => {}
            Some(_) if read > last => {}
            Some(_) | None => {
                self.0 = None;
                return Continuity::Same;
            }
        }
        // A lag seen long ago may have ended since.
        let known = self.0.filter(|absent| now.duration_since(absent.asked) < LAG_TIMEOUT);
        let goes_on = |absent: &LagStart| read > last && last > absent.last;
        let since = known.filter(|absent| !goes_on(absent)).map_or(now, |absent| absent.since);
        let began = known.map_or(now, |absent| absent.began);
        self.0 = Some(LagStart { began, since, last, asked: now });
        let is_lost =
            now.duration_since(since) >= LAG_TIMEOUT || now.duration_since(began) >= MAX_LAG;
        if is_lost { Continuity::Other } else { Continuity::Behind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its last message was stored `after` so many nanoseconds.
    fn info(first: u64, last: u64, after: i64) -> Info {
        let time = "2026-01-01T00:00:00Z";
        let last_time = chrono::DateTime::from_timestamp_nanos(after).to_rfc3339();
        serde_json::from_value(serde_json::json!({
            "config": {
                "name": "s", "retention": "limits", "discard": "new", "storage": "file", "max_consumers": -1,
                "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msg_size": -1, "num_replicas": 3,
            },
            "created": time,
            "state": {
                "messages": 1, "bytes": 1, "first_seq": first, "first_ts": time, "last_seq": last,
                "last_ts": last_time, "consumer_count": 0,
            },
        }))
        .expect("an answer")
    }

    #[test]
    fn what_the_leader_does_not_have_is_lost_only_if_it_comes_no_further() {
        let start = Instant::now();
        let created = made_at(&info(1, 1, 0));
        let lease = |cursor: u64, at: i64| SinkLease {
            cursor,
            at,
            stream: created,
            ..SinkLease::default()
        };
        let (same, other, behind) = (Continuity::Same, Continuity::Other, Continuity::Behind);
        // Of each look: seconds, first and last position, and the storage time at the cursor.
        type LookCase = (u64, (u64, u64), Option<i64>, Continuity);
        let judged: [(&str, SinkLease, &[LookCase]); 12] = [
            ("it is there", lease(5, 7), &[(0, (1, 9), Some(7), same)]),
            ("another is there", lease(5, 7), &[(0, (1, 9), Some(8), other)]),
            ("nothing was read yet", lease(5, 0), &[(0, (6, 9), None, same)]),
            ("it was removed", lease(5, 7), &[(0, (6, 9), None, other)]),
            (
                "the leader catches up",
                lease(50, 7),
                &[
                    (0, (1, 20), None, behind),
                    (9, (1, 30), None, behind),
                    (18, (1, 49), None, behind),
                    (27, (1, 60), Some(7), same),
                    (28, (1, 20), None, behind),
                    (37, (1, 20), None, behind),
                ],
            ),
            (
                "the leader comes no further",
                lease(50, 7),
                &[
                    (0, (1, 20), None, behind),
                    (9, (1, 20), None, behind),
                    (10, (1, 20), None, other),
                ],
            ),
            (
                "it was absent long ago",
                lease(50, 7),
                &[(0, (1, 20), None, behind), (60, (1, 20), None, behind)],
            ),
            (
                "what comes anew takes its place",
                lease(50, 7),
                &[(0, (1, 20), None, behind), (1, (1, 60), Some(8), other)],
            ),
            (
                "it is gone from among the others, which grow",
                lease(50, 7),
                &[
                    (0, (1, 60), None, behind),
                    (9, (1, 70), None, behind),
                    (10, (1, 80), None, other),
                ],
            ),
            (
                "the leader catches up for too long",
                lease(500, 0),
                &[
                    (0, (1, 20), None, behind),
                    (9, (1, 21), None, behind),
                    (18, (1, 22), None, behind),
                ],
            ),
            (
                "nothing was settled yet, and the end is there",
                lease(0, 0),
                &[(0, (1, 60), None, same)],
            ),
            (
                "a place that was made behind a leader",
                lease(50, 0),
                &[(0, (1, 49), None, behind), (1, (1, 50), None, same)],
            ),
        ];
        for (name, lease, looks) in judged {
            let mut absence = LeaderLag::default();
            for (at, (first, last), found, verdict) in looks {
                let now = start + Duration::from_secs(*at);
                let judged = absence.assess(&lease, 0, &info(*first, *last, 7), *found, now);
                assert_eq!(judged, *verdict, "{name}, after {at} s");
            }
        }
        let made_anew = SinkLease { stream: created + 1, ..lease(5, 7) };
        let judged = LeaderLag::default().assess(&made_anew, 0, &info(1, 9, 7), Some(7), start);
        assert_eq!(judged, other);
    }

    #[test]
    fn a_leader_that_stores_what_is_newer_or_stays_behind_has_lost_what_was_read() {
        let start = Instant::now();
        let lease = |cursor: u64, at: i64| SinkLease {
            cursor,
            at,
            stream: made_at(&info(1, 1, 0)),
            ..SinkLease::default()
        };
        let assess =
            |absence: &mut LeaderLag, lease: &SinkLease, read, last, newest, found, after| {
                let now = start + Duration::from_secs(after);
                absence.assess(lease, read, &info(1, last, newest), found, now)
            };
        let settled = lease(50, 7);
        for (newest, verdict) in [
            (7 + MAX_CLOCK_SKEW_NANOS, Continuity::Behind),
            (8 + MAX_CLOCK_SKEW_NANOS, Continuity::Other),
        ] {
            let judged = assess(&mut LeaderLag::default(), &settled, 50, 20, newest, None, 0);
            assert_eq!(judged, verdict, "{newest}");
        }
        // Progress without ever reaching the message.
        let mut absence = LeaderLag::default();
        let looks = (0..).step_by(5).map(|at| {
            let judged = assess(&mut absence, &lease(900, 0), 900, 20 + at, 0, None, at);
            (at, judged)
        });
        let lost = looks.take(100).find(|(_, verdict)| *verdict == Continuity::Other);
        assert_eq!(lost.map(|(at, _)| at), Some(MAX_LAG.as_secs()));
        // The message at the cursor is there, but not the ones read after it.
        let mut absence = LeaderLag::default();
        for (after, last, verdict) in [
            (0, 100, Continuity::Same),
            (1, 70, Continuity::Behind),
            (9, 70, Continuity::Behind),
            (11, 70, Continuity::Other),
        ] {
            assert_eq!(
                assess(&mut absence, &settled, 100, last, 7, Some(7), after),
                verdict,
                "{after}"
            );
        }
    }
}
