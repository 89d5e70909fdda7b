//! Record of a commit: the disposition of each event for a sink, as runs of consecutive positions. Pure.
//!
//! The encoded form names dispositions by their words and not by numbers, so that further ones need no new form:
//! one byte for the compression, the number of labels, the labels (`delivered`, `filtered sinks.x.exclude.types`),
//! and for each run its label, attempt and count. All numbers are LEB128.

use std::sync::Arc;

use super::{Disposition, Millis, Tally};

/// Upper bound of the runs in one commit. The events after them have one run without a disposition.
pub(crate) const MAX_RUNS: usize = 16 * 1024;

/// Upper bound of the labels in one commit. Further causes are left out.
const MAX_LABELS: usize = 64;

/// Upper bound of a cause, in bytes.
const MAX_CAUSE_BYTES: usize = 200;

/// Upper bound of an encoded run, in bytes: label, attempt and count.
const MAX_RUN_BYTES: usize = 1 + 5 + 10;

/// Upper bound of the encoded record before its compression, in bytes.
const MAX_BYTES: usize =
    2 + MAX_LABELS * (2 + 16 + MAX_CAUSE_BYTES) + (MAX_RUNS + 1) * MAX_RUN_BYTES;

/// Size above which a record is compressed, in bytes.
const MAX_PLAIN_BYTES: usize = 256;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// Consecutive events with the same disposition for a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DispositionRun {
    /// `None` if it was not recorded.
    pub disposition: Option<Disposition>,
    /// Number of attempts with each of the events, the last one included; 0 if there was none, or if it is not known.
    pub attempts: u32,
    /// Key of the filter that excludes the events, or reason of their dead letters.
    pub cause: Option<Arc<str>>,
    /// Number of events.
    pub count: u64,
}

impl DispositionRun {
    /// Returns events whose disposition was not recorded.
    pub(crate) fn unrecorded(count: u64) -> DispositionRun {
        DispositionRun { disposition: None, attempts: 0, cause: None, count }
    }

    fn is_like(&self, other: &DispositionRun) -> bool {
        (self.disposition, self.attempts, &self.cause)
            == (other.disposition, other.attempts, &other.cause)
    }

    fn label(&self) -> String {
        let word = self.disposition.map_or("", Disposition::as_str);
        match &self.cause {
            Some(cause) => format!("{word} {}", cut(cause)),
            None => word.to_owned(),
        }
    }
}

/// Runs in the order of positions, at most [`MAX_RUNS`] and one more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs(Vec<DispositionRun>);

impl From<DispositionRun> for Runs {
    fn from(run: DispositionRun) -> Runs {
        let mut runs = Runs::default();
        runs.push(run);
        runs
    }
}

impl Runs {
    /// Adds the events that follow.
    pub fn push(&mut self, run: DispositionRun) {
        if run.count == 0 {
            return;
        }
        let length = self.0.len();
        match self.0.last_mut() {
            Some(last) if last.is_like(&run) || length > MAX_RUNS => {
                last.count = last.count.saturating_add(run.count);
            }
            _ if length == MAX_RUNS => self.0.push(DispositionRun::unrecorded(run.count)),
            _ => self.0.push(run),
        }
    }

    /// Adds the runs that follow.
    pub fn extend(&mut self, runs: &Runs) {
        runs.0.iter().for_each(|run| self.push(run.clone()));
    }

    /// Sets the attempts of all delivered events.
    pub(crate) fn set_attempts(&mut self, attempts: u32) {
        for run in std::mem::take(&mut self.0) {
            let is_delivered = run.disposition == Some(Disposition::Delivered);
            let attempts = if is_delivered { attempts } else { run.attempts };
            self.push(DispositionRun { attempts, ..run });
        }
    }

    /// Returns the attempts of all delivered events; `None` unless they are the same.
    pub(crate) fn attempts(&self) -> Option<u32> {
        let is_delivered = |run: &&DispositionRun| run.disposition == Some(Disposition::Delivered);
        let mut attempts = self.0.iter().filter(is_delivered).map(|run| run.attempts);
        let first = attempts.next()?;
        attempts.all(|other| other == first).then_some(first)
    }

    /// Number of events.
    pub fn events(&self) -> u64 {
        self.0.iter().map(|run| run.count).fold(0, u64::saturating_add)
    }

    /// Iterates over the runs.
    pub fn iter(&self) -> impl Iterator<Item = &DispositionRun> {
        self.0.iter()
    }

    /// Upper bound of the encoded runs, in bytes.
    pub(crate) fn size(&self) -> u64 {
        let labels = self.0.len().min(MAX_LABELS) * (2 + 16 + MAX_CAUSE_BYTES);
        (2 + labels + self.0.len() * MAX_RUN_BYTES) as u64
    }

    /// Returns the runs if they cover `count` events, and otherwise one run without a disposition.
    pub(crate) fn covering(self, count: u64) -> Runs {
        match self.events() == count {
            true => self,
            false => Runs(vec![DispositionRun::unrecorded(count)]),
        }
    }

    /// Returns the run with the event at `index`, counted from 0.
    pub(crate) fn at(&self, index: u64) -> Option<&DispositionRun> {
        let mut passed = 0_u64;
        self.0.iter().find(|run| {
            passed = passed.saturating_add(run.count);
            index < passed
        })
    }

    /// Encodes the runs.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut labels: Vec<String> = Vec::new();
        let mut runs = Vec::with_capacity(4 * self.0.len());
        for run in &self.0 {
            let mut label = run.label();
            if labels.len() >= MAX_LABELS / 2 && !labels.contains(&label) {
                // The words of all dispositions find room in the other half.
                label = run.disposition.map_or("", Disposition::as_str).to_owned();
            }
            let index = labels.iter().position(|known| *known == label).unwrap_or(labels.len());
            if index == labels.len() {
                labels.push(label);
            }
            [index as u64, run.attempts.into(), run.count]
                .into_iter()
                .for_each(|number| put(&mut runs, number));
        }
        let mut encoded = vec![PLAIN];
        put(&mut encoded, labels.len() as u64);
        for label in labels {
            put(&mut encoded, label.len() as u64);
            encoded.extend_from_slice(label.as_bytes());
        }
        encoded.append(&mut runs);
        if encoded.len() > MAX_PLAIN_BYTES
            && let Ok(mut compressed) = zstd::bulk::compress(&encoded[1..], 1)
            && compressed.len() + 1 < encoded.len()
        {
            compressed.insert(0, ZSTD);
            return compressed;
        }
        encoded
    }

    /// Decodes runs; `None` if they are corrupt.
    pub(crate) fn decode(encoded: &[u8]) -> Option<Runs> {
        let (codec, body) = encoded.split_first()?;
        let inflated;
        let mut rest = match *codec {
            PLAIN => body,
            ZSTD => {
                inflated = zstd::bulk::decompress(body, MAX_BYTES).ok()?;
                &inflated[..]
            }
            _ => return None,
        };
        let mut labels = Vec::new();
        for _ in 0..take(&mut rest)? {
            let length = usize::try_from(take(&mut rest)?).ok()?;
            let (label, after) = rest.split_at_checked(length)?;
            rest = after;
            labels.push(parse(std::str::from_utf8(label).ok()?));
        }
        let mut runs = Runs::default();
        while !rest.is_empty() {
            let index = usize::try_from(take(&mut rest)?).ok()?;
            let (disposition, cause) = labels.get(index)?.clone();
            let attempts = u32::try_from(take(&mut rest)?).ok()?;
            let count = take(&mut rest)?;
            runs.push(DispositionRun { disposition, attempts, cause, count });
        }
        Some(runs)
    }
}

/// Dispositions of the events that a commit passes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitRecord {
    /// Number of events by disposition.
    pub tally: Tally,
    /// The same events in the order of positions.
    pub runs: Runs,
}

impl From<Tally> for CommitRecord {
    /// Without an order, the disposition of each event is known only if all have the same.
    fn from(tally: Tally) -> CommitRecord {
        let counts = tally.counts();
        let events = counts.iter().map(|(_, count)| count).sum();
        let only = counts.into_iter().find(|(_, count)| *count == events);
        let disposition = only.map(|(disposition, _)| disposition);
        let run = DispositionRun { disposition, ..DispositionRun::unrecorded(events) };
        CommitRecord { tally, runs: run.into() }
    }
}

/// Recorded disposition of one event for one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedDisposition {
    /// Position of the event.
    pub position: u64,
    /// Name of the sink.
    pub sink: String,
    /// Time of the commit.
    pub at: Millis,
    /// Disposition, attempts and cause. `count` is that of the whole run.
    pub run: DispositionRun,
}

/// Parses a label. An unknown disposition counts as not recorded.
fn parse(label: &str) -> (Option<Disposition>, Option<Arc<str>>) {
    let (word, cause) = match label.split_once(' ') {
        Some((word, cause)) => (word, Some(Arc::from(cause))),
        None => (label, None),
    };
    (Disposition::ALL.into_iter().find(|known| known.as_str() == word), cause)
}

/// Truncates a cause, at a character boundary.
fn cut(cause: &str) -> &str {
    cause.get(..cause.floor_char_boundary(MAX_CAUSE_BYTES)).unwrap_or(cause)
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        let part = u64::from(byte & 0x7f);
        number |= part.checked_shl(shift).filter(|shifted| shifted >> shift == part)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(disposition: Disposition, attempts: u32, cause: &str, count: u64) -> DispositionRun {
        let cause = (!cause.is_empty()).then(|| Arc::from(cause));
        DispositionRun { disposition: Some(disposition), attempts, cause, count }
    }

    fn runs(list: impl IntoIterator<Item = DispositionRun>) -> Runs {
        let mut runs = Runs::default();
        list.into_iter().for_each(|run| runs.push(run));
        runs
    }

    fn any_run() -> impl Strategy<Value = DispositionRun> {
        let disposition = proptest::option::of(proptest::sample::select(&Disposition::OF_SINKS));
        let cause = proptest::option::of("[a-z. ]{1,20}");
        (disposition, any::<u32>(), cause, 1..u64::MAX / 64).prop_map(
            |(disposition, attempts, cause, count)| {
                let cause = cause.map(Arc::from);
                DispositionRun { disposition, attempts, cause, count }
            },
        )
    }

    proptest! {
        #[test]
        fn encoded_runs_are_decoded_to_the_same(list in prop::collection::vec(any_run(), 0..24)) {
            let runs = runs(list);
            let encoded = runs.encode();
            prop_assert_eq!(Runs::decode(&encoded), Some(runs.clone()));
            prop_assert!(encoded.len() as u64 <= runs.size() + 1);
        }

        #[test]
        fn no_bytes_make_decoding_fail_otherwise(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _runs = Runs::decode(&bytes);
        }
    }

    #[test]
    fn equal_neighbours_are_one_run_and_a_full_batch_takes_a_few_bytes() {
        let all = runs((0..500).map(|_| run(Disposition::Delivered, 1, "", 1)));
        assert_eq!(all, runs([run(Disposition::Delivered, 1, "", 500)]));
        assert_eq!(all.encode().len(), 16);
        assert_eq!(all.at(499), Some(&run(Disposition::Delivered, 1, "", 500)));
        assert_eq!(all.at(500), None);
    }

    #[test]
    fn runs_and_causes_above_the_bounds_are_counted_without_them() {
        let alternating = |count: u64| {
            runs((0..count).map(|index| match index % 2 {
                0 => run(Disposition::Delivered, 1, "", 1),
                _ => run(Disposition::Filtered, 0, "sinks.x.exclude.types", 1),
            }))
        };
        let most = alternating(MAX_RUNS as u64);
        assert_eq!(most.iter().filter(|run| run.disposition.is_none()).count(), 0);
        let more = alternating(MAX_RUNS as u64 + 10);
        assert_eq!(more.events(), MAX_RUNS as u64 + 10);
        assert_eq!(more.iter().last(), Some(&DispositionRun::unrecorded(10)));
        assert_eq!(Runs::decode(&more.encode()), Some(more.clone()));
        assert!(more.encode().len() < 1024, "repetition is compressed");
        let cause = |index: u64| run(Disposition::DeadLettered, 1, &format!("reason {index}"), 1);
        let causes = Runs::decode(&runs((0..100).map(cause)).encode()).expect("decoded");
        assert_eq!(causes.events(), 100);
        assert_eq!(causes.at(0), Some(&cause(0)));
        assert_eq!(causes.at(99).expect("a run").cause, None);
    }

    #[test]
    fn a_tally_is_recorded_per_event_only_if_it_has_one_disposition() {
        let one = CommitRecord::from(Tally { filtered: 3, ..Tally::default() });
        assert_eq!(one.runs, runs([run(Disposition::Filtered, 0, "", 3)]));
        let two = CommitRecord::from(Tally { filtered: 3, delivered: 1, ..Tally::default() });
        assert_eq!(two.runs, runs([DispositionRun::unrecorded(4)]));
        assert_eq!(two.runs.clone().covering(4), two.runs);
        assert_eq!(two.runs.covering(5), runs([DispositionRun::unrecorded(5)]));
    }

    #[test]
    fn attempts_of_objects_are_set_if_they_agree() {
        let filtered = run(Disposition::Filtered, 0, "", 1);
        let delivered = |attempts| run(Disposition::Delivered, attempts, "", 2);
        let mut all = runs([delivered(0), filtered.clone(), delivered(0)]);
        all.set_attempts(3);
        assert_eq!(all, runs([delivered(3), filtered.clone(), delivered(3)]));
        assert_eq!(all.attempts(), Some(3));
        assert_eq!(runs([delivered(1), filtered, delivered(2)]).attempts(), None);
    }
}
