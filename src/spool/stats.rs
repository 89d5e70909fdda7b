//! Dispositions of events, their durable totals, and the contents of a spool.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Millis;

/// Outcome of an event, counted in the commit that causes it, so that the sums are exact after any
/// crash. *Refused* events are not acknowledged and not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Received and spooled.
    Accepted,
    /// Received before, within the window.
    Duplicate,
    /// Received and put into quarantine.
    Quarantined,
    /// Spooled out of quarantine by a retry.
    Released,
    /// Removed from quarantine by an operator.
    Purged,
    /// Spooled once more for one sink by a replay.
    Replayed,
    /// Delivered by a sink.
    Delivered,
    /// Passed over by a sink's filter.
    Filtered,
    /// Passed over by a sink's sampling, with its whole interaction.
    Sampled,
    /// Rejected by a sink's target.
    DeadLettered,
    /// Passed over by a sink, because it is a copy for another one: a replay, or a retried dead letter.
    NotAddressed,
    /// Passed over by a sink, because it is in the log before: two receivers that share a spool have stored it.
    Repeated,
    /// Removed while the sink was not configured, and before it had passed it.
    Retired,
    /// Spooled before the sink was first configured, and not to be delivered by it.
    BeforeStart,
}

impl Disposition {
    /// All dispositions, those of receiving first.
    pub const ALL: [Disposition; 14] = [
        Disposition::Accepted,
        Disposition::Duplicate,
        Disposition::Quarantined,
        Disposition::Released,
        Disposition::Purged,
        Disposition::Replayed,
        Disposition::Delivered,
        Disposition::Filtered,
        Disposition::Sampled,
        Disposition::DeadLettered,
        Disposition::NotAddressed,
        Disposition::Repeated,
        Disposition::Retired,
        Disposition::BeforeStart,
    ];

    /// Dispositions of a sink. Their totals add up to its cursor.
    pub const OF_SINKS: [Disposition; 8] = [
        Disposition::Delivered,
        Disposition::Filtered,
        Disposition::Sampled,
        Disposition::DeadLettered,
        Disposition::NotAddressed,
        Disposition::Repeated,
        Disposition::Retired,
        Disposition::BeforeStart,
    ];

    /// The name used in storage, metrics and listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Disposition::Accepted => "accepted",
            Disposition::Duplicate => "duplicate",
            Disposition::Quarantined => "quarantined",
            Disposition::Released => "released",
            Disposition::Purged => "purged",
            Disposition::Replayed => "replayed",
            Disposition::Delivered => "delivered",
            Disposition::Filtered => "filtered",
            Disposition::Sampled => "sampled",
            Disposition::DeadLettered => "dead_lettered",
            Disposition::NotAddressed => "not_addressed",
            Disposition::Repeated => "repeated",
            Disposition::Retired => "retired",
            Disposition::BeforeStart => "before_start",
        }
    }
}

/// Number of events per disposition of a sink, for one move of its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Through [`Disposition::Delivered`].
    pub delivered: u64,
    /// Through [`Disposition::Filtered`].
    pub filtered: u64,
    /// Through [`Disposition::Sampled`].
    pub sampled: u64,
    /// Through [`Disposition::DeadLettered`].
    pub dead_lettered: u64,
    /// Through [`Disposition::NotAddressed`].
    pub not_addressed: u64,
    /// Through [`Disposition::Repeated`].
    pub repeated: u64,
}

impl Tally {
    /// Adds events of a disposition that a commit can have.
    pub fn add(&mut self, disposition: Disposition, count: u64) {
        let total = match disposition {
            Disposition::Delivered => &mut self.delivered,
            Disposition::Filtered => &mut self.filtered,
            Disposition::Sampled => &mut self.sampled,
            Disposition::DeadLettered => &mut self.dead_lettered,
            Disposition::NotAddressed => &mut self.not_addressed,
            Disposition::Repeated => &mut self.repeated,
            Disposition::Accepted
            | Disposition::Duplicate
            | Disposition::Quarantined
            | Disposition::Released
            | Disposition::Purged
            | Disposition::Replayed
            | Disposition::Retired
            | Disposition::BeforeStart => return,
        };
        *total += count;
    }

    /// Returns each disposition with its count.
    pub fn counts(self) -> [(Disposition, u64); 6] {
        [
            (Disposition::Delivered, self.delivered),
            (Disposition::Filtered, self.filtered),
            (Disposition::Sampled, self.sampled),
            (Disposition::DeadLettered, self.dead_lettered),
            (Disposition::NotAddressed, self.not_addressed),
            (Disposition::Repeated, self.repeated),
        ]
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        let Tally { delivered, filtered, sampled, dead_lettered, not_addressed, repeated } = other;
        self.delivered += delivered;
        self.filtered += filtered;
        self.sampled += sampled;
        self.dead_lettered += dead_lettered;
        self.not_addressed += not_addressed;
        self.repeated += repeated;
    }
}

/// Contents and bounds of a spool.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SpoolStats {
    /// Position of the last event ever accepted.
    pub head: u64,
    /// Events stored now.
    pub events: u64,
    /// Time of receipt of the oldest stored event.
    pub oldest_at: Option<Millis>,
    /// Bytes in use: pages of the database, and what its log takes beyond its share.
    pub size: u64,
    /// Upper bound of the files, in bytes.
    pub max_size: u64,
    /// True if appends are refused until the sinks catch up.
    pub full: bool,
    /// Acknowledged events that are known to be lost.
    pub lost: Vec<Loss>,
    /// Ids remembered.
    pub dedup_ids: u64,
    /// Entries in quarantine.
    pub quarantined: u64,
    /// Bytes that the entries count.
    pub quarantine_size: u64,
    /// Upper bound of `quarantine_size`.
    pub quarantine_max_size: u64,
    /// True if the last entry that exceeded the quarantine's bound would be refused again.
    pub quarantine_full: bool,
    /// Sinks that ever had a cursor.
    pub sinks: Vec<SinkStats>,
    /// Totals by source or sink and disposition, since the spool was created.
    pub totals: Vec<(String, Disposition, u64)>,
}

impl SpoolStats {
    /// Returns the number of events per disposition, by source or sink.
    pub fn dispositions(&self) -> BTreeMap<&str, BTreeMap<&'static str, u64>> {
        let mut by_name: BTreeMap<&str, BTreeMap<&'static str, u64>> = BTreeMap::new();
        for (name, disposition, count) in &self.totals {
            *by_name.entry(name).or_default().entry(disposition.as_str()).or_default() += count;
        }
        by_name
    }
}

/// [`SpoolStats`] as listings show it.
#[derive(Debug, Serialize)]
pub struct StatsListing<'a> {
    #[serde(flatten)]
    stats: &'a SpoolStats,
    dispositions: BTreeMap<&'a str, BTreeMap<&'static str, u64>>,
}

impl<'a> From<&'a SpoolStats> for StatsListing<'a> {
    fn from(stats: &'a SpoolStats) -> StatsListing<'a> {
        StatsListing { stats, dispositions: stats.dispositions() }
    }
}

/// Range of positions whose events were stored and are lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// First position.
    pub first: u64,
    /// Last position.
    pub last: u64,
    /// Evidence of the loss.
    pub detail: String,
}

impl Loss {
    /// Returns the number of lost events.
    pub fn events(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// Position of one sink in the spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SinkStats {
    /// Its configured name.
    pub sink: String,
    /// Last position it has committed.
    pub cursor: u64,
    /// Events it has still to commit.
    pub lag: u64,
}
