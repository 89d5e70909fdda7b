//! Result of an event for a sink, from the record of the commit that passed the event.

use super::fate::{FateState, SinkFate, SinkProgress, TracedDeadLetter};
use super::stored_copy::StoredCopy;
use crate::cli::output::{safe, time};
use crate::spool::{Disposition, DispositionRun, RecordedDisposition};

/// Returns the recorded result; `None` if the record does not contain this event's.
pub(super) fn fate(
    found: &StoredCopy,
    progress: &SinkProgress<'_>,
    dead_letters: &[TracedDeadLetter],
    recorded: &RecordedDisposition,
) -> Option<SinkFate> {
    let DispositionRun { disposition, attempts, cause, .. } = &recorded.run;
    let disposition = (*disposition)?;
    // A dead letter is stored in the commit that passes its event.
    let key = found.recorded.as_ref().map(|(_, key)| *key);
    let is_its = |letter: &&TracedDeadLetter| {
        letter.sink == progress.name && letter.key == key && letter.at == recorded.at
    };
    let dead_letters = match disposition {
        Disposition::DeadLettered => {
            dead_letters.iter().filter(is_its).map(|letter| letter.entry).collect()
        }
        _ => Vec::new(),
    };
    Some(SinkFate {
        sink: progress.name.to_owned(),
        state: FateState::Recorded(disposition),
        committed_at: Some(recorded.at),
        attempts: Some(*attempts).filter(|attempts| *attempts > 0),
        cause: cause.as_deref().map(str::to_owned),
        behind: None,
        possible: Vec::new(),
        passes_filter: None,
        excluded: None,
        filtered_by: None,
        other_sink: found.only_sink.as_deref().map(str::to_owned),
        dead_letters,
        is_configured: progress.is_configured,
    })
}

impl SinkFate {
    /// Describes a recorded result for people.
    pub(super) fn describe_recorded(&self, disposition: Disposition) -> String {
        let mut words = match disposition {
            Disposition::DeadLettered => "dead-lettered".to_owned(),
            Disposition::Repeated => "passed: the log has the event before".to_owned(),
            Disposition::BeforeStart => {
                "skipped: received before the sink was added with start = \"now\"".to_owned()
            }
            Disposition::Retired => "skipped: removed while the sink was not configured".to_owned(),
            other => other.as_str().replace('_', " "),
        };
        if let Some(at) = self.committed_at {
            words += &format!(" at {}", time(at));
        }
        if let Some(attempts) = self.attempts {
            words += &format!(", attempt {attempts}");
        }
        if let Some(cause) = &self.cause {
            let joint = match disposition {
                Disposition::Filtered | Disposition::Sampled => " by",
                _ => ":",
            };
            words += &format!("{joint} {}", safe(cause));
        }
        words += &self.entries();
        if disposition == Disposition::DeadLettered && self.dead_letters.is_empty() {
            words += "; the dead letter was retried or purged since";
        }
        if !self.is_configured {
            words += "; the sink is not configured now";
        }
        words
    }
}
