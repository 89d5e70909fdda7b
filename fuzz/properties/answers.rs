//! Arbitrary bytes as the answer of a target, with any status.

use super::tree::{self, Tree};
use crate::sinks::{Reason, Report, Verdict, fuzzing};

const STATUSES: [u16; 12] = [200, 201, 302, 400, 401, 403, 404, 413, 429, 500, 503, 0];

/// Maximum length of the answer kept with a dead letter; each of its 1024 bytes may become U+FFFD.
const EXCERPT: usize = 3 * 1024;

/// Checks that there is one verdict per event, and `Delivered` only where the collector's code and
/// number say so.
pub fn splunk_hec(bytes: &[u8]) {
    let code = read(bytes).and_then(|body| body.get("code")?.said()?.parse::<i64>().ok());
    each(|status, is_whole, count| {
        let report = fuzzing::splunk_hec(status, bytes, is_whole, count);
        is_sound(&report, count);
        let delivered = delivered(&report);
        let is_taken = status == 200 && matches!(code, Some(0 | 24 | 25));
        let is_about_one = status == 400 && matches!(code, Some(6 | 7 | 12 | 13 | 15));
        assert!(delivered == 0 || is_taken || is_about_one, "{status} {code:?}: {report:?}");
        // Skipped if the service's parser refuses JSON that this reader accepts, for example half a
        // surrogate pair.
        assert!(!is_taken || delivered == 0 || delivered == count, "{status} {code:?}: {report:?}");
        if is_about_one {
            let first = report.verdicts.iter().position(|verdict| *verdict != Verdict::Delivered);
            assert_eq!(first, Some(delivered), "a prefix, and not all: {report:?}");
        }
    });
}

/// Checks that there is one verdict per document, and `Delivered` only where its own status says
/// so.
pub fn elasticsearch(bytes: &[u8]) {
    let body = read(bytes);
    let items = match body.as_ref().and_then(|body| body.get("items")) {
        Some(Tree::List(items)) => items.as_slice(),
        _ => &[],
    };
    let status_of = |item: &Tree| item.at(&["create", "status"])?.said()?.parse::<u16>().ok();
    let judge = |status: u16, is_whole: bool, count: usize| {
        let report = fuzzing::elasticsearch(status, bytes, is_whole, count);
        is_sound(&report, count);
        let fits = status / 100 == 2 && items.len() == count;
        for (index, verdict) in report.verdicts.iter().enumerate() {
            let item = items.get(index).and_then(status_of).filter(|_| fits);
            let is_there = item.is_some_and(|status| matches!(status, 200..=299 | 409));
            assert!(*verdict != Verdict::Delivered || is_there, "{index}: {report:?}");
            let is_refused = matches!(verdict, Verdict::Rejected { .. });
            assert!(
                !is_refused
                    || item.is_some_and(|status| (300..500).contains(&status) || status < 200),
                "{index}: {report:?}"
            );
        }
    };
    each(judge);
    if (1..1000).contains(&items.len()) {
        judge(200, true, items.len());
    }
}

/// Reads an answer leniently, because invalid UTF-8 in ignored fields is accepted.
fn read(bytes: &[u8]) -> Option<Tree> {
    tree::read(String::from_utf8_lossy(bytes).as_bytes())
}

fn each(judge: impl Fn(u16, bool, usize)) {
    for status in STATUSES {
        for (is_whole, count) in [(true, 1), (true, 2), (true, 5), (false, 3)] {
            judge(status, is_whole, count);
        }
    }
}

fn delivered(report: &Report) -> usize {
    report.verdicts.iter().filter(|verdict| **verdict == Verdict::Delivered).count()
}

fn is_sound(report: &Report, count: usize) {
    assert_eq!(report.verdicts.len(), count);
    assert!(report.findings.iter().all(|(_, number)| (1..=count as u64).contains(number)));
    for verdict in &report.verdicts {
        match verdict {
            Verdict::Delivered | Verdict::NotTried => {}
            Verdict::Retry { reason, .. }
            | Verdict::Rejected { reason }
            | Verdict::TooOld { reason }
            | Verdict::Fatal { reason }
            | Verdict::Exists { reason }
            | Verdict::Split { reason } => is_for_people(reason),
        }
    }
}

/// Checks that a reason can be logged: short, one line, in our own words. The target's words are
/// kept apart.
fn is_for_people(reason: &Reason) {
    let Reason { message, code, answer, .. } = reason;
    assert!((1..300).contains(&message.len()), "{message}");
    assert!(message.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{message}");
    assert!(answer.len() <= EXCERPT && code.as_ref().is_none_or(|code| code.len() <= 80));
}
