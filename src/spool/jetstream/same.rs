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

/// How long it may be without it altogether.
const FAR_BEHIND: Duration = Duration::from_mins(5);

/// How far the clocks of the servers may be apart, in nanoseconds.
const APART: i64 = 60_000_000_000;

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
    /// Since when it has been without.
    began: Instant,
    /// Since when it has come no further.
    since: Instant,
    /// Its last message then.
    last: u64,
    /// When it was asked last.
    asked: Instant,
}

/// Asks the stream's leader about a place, from which was read up to `read`.
pub(super) async fn look(
    stream: &Stream,
    place: &Place,
    read: u64,
    absence: &std::sync::Mutex<Absence>,
) -> Result<(Verdict, Info), ReadError> {
    let info = stream.get_info().await.map_err(unreadable)?;
    let found = match place.at {
        0 => None,
        _ => stored_at(stream, place.cursor).await?,
    };
    let mut absence = absence.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok((absence.judge(place, read, &info, found, Instant::now()), info))
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
    fn judge(
        &mut self,
        place: &Place,
        read: u64,
        info: &Info,
        found: Option<i64>,
        now: Instant,
    ) -> Verdict {
        let (first, last) = (info.state.first_sequence, info.state.last_sequence);
        let read = read.max(place.cursor);
        let newest = info.state.last_timestamp.timestamp_nanos_opt().unwrap_or_default();
        match found {
            _ if place.stream != made_at(info) => return Verdict::Other,
            Some(at) if at != place.at => return Verdict::Other,
            // It was removed: a leader that is behind has not come so far.
            None if place.at != 0 && place.cursor < first => return Verdict::Other,
            // What is newer has been stored since, by a leader that does not have it any more.
            None if place.at != 0 && place.cursor > last && newest - place.at > APART => {
                return Verdict::Other;
            }
            None if place.at != 0 || read > last => {}
            Some(_) if read > last => {}
            Some(_) | None => {
                self.0 = None;
                return Verdict::Same;
            }
        }
        // One that was found absent long ago may have been there since.
        let known = self.0.filter(|absent| now.duration_since(absent.asked) < BEHIND);
        let goes_on = |absent: &Absent| read > last && last > absent.last;
        let since = known.filter(|absent| !goes_on(absent)).map_or(now, |absent| absent.since);
        let began = known.map_or(now, |absent| absent.began);
        self.0 = Some(Absent { began, since, last, asked: now });
        let is_lost =
            now.duration_since(since) >= BEHIND || now.duration_since(began) >= FAR_BEHIND;
        if is_lost { Verdict::Other } else { Verdict::Behind }
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
        let place =
            |cursor: u64, at: i64| Place { cursor, at, stream: created, ..Place::default() };
        let (same, other, behind) = (Verdict::Same, Verdict::Other, Verdict::Behind);
        // Of each look: seconds, the first and last position, and what was found at the cursor.
        type Look = (u64, (u64, u64), Option<i64>, Verdict);
        let judged: [(&str, Place, &[Look]); 12] = [
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
                "the leader catches up for too long",
                place(500, 0),
                &[
                    (0, (1, 20), None, behind),
                    (9, (1, 21), None, behind),
                    (18, (1, 22), None, behind),
                ],
            ),
            (
                "nothing was settled yet, and the end is there",
                place(0, 0),
                &[(0, (1, 60), None, same)],
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
                let judged = absence.judge(&place, 0, &info(*first, *last, 7), *found, now);
                assert_eq!(judged, *verdict, "{name}, after {at} s");
            }
        }
        let made_anew = Place { stream: created + 1, ..place(5, 7) };
        let judged = Absence::default().judge(&made_anew, 0, &info(1, 9, 7), Some(7), start);
        assert_eq!(judged, other);
    }

    #[test]
    fn a_leader_that_stores_what_is_newer_or_stays_behind_has_lost_what_was_read() {
        let start = Instant::now();
        let place = |cursor: u64, at: i64| Place {
            cursor,
            at,
            stream: made_at(&info(1, 1, 0)),
            ..Place::default()
        };
        let judge = |absence: &mut Absence, place: &Place, read, last, newest, found, after| {
            let now = start + Duration::from_secs(after);
            absence.judge(place, read, &info(1, last, newest), found, now)
        };
        let settled = place(50, 7);
        for (newest, verdict) in [(7 + APART, Verdict::Behind), (8 + APART, Verdict::Other)] {
            let judged = judge(&mut Absence::default(), &settled, 50, 20, newest, None, 0);
            assert_eq!(judged, verdict, "{newest}");
        }
        // Always a little further, and never there.
        let mut absence = Absence::default();
        let looks = (0..).step_by(5).map(|at| {
            let judged = judge(&mut absence, &place(900, 0), 900, 20 + at, 0, None, at);
            (at, judged)
        });
        let lost = looks.take(100).find(|(_, verdict)| *verdict == Verdict::Other);
        assert_eq!(lost.map(|(at, _)| at), Some(FAR_BEHIND.as_secs()));
        // The cursor is there, and what was read beyond it is not.
        let mut absence = Absence::default();
        for (after, last, verdict) in [
            (0, 100, Verdict::Same),
            (1, 70, Verdict::Behind),
            (9, 70, Verdict::Behind),
            (11, 70, Verdict::Other),
        ] {
            assert_eq!(
                judge(&mut absence, &settled, 100, last, 7, Some(7), after),
                verdict,
                "{after}"
            );
        }
    }
}
