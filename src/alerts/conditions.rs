//! Problems in a snapshot of the service. Pure: no clock, no I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AlertKind, Condition};

/// Share of `spool.max_size` in percent from which the spool is filling; retention gives way at 70 %.
const SPOOL_PERCENT: u64 = 80;

/// Share of free space in percent below which the disk is filling.
const FREE_PERCENT: u64 = 10;

/// Remaining validity of a certificate that is a problem: 14 days, in ms.
const EXPIRY_MS: i64 = 14 * DAY;

/// Time for which a new dead letter counts as growth, in ms.
const GROWTH_MS: i64 = 15 * 60 * 1000;

/// Maximum length of a summary, in characters: the limit of PagerDuty. The reason of a pause may be long.
const MAX_SUMMARY_CHARS: usize = 1024;

const DAY: i64 = 24 * 3600 * 1000;

/// State of the service at one moment. Times are in ms since the Unix epoch, sizes in bytes.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) now: i64,
    /// Reason why the spool cannot store events.
    pub(super) failing: Option<String>,
    pub(super) is_spool_full: bool,
    pub(super) is_quarantine_full: bool,
    /// Size and maximum size of the spool; `None` if the spool cannot be read.
    pub(super) spool: Option<(u64, u64)>,
    /// Free space and size of the file system of the spool.
    pub(super) disk: Option<(u64, u64)>,
    /// Name and time of the first refusal of each blocked source.
    pub(super) blocked: Vec<(String, i64)>,
    /// Name and silence in ms of each silent source.
    pub(super) silent: Vec<(String, i64)>,
    /// Name and reason of each paused sink.
    pub(super) paused: Vec<(String, String)>,
    /// Total of dead letters by sink.
    pub(super) dead_letters: BTreeMap<String, u64>,
    /// Key of each certificate file, and its earliest expiry.
    pub(super) certificates: Vec<(String, i64)>,
}

impl Snapshot {
    /// Fills in the sizes that could not be read from the previous snapshot: an unknown size is no end of a problem.
    pub(super) fn completed(mut self, previous: &Snapshot) -> Snapshot {
        self.spool = self.spool.or(previous.spool);
        self.disk = self.disk.or(previous.disk);
        self
    }
}

/// Totals of dead letters by sink, with the time of their last growth.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Growth(BTreeMap<String, SinkGrowth>);

/// Dead letters of one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct SinkGrowth {
    total: u64,
    /// Time of the last growth; `None` before the first.
    grown_at: Option<i64>,
}

impl Growth {
    /// Takes over the totals of a snapshot. Returns each sink with recent growth. The first total of a sink is no
    /// growth: the dead letters may be old.
    fn observe(&mut self, snapshot: &Snapshot) -> Vec<(String, u64)> {
        let now = snapshot.now;
        self.0.retain(|sink, _| snapshot.dead_letters.contains_key(sink));
        for (sink, total) in &snapshot.dead_letters {
            let first = SinkGrowth { total: *total, grown_at: None };
            let entry = self.0.entry(sink.clone()).or_insert(first);
            // A receiver that shares its spool counts from 0 after a restart.
            let grown_at = if *total > entry.total { Some(now) } else { entry.grown_at };
            // The clock may have been set back.
            *entry = SinkGrowth { total: *total, grown_at: grown_at.map(|at| at.min(now)) };
        }
        let is_recent =
            |growth: &SinkGrowth| growth.grown_at.is_some_and(|at| at > now - GROWTH_MS);
        let grown = self.0.iter().filter(|(_, growth)| is_recent(growth));
        grown.map(|(sink, growth)| (sink.clone(), growth.total)).collect()
    }
}

/// Returns the problems of a snapshot, the most severe first.
pub(super) fn conditions(snapshot: &Snapshot, growth: &mut Growth) -> Vec<Condition> {
    let mut found = Vec::new();
    let mut add = |kind, subject: &str, summary: String| {
        let summary = match summary.char_indices().nth(MAX_SUMMARY_CHARS) {
            Some((end, _)) => summary[..end].to_owned(),
            None => summary,
        };
        found.push(Condition { kind, subject: subject.to_owned(), summary });
    };
    if let Some(error) = &snapshot.failing {
        add(
            AlertKind::SpoolFailing,
            "spool",
            format!(
                "The spool cannot store events: {error}. PingOne keeps its events for seven days. Check the disk."
            ),
        );
    }
    if snapshot.is_spool_full {
        add(
            AlertKind::SpoolFull,
            "spool",
            "The spool is full: PingOne is blocked until the sinks have caught up. \
            Correct the sink that lags, or raise spool.max_size."
                .to_owned(),
        );
    }
    // A full spool is filling, too: the alert about it is not resolved by becoming worse.
    let is_filling = |(size, max)| is_above(size, max, SPOOL_PERCENT);
    if snapshot.is_spool_full || snapshot.spool.is_some_and(is_filling) {
        add(
            AlertKind::SpoolFilling,
            "spool",
            format!(
                "The spool has reached {SPOOL_PERCENT} % of spool.max_size. Correct the sink that lags, or raise it."
            ),
        );
    }
    if snapshot.is_quarantine_full {
        add(
            AlertKind::QuarantineFull,
            "quarantine",
            "The quarantine is full: batches with refused elements are \
            blocked. Retry or purge entries, or raise spool.quarantine_max_size."
                .to_owned(),
        );
    }
    if let Some((free, all)) = snapshot.disk
        && all > 0
        && !is_above(free, all, FREE_PERCENT)
    {
        add(
            AlertKind::DiskFilling,
            "disk",
            format!(
                "The file system of the spool has less than {FREE_PERCENT} % of free space. Free space there."
            ),
        );
    }
    for (source, since) in &snapshot.blocked {
        let days = 7 - (snapshot.now - since) / DAY;
        let loss = match days {
            1.. => format!("PingOne loses events in {days} days or less"),
            _ => "PingOne is losing events".to_owned(),
        };
        add(
            AlertKind::SourceBlocked,
            source,
            format!(
                "Source {source} is blocked: its batches are not acknowledged. {loss}. See davinci-siem status."
            ),
        );
    }
    for (source, millis) in &snapshot.silent {
        add(
            AlertKind::SourceSilent,
            source,
            format!(
                "Source {source} has sent no request for {} minutes. Check PingOne's webhook with davinci-siem doctor.",
                millis / 60_000
            ),
        );
    }
    for (sink, reason) in &snapshot.paused {
        add(
            AlertKind::SinkPaused,
            sink,
            format!("Sink {sink} is paused: {reason}. Its events are kept."),
        );
    }
    for (sink, total) in growth.observe(snapshot) {
        add(
            AlertKind::DeadLetters,
            &sink,
            format!(
                "The target of sink {sink} refuses events: {total} dead letters in total. See davinci-siem quarantine \
             list --sink {sink}."
            ),
        );
    }
    for (key, expires) in &snapshot.certificates {
        let left = expires - snapshot.now;
        let summary = match left {
            ..=0 => format!("The certificate of {key} has expired. Replace the file."),
            1..EXPIRY_MS => {
                format!(
                    "The certificate of {key} expires in {} days. Replace the file.",
                    left / DAY
                )
            }
            _ => continue,
        };
        add(AlertKind::CertificateExpiring, key, summary);
    }
    found
}

/// Returns true if `part` is at least `percent` of `whole`.
fn is_above(part: u64, whole: u64, percent: u64) -> bool {
    u128::from(part) * 100 >= u128::from(whole) * u128::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(snapshot: &Snapshot, growth: &mut Growth) -> Vec<AlertKind> {
        conditions(snapshot, growth).iter().map(|condition| condition.kind).collect()
    }

    #[test]
    fn each_problem_is_found_at_its_bound() {
        let growth = &mut Growth::default();
        let healthy = Snapshot {
            now: 100 * DAY,
            spool: Some((79, 100)),
            disk: Some((10, 100)),
            certificates: vec![("listen.tls.certificate".to_owned(), 114 * DAY)],
            ..Snapshot::default()
        };
        assert_eq!(conditions(&healthy, growth), []);
        let mut filling = Snapshot {
            spool: Some((80, 100)),
            disk: Some((9, 100)),
            certificates: vec![("listen.tls.certificate".to_owned(), 114 * DAY - 1)],
            is_quarantine_full: true,
            ..healthy
        };
        assert_eq!(
            kinds(&filling, growth),
            [
                AlertKind::SpoolFilling,
                AlertKind::QuarantineFull,
                AlertKind::DiskFilling,
                AlertKind::CertificateExpiring
            ]
        );
        filling.is_spool_full = true;
        let full = [AlertKind::SpoolFull, AlertKind::SpoolFilling];
        assert_eq!(kinds(&filling, growth)[..2], full, "a full spool is filling, too");
        filling.blocked = vec![("pingone".to_owned(), 99 * DAY)];
        let found = conditions(&filling, growth);
        let blocked = found.iter().find(|found| found.kind == AlertKind::SourceBlocked);
        let summary = &blocked.expect("blocked").summary;
        assert!(summary.contains("loses events in 6 days"), "{summary}");
    }

    #[test]
    fn only_new_dead_letters_are_growth_also_after_a_restart() {
        let at = |minute: i64, total| Snapshot {
            now: minute * 60_000,
            dead_letters: BTreeMap::from([("siem".to_owned(), total)]),
            ..Snapshot::default()
        };
        let mut growth = Growth::default();
        assert_eq!(kinds(&at(0, 5), &mut growth), [], "old ones");
        assert_eq!(kinds(&at(1, 6), &mut growth), [AlertKind::DeadLetters]);
        assert_eq!(kinds(&at(15, 6), &mut growth), [AlertKind::DeadLetters]);
        assert_eq!(kinds(&at(16, 6), &mut growth), [], "no growth for 15 minutes");
        assert_eq!(kinds(&at(18, 7), &mut growth), [AlertKind::DeadLetters]);
        let text = serde_json::to_string(&growth).expect("JSON");
        let mut restored: Growth = serde_json::from_str(&text).expect("read");
        assert_eq!(kinds(&at(19, 7), &mut restored), [AlertKind::DeadLetters], "still recent");
        assert_eq!(kinds(&at(33, 7), &mut restored), []);
        assert_eq!(kinds(&at(34, 8), &mut restored), [AlertKind::DeadLetters]);
        assert_eq!(kinds(&at(0, 8), &mut restored), [AlertKind::DeadLetters], "set back");
        assert_eq!(kinds(&at(15, 8), &mut restored), [], "not longer than 15 minutes");
    }

    #[test]
    fn an_unknown_size_is_no_end_of_a_problem() {
        let growth = &mut Growth::default();
        let filling =
            Snapshot { spool: Some((80, 100)), disk: Some((9, 100)), ..Snapshot::default() };
        let expected = [AlertKind::SpoolFilling, AlertKind::DiskFilling];
        assert_eq!(kinds(&filling, growth), expected);
        let unknown = Snapshot::default().completed(&filling);
        assert_eq!(kinds(&unknown, growth), expected);
    }

    #[test]
    fn a_summary_is_bounded() {
        let paused = vec![("siem".to_owned(), "ä".repeat(5000))];
        let snapshot = Snapshot { paused, ..Snapshot::default() };
        let found = conditions(&snapshot, &mut Growth::default());
        assert_eq!(found[0].summary.chars().count(), MAX_SUMMARY_CHARS);
    }
}
