//! Result of an event for each sink: as recorded in the commit that passed the event. Without a record, the result is
//! deduced from cursors, totals and dead letters: where they allow several results, all of them are listed.

use serde::Serialize;

use super::recorded;
use super::stored_copy::StoredCopy;
use crate::cli::output::{count, safe};
use crate::config::Config;
use crate::deliver::SinkConfig;
use crate::spool::{DedupKey, Disposition, Millis, RecordedDisposition, SpoolStats};

/// Result of a stored event for one sink.
#[derive(Debug, Serialize)]
pub(super) struct SinkFate {
    pub(super) sink: String,
    pub(super) state: FateState,
    /// Time of the commit that passed the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) committed_at: Option<Millis>,
    /// Attempts with the event, the last one included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempts: Option<u32>,
    /// Key of the filter that excluded the event, or reason of the dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<String>,
    /// Number of events between the sink's cursor and a waiting event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) behind: Option<u64>,
    /// Possible results, if the sink's cursor has passed the event; one, if it is certain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) possible: Vec<PossibleResult>,
    /// True if the sink's filter and its sample, as configured now, let the event through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) passes_filter: Option<bool>,
    /// Setting that excludes the event: an entry of the filter, or the sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filtered_by: Option<String>,
    /// Result of that setting.
    #[serde(skip)]
    pub(super) excluded: Option<PossibleResult>,
    /// Sink that the copy is addressed to, if it is another one.
    #[serde(skip)]
    pub(super) other_sink: Option<String>,
    /// Quarantine entries with dead letters of the event for this sink.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) dead_letters: Vec<i64>,
    pub(super) is_configured: bool,
}

/// State of an event for a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum FateState {
    /// Recorded in the commit that passed the event.
    Recorded(Disposition),
    /// Deduced from the sink's cursor.
    Deduced(DeliveryState),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliveryState {
    /// Above the sink's cursor: still to be delivered.
    Waiting,
    /// Below the sink's cursor.
    Passed,
    /// A copy addressed to another sink.
    NotAddressed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PossibleResult {
    Delivered,
    Filtered,
    /// Passed over by the sink's `sample`.
    Sampled,
    DeadLettered,
    /// The sink began later, or was not configured for a while: its totals do not add up to its cursor.
    Skipped,
}

/// A dead letter with the event's id.
pub(super) struct TracedDeadLetter {
    pub(super) entry: i64,
    pub(super) at: Millis,
    pub(super) sink: String,
    /// `None` if its bytes are not a valid event.
    pub(super) key: Option<DedupKey>,
}

pub(super) struct SinkProgress<'a> {
    pub(super) name: &'a str,
    cursor: u64,
    results: Vec<PossibleResult>,
    /// Position after which the sink began, if known.
    began_after: Option<u64>,
    /// True if no dead letter was ever retried or purged.
    has_all_dead_letters: bool,
    pub(super) is_configured: bool,
}

/// Returns the result for each sink of `found`, which is one of `copies`.
pub(super) fn of(
    found: &StoredCopy,
    copies: &[StoredCopy],
    stats: &SpoolStats,
    dead_letters: &[TracedDeadLetter],
    recorded: &[RecordedDisposition],
    config: &Config,
) -> Vec<SinkFate> {
    let of_sink = |progress: &SinkProgress<'_>| {
        let is_its = |recorded: &&RecordedDisposition| {
            recorded.position == found.position && recorded.sink == progress.name
        };
        recorded
            .iter()
            .find(is_its)
            .and_then(|recorded| recorded::fate(found, progress, dead_letters, recorded))
            .unwrap_or_else(|| one(found, copies, progress, dead_letters))
    };
    progress_of_sinks(stats, config).iter().map(of_sink).collect()
}

/// Returns the progress of the sinks in the spool, and of configured ones that have never run.
fn progress_of_sinks<'a>(stats: &'a SpoolStats, config: &'a Config) -> Vec<SinkProgress<'a>> {
    // The spool does not record which entries were retried or purged.
    let is_gone = |disposition: Disposition| {
        matches!(disposition, Disposition::Released | Disposition::Purged)
    };
    let has_all_dead_letters =
        !stats.totals.iter().any(|(_, disposition, count)| is_gone(*disposition) && *count > 0);
    let known = stats.sinks.iter().map(|sink| {
        let is_configured = config.sinks.iter().any(|configured| configured.name == sink.sink);
        let (results, began_after) = results(stats, &sink.sink, sink.cursor);
        let (name, cursor) = (sink.sink.as_str(), sink.cursor);
        SinkProgress { name, cursor, results, began_after, has_all_dead_letters, is_configured }
    });
    let is_new = |sink: &&SinkConfig| stats.sinks.iter().all(|known| known.sink != sink.name);
    let new = config.sinks.iter().filter(is_new);
    let new = new.map(|sink| SinkProgress {
        name: &sink.name,
        cursor: 0,
        results: Vec::new(),
        began_after: None,
        has_all_dead_letters,
        is_configured: true,
    });
    known.chain(new).collect()
}

/// Returns the results that a sink has had for any event, and the position after which it began, if known.
fn results(stats: &SpoolStats, sink: &str, cursor: u64) -> (Vec<PossibleResult>, Option<u64>) {
    let total = |result: &str| {
        let is_its = |(name, disposition, _): &&(String, Disposition, u64)| {
            name == sink && disposition.as_str() == result
        };
        stats.totals.iter().find(is_its).map_or(0, |(_, _, count)| *count)
    };
    let delivered = total("delivered");
    let (filtered, sampled) = (total("filtered"), total("sampled"));
    let dead_lettered = total("dead_lettered");
    // Absent with some engines and in older spools.
    let (retired, before_start) = (total("retired"), total("before_start"));
    let passed_over = filtered + sampled + total("not_addressed") + total("repeated");
    let passed = delivered + dead_lettered + passed_over;
    let is_complete = passed + retired + before_start == cursor;
    let results = [
        (PossibleResult::Delivered, delivered > 0),
        (PossibleResult::Filtered, filtered > 0),
        (PossibleResult::Sampled, sampled > 0),
        (PossibleResult::DeadLettered, dead_lettered > 0),
        (PossibleResult::Skipped, passed != cursor),
    ];
    let results =
        results.into_iter().filter_map(|(result, is_possible)| is_possible.then_some(result));
    (results.collect(), Some(before_start).filter(|_| is_complete && retired == 0))
}

fn one(
    found: &StoredCopy,
    copies: &[StoredCopy],
    progress: &SinkProgress<'_>,
    dead_letters: &[TracedDeadLetter],
) -> SinkFate {
    let SinkProgress { name, cursor, is_configured, .. } = *progress;
    let is_for_it = |found: &StoredCopy| found.only_sink.as_deref().is_none_or(|only| only == name);
    let state = match found.position {
        _ if !is_for_it(found) => DeliveryState::NotAddressed,
        position if position <= cursor => DeliveryState::Passed,
        _ => DeliveryState::Waiting,
    };
    let its_key = found.recorded.as_ref().map(|(_, key)| *key);
    let is_its = |dead_letter: &&TracedDeadLetter| {
        dead_letter.sink == name
            && dead_letter.key == its_key
            && dead_letter.at >= found.received_at
    };
    let own_dead_letters: Vec<i64> =
        dead_letters.iter().filter(is_its).map(|dead_letter| dead_letter.entry).collect();
    // A dead letter does not say which copy it was. It was the original if there is no other copy.
    let copies = copies.iter().filter(|copy| is_for_it(copy)).count();
    let filtered = found.filtered.iter().find(|(sink, _)| sink == name).map(|(_, by)| by);
    let passes = filtered.map(Option::is_none);
    let is_original = found.only_sink.is_none() && copies == 1;
    let possible = match state {
        DeliveryState::Waiting | DeliveryState::NotAddressed => Vec::new(),
        DeliveryState::Passed if is_original && !own_dead_letters.is_empty() => {
            vec![PossibleResult::DeadLettered]
        }
        DeliveryState::Passed => {
            let excluded = filtered.map(|by| by.as_ref().map(|(result, _)| *result));
            possible(progress, found.position, excluded, !own_dead_letters.is_empty())
        }
    };
    let is_for_it = state != DeliveryState::NotAddressed;
    SinkFate {
        sink: name.to_owned(),
        state: FateState::Deduced(state),
        committed_at: None,
        attempts: None,
        cause: None,
        behind: (state == DeliveryState::Waiting)
            .then(|| found.position.saturating_sub(cursor).saturating_sub(1)),
        possible,
        passes_filter: passes.filter(|_| is_for_it),
        excluded: filtered.and_then(Option::as_ref).map(|(result, _)| *result),
        filtered_by: filtered.cloned().flatten().map(|(_, by)| by).filter(|_| is_for_it),
        other_sink: found.only_sink.as_deref().filter(|_| !is_for_it).map(str::to_owned),
        dead_letters: if is_for_it { own_dead_letters } else { Vec::new() },
        is_configured,
    }
}

/// Returns the possible results of an event below the cursor: those that the sink has had for any event, without
/// those that its filter, its sample and the quarantine rule out. `excluded` is the result of the filter or the sample as
/// configured now; `Some(None)` if both let the event through.
fn possible(
    progress: &SinkProgress<'_>,
    position: u64,
    excluded: Option<Option<PossibleResult>>,
    has_dead_letters: bool,
) -> Vec<PossibleResult> {
    let SinkProgress { results, began_after, has_all_dead_letters, .. } = progress;
    if began_after.is_some_and(|before| position <= before) {
        return vec![PossibleResult::Skipped];
    }
    if let Some(Some(result)) = excluded
        && results.contains(&result)
    {
        return vec![result];
    }
    let is_ruled_out = |result: &PossibleResult| match result {
        PossibleResult::Filtered | PossibleResult::Sampled => excluded == Some(None),
        PossibleResult::DeadLettered => !has_dead_letters && *has_all_dead_letters,
        PossibleResult::Skipped => began_after.is_some(),
        PossibleResult::Delivered => false,
    };
    let left: Vec<PossibleResult> =
        results.iter().filter(|result| !is_ruled_out(result)).copied().collect();
    // Nothing is left if the filter has changed since.
    if left.is_empty() { results.clone() } else { left }
}

impl SinkFate {
    /// Describes the result for people.
    pub(super) fn describe(&self) -> String {
        let state = match self.state {
            FateState::Recorded(Disposition::NotAddressed) => DeliveryState::NotAddressed,
            FateState::Recorded(disposition) => return self.describe_recorded(disposition),
            FateState::Deduced(state) => state,
        };
        let mut words = match (state, &*self.possible) {
            (DeliveryState::NotAddressed, _) => {
                let other = safe(self.other_sink.as_deref().unwrap_or_default());
                return format!("copy for sink {other} only, by a replay or a retry");
            }
            (DeliveryState::Waiting, _) => match self.behind {
                None | Some(0) => "not delivered yet; it is the sink's next event".to_owned(),
                Some(behind) => format!("not delivered yet, behind {}", count(behind, "event")),
            },
            // The sink has a cursor, but no totals.
            (DeliveryState::Passed, []) => "passed; the result is not recorded".to_owned(),
            (DeliveryState::Passed, [result]) if self.excluded == Some(*result) => {
                format!("{}: {}", result.word(), self.filtered_by.as_deref().unwrap_or_default())
            }
            (DeliveryState::Passed, [result]) => result.word().to_owned(),
            (DeliveryState::Passed, results) => {
                let words: Vec<&str> = results.iter().map(|result| result.word()).collect();
                format!("passed: {}; the result is not recorded", words.join(" or "))
            }
        };
        words += &self.entries();
        let is_possible = |result: &PossibleResult| match self.excluded {
            Some(excluded) => *result == excluded,
            None => matches!(result, PossibleResult::Filtered | PossibleResult::Sampled),
        };
        match (&self.filtered_by, self.possible.iter().any(is_possible)) {
            (Some(by), false) => {
                words += &format!("; its current filter excludes the event ({by})");
            }
            (None, true) if self.passes_filter == Some(true) => {
                words += "; its current filter lets the event through";
            }
            _ => {}
        }
        if !self.is_configured {
            words += "; the sink is not configured now";
        }
        words
    }

    /// Lists the quarantine entries.
    pub(super) fn entries(&self) -> String {
        if self.dead_letters.is_empty() {
            return String::new();
        }
        let entries: Vec<String> = self.dead_letters.iter().map(i64::to_string).collect();
        format!(" (quarantine {})", entries.join(", "))
    }
}

impl PossibleResult {
    fn word(self) -> &'static str {
        match self {
            PossibleResult::Delivered => "delivered",
            PossibleResult::Filtered => "filtered",
            PossibleResult::Sampled => "sampled",
            PossibleResult::DeadLettered => "dead-lettered",
            PossibleResult::Skipped => {
                "skipped (received before the sink was added, or while it was not configured)"
            }
        }
    }
}
