//! Result of `trace`, as JSON and for people.

use std::time::Duration;

use serde::Serialize;

use super::fate::SinkFate;
use super::matching::Match;
use crate::cli::CommandFailure;
use crate::cli::output::{safe, time};
use crate::spool::{Disposition, EntrySummary, Millis, SpoolStats};

/// Everything known about an id.
#[derive(Debug, Serialize)]
pub(super) struct TraceReport {
    id: String,
    pub(super) stored: Vec<Location>,
    pub(super) quarantine: Vec<QuarantineMatch>,
    /// Number of copies and entries that are not listed.
    pub(super) unlisted: u64,
    /// For each source, true if an event of this id and `--recorded-at` is remembered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) remembered: Vec<RememberedId>,
    pub(super) searched_events: u64,
    pub(super) searched_entries: u64,
    /// Ranges of positions that cannot be read.
    pub(super) unread_positions: Vec<(u64, u64)>,
    /// Entries that cannot be searched: corrupt chunks and compressed bodies.
    pub(super) unread_entries: Vec<i64>,
    /// Number of events removed after delivery to every sink.
    removed_events: u64,
    /// Number of entries purged by operators.
    purged: u64,
    /// True if the spool records the disposition of each event.
    has_record: bool,
    #[serde(skip)]
    pub(super) quarantined: u64,
}

/// One stored copy of the event.
#[derive(Debug, Serialize)]
pub(super) struct Location {
    pub(super) position: u64,
    pub(super) source: String,
    pub(super) received_at: Millis,
    pub(super) recorded_at: Option<String>,
    pub(super) only_sink: Option<String>,
    /// True if a repetition would be dropped as a duplicate.
    pub(super) remembered: Option<bool>,
    pub(super) sinks: Vec<SinkFate>,
}

/// A quarantine entry that holds the event.
#[derive(Debug, Serialize)]
pub(super) struct QuarantineMatch {
    #[serde(rename = "match")]
    pub(super) matched: Match,
    #[serde(flatten)]
    pub(super) summary: EntrySummary,
}

/// Remembered id in one source.
#[derive(Debug, Serialize)]
pub(super) struct RememberedId {
    pub(super) source: String,
    pub(super) remembered: bool,
}

impl TraceReport {
    pub(super) fn new(id: &str, stats: &SpoolStats, has_record: bool) -> TraceReport {
        let purged =
            stats.totals.iter().filter(|(_, disposition, _)| *disposition == Disposition::Purged);
        TraceReport {
            id: id.to_owned(),
            stored: Vec::new(),
            quarantine: Vec::new(),
            unlisted: 0,
            remembered: Vec::new(),
            searched_events: 0,
            searched_entries: 0,
            unread_positions: Vec::new(),
            unread_entries: Vec::new(),
            removed_events: stats.head.saturating_sub(stats.events),
            purged: purged.map(|(_, _, count)| count).sum(),
            has_record,
            quarantined: stats.quarantined,
        }
    }

    pub(super) fn has_trace(&self) -> bool {
        !self.stored.is_empty() || !self.quarantine.is_empty() || self.is_remembered()
    }

    fn is_remembered(&self) -> bool {
        self.remembered.iter().any(|source| source.remembered)
    }

    /// Prints the report.
    pub(super) fn print(&self, retention: Duration) -> Result<(), CommandFailure> {
        self.stored.iter().try_for_each(Location::print)?;
        if !self.stored.is_empty() && !self.has_record {
            print_line!(
                "This spool keeps cursors, totals and dead letters, and no record of each event. Results are \
                 deduced from these and from the current filters."
            )?;
        }
        self.quarantine.iter().try_for_each(QuarantineMatch::print)?;
        if self.unlisted > 0 {
            print_line!("and {} more", self.unlisted)?;
        }
        for RememberedId { source, remembered } in &self.remembered {
            if *remembered {
                print_line!(
                    "remembered: source {} accepted an event of this id and time",
                    safe(source)
                )?;
            } else {
                print_line!("not remembered for source {}", safe(source))?;
            }
        }
        for (first, last) in &self.unread_positions {
            print_line!("events {first} to {last} cannot be read; see davinci-siem spool verify")?;
        }
        if !self.unread_entries.is_empty() {
            let entries: Vec<String> = self.unread_entries.iter().map(i64::to_string).collect();
            print_line!(
                "not searched, because their bytes are corrupt or compressed: quarantine {}",
                entries.join(", ")
            )?;
        }
        if self.stored.is_empty() && self.quarantine.is_empty() {
            self.print_absence(retention)?;
        }
        Ok(())
    }

    /// Prints the possible reasons why nothing was found.
    fn print_absence(&self, retention: Duration) -> Result<(), CommandFailure> {
        print_line!(
            "neither among the {} stored events nor in the {} entries of the quarantine",
            self.searched_events,
            self.searched_entries
        )?;
        let was_accepted = self.is_remembered();
        match self.removed_events {
            0 if was_accepted => print_line!("The event was accepted and is no longer stored.")?,
            0 if !self.unread_positions.is_empty() => {
                print_line!(
                    "Either the event never arrived, or it is among the events that cannot be read."
                )?;
            }
            0 => print_line!(
                "No event has been removed from this spool, so no event of this id was accepted."
            )?,
            _ if was_accepted => {
                print_line!("The event was removed after every sink had passed it.")?;
            }
            count => {
                print_line!(
                    "Either the event never arrived, or it was removed after every sink had passed it, as {count} \
                     other events were."
                )?;
                print_line!(
                    "--recorded-at TIME may decide this while ids are remembered (spool.dedup.window)."
                )?;
            }
        }
        if self.purged > 0 && !was_accepted {
            print_line!(
                "The event may also be among the {} entries purged from quarantine.",
                self.purged
            )?;
        }
        print_line!(
            "Events are kept for {} after every sink has passed them (spool.retention).",
            humantime::format_duration(retention)
        )?;
        Ok(())
    }
}

impl Location {
    fn print(&self) -> Result<(), CommandFailure> {
        print_line!("position {} of the spool", self.position)?;
        print_line!("  source     {}", safe(&self.source))?;
        print_line!("  received   {}", time(self.received_at))?;
        print_line!("  recorded   {}", self.recorded_at.as_deref().map_or("unknown".into(), safe))?;
        if let Some(sink) = &self.only_sink {
            print_line!("  copy       for sink {} only, by a replay or a retry", safe(sink))?;
        }
        match self.remembered {
            Some(true) => print_line!("  repetition would be dropped: the id is remembered")?,
            Some(false) => print_line!("  repetition would be accepted: the id is not remembered")?,
            None => print_line!("  repetition unknown: the bytes are not a valid event")?,
        }
        for fate in &self.sinks {
            print_line!("  sink {}: {}", safe(&fate.sink), fate.describe())?;
        }
        Ok(())
    }
}

impl QuarantineMatch {
    fn print(&self) -> Result<(), CommandFailure> {
        let EntrySummary { id, at, source, reason, detail, sink, .. } = &self.summary;
        print_line!("quarantine entry {id}")?;
        print_line!("  source     {}", safe(source))?;
        print_line!("  stored     {}", time(*at))?;
        print_line!("  reason     {}: {}", safe(reason), safe(detail))?;
        if let Some(sink) = sink {
            print_line!("  sink       {}", safe(sink))?;
        }
        if self.matched == Match::Text {
            print_line!(
                "  match      the text of the id occurs in its bytes, but not as an object's id"
            )?;
        }
        Ok(())
    }
}
