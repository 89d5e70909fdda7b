//! Whether the stream is still the one that a cursor was moved on.
//!
//! A stream that was made anew, or that has lost its end, counts from where it stands: the message at the
//! cursor is another then, or there is none. That there is none says nothing at first: consumers are served by any
//! server that keeps the stream, and the leader, which is asked here, may be behind them with what it has to
//! write.

use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Info, LastRawMessageErrorKind, Stream};

use super::place::Place;
use super::unreadable;
use crate::spool::ReadError;

/// How long the leader may be without a message that was read, and come no further, before it counts as lost.
const BEHIND: Duration = Duration::from_secs(10);

/// What is known of the stream that a place was moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the same, as far as can be told.
    Same,
    /// It is another, or has lost what was read.
    Other,
    /// The leader does not have what was read. It may have it later.
    Behind,
}

/// That the leader is without the message at a cursor.
#[derive(Debug, Default)]
pub(super) struct Absence(Option<Absent>);

#[derive(Debug, Clone, Copy)]
struct Absent {
    /// Since when it has come no further.
    since: Instant,
    /// Its last message then.
    last: u64,
    /// When it was asked last.
    asked: Instant,
}

/// Asks the stream's leader about a place.
pub(super) async fn look(
    stream: &Stream,
    place: &Place,
    absence: &std::sync::Mutex<Absence>,
) -> Result<(Verdict, Info), ReadError> {
    let info = stream.get_info().await.map_err(unreadable)?;
    let found = match place.at {
        0 => None,
        _ => stored_at(stream, place.cursor).await?,
    };
    let mut absence = absence.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok((absence.judge(place, &info, found, Instant::now()), info))
}

/// When the servers stored the message at a position, in nanoseconds since the epoch; `None` if the leader has
/// none there.
pub(super) async fn stored_at(stream: &Stream, position: u64) -> Result<Option<i64>, ReadError> {
    match stream.get_raw_message(position).await {
        Ok(found) => Ok(Some(found.time.timestamp_nanos_opt().unwrap_or_default())),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}

/// When the stream was made, in nanoseconds since the epoch.
pub(super) fn made_at(info: &Info) -> i64 {
    info.created.timestamp_nanos_opt().unwrap_or_default()
}

impl Absence {
    /// `found` is when the message at the cursor was stored.
    fn judge(&mut self, place: &Place, info: &Info, found: Option<i64>, now: Instant) -> Verdict {
        let (first, last) = (info.state.first_sequence, info.state.last_sequence);
        match found {
            _ if place.stream != made_at(info) => return Verdict::Other,
            Some(at) if at != place.at => return Verdict::Other,
            // It was removed: a leader that is behind has not come so far.
            None if place.at != 0 && place.cursor < first => return Verdict::Other,
            None if place.at != 0 || place.cursor > last => {}
            Some(_) | None => {
                self.0 = None;
                return Verdict::Same;
            }
        }
        // One that was found absent long ago may have been there since.
        let known = self.0.filter(|absent| now.duration_since(absent.asked) < BEHIND);
        let goes_on = |absent: &Absent| place.cursor > last && last > absent.last;
        let since = known.filter(|absent| !goes_on(absent)).map_or(now, |absent| absent.since);
        self.0 = Some(Absent { since, last, asked: now });
        if now.duration_since(since) < BEHIND { Verdict::Behind } else { Verdict::Other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(first: u64, last: u64) -> Info {
        let time = "2026-01-01T00:00:00Z";
        serde_json::from_value(serde_json::json!({
            "config": {
                "name": "s", "retention": "limits", "discard": "new", "storage": "file", "max_consumers": -1,
                "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msg_size": -1, "num_replicas": 3,
            },
            "created": time,
            "state": {
                "messages": 1, "bytes": 1, "first_seq": first, "first_ts": time, "last_seq": last,
                "last_ts": time, "consumer_count": 0,
            },
        }))
        .expect("an answer")
    }

    #[test]
    fn what_the_leader_does_not_have_is_lost_only_if_it_comes_no_further() {
        let start = Instant::now();
        let created = made_at(&info(1, 1));
        let place =
            |cursor: u64, at: i64| Place { cursor, at, stream: created, ..Place::default() };
        let (same, other, behind) = (Verdict::Same, Verdict::Other, Verdict::Behind);
        // Of each look: seconds, the first and last position, and what was found at the cursor.
        type Look = (u64, (u64, u64), Option<i64>, Verdict);
        let judged: [(&str, Place, &[Look]); 10] = [
            ("it is there", place(5, 7), &[(0, (1, 9), Some(7), same)]),
            ("another is there", place(5, 7), &[(0, (1, 9), Some(8), other)]),
            ("nothing was read yet", place(5, 0), &[(0, (6, 9), None, same)]),
            ("it was removed", place(5, 7), &[(0, (6, 9), None, other)]),
            (
                "the leader catches up",
                place(50, 7),
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
                place(50, 7),
                &[
                    (0, (1, 20), None, behind),
                    (9, (1, 20), None, behind),
                    (10, (1, 20), None, other),
                ],
            ),
            (
                "it was absent long ago",
                place(50, 7),
                &[(0, (1, 20), None, behind), (60, (1, 20), None, behind)],
            ),
            (
                "what comes anew takes its place",
                place(50, 7),
                &[(0, (1, 20), None, behind), (1, (1, 60), Some(8), other)],
            ),
            (
                "it is gone from among the others, which grow",
                place(50, 7),
                &[
                    (0, (1, 60), None, behind),
                    (9, (1, 70), None, behind),
                    (10, (1, 80), None, other),
                ],
            ),
            (
                "a place that was made behind a leader",
                place(50, 0),
                &[(0, (1, 49), None, behind), (1, (1, 50), None, same)],
            ),
        ];
        for (name, place, looks) in judged {
            let mut absence = Absence::default();
            for (at, (first, last), found, verdict) in looks {
                let now = start + Duration::from_secs(*at);
                let judged = absence.judge(&place, &info(*first, *last), *found, now);
                assert_eq!(judged, *verdict, "{name}, after {at} s");
            }
        }
        let made_anew = Place { stream: created + 1, ..place(5, 7) };
        let judged = Absence::default().judge(&made_anew, &info(1, 9), Some(7), start);
        assert_eq!(judged, other);
    }
}
