//! Identity of the stream: detects that it is not the one that was read before.
//!
//! A stream that was recreated, that has lost its end, or that was restored from an older copy assigns sequences again:
//! the message at a known sequence is another one or missing. A missing end is no proof at first: consumers are
//! served by any replica, and the leader, which is asked here, may lag behind it.

use std::time::Duration;

use async_nats::jetstream::stream::{Info, Stream};
use tokio::time::Instant;

use super::checkpoint::{Checkpoint, Mark, created};
use super::log;
use crate::spool::ReadError;

/// Time that the leader may lack a message that was read, without progress, before the message counts as lost.
const LAG_TIMEOUT: Duration = Duration::from_secs(10);

/// Time that the leader may lack it in all.
const MAX_LAG: Duration = Duration::from_mins(5);

/// Interval at which a message that was read is compared with the leader's.
const COMPARE_INTERVAL: Duration = Duration::from_secs(3);

/// State of the comparison between two checks.
#[derive(Debug, Default)]
pub(super) struct StreamIdentity {
    /// Numbering that the rest belongs to.
    epoch: String,
    lag: Option<LeaderLag>,
    /// Message to compare next, and since when it is known.
    to_compare: Option<(Mark, Instant)>,
}

/// Since when the leader lacks messages that were read.
#[derive(Debug, Clone, Copy)]
struct LeaderLag {
    began: Instant,
    /// Last sequence of the leader, and the time of its last progress.
    last: u64,
    moved: Instant,
}

impl StreamIdentity {
    /// Returns the reason why the stream is another one; `None` if it is the same, as far as can be told. `read` is
    /// the last message that was read before `info` was requested; `checkpoint` was read after it.
    pub(super) async fn changed(
        &mut self,
        stream: &Stream,
        checkpoint: &Checkpoint,
        read: Mark,
        info: &Info,
    ) -> Result<Option<&'static str>, ReadError> {
        let now = Instant::now();
        if self.epoch != checkpoint.epoch {
            let epoch = checkpoint.epoch.clone();
            *self = StreamIdentity { epoch, ..StreamIdentity::default() };
        }
        if let Some(reason) = self.assess(checkpoint, read, info, now) {
            return Ok(Some(reason));
        }
        // A message that was read stays as it was, also if many were stored since.
        let Some((mark, since)) = self.to_compare else {
            self.to_compare = Some((last_known(checkpoint, read), now));
            return Ok(None);
        };
        if since.elapsed() < COMPARE_INTERVAL || mark == read {
            return Ok(None);
        }
        let found = match mark.at {
            0 => None,
            _ => log::message(stream, mark.sequence).await?,
        };
        let at = found.map(|found| found.time.timestamp_nanos_opt().unwrap_or_default());
        if at.is_some_and(|at| at != mark.at) {
            return Ok(Some(LOST_END));
        }
        self.to_compare = Some((read, now));
        Ok(None)
    }

    fn assess(
        &mut self,
        checkpoint: &Checkpoint,
        read: Mark,
        info: &Info,
        now: Instant,
    ) -> Option<&'static str> {
        let last = info.state.last_sequence;
        let newest = info.state.last_timestamp.timestamp_nanos_opt().unwrap_or_default();
        if checkpoint.created != created(info) {
            return Some("the stream was recreated");
        }
        if info.state.first_sequence > checkpoint.trimmed.sequence + 1 {
            return Some("another program has removed messages from the stream");
        }
        let known = last_known(checkpoint, read);
        if known.sequence == last && known.at != 0 && info.state.messages > 0 && known.at != newest
        {
            return Some(LOST_END);
        }
        if known.sequence <= last {
            self.lag = None;
            return None;
        }
        let lag = self.lag.get_or_insert(LeaderLag { began: now, last, moved: now });
        if last > lag.last {
            (lag.last, lag.moved) = (last, now);
        }
        let is_lost = now.duration_since(lag.moved) >= LAG_TIMEOUT
            || now.duration_since(lag.began) >= MAX_LAG;
        is_lost.then_some(LOST_END)
    }
}

/// Returns the last message that this receiver, or the one that wrote the checkpoint, has read.
fn last_known(checkpoint: &Checkpoint, read: Mark) -> Mark {
    if read.sequence >= checkpoint.head.sequence { read } else { checkpoint.head }
}

const LOST_END: &str = "the stream has lost its end, or was restored from an older copy";

#[cfg(test)]
mod tests {
    use super::*;

    /// Its last message was stored at `at` ns.
    fn info(first: u64, last: u64, at: i64) -> Info {
        let time = "2026-01-01T00:00:00Z";
        let last_time = chrono::DateTime::from_timestamp_nanos(at).to_rfc3339();
        serde_json::from_value(serde_json::json!({
            "config": {
                "name": "s", "retention": "limits", "discard": "new", "storage": "file", "max_consumers": -1,
                "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msg_size": -1, "num_replicas": 3,
            },
            "created": time,
            "state": {
                "messages": last + 1 - first, "bytes": 1, "first_seq": first, "first_ts": time, "last_seq": last,
                "last_ts": last_time, "consumer_count": 0,
            },
        }))
        .expect("an answer")
    }

    fn mark(sequence: u64, at: i64) -> Mark {
        Mark { sequence, position: 10 * sequence, at }
    }

    #[test]
    fn a_stream_is_another_one_if_what_was_read_is_not_in_it() {
        let created = created(&info(1, 1, 0));
        let checkpoint = |trimmed: u64, head: Mark| Checkpoint {
            created,
            trimmed: mark(trimmed, 1),
            head,
            ..Checkpoint::default()
        };
        let lost = Some(LOST_END);
        let removed = Some("another program has removed messages from the stream");
        // Of each look: seconds, first and last sequence, storage time of the last, and the verdict.
        type LookCase = (u64, (u64, u64, i64), Option<&'static str>);
        let judged: [(&str, Checkpoint, Mark, &[LookCase]); 8] = [
            ("it is there", checkpoint(4, mark(5, 5)), mark(9, 9), &[(0, (5, 9, 9), None)]),
            ("more is there", checkpoint(4, mark(5, 5)), mark(9, 9), &[(0, (5, 12, 30), None)]),
            ("another is there", checkpoint(4, mark(5, 5)), mark(9, 9), &[(0, (5, 9, 8), lost)]),
            (
                "nothing was read yet",
                checkpoint(4, mark(4, 1)),
                mark(4, 1),
                &[(0, (5, 9, 9), None)],
            ),
            ("it is new", checkpoint(0, mark(0, 0)), mark(0, 0), &[(0, (1, 0, 0), None)]),
            (
                "some were removed",
                checkpoint(4, mark(5, 5)),
                mark(9, 9),
                &[(0, (6, 9, 9), removed)],
            ),
            (
                "the leader catches up",
                checkpoint(0, mark(5, 5)),
                mark(50, 50),
                &[
                    (0, (1, 20, 20), None),
                    (9, (1, 30, 30), None),
                    (18, (1, 49, 49), None),
                    (27, (1, 60, 60), None),
                    (28, (1, 20, 20), None),
                    (37, (1, 20, 20), None),
                    (38, (1, 20, 20), lost),
                ],
            ),
            (
                "the end that all had read is gone at the start",
                checkpoint(0, mark(50, 50)),
                mark(0, 0),
                &[(0, (1, 20, 20), None), (10, (1, 20, 20), lost)],
            ),
        ];
        let start = Instant::now();
        for (name, checkpoint, read, looks) in judged {
            let mut identity = StreamIdentity::default();
            for (at, (first, last, newest), verdict) in looks {
                let now = start + Duration::from_secs(*at);
                let found = identity.assess(&checkpoint, read, &info(*first, *last, *newest), now);
                assert_eq!(found, *verdict, "{name}, after {at} s");
            }
        }
        let other = Checkpoint { created: created + 1, ..checkpoint(4, mark(5, 5)) };
        let found = StreamIdentity::default().assess(&other, mark(9, 9), &info(5, 9, 9), start);
        assert_eq!(found, Some("the stream was recreated"));
    }

    #[test]
    fn a_leader_that_catches_up_for_too_long_has_lost_the_end() {
        let (start, mut identity) = (Instant::now(), StreamIdentity::default());
        let checkpoint = Checkpoint { created: created(&info(1, 1, 0)), ..Checkpoint::default() };
        let lost = (0..100).map(|step| 5 * step).find(|at| {
            let now = start + Duration::from_secs(*at);
            identity.assess(&checkpoint, mark(900, 1), &info(1, 20 + at, 1), now).is_some()
        });
        assert_eq!(lost, Some(MAX_LAG.as_secs()));
    }
}
