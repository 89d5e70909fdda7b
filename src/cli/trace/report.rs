//! What `trace` has found, as JSON and for people.

use std::time::Duration;

use serde::Serialize;

use super::fate::Fate;
use super::matching::Match;
use crate::cli::output::{safe, time};
use crate::spool::{Disposition, EntrySummary, Millis, SpoolStats};

/// Everything that is known of an id.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    id: String,
    pub(super) stored: Vec<Location>,
    pub(super) quarantine: Vec<InQuarantine>,
    /// Places and entries that are not listed.
    pub(super) unlisted: u64,
    /// For each source, whether an event of this id and the time that was given is remembered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) remembered: Vec<Remembered>,
    pub(super) searched_events: u64,
    pub(super) searched_entries: u64,
    /// Positions that cannot be read.
    pub(super) unread_positions: Vec<(u64, u64)>,
    /// Entries whose bytes are a damaged chunk, or could not be inflated.
    pub(super) unread_entries: Vec<i64>,
    /// Events that every sink had and that were removed.
    removed_events: u64,
    /// Entries that operators have removed from quarantine.
    purged: u64,
    #[serde(skip)]
    pub(super) quarantined: u64,
}

/// One place where the event is stored.
#[derive(Debug, Serialize)]
pub(super) struct Location {
    pub(super) position: u64,
    pub(super) source: String,
    pub(super) received_at: Millis,
    pub(super) recorded_at: Option<String>,
    pub(super) only_sink: Option<String>,
    /// Whether a repetition of it would be dropped as a duplicate.
    pub(super) remembered: Option<bool>,
    pub(super) sinks: Vec<Fate>,
}

/// An entry that holds the event.
#[derive(Debug, Serialize)]
pub(super) struct InQuarantine {
    #[serde(rename = "match")]
    pub(super) matched: Match,
    #[serde(flatten)]
    pub(super) summary: EntrySummary,
}

/// Whether one source's event is remembered.
#[derive(Debug, Serialize)]
pub(super) struct Remembered {
    pub(super) source: String,
    pub(super) remembered: bool,
}

impl Report {
    pub(super) fn new(id: &str, stats: &SpoolStats) -> Report {
        let purged =
            stats.totals.iter().filter(|(_, disposition, _)| *disposition == Disposition::Purged);
        Report {
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
            quarantined: stats.quarantined,
        }
    }

    pub(super) fn is_anything_found(&self) -> bool {
        !self.stored.is_empty() || !self.quarantine.is_empty() || self.is_remembered()
    }

    fn is_remembered(&self) -> bool {
        self.remembered.iter().any(|source| source.remembered)
    }

    /// `tells_ids` is whether the spool's engine tells which ids it remembers.
    pub(super) fn print(&self, retention: Duration, tells_ids: bool) {
        self.stored.iter().for_each(Location::print);
        self.quarantine.iter().for_each(InQuarantine::print);
        if self.unlisted > 0 {
            println!("and {} more places", self.unlisted);
        }
        for Remembered { source, remembered } in &self.remembered {
            if *remembered {
                println!(
                    "remembered: source {} accepted an event of this id and time",
                    safe(source)
                );
            } else {
                println!("not remembered for source {}", safe(source));
            }
        }
        for (first, last) in &self.unread_positions {
            println!("events {first} to {last} cannot be read: davinci-siem spool verify says why");
        }
        if !self.unread_entries.is_empty() {
            let entries: Vec<String> = self.unread_entries.iter().map(i64::to_string).collect();
            println!(
                "not searched, because their bytes are damaged or compressed: quarantine {}",
                entries.join(", ")
            );
        }
        if self.stored.is_empty() && self.quarantine.is_empty() {
            self.print_absence(retention, tells_ids);
        }
    }

    /// What it means that nothing is there.
    fn print_absence(&self, retention: Duration, tells_ids: bool) {
        println!(
            "neither among the {} stored events nor in the {} entries of the quarantine",
            self.searched_events, self.searched_entries
        );
        let was_accepted = self.is_remembered();
        match self.removed_events {
            0 if was_accepted => println!("It was accepted, and is not there any more."),
            0 if !self.unread_positions.is_empty() => {
                println!("Either it never came, or it is among what cannot be read.");
            }
            0 => println!(
                "No event has been removed from this spool, so none of this id was accepted."
            ),
            _ if was_accepted => println!("Every sink has passed it, and it was removed."),
            count => {
                println!(
                    "Either it never came, or every sink has passed it and it was removed, as {count} \
                     events were."
                );
                if tells_ids {
                    println!(
                        "--recorded-at TIME may tell which, as long as ids are remembered \
                         (spool.dedup.window)."
                    );
                }
            }
        }
        if self.purged > 0 && !was_accepted {
            println!("It may also be among the {} entries purged from quarantine.", self.purged);
        }
        println!(
            "Events are kept for {} after every sink has passed them: spool.retention sets it.",
            humantime::format_duration(retention)
        );
    }
}

impl Location {
    fn print(&self) {
        println!("position {} of the spool", self.position);
        println!("  source     {}", safe(&self.source));
        println!("  received   {}", time(self.received_at));
        println!("  recorded   {}", self.recorded_at.as_deref().map_or("unknown".into(), safe));
        if let Some(sink) = &self.only_sink {
            println!(
                "  copy       for sink {} only: a retried dead letter, or a replay",
                safe(sink)
            );
        }
        match self.remembered {
            Some(true) => println!("  repetition would be dropped: the id is remembered"),
            Some(false) => println!("  repetition would be taken: the id is not remembered"),
            None if self.recorded_at.is_some() => {
                println!(
                    "  repetition cannot be told: the servers do not say which ids they remember"
                );
            }
            None => println!("  repetition cannot be told: it is no event"),
        }
        for fate in &self.sinks {
            println!("  sink {}: {}", safe(&fate.sink), fate.words());
        }
    }
}

impl InQuarantine {
    fn print(&self) {
        let EntrySummary { id, at, source, reason, detail, sink, .. } = &self.summary;
        println!("quarantine entry {id}");
        println!("  source     {}", safe(source));
        println!("  stored     {}", time(*at));
        println!("  reason     {}: {}", safe(reason), safe(detail));
        if let Some(sink) = sink {
            println!("  sink       {}", safe(sink));
        }
        if self.matched == Match::Text {
            println!(
                "  match      the id's text is in its bytes, though not as the id of an object"
            );
        }
    }
}
