//! Notation of the tables in the sinks' tests.

use std::time::Duration;

use super::{Report, Verdict};
use crate::http_client::Answer;

/// The wish to wait that [`answer`] brings.
pub(super) const WISH: Duration = Duration::from_secs(7);

/// A whole answer.
pub(super) fn answer(status: u16, body: &str) -> Answer {
    let body = body.as_bytes().to_vec();
    Answer { status, retry_after: Some(WISH), body, is_whole: true, ..Answer::default() }
}

/// One letter per item: delivered, retry, rejected (X), too old, fatal, split, exists, not tried (-).
pub(super) fn letters(report: &Report) -> String {
    let letter = |verdict: &Verdict| match verdict {
        Verdict::Delivered => 'D',
        Verdict::Retry { after, .. } => {
            assert_eq!(*after, Some(WISH), "the wish to wait is passed on");
            'R'
        }
        Verdict::Rejected { .. } => 'X',
        Verdict::TooOld { .. } => 'O',
        Verdict::Fatal { .. } => 'F',
        Verdict::Split { .. } => 'S',
        Verdict::Exists { .. } => 'E',
        Verdict::NotTried => '-',
    };
    report.verdicts.iter().map(letter).collect()
}
